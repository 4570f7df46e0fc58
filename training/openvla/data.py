"""From recorded demonstrations to what OpenVLA's family reads and gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from playloop.demos.lerobot.dataset import Demonstrations
from playloop.policies.openvla.config import OpenVLAConfig
from playloop.policies.openvla.families import FAMILIES, Family
from playloop.tokenizers.normalizer import summarize
from playloop.training.openvla.objectives import DECODERS, ObjectiveConfig
from playloop.training.rows import common_contract


def matching_family(datasets: Sequence[Demonstrations]) -> Family:
    """The family of checkpoints that act in the environment of the data.

    Raises:
        ValueError: there is none, or a data set lacks what is learned from.
    """
    found = common_contract(datasets).family
    if found not in FAMILIES:
        raise ValueError(
            f"{datasets[0].root} was recorded in {found}; OpenVLA's checkpoints act in {', '.join(FAMILIES)}."
        )
    for dataset in datasets:
        missing = [name for name in ("observation.state", "action_chunk") if name not in dataset.features]
        if missing:
            raise ValueError(f"{dataset.root} lacks {missing} that is learned from; record it anew.")
        if FAMILIES[found].gripper == "robosuite":
            _check_gripper(dataset)
    return FAMILIES[found]


def _check_gripper(dataset: Demonstrations) -> None:
    """Refuse grippers from 0 to 1, as other tools store them, where -1 opens and +1 closes."""
    commands = dataset.column("action_chunk")[..., -1]
    if (commands >= -0.5).all() and (np.abs(commands) < 0.25).any() and (commands > 0.75).any():
        raise ValueError(
            f"{dataset.root}: the gripper's commands go from {commands.min():g} to {commands.max():g}, but "
            "its contract says that -1 opens and +1 closes; which of 0 and 1 opens is not stated: store -1 "
            "and +1"
        )


def student_config(
    base: OpenVLAConfig,
    objective: ObjectiveConfig,
    family: Family,
    datasets: Sequence[Demonstrations],
    images: int | None = None,
    state: bool | None = None,
    film: bool | None = None,
) -> OpenVLAConfig:
    """What a checkpoint becomes: inputs and outputs of the data, decoder and attention of the objective.

    `images`, `state` and `film` are as in `OpenVLATaskConfig`.

    Raises:
        ValueError: the data sets' chunks or actions have another size.
    """
    chunk, action = datasets[0].features["action_chunk"]["shape"]
    if any(dataset.features["action_chunk"]["shape"] != [chunk, action] for dataset in datasets):
        raise ValueError("the data sets have chunks of different sizes; train on those with one size")
    if action != base.action:
        raise ValueError(f"actions of the data have {action} numbers, the checkpoint's {base.action}")
    reads = state if state is not None else (family.state if base.single else bool(base.proprio))
    kind, size = DECODERS[objective.name], datasets[0].features["observation.state"]["shape"][0]
    return replace(
        base,
        images=images or (len(datasets[0].cameras) if base.single else base.images),
        proprio=size if reads else None,
        chunk=chunk,
        film=base.film if film is None else film,
        decoders=(kind,),
        l1=kind == "l1",
        attention=objective.attention,
    )


def published_record(actions: np.ndarray, states: np.ndarray, episodes: int) -> dict[str, Any]:
    """Statistics of a data set in the published form: actions [N, A], states [N, P], so many episodes.

    The last action, the gripper as the checkpoint knows it, is not normalised.
    """
    action, proprio = summarize(actions), summarize(states)
    del action["count"], proprio["count"]
    action["mask"] = [True] * (actions.shape[1] - 1) + [False]
    counts = {"num_transitions": len(actions), "num_trajectories": episodes}
    return {"action": action, "proprio": proprio, **counts}


def pad_prompts(prompts: list[list[int]], filler: int) -> Tensor:
    """Prompts as one int64 [B, L]: `<s>`, fillers, the rest, so that all end at the same position."""
    length = max(map(len, prompts))
    return torch.tensor([[p[0], *[filler] * (length - len(p)), *p[1:]] for p in prompts])
