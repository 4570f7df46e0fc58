"""A decision that a fine-tuned checkpoint carries along, so that a changed weight or program is noticed.

Weights that were merged again on another machine have turned 93 % success into 0 without an error
(openvla-oft, issue 151). The decision is made in float32 from the weights in bfloat16: of a checkpoint with
float32 parts other types would hold other weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from playloop.policies import golden
from playloop.policies.diffusion import RELEASED
from playloop.policies.golden import GOLDEN, Verify, check_verify, golden_decision
from playloop.policies.openvla.decoders import DecodingConfig
from playloop.policies.openvla.families import FAMILIES
from playloop.policies.openvla.model import OpenVLA
from playloop.policies.openvla.policy import OpenVLAPolicy
from playloop.policies.openvla.prompt import PromptEncoder
from playloop.policies.openvla.statistics import read_statistics, statistics_of
from playloop.tokenizers.grippers import GRIPPERS


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
        gripper: how it is stored, where the statistics do not tell; see `grippers.choose_stored`.
    """
    policy = judge(folder, model, family, key, gripper)
    stated = {"family": family, "key": key, "gripper": policy.tokenizer.stored}
    decided = golden_decision(policy, observation)
    golden.write_golden(Path(folder), {n: np.array(v) for n, v in stated.items()} | decided)


def verify_golden(folder: str | Path, model: OpenVLA, verify: Verify = "strict") -> None:
    """Decide again and compare; nothing happens where a folder has no golden decision.

    Args:
        folder: of the checkpoint.
        model: read from it in bfloat16, on any device.
        verify: what to do about a difference: "strict" refuses, "warn" tells, "off" does not look.

    Raises:
        ValueError: the decision differs, or the file is damaged.
    """
    if asks_golden(folder, verify):
        golden.verify_golden(
            Path(folder), partial(_stored_judge, folder, model), verify, "family", "key", "scores"
        )


def _stored_judge(folder: str | Path, model: OpenVLA, stored: Mapping[str, np.ndarray]) -> OpenVLAPolicy:
    gripper = str(stored["gripper"]) if "gripper" in stored else None
    return judge(folder, model, str(stored["family"]), str(stored["key"]), gripper)


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
