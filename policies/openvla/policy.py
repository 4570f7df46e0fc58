"""A checkpoint of OpenVLA's family as a policy: observations in, chunks of the environment's actions out."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from playloop.core.contract import Contract
from playloop.nn.quantize import kind_of
from playloop.policies.diffusion import Noise, draw_noise
from playloop.policies.openvla.config import OpenVLAConfig
from playloop.policies.openvla.decoders import Chosen, DecodingConfig
from playloop.policies.openvla.engine import Engine
from playloop.policies.openvla.images import EvaluationImages
from playloop.policies.openvla.model import OpenVLA
from playloop.policies.openvla.prompt import PromptEncoder
from playloop.policies.openvla.statistics import Statistics
from playloop.policies.openvla.vocabulary import STORED, UNIT, ActionVocabulary, Gripper

Inputs = tuple[Tensor, Tensor | None, Tensor]
"""Pictures [B, images, 6, S, S], normalised states [B, S] or None, and prompts int64 [B, L]."""


class Row(NamedTuple):
    """One row of a decision.

    Args:
        actions: float32 [chunk, A].
        tokens: int64 [chunk · A], None of a regression.
        remasked: how often a committed token was masked again.
        evaluations: passes through the language model.
    """

    actions: np.ndarray
    tokens: np.ndarray | None
    remasked: int
    evaluations: int


class OpenVLAPolicy:
    """`(carry, observations, generators) → (carry, chunks, info)`, see `policies.base.Policy`.

    Every network call has exactly `batch` rows whose prompts are equally long, missing ones are copies of the
    first: kernels differ with the number of rows, and a row's bits must not.

    Args:
        model: the networks.
        contract: of the environment that it acts in; its cameras in the order of the checkpoint's pictures.
        prompts: instruction → ids.
        images: a camera's picture → the network's.
        statistics: of the data set whose actions it gives.
        gripper: what an action's last number means.
        decoding: how chunks are decoded.
        batch: rows of a network call.
        dtype: to compute in.
        hashes: SHA-256 of its files by name, where they were computed.

    Raises:
        ValueError: the parts do not belong together.
    """

    def __init__(
        self,
        model: OpenVLA,
        contract: Contract,
        prompts: PromptEncoder,
        images: EvaluationImages,
        statistics: Statistics,
        gripper: Gripper,
        decoding: DecodingConfig | None = None,
        batch: int = 1,
        dtype: torch.dtype = torch.float32,
        hashes: Mapping[str, str] | None = None,
    ):
        if batch < 1:
            raise ValueError(f"batch={batch}: a call needs at least one row")
        check_parts(model.config, contract, statistics)
        self.model, self.contract, self.prompts, self.images = model.eval(), contract, prompts, images
        self.statistics, self.gripper, self.batch, self.dtype = statistics, gripper, batch, dtype
        self.hashes = dict(hashes or {})
        self.decoding = (decoding or DecodingConfig()).of(model.config)
        self.engine = Engine(self.model, self.decoding)
        self.vocabulary = ActionVocabulary(model.config.action)
        self.cameras, self.chunk = tuple(contract.cameras), model.config.chunk

    @property
    def device(self) -> torch.device:
        """Where the model lies."""
        return self.model.device

    def initial(self, batch: int) -> list[None]:
        """Nothing is remembered from one decision to the next."""
        return [None] * batch

    @torch.inference_mode()
    def __call__(
        self, carry: Any, observations: list[dict[str, Any]], generators: list[torch.Generator]
    ) -> tuple[Any, np.ndarray, dict[str, Any]]:
        start = time.perf_counter()
        prompts = [self.prompts(observation["instruction"]) for observation in observations]
        rows: list[Row] = [None] * len(observations)  # type: ignore[list-item]
        for places in groups([len(prompt) for prompt in prompts], self.batch):
            chosen = self._decide(
                [observations[place] for place in places],
                [generators[place] for place in places],
                [prompts[place] for place in places],
            )
            for place, row in zip(places, self._rows(chosen), strict=False):  # the rest are fillers
                rows[place] = row
        info: dict[str, Any] = {
            "evaluations": rows[0].evaluations,
            "remasked": np.array([row.remasked for row in rows]),
            "ms": 1000 * (time.perf_counter() - start),
        }
        if rows[0].tokens is not None:
            tokens = np.stack([row.tokens for row in rows if row.tokens is not None])
            strange = self.vocabulary.strange(torch.from_numpy(tokens)).sum(-1)
            info |= {"tokens": tokens, "strange": strange.numpy()}
        return carry, np.stack([row.actions for row in rows]), info

    def _decide(
        self,
        observations: Sequence[dict[str, Any]],
        generators: Sequence[torch.Generator],
        prompts: Sequence[list[int]],
    ) -> Chosen:
        pictures, state, prompt = self.inputs(observations, prompts)
        fill = self._filled
        inputs = fill(pictures), None if state is None else fill(state), fill(prompt)
        return self.engine(*inputs, self.noise(generators))

    def _filled(self, values: Tensor) -> Tensor:
        """Up to `batch` rows, copies of the first are added."""
        return torch.cat([values, values[:1].expand(self.batch - len(values), *values.shape[1:])])

    def _rows(self, chosen: Chosen) -> list[Row]:
        """A decoded call row by row, in the host's memory."""
        actions, remasked = self.actions(chosen), chosen.remasked.tolist()
        tokens = [None] * self.batch if chosen.tokens is None else list(chosen.tokens.cpu().numpy())
        return [
            Row(*row, chosen.evaluations)  # type: ignore[arg-type]
            for row in zip(actions, tokens, remasked, strict=True)
        ]

    def noise(self, generators: Sequence[torch.Generator]) -> Noise:
        """The randomness of a call, each row's from its own generator; missing rows get a fixed one."""
        fillers = [torch.Generator().manual_seed(0) for _ in range(self.batch - len(generators))]
        config, length = self.decoding.diffusion, self.model.config.tokens
        if not self.decoding.draws:
            nothing = torch.zeros(self.batch, config.rounds, length, device=self.device)
            return Noise(nothing, nothing)
        drawn = draw_noise([*generators, *fillers], config, length)
        return Noise(drawn.order.to(self.device), drawn.token.to(self.device))

    def inputs(self, observations: Sequence[dict[str, Any]], prompts: Sequence[list[int]]) -> Inputs:
        """What the network reads of observations whose prompts are equally long, on its device."""
        pictures = np.stack(
            [
                [self.images(observation["images"][camera]) for camera in self.cameras]
                for observation in observations
            ]
        )
        state = None
        if self.model.config.proprio is not None and self.statistics.proprio is not None:
            raw = np.stack([np.asarray(observation["state"], np.float64) for observation in observations])
            normalized = self.statistics.proprio.normalize(torch.from_numpy(raw))
            # published evaluators cut what the mask leaves as it is, too
            state = normalized.clamp(-1, 1).to(self.device, self.dtype)
        words = torch.tensor([*prompts])
        self.model.check_prompts(words)
        return torch.from_numpy(pictures).to(self.device, self.dtype), state, words.to(self.device)

    def actions(self, chosen: Chosen) -> np.ndarray:
        """A decoded call as the environment's actions, float32 [B, chunk, A]."""
        if chosen.values is None:
            assert chosen.tokens is not None
            values = self.vocabulary.decode(chosen.tokens.cpu())
        else:
            values = chosen.values.double().cpu()
        return self.commands(values).float().numpy()

    def commands(self, values: Tensor) -> Tensor:
        """Normalised values [..., A] as the environment's commands, float64."""
        found = self.statistics.action.restore(values)
        opening = STORED[self.statistics.gripper][1](found[..., -1])
        found[..., -1] = self.gripper.command(opening)
        return found

    def describe(self) -> dict[str, Any]:
        """What decides its actions besides the weights, for results."""
        decoding, stored = self.decoding, self.statistics.gripper
        found = {
            "unnorm_key": self.statistics.key,
            "prompt": self.prompts.words,
            "image": str(self.contract.image),
            "images": self.images.describe(self.contract.cameras[self.cameras[0]]),
            "gripper": self.gripper.meaning + ("" if stored == UNIT else f"; stored as {STORED[stored][0]}"),
            "cameras": list(self.cameras),
            "decoder": decoding.decoder,
            "ids": [decoding.ids.start, decoding.ids.stop],
            "attention": self.model.config.attention,
            "dtype": str(self.dtype).removeprefix("torch."),
            "kernels": self.model.llama.kernels,
        }
        if kind := kind_of(self.model.llama):
            found["weights"] = kind
        if decoding.reuse:
            found["approximate"] = f"{decoding.reuse} rounds of {decoding.reuse + 1} reuse the prefix's keys"
        return found | ({"diffusion": vars(decoding.diffusion)} if decoding.decoder == "diffusion" else {})


def groups(lengths: Sequence[int], batch: int) -> list[list[int]]:
    """Rows with prompts of one length, at most `batch` together, in the order of their first."""
    by_length: dict[int, list[int]] = {}
    for row, length in enumerate(lengths):
        by_length.setdefault(length, []).append(row)
    return [
        rows[first : first + batch] for rows in by_length.values() for first in range(0, len(rows), batch)
    ]


def check_parts(config: OpenVLAConfig, contract: Contract, statistics: Statistics) -> None:
    """Refuse a checkpoint whose sizes are not the environment's or its statistics'.

    Raises:
        ValueError: says which, and what to do.
    """
    for name, mine, theirs in (
        ("numbers of an action", config.action, len(contract.action_names)),
        ("numbers of an action in the statistics", statistics.action.size, len(contract.action_names)),
        ("pictures", config.images, len(contract.cameras)),
    ):
        if mine != theirs:
            raise ValueError(
                f"the checkpoint has {mine} {name}, {contract.family} {theirs}: it was made for another robot"
            )
    if config.proprio is None:
        return
    if statistics.proprio is None:
        raise ValueError(
            f"the checkpoint reads the robot's state, {statistics.key} has no statistics of it; use "
            "the dataset_statistics.json of its training run"
        )
    sizes = {config.proprio, statistics.proprio.size, len(contract.state_names)}
    if len(sizes) != 1:
        raise ValueError(
            f"the state has {config.proprio} numbers for the checkpoint, {statistics.proprio.size} in its "
            f"statistics and {len(contract.state_names)} in {contract.family}: they do not belong together"
        )
