"""A trained model that training begins with: it has to mean by its inputs what the new run means by them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from torch import nn

from playloop.core.contract import Contract
from playloop.policies import checkpoint
from playloop.policies.vla_policy import VLAPolicy
from playloop.tokenizers.instructions import InstructionEncoder

APART = 0.05
"""Distance of two embeddings of length 1 that rounding on another processor does not explain."""


def take_over(model: nn.Module, trained: nn.Module, start: str | Path) -> None:
    """Begin with the weights of a trained model, from the folder `start`.

    Raises:
        ValueError: it has other sizes.
    """
    here, there = ({n: tuple(v.shape) for n, v in m.state_dict().items()} for m in (model, trained))
    if other := sorted(n for n in here.keys() | there.keys() if here.get(n) != there.get(n)):
        raise ValueError(
            f"{start} has other sizes than the settings: {other[0]} is {there.get(other[0])} there and "
            f"{here.get(other[0])} here; give the sizes that it was trained with"
        )
    model.load_state_dict(trained.state_dict())


def open_start(start: str, contract: Contract, data: Path) -> VLAPolicy:
    """The policy to begin with, whose statistics hold only under its own conventions, `contract` of `data`.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is damaged, or was trained under other conventions.
    """
    policy = checkpoint.load(start)
    if found := replace(policy.contract, cameras={}).differences(contract):
        raise ValueError(
            f"start={start} does not fit {data}: {'; '.join(found)}; begin with a policy of the same "
            "conventions, or leave start out"
        )
    return policy


def check_embeddings(start: str, policy: VLAPolicy, encoder: InstructionEncoder) -> None:
    """Refuse to go on with instructions embedded otherwise than those that the policy in `start` has learned.

    `encoder` knows the instructions of the data already.

    Raises:
        ValueError: they differ.
    """
    known = policy.encoder.known
    shared = sorted(known.keys() & encoder.known.keys()) or sorted(known)
    if not shared:
        return
    there = known[shared[0]]
    here = encoder.known.get(shared[0])
    if here is None:  # by a copy: what is known is written into the export
        here = type(encoder)(encoder.config).encode([shared[0]])[0]  # type: ignore[attr-defined,call-arg]
    if here.shape != there.shape or np.abs(here - there).max() > APART:
        raise ValueError(
            f"start={start} was trained with other embeddings of instructions; give its own instructions=…, "
            f"as in {start}/config.json, or leave start out"
        )
