"""Does a video follow its actions? An inverse-dynamics model reads them back, and the two are compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from playloop.tokenizers.camera import VPT
from playloop.tokenizers.minecraft import choose

TASKS: tuple[tuple[str, ...], ...] = (
    ("back", "forward"),
    ("left", "right"),
    ("sneak", "sprint"),
    ("use",),
    ("attack",),
    ("jump",),
    ("drop",),
)
"""What is scored: which of two keys or none, or whether one is held (MineWorld, arXiv 2504.08388)."""


@dataclass(frozen=True)
class Scores:
    """How well classes were told apart.

    Args:
        precision: share of the told that are right, the mean over the classes.
        recall: share of the true that are told.
        f1: the harmonic mean of the two in each class, the mean over the classes.
    """

    precision: float
    recall: float
    f1: float


@dataclass(frozen=True)
class Following:
    """How well actions were read back.

    Args:
        tasks: scores by the task's keys, joined by a dash.
        mean: of them.
        degrees: mean error of an angle.
        bins: mean error of an angle in the bins of VPT's camera, as MineWorld reports it.
        actions: how many were compared.
    """

    tasks: dict[str, Scores]
    mean: Scores
    degrees: float
    bins: float
    actions: int


def compare(asked: np.ndarray, told: np.ndarray) -> Following:
    """Scores of action vectors [n, 25] against those asked for; both keys of a pair held count as none."""
    tasks = {
        "-".join(keys): macro(confusion(choose(asked, keys), choose(told, keys), len(keys) + 1))
        for keys in TASKS
    }
    names = ("precision", "recall", "f1")
    mean = Scores(*(float(np.mean([getattr(task, name) for task in tasks.values()])) for name in names))
    degrees, bins = camera_errors(asked[:, -2:], told[:, -2:])
    return Following(tasks, mean, degrees, bins, len(asked))


def confusion(asked: np.ndarray, told: np.ndarray, classes: int) -> np.ndarray:
    """How often each class [n] was asked for (row) and told (column), int64 [classes, classes]."""
    return np.bincount(asked * classes + told, minlength=classes**2).reshape(classes, classes)


def macro(counts: np.ndarray) -> Scores:
    """Means over the classes that were asked for or told; a class of which one is missing scores 0."""
    right, asked, told = np.diag(counts), counts.sum(1), counts.sum(0)
    precision, recall = right / np.maximum(told, 1), right / np.maximum(asked, 1)
    f1 = 2 * right / np.maximum(asked + told, 1)
    there = asked + told > 0
    return Scores(*(float(values[there].mean()) for values in (precision, recall, f1)))


def camera_errors(asked: np.ndarray, told: np.ndarray) -> tuple[float, float]:
    """Mean absolute error of angles in degrees [n, 2], in degrees and in the bins of VPT's camera."""
    bins = np.abs(VPT.encode(asked) - VPT.encode(told))
    return float(np.abs(asked - told).mean()), float(bins.mean())


def share_of_ceiling(found: Following, ceiling: Following) -> dict[str, float]:
    """What share of the F1 that true frames reach is reached, by task and as "mean".

    An inverse-dynamics model errs on real frames too; only the share says what the video lost. NaN where the
    ceiling is 0.
    """
    scores = {**found.tasks, "mean": found.mean}
    limits = {**ceiling.tasks, "mean": ceiling.mean}
    return {name: score.f1 / limits[name].f1 if limits[name].f1 else np.nan for name, score in scores.items()}


def shifted(asked: Sequence[np.ndarray], told: Sequence[np.ndarray], by: int) -> Following:
    """Scores of clips' actions, [T, 25] each, against those asked for `by` steps later.

    Where an alignment is right, 0 scores best: a data set or a world model that is off by one shows here.
    """
    first, last = max(by, 0), min(by, 0)
    wanted = [vectors[first : len(vectors) + last] for vectors in asked]
    found = [vectors[-last : len(vectors) - first] for vectors in told]
    return compare(np.concatenate(wanted), np.concatenate(found))
