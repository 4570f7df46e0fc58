"""The statistics that an OpenVLA checkpoint carries: of which data set, and their scales."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playloop.nn.folder import read_record
from playloop.nn.manifest import MANIFEST
from playloop.tokenizers.actions import gripper_range
from playloop.tokenizers.grippers import UNIT, choose_stored
from playloop.tokenizers.normalizer import EPSILON, QuantileNormalizer

DATASET_STATISTICS = "dataset_statistics.json"
SUFFIX = "_no_noops"
"""LIBERO's data sets without pauses end so; some published checkpoints leave it out of the key."""


@dataclass(frozen=True, eq=False)
class Statistics:
    """The scales of one data set.

    Those of actions let grippers pass through; those of the robot's state are None where the checkpoint holds
    nothing of it. The gripper's is a name in `grippers.STORED`, of how its last action is stored.
    """

    key: str
    action: QuantileNormalizer
    proprio: QuantileNormalizer | None = None
    gripper: str = UNIT


def read_statistics(folder: str | Path) -> dict[str, Any]:
    """Key → a data set's record. `dataset_statistics.json` goes before `norm_stats` in `config.json`.

    Raises:
        ValueError: there are none, or a file is damaged.
    """
    folder = Path(folder)
    own = folder / DATASET_STATISTICS
    if own.is_file():
        found, path = read_record(own), own
    elif (folder / "config.json").is_file():
        path = folder / "config.json"
        found = read_record(path).get("norm_stats")
    else:
        raise ValueError(f"{folder} has neither {DATASET_STATISTICS} nor config.json; copy them too")
    if not isinstance(found, dict) or not found:
        raise ValueError(
            f"{path} holds no statistics, without which actions have no scale; copy the "
            f"{DATASET_STATISTICS} of the training run into the folder"
        )
    return found


def choose_key(known: dict[str, Any], wanted: str | None) -> str:
    """The data set to take: the one that is wanted, with or without `_no_noops`, or the only one.

    Raises:
        ValueError: it is unknown, or several could be meant; lists them.
    """
    listed = ", ".join(sorted(known))
    if wanted is None:
        if len(known) == 1:
            return next(iter(known))
        raise ValueError(f"unnorm_key: the checkpoint knows several data sets, choose one of {listed}")
    other = wanted.removesuffix(SUFFIX) if wanted.endswith(SUFFIX) else wanted + SUFFIX
    for name in (wanted, other):
        if name in known:
            return name
    raise ValueError(f"unnorm_key={wanted!r} is none of the checkpoint's data sets: {listed}")


def tell_conflict(folder: str | Path, key: str) -> None:
    """Tell where a folder's two files scale the actions of a data set differently; its own file counts."""
    own = Path(folder) / DATASET_STATISTICS
    if not own.is_file() or (Path(folder) / MANIFEST).is_file():  # ours: a run's scales beside a base's
        return
    other = read_record(Path(folder) / "config.json").get("norm_stats")
    scales = []
    for known in (read_record(own), other):
        record = known.get(key) if isinstance(known, dict) else None
        action = record.get("action") if isinstance(record, dict) else None
        scales.append([action.get(name) for name in ("q01", "q99")] if isinstance(action, dict) else None)
    if scales[1] is not None and scales[0] != scales[1]:
        warnings.warn(
            f"{own} and config.json scale the actions of {key} differently; {DATASET_STATISTICS} is taken, "
            "as OpenVLA does: see that it is this checkpoint's",
            stacklevel=3,
        )


def statistics_of(
    known: dict[str, Any], key: str, *, epsilon: bool, gripper: str | None = None, size: int | None = None
) -> Statistics:
    """One data set's, checked.

    Args:
        known: from `read_statistics`.
        key: one of its keys.
        epsilon: whether 1e-8 is added to the span, as OpenVLA-OFT and what builds on it do; the original
            OpenVLA does not.
        gripper: how it is stored, where the statistics do not tell; see `grippers.choose_stored`.
        size: numbers of an action that are wanted; where there are others, nothing is said of the gripper.

    Raises:
        ValueError: q01, q99 or the action's mask is missing or damaged, they differ in length, or the gripper
            is stored in a way that must be stated.
    """
    record = known[key]
    action = record.get("action") if isinstance(record, dict) else None
    if not isinstance(action, dict):
        raise ValueError(f"the statistics of {key} have no action; copy {DATASET_STATISTICS} again")
    normalizer = _normalizer(f"{key}.action", action, ("q01", "q99", "mask"), EPSILON if epsilon else 0.0)
    stored = UNIT
    if size in (None, normalizer.size):
        try:
            ends = gripper_range(action, normalizer, normalizer.size - 1)
        except ValueError as error:
            raise ValueError(f"{key}.action: {error}; copy {DATASET_STATISTICS} again") from error
        stored = choose_stored(key, *ends, gripper)
    proprio = record.get("proprio")
    state = _normalizer(f"{key}.proprio", proprio, ("q01", "q99"), EPSILON) if proprio else None
    return Statistics(key, normalizer, state, stored)


def _normalizer(name: str, record: Any, wanted: tuple[str, ...], epsilon: float) -> QuantileNormalizer:
    if not isinstance(record, dict):
        raise ValueError(f"the statistics {name} are {record!r}; copy {DATASET_STATISTICS} again")
    if missing := [field for field in wanted if field not in record]:
        raise ValueError(
            f"the statistics {name} lack {' and '.join(missing)}: another version or normalisation; "
            f"use the {DATASET_STATISTICS} that the training wrote"
        )
    try:
        found = QuantileNormalizer.from_statistics(record, epsilon=epsilon)
        if not found.size:
            raise ValueError("they are of nothing")
        return found
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"the statistics {name} are damaged: {error}; copy {DATASET_STATISTICS} again"
        ) from error
