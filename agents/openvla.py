"""A published checkpoint of OpenVLA, OpenVLA-OFT or Discrete Diffusion VLA as an agent."""

from __future__ import annotations

from dataclasses import field
from typing import Any, Literal

import torch

from playloop.agents.base import Agent
from playloop.agents.dialect import DialectAgent
from playloop.agents.policy import PolicyAgent
from playloop.core.annotations import DecoderFields, Name, Natural
from playloop.core.checked import checked
from playloop.core.kinds import kind
from playloop.nn.checks import check_types
from playloop.nn.decoder import Kernels
from playloop.nn.precision import native
from playloop.policies.checkpoint import override
from playloop.policies.dialects import DIALECTS
from playloop.policies.diffusion import RELEASED
from playloop.policies.golden import Verify
from playloop.policies.openvla.decoders import DecodingConfig
from playloop.policies.openvla.families import FAMILIES
from playloop.policies.openvla.hashes import hash_of, read_hashes
from playloop.policies.openvla.images import SIZE
from playloop.policies.openvla.open import open_policy
from playloop.policies.openvla.policy import OpenVLAPolicy

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@kind("openvla-agent")
@checked
class OpenVLAAgentConfig:
    """Which checkpoint acts, and how. What is null is as published.

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
        prompt: "question" or "bare", how it is told what to do, see `policies.openvla.prompt`; null: as the
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
    execute: int | None = None
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
    batch: int = 1
    device: str = "cpu"
    dtype: str | None = None
    weights: Literal["int8", "fp8"] | None = None
    kernels: Kernels = "torch"
    threads: int = 1

    def make(self) -> Agent:
        """The agent, its checkpoint loaded.

        Raises:
            ValueError: a setting is no possible one, or the checkpoint is damaged or does not fit them.
        """
        self._check()
        torch.set_num_threads(self.threads)
        policy = self.open()
        agent = PolicyAgent(policy, self.execute)
        hashes = policy.hashes or read_hashes(self.checkpoint)
        agent.origin = {"checkpoint_sha256": hash_of(hashes), **policy.describe()}
        for name, dialect in DIALECTS.items():
            if policy.contract.family == dialect.name:
                resize = self.resize or FAMILIES[name].resize
                assert resize is not None  # every translated family states it
                return DialectAgent(agent, dialect, (SIZE, SIZE), resize)
        return agent

    def open(self) -> OpenVLAPolicy:
        """The policy."""
        if self.dtype is not None and self.dtype not in DTYPES:
            raise ValueError(f"agent.dtype={self.dtype!r}: use one of {', '.join(DTYPES)}")
        stated = {name: tuple(v) if isinstance(v, list) else v for name, v in self.stated.items()}
        return open_policy(
            self.checkpoint,
            family=self.family,
            unnorm_key=self.unnorm_key,
            decoding=self._decoding(),
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

    def _check(self) -> None:
        check_types(self, "agent.")
        for name in ("execute", "batch", "threads"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise ValueError(f"agent.{name}={value}: use 1 or more")

    def _decoding(self) -> DecodingConfig:
        diffusion = override(RELEASED, self.diffusion)
        return DecodingConfig(self.decoder, self.ids, diffusion, self.reuse)  # type: ignore[arg-type]
