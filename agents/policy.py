"""A policy as an agent: it executes the first actions of each chunk, or a blend of overlapping chunks."""

from __future__ import annotations

from dataclasses import field
from typing import Any

import numpy as np
import torch

from playloop.agents.base import Plan
from playloop.core.annotations import Count, DecoderFields, Magnitude, Name
from playloop.core.checked import checked
from playloop.core.contract import Contract
from playloop.core.episode import Episode
from playloop.core.kinds import kind
from playloop.nn.checks import check_types
from playloop.policies.base import Policy
from playloop.policies.checkpoint import checkpoint_hash, load
from playloop.policies.golden import Verify

Carry = tuple[Any, tuple[np.ndarray, ...]]
"""The policy's own carry, and what is left [h, A] of every earlier chunk that reaches ahead, newest first."""


@kind("policy-agent")
@checked
class PolicyAgentConfig:
    """Which policy acts, and how much of each chunk it executes.

    Args:
        checkpoint: folder.
        execute: actions executed before the next decision; None for what the policy was made for.
        ensemble: None, or the decay of temporal ensembling: a chunk k decisions old weighs exp(-k · decay).
        batch: rows of a network call.
        decoder: fields of `DecoderConfig` to override.
        device: to run on.
        verify: what to do when the checkpoint's golden decision differs: strict, warn or off.
        instructions: folder of the sentence encoder, for a checkpoint that was trained with another one than
            that of Playloop; what a checkpoint names itself is never followed.
        threads: of PyTorch on the CPU, for the whole process. Fixed, because their number changes the last
            bits of a sum; and one is fastest beside simulators that keep the other cores busy.
    """

    checkpoint: Name
    execute: Count | None = None
    ensemble: Magnitude | None = None
    batch: Count = 1
    decoder: DecoderFields = field(default_factory=dict)
    device: str = "cpu"
    verify: Verify = "strict"
    instructions: str | None = None
    threads: Count = 1

    def make(self) -> PolicyAgent:
        """The agent, its checkpoint loaded and verified.

        Raises:
            FileNotFoundError: a file of the checkpoint is missing.
            ValueError: a setting is no possible one, or the checkpoint is damaged.
        """
        check_types(self, "agent.")
        torch.set_num_threads(self.threads)
        policy = load(
            self.checkpoint,
            batch=self.batch,
            decoder=dict(self.decoder),
            device=self.device,
            verify=self.verify,
            instructions=self.instructions,
        )
        agent = PolicyAgent(policy, self.execute, self.ensemble)
        agent.origin = {"checkpoint_sha256": checkpoint_hash(self.checkpoint)}
        return agent


class PolicyAgent:
    """See `agents.base.Agent`."""

    reads = frozenset({"images"})

    def __init__(self, policy: Policy, execute: int | None = None, ensemble: float | None = None):
        execute = getattr(policy, "execute", policy.chunk) if execute is None else execute
        if not 1 <= execute <= policy.chunk:
            raise ValueError(
                f"agent.execute={execute}: a chunk has {policy.chunk} actions, execute 1 … {policy.chunk}"
            )
        if ensemble is not None and ensemble < 0:
            raise ValueError(f"agent.ensemble={ensemble}: the decay must be ≥ 0 or null")
        self.policy, self.execute, self.ensemble = policy, execute, ensemble
        self.rows = policy.batch
        self.origin: dict[str, Any] = {}
        self.gripper = np.array(["gripper" in name for name in policy.contract.action_names])

    def prepare(self, contract: Contract) -> None:
        differences = self.policy.contract.differences(contract)
        if differences:
            raise ValueError(
                "this policy cannot act in this environment; choose the one it was trained for or another "
                "checkpoint:\n  " + "\n  ".join(differences)
            )

    def provenance(self) -> dict[str, Any]:
        """What decides this agent's actions besides its settings; written into results."""
        return dict(self.origin)

    def begin(self, episode: Episode) -> Carry:
        return self.policy.initial(1)[0], ()

    def act(
        self, carries: list[Carry], observations: list[dict[str, Any]], rngs: list[np.random.Generator]
    ) -> tuple[list[Carry], list[Plan]]:
        generators = [torch.Generator().manual_seed(int(rng.integers(2**63 - 1))) for rng in rngs]
        inner, chunks, info = self.policy([carry[0] for carry in carries], observations, generators)
        after, plans = [], []
        for row, (own, (_, old), chunk) in enumerate(zip(inner, carries, chunks, strict=True)):
            live = (chunk, *old) if self.ensemble is not None else (chunk,)
            actions = blend(live, self.execute, self.ensemble or 0.0, self.gripper)
            rest = (
                tuple(c[self.execute :] for c in live if len(c) > self.execute)
                if self.ensemble is not None
                else ()
            )
            after.append((own, rest))
            plans.append(Plan(actions, facts(info, row)))
        return after, plans


def facts(info: dict[str, Any], row: int) -> dict[str, Any]:
    """One row's share of what a policy tells about a call: arrays are by row, numbers hold for all."""
    return {name: value[row] if isinstance(value, np.ndarray) else value for name, value in info.items()}


def blend(chunks: tuple[np.ndarray, ...], steps: int, decay: float, gripper: np.ndarray) -> np.ndarray:
    """The next `steps` actions, float32 [steps, A]: weighted means over the chunks that reach them.

    Args:
        chunks: newest first, all beginning now.
        steps: actions wanted; the newest chunk has at least as many.
        decay: weight of the k-th newest chunk is exp(-k · decay).
        gripper: bool [A], dimensions that are decided by weighted vote instead; the newest breaks a tie.
    """
    blended = np.array(chunks[0][:steps], np.float32)
    if len(chunks) == 1:
        return blended
    for step in range(steps):
        live = [(np.exp(-decay * age), chunk[step]) for age, chunk in enumerate(chunks) if len(chunk) > step]
        weights = np.array([weight for weight, _ in live])
        values = np.stack([value for _, value in live]).astype(np.float64)  # [k, A]
        mean = (weights[:, None] * values).sum(0) / weights.sum()
        votes = (weights[:, None] * np.sign(values)).sum(0)
        newest = chunks[0][step]
        vote = np.where(votes == 0, newest, np.sign(votes) * np.abs(newest))
        blended[step] = np.where(gripper, vote, mean)
    return blended
