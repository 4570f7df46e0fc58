"""A checkpoint of OpenVLA's family as a policy: observations in, chunks of the environment's actions out.

A fine-tuned checkpoint carries a golden decision along, so that a changed weight or program is noticed:
weights that were merged again on another machine have turned 93 % success into 0 without an error
(openvla-oft, issue 151). It is made in float32 from the weights in bfloat16: of a checkpoint with float32
parts other types would hold other weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from playloop.core.contract import Contract
from playloop.nn.quantize import kind_of
from playloop.policies import golden
from playloop.policies.diffusion import RELEASED, Decoded, Noise
from playloop.policies.golden import GOLDEN, Verify, check_verify, golden_decision
from playloop.policies.network import NetworkPolicy
from playloop.policies.openvla.config import OpenVLAConfig
from playloop.policies.openvla.decoders import DecodingConfig, Engine, first_pass
from playloop.policies.openvla.families import FAMILIES
from playloop.policies.openvla.images import EvaluationImages
from playloop.policies.openvla.model import OpenVLA
from playloop.policies.openvla.prompt import PromptEncoder
from playloop.policies.openvla.statistics import Statistics, read_statistics, statistics_of
from playloop.tokenizers.actions import WORDS, ActionTokenizer, UniformBins
from playloop.tokenizers.grippers import GRIPPERS, STORED, UNIT, Gripper

Inputs = tuple[Tensor, Tensor | None, Tensor]
"""Pictures [B, images, 6, S, S], normalised states [B, S] or None, and prompts int64 [B, L]."""


class OpenVLAPolicy(NetworkPolicy):
    """See `policies.network.NetworkPolicy`; rows of one call have prompts of one length.

    The contract's cameras are in the order of the checkpoint's pictures, statistics are those of the data set
    whose actions it gives, the gripper says what an action's last number means, and `hashes` are SHA-256 of
    its files by name, where they were computed.

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
        config, bins = model.config, UniformBins(WORDS)
        check_parts(config, contract, statistics)
        tokenizer = ActionTokenizer(
            statistics.action, config.chunk, bins, gripper, statistics.gripper, (config.action - 1,)
        )
        self.decoding = (decoding or DecodingConfig()).of(config)
        cameras, diffusion = tuple(contract.cameras), self.decoding.diffusion
        super().__init__(model, contract, cameras, tokenizer, statistics.proprio, diffusion, batch, dtype)
        self.model, self.prompts, self.images, self.statistics = model, prompts, images, statistics
        self.hashes = dict(hashes or {})
        self.engine = Engine(model, self.decoding)

    def form(self, observation: dict[str, Any]) -> int:
        """The length of its prompt."""
        return len(self.prompts(observation["instruction"]))

    def decide(self, inputs: Inputs, noise: Noise) -> Decoded:  # type: ignore[override]
        return self.engine(*inputs, noise)

    def first_scores(self, observation: dict[str, Any]) -> Tensor:
        return first_pass(self.model, self.model.encode(*self.inputs([observation])))[0]

    def facts(self, tokens: np.ndarray | None) -> dict[str, Any]:
        if tokens is None:
            return {}
        return {"strange": self.tokenizer.strange(torch.from_numpy(tokens)).sum(-1).numpy()}

    def inputs(self, observations: Sequence[dict[str, Any]]) -> Inputs:
        """What the network reads of observations whose prompts are equally long, on its device."""
        pictures = np.stack([[self.images(o["images"][c]) for c in self.cameras] for o in observations])
        state = None
        if self.model.config.proprio is not None and self.state is not None:
            raw = np.stack([np.asarray(o["state"], np.float64) for o in observations])
            normalized = self.state.normalize(torch.from_numpy(raw))
            # published evaluators cut what the mask leaves as it is, too
            state = normalized.clamp(-1, 1).to(self.device, self.dtype)
        words = torch.tensor([self.prompts(o["instruction"]) for o in observations])
        self.model.check_prompts(words)
        return torch.from_numpy(pictures).to(self.device, self.dtype), state, words.to(self.device)

    def describe(self) -> dict[str, Any]:
        """What decides its actions besides the weights, for results."""
        decoding, stored, meaning = self.decoding, self.tokenizer.stored, self.tokenizer.convention.meaning
        found = {
            "unnorm_key": self.statistics.key,
            "prompt": self.prompts.words,
            "image": str(self.contract.image),
            "images": self.images.describe(self.contract.cameras[self.cameras[0]]),
            "gripper": meaning + ("" if stored == UNIT else f"; stored as {STORED[stored][0]}"),
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


def write_golden(
    folder: str | Path,
    model: OpenVLA,
    observation: Mapping[str, Any],
    family: str,
    key: str,
    gripper: str | None = None,
) -> None:
    """Add an observation and what the model decides to a checkpoint's folder that is complete but for this.

    Args:
        folder: of the checkpoint.
        model: read from it in bfloat16, or what was written to it.
        observation: `images` uint8 [H, W, 3] by camera, `state` float32 [P], `instruction`.
        family: of the environment, see `families`.
        key: data set whose statistics scale the actions.
        gripper: how it is stored, where the statistics do not tell; see `grippers.choose_stored`.
    """
    policy = judge(folder, model, family, key, gripper)
    stated = {"family": family, "key": key, "gripper": policy.tokenizer.stored}
    decided = golden_decision(policy, observation)
    golden.write_golden(Path(folder), {n: np.array(v) for n, v in stated.items()} | decided)


def verify_golden(folder: str | Path, model: OpenVLA, verify: Verify = "strict") -> None:
    """Decide again with the model, read in bfloat16, and compare; see `golden.verify_golden`.

    Nothing happens where a folder has no golden decision.

    Raises:
        ValueError: the decision differs, or the file is damaged.
    """

    def stored_judge(stored: Mapping[str, np.ndarray]) -> OpenVLAPolicy:
        gripper = str(stored["gripper"]) if "gripper" in stored else None
        return judge(folder, model, str(stored["family"]), str(stored["key"]), gripper)

    if asks_golden(folder, verify):
        golden.verify_golden(Path(folder), stored_judge, verify, "family", "key", "scores")


def asks_golden(folder: str | Path, verify: Verify) -> bool:
    """Whether a folder's golden decision is to be made again; refuses a `verify` that there is not."""
    check_verify(verify)
    return verify != "off" and (Path(folder) / GOLDEN).is_file()


def judge(
    folder: str | Path, model: OpenVLA, family: str, key: str, gripper: str | None = None
) -> OpenVLAPolicy:
    """The checkpoint as a policy in float32, all settings as published, but nothing drawn.

    Raises:
        ValueError: no such family or key.
    """
    if family not in FAMILIES:
        raise ValueError(f"family={family!r}: choose from {', '.join(FAMILIES)}")
    chosen, known = FAMILIES[family], read_statistics(folder)
    if key not in known:
        raise ValueError(f"the statistics have no data set {key!r}")
    config = model.config
    return OpenVLAPolicy(
        model,
        chosen.contract(config.images),
        PromptEncoder(folder, chosen.prompt_of(config)),
        chosen.images.with_moments_of(folder).changed({"size": config.image}),
        statistics_of(known, key, epsilon=not config.single, gripper=gripper, size=config.action),
        GRIPPERS[chosen.gripper],
        DecodingConfig(diffusion=replace(RELEASED, sample="argmax", temperature=0.0)),
        dtype=torch.float32,
    )
