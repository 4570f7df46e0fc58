"""A decision that a fine-tuned checkpoint carries along, so that a changed weight or program is noticed.

Weights that were merged again on another machine have turned 93 % success into 0 without an error
(openvla-oft, issue 151). The decision is made in float32 from the weights in bfloat16: of a checkpoint with
float32 parts other types would hold other weights.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from playloop.nn.archives import read_archive
from playloop.nn.building import first_line
from playloop.policies.diffusion import RELEASED
from playloop.policies.golden import GOLDEN, Verify, check_verify, observation_of, probes, settle
from playloop.policies.golden import write_golden as store
from playloop.policies.openvla.decoders import DecodingConfig, allowed_ids
from playloop.policies.openvla.engine import encode
from playloop.policies.openvla.families import FAMILIES
from playloop.policies.openvla.model import OpenVLA
from playloop.policies.openvla.policy import OpenVLAPolicy
from playloop.policies.openvla.prompt import PromptEncoder
from playloop.policies.openvla.statistics import read_statistics, statistics_of
from playloop.policies.openvla.vocabulary import GRIPPERS


def write_golden(
    folder: str | Path,
    model: OpenVLA,
    observation: Mapping[str, Any],
    family: str,
    key: str,
    gripper: str | None = None,
) -> None:
    """Add an observation and what the model decides to a checkpoint's folder.

    Args:
        folder: of the checkpoint, complete but for this.
        model: read from it in bfloat16, or what was written to it.
        observation: `images` uint8 [H, W, 3] by camera, `state` float32 [P], `instruction`.
        family: of the environment, see `families`.
        key: data set whose statistics scale the actions.
        gripper: how it is stored, where the statistics do not tell; see `vocabulary.choose_stored`.
    """
    policy = judge(folder, model, family, key, gripper)
    images = {f"images.{name}": np.asarray(observation["images"][name]) for name in policy.cameras}
    inputs = {
        "state": np.asarray(observation["state"], np.float32),
        "instruction": observation["instruction"],
    }
    stated = {"family": family, "key": key, "gripper": policy.statistics.gripper}
    decided = decision(policy, observation)
    arrays = {n: np.array(v) for n, v in (images | inputs | stated | decided).items()}
    store(Path(folder), arrays)


def verify_golden(folder: str | Path, model: OpenVLA, verify: Verify = "strict") -> None:
    """Decide again and compare; nothing happens where a folder has no golden decision.

    Args:
        folder: of the checkpoint.
        model: read from it in bfloat16, on any device.
        verify: what to do about a difference: "strict" refuses, "warn" tells, "off" does not look.

    Raises:
        ValueError: the decision differs, or the file is damaged.
    """
    if not asks_golden(folder, verify):
        return
    path = Path(folder) / GOLDEN
    golden = read_archive(path, "family", "key", "state", "instruction", "scores", "chunk")
    try:
        stored = str(golden["gripper"]) if "gripper" in golden else None
        policy = judge(folder, model, str(golden["family"]), str(golden["key"]), stored)
        now = decision(policy, observation_of(golden, policy.cameras))
    except (TypeError, LookupError, ValueError, RuntimeError) as error:
        raise ValueError(
            f"{path} is damaged or of another checkpoint ({first_line(error)}); copy it again"
        ) from error
    settle(Path(folder), golden, now, verify)


def asks_golden(folder: str | Path, verify: Verify) -> bool:
    """Whether a folder's golden decision is to be made again.

    Raises:
        ValueError: there is no such `verify`.
    """
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
    epsilon = model.config.decoders != ("autoregressive",)
    return OpenVLAPolicy(
        model,
        chosen.contract(model.config.images),
        PromptEncoder(folder, chosen.prompt_of(model.config)),
        chosen.images.with_moments_of(folder).changed({"size": model.config.image}),
        statistics_of(known, key, epsilon=epsilon, gripper=gripper, size=model.config.action),
        GRIPPERS[chosen.gripper],
        DecodingConfig(diffusion=replace(RELEASED, sample="argmax", temperature=0.0)),
        dtype=torch.float32,
    )


@torch.inference_mode()
def decision(policy: OpenVLAPolicy, observation: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Scores of the first pass, float32 [L, ids] (of a regression the values), tokens [L] and actions."""
    with exact_products():
        seen = dict(observation)
        prefix = encode(policy.model, *policy.inputs([seen], [policy.prompts(seen["instruction"])]))
        scores = first_scores(policy.model, prefix)[0].cpu().numpy()
        _, chunks, info = policy([None], [seen], [torch.Generator().manual_seed(0)])
    found = {"scores": scores, "chunk": chunks[0]} | scales(policy)
    return found | ({"tokens": info["tokens"][0]} if "tokens" in info else {})


def scales(policy: OpenVLAPolicy) -> dict[str, np.ndarray]:
    """What `PROBES` are as actions, the gripper's command included, and as states."""
    statistics = policy.statistics
    found = {"scale": policy.commands(probes(statistics.action.size)).numpy()}
    if statistics.proprio is not None:
        found["body"] = statistics.proprio.restore(probes(statistics.proprio.size)).numpy()
    return found


def first_scores(model: OpenVLA, prefix: Tensor) -> Tensor:
    """What the first pass says of every action token: prefix [B, P, D] → [B, L, ids]."""
    config = model.config
    kind = config.decoders[0]
    if kind == "autoregressive":
        block = model.embed(torch.full((len(prefix), 0), 0, device=prefix.device))
    elif kind == "diffusion":
        block = model.block(torch.full((len(prefix), config.tokens), config.mask, device=prefix.device))
    else:
        block = model.blank(len(prefix))
    states = model(prefix, block.to(prefix.dtype), model.layout(prefix, block.shape[1]))
    if kind == "l1":
        return model.act(states[:, : config.tokens])
    return model.logits(states[:, : config.tokens], allowed_ids("actions", config))


@contextmanager
def exact_products() -> Iterator[None]:
    """float32 products in float32 on NVIDIA's GPUs, too: TF32 would keep ten bits of the factors."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before
