"""The golden decision of one of our own policies: made when it is written, made again when it is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from playloop.nn.archives import read_archive
from playloop.nn.building import first_line
from playloop.policies.golden import GOLDEN, Verify, observation_of, probes, settle, sloped
from playloop.policies.policy import VLAPolicy
from playloop.tokenizers.actions import gripper_from_openvla


def noise_observation(policy: VLAPolicy) -> dict[str, Any]:
    """An observation of noise at the policy's own image size, for the golden decision."""
    rng, model = np.random.default_rng(0), policy.model
    low, high = model.state.q01, model.state.q99
    text = min(policy.encoder.known, default="pick up the bowl and place it on the plate")
    size = (*model.config.image_sides, 3)
    return {
        "images": {name: rng.integers(0, 256, size, dtype=np.uint8) for name in model.cameras},
        "state": rng.uniform(low, np.maximum(high, low)).astype(np.float32),
        "instruction": text,
    }


def golden_decision(policy: VLAPolicy, observation: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """An observation and what the policy makes of it in the deterministic mode.

    Pictures of the network's own size are enlarged to the environment's first, so that the way from one to
    the other is part of the decision.
    """
    sizes = policy.contract.cameras
    images = {n: sloped(np.asarray(observation["images"][n]), sizes[n]) for n in policy.model.cameras}
    return decide(policy, dict(observation) | {"images": images})


def decide(policy: VLAPolicy, observation: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The decision for an observation as it is; see `policies.golden` for what is in it."""
    decoder = replace(policy.decoder, sample="argmax", temperature=0.0, order="max")
    judge = VLAPolicy(policy.model, policy.contract, policy.encoder, decoder)
    seen = dict(observation)
    with torch.inference_mode():
        prompt = judge.prompt([seen])
        blank = torch.full((1, policy.model.length), policy.model.mask_id, device=policy.device)
        scores = policy.model.logits(prompt, blank)[0].float().cpu().numpy()
    _, chunks, info = judge([None], [seen], [torch.Generator().manual_seed(0)])
    images = {f"images.{name}": np.asarray(seen["images"][name]) for name in policy.model.cameras}
    state, text = np.asarray(seen["state"], np.float32), np.array(seen["instruction"])
    decision = {"scores": scores, "tokens": info["tokens"][0], "chunk": chunks[0]}
    return images | {"state": state, "instruction": text} | decision | scales(policy)


def scales(policy: VLAPolicy) -> dict[str, np.ndarray]:
    """What `PROBES` are as actions, grippers included, and as states."""
    tokenizer = policy.model.tokenizer
    values = probes(tokenizer.normalizer.size)
    plain, commands = tokenizer.normalizer.restore(values), gripper_from_openvla(values)
    body = policy.model.state.restore(probes(policy.model.state.size))
    return {"scale": torch.where(tokenizer.gripper, commands, plain).numpy(), "body": body.numpy()}


def verify_golden(policy: VLAPolicy, folder: Path, verify: Verify) -> None:
    """Decide again as the policy of a folder should, and compare.

    Raises:
        ValueError: it decides otherwise and `verify` is "strict", or the file is damaged.
    """
    cameras = list(policy.model.cameras)
    wanted = ["state", "instruction", "tokens", "chunk", *(f"images.{name}" for name in cameras)]
    path = folder / GOLDEN
    golden = read_archive(path, *wanted)
    if "logits" in golden:  # as older ones name them
        golden["scores"] = golden.pop("logits")
    try:
        now = decide(policy, observation_of(golden, cameras))
    except (ValueError, TypeError, RuntimeError, LookupError) as error:
        raise ValueError(f"{path} does not fit the policy ({first_line(error)}); copy it again") from error
    settle(folder, golden, now, verify)
