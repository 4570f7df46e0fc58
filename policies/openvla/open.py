"""From a Hugging Face folder to a policy: which data set, which environment, and whether all of it fits."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from playloop.nn.decoder import Kernels
from playloop.nn.quantize import Kind, quantize
from playloop.policies.golden import Verify
from playloop.policies.openvla.checkpoint import Checkpoint, check_family, open_checkpoint
from playloop.policies.openvla.config import OpenVLAConfig
from playloop.policies.openvla.decoders import DecodingConfig
from playloop.policies.openvla.families import Family, choose_family
from playloop.policies.openvla.files import check_bound, in_bfloat16, outline, read_weights
from playloop.policies.openvla.images import EvaluationImages
from playloop.policies.openvla.model import OpenVLA
from playloop.policies.openvla.pickles import Step
from playloop.policies.openvla.policy import OpenVLAPolicy, asks_golden, check_parts, verify_golden
from playloop.policies.openvla.prompt import PromptEncoder
from playloop.policies.openvla.statistics import read_statistics, statistics_of, tell_conflict
from playloop.tokenizers.grippers import GRIPPERS


def open_policy(
    folder: str | Path,
    *,
    family: str | None = None,
    unnorm_key: str | None = None,
    decoding: DecodingConfig | None = None,
    pipeline: Mapping[str, Any] | None = None,
    prompt: str | None = None,
    resize: str | None = None,
    batch: int = 1,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.bfloat16,
    weights: Kind | None = None,
    kernels: Kernels = "torch",
    step: Step | None = None,
    verify: Verify = "strict",
    gripper: str | None = None,
    **stated: Any,
) -> OpenVLAPolicy:
    """A Hugging Face folder as a policy.

    Args:
        folder: of a checkpoint of OpenVLA, OpenVLA-OFT or Discrete Diffusion VLA.
        family: "libero", "bridge" or "fractal"; None: the one whose data set it is.
        unnorm_key: data set whose statistics scale the actions; None: the only one, or the family's only one.
        decoding: None for the checkpoint's own decoder as published.
        pipeline: fields of `EvaluationImages` unlike the family's; moments are those that the folder states.
        prompt: "question" or "bare", see `prompt.PROMPTS`; None: as the family's evaluator.
        resize: how SimplerEnv's pictures get their size, see `policies.resize.RESIZE`; None: likewise.
        batch: rows of a network call.
        device: to run on.
        dtype: of weights and computation.
        weights: "int8" or "fp8": of the language model in eight bits; None as they are.
        kernels: of passes of few tokens, see `nn.decoder.Kernels`.
        step: of OFT's further files; None for the latest.
        verify: what to do when a golden decision that the folder carries along is made differently.
        gripper: "opening" or "closing" where it is stored from -1 to 1; see `grippers.choose_stored`.
        stated: of `checkpoint.STATED`, where the files do not tell; see `read_config` there.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is damaged, or the checkpoint does not fit the family.
    """
    check_family(Path(folder))
    verified, known = asks_golden(folder, verify), read_statistics(folder)
    chosen, key = choose_family(known, family, unnorm_key, resize)
    tell_conflict(folder, key)
    checkpoint = open_checkpoint(folder, step, **stated)  # small files are checked before the weights
    _check_state(config := checkpoint.config, chosen)
    contract = chosen.contract(config.images)
    statistics = statistics_of(known, key, epsilon=not config.single, gripper=gripper, size=config.action)
    check_parts(config, contract, statistics)
    (decoding or DecodingConfig()).of(config)
    images = _images(chosen, folder, config.image, pipeline or {})
    prompts, hashes = PromptEncoder(folder, prompt or chosen.prompt_of(config)), check_bound(folder)
    model = _read(checkpoint, device, dtype, verify if verified else None)
    _settle(model, weights, kernels, dtype)
    parts = (model, contract, prompts, images, statistics, GRIPPERS[chosen.gripper])
    return OpenVLAPolicy(*parts, decoding, batch, dtype, hashes)


def _check_state(config: OpenVLAConfig, family: Family) -> None:
    if config.proprio is not None and not family.state:
        raise ValueError(
            f"the checkpoint reads the robot's state, and how {family.name}'s was given to it is not "
            "published; only LIBERO's is known"
        )


def _images(family: Family, folder: str | Path, size: int, pipeline: Mapping[str, Any]) -> EvaluationImages:
    """The family's pipeline with the folder's moments, changed."""
    images = family.images.with_moments_of(folder).changed({"size": size} | dict(pipeline))
    if images.size != size:
        raise ValueError(f"images.size={images.size}: the checkpoint reads {size}; leave it out")
    return images


def _read(
    checkpoint: Checkpoint, device: str | torch.device, dtype: torch.dtype, verify: Verify | None
) -> OpenVLA:
    """The model; its golden decision is judged on weights in bfloat16, as they are stored, or not if None.

    The weights are read once, unless bfloat16 rounds some that another type is made of.
    """
    model, folder, stored = outline(checkpoint), checkpoint.folder, torch.bfloat16
    if verify is None:
        return read_weights(checkpoint, model, device, dtype)
    first = read_weights(checkpoint, copy.deepcopy(model), device, stored)
    verify_golden(folder, first, verify)
    if dtype == stored or (dtype == torch.float32 and in_bfloat16(checkpoint)):
        return first.to(dtype)
    del first  # before the next needs its room
    return read_weights(checkpoint, model, device, dtype)


def _settle(model: OpenVLA, weights: Kind | None, kernels: Kernels, dtype: torch.dtype) -> None:
    """How the language model keeps its weights, once they are verified, and who computes with them."""
    if weights is not None:
        quantize(model.llama, weights)
    model.llama.choose_kernels(kernels, dtype)
