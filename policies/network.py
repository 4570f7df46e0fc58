"""What a policy is, and a network as one: padded calls of one size, whichever network decides."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from playloop.core.contract import Contract
from playloop.policies.diffusion import Decoded, DecoderConfig, Noise, draw_noise
from playloop.tokenizers.actions import ActionTokenizer
from playloop.tokenizers.normalizer import QuantileNormalizer


class Policy(Protocol):
    """`(carry, observations, generators) → (carry, chunks, info)`: batched, no hidden state.

    `contract` is the environment's that the policy was trained for; `chunk` its actions a decision; `batch`
    the fixed number of rows that every call is padded to, so that a row's bits never depend on how many were
    waiting. A policy that should decide anew before a chunk is over has `execute`, the actions until then.
    """

    contract: Contract
    chunk: int
    batch: int

    def initial(self, batch: int) -> Any:
        """The carry of episodes that have just begun."""

    def __call__(
        self, carry: Any, observations: list[dict[str, Any]], generators: list[torch.Generator]
    ) -> tuple[Any, np.ndarray, dict[str, Any]]:
        """Decide: B observations (as `PlayEnv.observe` gives them) → chunks float32 [B, chunk, A]."""


class NetworkPolicy(ABC):
    """A `Policy` around a network.

    Every network call has exactly `batch` rows of one form, missing ones are copies of the first: kernels
    differ with the number of rows, and a row's bits must not.

    Args:
        model: the network; put into evaluation mode.
        contract: of the environment that it acts in.
        cameras: that it reads, in the network's order.
        tokenizer: of its actions.
        state: scale of the robot's state; None where nothing is read of it.
        decoder: how masked tokens are filled in, where they are.
        batch: rows of a network call.
        dtype: to compute in.

    Raises:
        ValueError: a call has no rows.
    """

    def __init__(
        self,
        model: nn.Module,
        contract: Contract,
        cameras: Sequence[str],
        tokenizer: ActionTokenizer,
        state: QuantileNormalizer | None,
        decoder: DecoderConfig,
        batch: int,
        dtype: torch.dtype,
    ):
        if batch < 1:
            raise ValueError(f"batch={batch}: a call needs at least one row")
        model.eval()
        self.device = next(model.parameters()).device
        self.contract, self.cameras, self.tokenizer, self.state = contract, tuple(cameras), tokenizer, state
        self.decoder, self.batch, self.dtype, self.chunk = decoder, batch, dtype, tokenizer.chunk

    @abstractmethod
    def inputs(self, observations: Sequence[dict[str, Any]]) -> tuple[Any, ...]:
        """What the network reads of observations of one form: tensors [B, …], alone or by name, or None."""

    @abstractmethod
    def decide(self, inputs: tuple[Any, ...], noise: Noise) -> Decoded:
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
        rows: dict[int, tuple[np.ndarray, int, np.ndarray | None]] = {}
        for numbers in groups([self.form(observation) for observation in observations], self.batch):
            inputs = self.inputs([observations[number] for number in numbers])
            noise = self.noise([generators[number] for number in numbers])
            decoded = self.decide(filled(inputs, self.batch), noise)
            tokens = [None] * self.batch if decoded.tokens is None else list(decoded.tokens.cpu().numpy())
            made = zip(self.actions(decoded), decoded.remasked.tolist(), tokens, strict=True)
            rows |= zip(numbers, made, strict=False)  # the rest are fillers
        chunks, remasked, tokens = zip(*(rows[number] for number in range(len(rows))), strict=True)
        whole = None if tokens[0] is None else np.stack(tokens)
        info = self.facts(whole) | {
            "evaluations": decoded.evaluations,
            "remasked": np.array(remasked),
            **({} if whole is None else {"tokens": whole}),
            "ms": 1000 * (time.perf_counter() - start),
        }
        return carry, np.stack(chunks), info

    def noise(self, generators: Sequence[torch.Generator]) -> Noise:
        """The randomness of a call, each row's from its own generator; missing rows get a fixed one."""
        fillers = [torch.Generator().manual_seed(0) for _ in range(self.batch - len(generators))]
        length = self.chunk * self.tokenizer.normalizer.size
        return draw_noise([*generators, *fillers], self.decoder, length, self.device)

    def actions(self, decoded: Decoded) -> np.ndarray:
        """A decoded call as the environment's actions, float32 [B, chunk, A]."""
        if decoded.values is not None:
            return self.tokenizer.commands(decoded.values.double().cpu()).float().numpy()
        assert decoded.tokens is not None
        return self.tokenizer.decode(decoded.tokens.cpu()).float().numpy()


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
