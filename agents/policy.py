"""A policy as an agent: it executes the first actions of each chunk, or a blend of overlapping chunks.

`PolicyAgentConfig` opens a checkpoint of either kind, Playloop's own or a published one, by what its folder
holds; `OpenVLAAgentConfig` has all settings of the published ones.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from playloop.agents.base import Agent, Plan
from playloop.agents.dialect import speaking
from playloop.core.annotations import Count, DecoderFields, Magnitude, Name, Natural
from playloop.core.checked import checked
from playloop.core.contract import Contract
from playloop.core.episode import Episode
from playloop.core.kinds import kind
from playloop.core.provenance import name_of
from playloop.nn.contents import kind_in
from playloop.nn.decoder import Kernels
from playloop.nn.precision import native
from playloop.policies.checkpoint import checkpoint_hash, load, override
from playloop.policies.dialects import DIALECTS
from playloop.policies.diffusion import RELEASED
from playloop.policies.golden import Verify
from playloop.policies.network import Policy
from playloop.policies.openvla.decoders import DecodingConfig
from playloop.policies.openvla.families import FAMILIES
from playloop.policies.openvla.files import hash_of, read_hashes
from playloop.policies.openvla.images import SIZE
from playloop.policies.openvla.open import open_policy

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}

Carry = tuple[Any, tuple[np.ndarray, ...]]
"""The policy's own carry, and what is left [h, A] of every earlier chunk that reaches ahead, newest first."""


@kind("policy-agent")
@checked
class PolicyAgentConfig:
    """Which policy acts, and how much of each chunk it executes.

    Args:
        checkpoint: folder, of a policy of Playloop or of a checkpoint of OpenVLA's family; for the latter
            `agent=openvla` has further settings.
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

    def make(self) -> Agent:
        """The agent, its checkpoint loaded and verified.

        Raises:
            FileNotFoundError: a file of the checkpoint is missing.
            ValueError: a setting is no possible one, or the checkpoint is damaged.
        """
        return OPENERS.get(kind_in(self.checkpoint), _open_own)(self)


def _open_own(config: PolicyAgentConfig) -> Agent:
    """A policy of Playloop acts; a folder of anything else is an error that says what it is."""
    torch.set_num_threads(config.threads)
    policy = load(
        config.checkpoint,
        batch=config.batch,
        decoder=dict(config.decoder),
        device=config.device,
        verify=config.verify,
        instructions=config.instructions,
    )
    origin = {"checkpoint_sha256": checkpoint_hash(config.checkpoint)}
    name = f"policy {folder_name(config.checkpoint)}"
    return PolicyAgent(policy, config.execute, config.ensemble, origin, name)


def _open_published(config: PolicyAgentConfig) -> Agent:
    """A published checkpoint acts, decoded as published but for `decoder`."""
    for name in ("ensemble", "instructions"):
        if getattr(config, name) is not None:
            raise ValueError(
                f"agent.{name} is a setting of Playloop's own policies, and {config.checkpoint} holds a "
                "checkpoint of OpenVLA's family: leave it out"
            )
    return OpenVLAAgentConfig(
        config.checkpoint,
        execute=config.execute,
        diffusion=config.decoder,
        verify=config.verify,
        batch=config.batch,
        device=config.device,
        threads=config.threads,
    ).make()


OPENERS: dict[str | None, Callable[[PolicyAgentConfig], Agent]] = {
    "vla": _open_own,
    "openvla": _open_published,
}
"""Kind of a folder's model, see `nn.contents.kind_in` → how it becomes an agent."""


@kind("openvla-agent")
@checked
class OpenVLAAgentConfig:
    """Which published checkpoint of OpenVLA, OpenVLA-OFT or Discrete Diffusion VLA acts, and how.

    What is null is as published.

    Args:
        checkpoint: Hugging Face folder.
        unnorm_key: data set whose statistics scale the actions; null: the only one.
        family: "libero", "bridge" or "fractal"; null: the one whose data set it is. Policies of the latter
            two are translated for SimplerEnv's robots, see `agents.dialect`.
        execute: actions executed before the next decision; null: the whole chunk.
        decoder: "autoregressive", "parallel", "l1" or "diffusion"; null: the checkpoint's own.
        ids: "table", "words" or "actions", what a token may be; see `DecodingConfig`.
        diffusion: fields of `DecoderConfig` that differ from the released decoder's.
        reuse: rounds of diffusion that use the prefix's keys of an earlier one again; see `DecodingConfig`.
        images: fields of `EvaluationImages` that differ from the family's published pipeline.
        prompt: "question" or "bare", how the instruction is put, see `policies.openvla.prompt`; null: as the
            family's published evaluator.
        resize: "area", "lanczos" or "border", how SimplerEnv's pictures get their size; null: likewise.
        stated: `images`, `chunk`, `proprio`, `decoders`, `attention`, where the folder does not tell.
        step: of OFT's further files; null: the latest.
        verify: "strict", "warn" or "off": what to do when a golden decision, which our fine-tuned checkpoints
            carry along, is made differently.
        gripper: "opening" or "closing", what 1 does, where the statistics say that the gripper goes from -1
            to 1; null: as all that is published, from 0 shut to 1 open.
        batch: rows of a network call.
        device: to run on.
        dtype: float32, bfloat16 or float16; null: bfloat16, float32 on a CPU that does not multiply in it.
        weights: "int8" or "fp8": of the language model in eight bits; null: as they are.
        kernels: "torch", or on a GPU "triton": who computes passes of few tokens.
        threads: of PyTorch on the CPU, for the whole process, see `PolicyAgentConfig`.
    """

    checkpoint: Name
    unnorm_key: str | None = None
    family: str | None = None
    execute: Count | None = None
    decoder: str | None = None
    ids: str | None = None
    diffusion: DecoderFields = field(default_factory=dict)
    reuse: Natural = 0
    images: dict[str, Any] = field(default_factory=dict)
    prompt: str | None = None
    resize: str | None = None
    stated: dict[str, Any] = field(default_factory=dict)
    step: int | str | None = None
    verify: Verify = "strict"
    gripper: Literal["unit", "opening", "closing"] | None = None
    batch: Count = 1
    device: str = "cpu"
    dtype: str | None = None
    weights: Literal["int8", "fp8"] | None = None
    kernels: Kernels = "torch"
    threads: Count = 1

    def make(self) -> Agent:
        """The agent, its checkpoint loaded.

        Raises:
            ValueError: a setting is no possible one, or the checkpoint is damaged or does not fit them.
        """
        torch.set_num_threads(self.threads)
        if self.dtype is not None and self.dtype not in DTYPES:
            raise ValueError(f"agent.dtype={self.dtype!r}: use one of {', '.join(DTYPES)}")
        diffusion = override(RELEASED, self.diffusion)
        stated = {name: tuple(v) if isinstance(v, list) else v for name, v in self.stated.items()}
        policy = open_policy(
            self.checkpoint,
            family=self.family,
            unnorm_key=self.unnorm_key,
            decoding=DecodingConfig(self.decoder, self.ids, diffusion, self.reuse),  # type: ignore[arg-type]
            pipeline=self.images,
            prompt=self.prompt,
            resize=self.resize,
            batch=self.batch,
            device=self.device,
            dtype=DTYPES[self.dtype] if self.dtype else native(self.device),
            weights=self.weights,
            kernels=self.kernels,
            step=self.step,
            verify=self.verify,
            gripper=self.gripper,
            **stated,
        )
        hashes = policy.hashes or read_hashes(self.checkpoint)
        origin = {"checkpoint_sha256": hash_of(hashes), **policy.describe()}
        name = f"openvla {folder_name(self.checkpoint)}"
        agent = PolicyAgent(policy, self.execute, origin=origin, name=name)
        for name, dialect in DIALECTS.items():
            if policy.contract.family == dialect.name:
                resize = self.resize or FAMILIES[name].resize
                assert resize is not None  # every translated family states it
                return speaking(agent, dialect, (SIZE, SIZE), resize)
        return agent


def folder_name(checkpoint: str | Path) -> str:
    """What results call a checkpoint: its folder, with its run's where it is one's checkpoint/.

    >>> folder_name("runs/reach/checkpoint")
    'reach/checkpoint'
    """
    parts = Path(checkpoint).absolute().parts
    return "/".join(parts[-2 if parts[-1] == "checkpoint" else -1 :])


class PolicyAgent:
    """See `agents.base.Agent`; without a `name` it is called as its policy is."""

    reads = frozenset({"images"})

    def __init__(
        self,
        policy: Policy,
        execute: int | None = None,
        ensemble: float | None = None,
        origin: dict[str, Any] | None = None,
        name: str | None = None,
    ):
        execute = getattr(policy, "execute", policy.chunk) if execute is None else execute
        if not 1 <= execute <= policy.chunk:
            raise ValueError(
                f"agent.execute={execute}: a chunk has {policy.chunk} actions, execute 1 … {policy.chunk}"
            )
        if ensemble is not None and ensemble < 0:
            raise ValueError(f"agent.ensemble={ensemble}: the decay must be ≥ 0 or null")
        self.policy, self.execute, self.ensemble = policy, execute, ensemble
        self.name, self.rows = name or name_of(policy), policy.batch
        self.origin = dict(origin or {})
        self.gripper = np.array(["gripper" in name for name in policy.contract.action_names])

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    def prepare(self, contract: Contract) -> None:
        if differences := self.policy.contract.differences(contract):
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
            ahead = () if self.ensemble is None else live
            after.append((own, tuple(c[self.execute :] for c in ahead if len(c) > self.execute)))
            # arrays are by row, numbers hold for all
            facts = {name: v[row] if isinstance(v, np.ndarray) else v for name, v in info.items()}
            plans.append(Plan(actions, facts))
        return after, plans


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
