"""What a policy is: a function from carry, observations and randomness to a chunk of actions."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import torch

from playloop.core.contract import Contract


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
