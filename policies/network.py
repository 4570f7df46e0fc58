"""A network as a policy: padded calls of one size, whichever network decides."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from playloop.core.contract import Contract
from playloop.policies.diffusion import DecoderConfig, Noise, draw_noise
from playloop.tokenizers.actions import ActionTokenizer
from playloop.tokenizers.normalizer import QuantileNormalizer


@dataclass(frozen=True)
class Chosen:
    """A decoded chunk.

    Args:
        tokens: int64 [B, L]; None of a regression.
        values: normalised actions of a regression, float32 [B, chunk, A], else None.
        remasked: int64 [B], how often a committed token was masked again.
        evaluations: passes through the network.
    """

    tokens: Tensor | None
    values: Tensor | None
    remasked: Tensor
    evaluations: int


class Row(NamedTuple):
    """One row of `Chosen`: actions float32 [chunk, A], and tokens int64 [chunk · A] or None."""

    actions: np.ndarray
    tokens: np.ndarray | None
    remasked: int
    evaluations: int


class NetworkPolicy(ABC):
    """`(carry, observations, generators) → (carry, chunks, info)`, see `policies.base.Policy`.

    Every network call has exactly `batch` rows of one form, missing ones are copies of the first: kernels
    differ with the number of rows, and a row's bits must not.

    Args:
        contract: of the environment that it acts in.
        cameras: that it reads, in the network's order.
        tokenizer: of its actions.
        state: scale of the robot's state; None where nothing is read of it.
        batch: rows of a network call.
        dtype: to compute in.

    Raises:
        ValueError: a call has no rows.
    """

    def __init__(
        self,
        contract: Contract,
        cameras: Sequence[str],
        tokenizer: ActionTokenizer,
        state: QuantileNormalizer | None,
        batch: int,
        dtype: torch.dtype,
    ):
        if batch < 1:
            raise ValueError(f"batch={batch}: a call needs at least one row")
        self.contract, self.cameras, self.tokenizer, self.state = contract, tuple(cameras), tokenizer, state
        self.batch, self.dtype, self.chunk = batch, dtype, tokenizer.chunk

    @property
    @abstractmethod
    def device(self) -> torch.device:
        """Where the network lies."""

    @property
    @abstractmethod
    def rounds(self) -> DecoderConfig:
        """How masked tokens are filled in, where they are."""

    @property
    def draws(self) -> bool:
        """Whether randomness decides anything."""
        return not self.rounds.deterministic

    @abstractmethod
    def inputs(self, observations: Sequence[dict[str, Any]]) -> tuple[Any, ...]:
        """What the network reads of observations of one form: tensors [B, …], alone or by name, or None."""

    @abstractmethod
    def decide(self, inputs: tuple[Any, ...], noise: Noise) -> Chosen:
        """One decision for every row."""

    @abstractmethod
    def first_scores(self, observation: dict[str, Any]) -> Tensor:
        """What the first pass says of every action token, [L, ids]; of a regression the values [chunk, A]."""

    def form(self, observation: dict[str, Any]) -> Hashable:
        """What observations of one call have in common, the length of a prompt for instance."""
        return None

    def facts(self, tokens: np.ndarray | None) -> dict[str, Any]:
        """Further facts about a call with tokens [B, L], as `info` has them."""
        return {}

    def initial(self, batch: int) -> list[None]:
        """Nothing is remembered from one decision to the next."""
        return [None] * batch

    @torch.inference_mode()
    def __call__(
        self, carry: Any, observations: list[dict[str, Any]], generators: list[torch.Generator]
    ) -> tuple[Any, np.ndarray, dict[str, Any]]:
        start = time.perf_counter()
        rows: list[Row] = [None] * len(observations)  # type: ignore[list-item]
        for numbers in groups([self.form(observation) for observation in observations], self.batch):
            inputs = self.inputs([observations[number] for number in numbers])
            noise = self.noise([generators[number] for number in numbers])
            chosen = self.decide(filled(inputs, self.batch), noise)
            for number, row in zip(numbers, self._rows(chosen), strict=False):  # the rest are fillers
                rows[number] = row
        tokens = None if rows[0].tokens is None else np.stack([row.tokens for row in rows])  # type: ignore[misc]
        info = self.facts(tokens) | {
            "evaluations": rows[0].evaluations,
            "remasked": np.array([row.remasked for row in rows]),
            **({} if tokens is None else {"tokens": tokens}),
            "ms": 1000 * (time.perf_counter() - start),
        }
        return carry, np.stack([row.actions for row in rows]), info

    def noise(self, generators: Sequence[torch.Generator]) -> Noise:
        """The randomness of a call, each row's from its own generator; missing rows get a fixed one."""
        length = self.chunk * self.tokenizer.normalizer.size
        if not self.draws:
            nothing = torch.zeros(self.batch, self.rounds.rounds, length, device=self.device)
            return Noise(nothing, nothing)
        fillers = [torch.Generator().manual_seed(0) for _ in range(self.batch - len(generators))]
        drawn = draw_noise([*generators, *fillers], self.rounds, length)
        return Noise(drawn.order.to(self.device), drawn.token.to(self.device))

    def actions(self, chosen: Chosen) -> np.ndarray:
        """A decoded call as the environment's actions, float32 [B, chunk, A]."""
        if chosen.values is not None:
            return self.tokenizer.commands(chosen.values.double().cpu()).float().numpy()
        assert chosen.tokens is not None
        return self.tokenizer.decode(chosen.tokens.cpu()).float().numpy()

    def _rows(self, chosen: Chosen) -> list[Row]:
        """A decoded call row by row, in the host's memory."""
        actions, remasked = self.actions(chosen), chosen.remasked.tolist()
        tokens = [None] * self.batch if chosen.tokens is None else list(chosen.tokens.cpu().numpy())
        return [
            Row(*row, chosen.evaluations)  # type: ignore[arg-type]
            for row in zip(actions, tokens, remasked, strict=True)
        ]


def filled(values: Any, rows: int) -> Any:
    """Tensors [B, …], nested, with so many rows: copies of the first are added."""
    if isinstance(values, Tensor):
        return torch.cat([values, values[:1].expand(rows - len(values), *values.shape[1:])])
    if isinstance(values, Mapping):
        return {name: filled(value, rows) for name, value in values.items()}
    return None if values is None else tuple(filled(value, rows) for value in values)


def groups(forms: Sequence[Hashable], batch: int) -> list[list[int]]:
    """Numbers of rows of one form, at most `batch` together, in the order of their first."""
    alike: dict[Hashable, list[int]] = {}
    for row, form in enumerate(forms):
        alike.setdefault(form, []).append(row)
    return [rows[first : first + batch] for rows in alike.values() for first in range(0, len(rows), batch)]
