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
    """How well classes were recognised.

    Args:
        precision: share of the predicted that are right, the mean over the classes.
        recall: share of the targets that are predicted.
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


def compare(targets: np.ndarray, predicted: np.ndarray) -> Following:
    """Scores of action vectors [n, 25] against their targets; both keys of a pair held count as none."""
    tasks = {
        "-".join(keys): macro(confusion(choose(targets, keys), choose(predicted, keys), len(keys) + 1))
        for keys in TASKS
    }
    names = ("precision", "recall", "f1")
    mean = Scores(*(float(np.mean([getattr(task, name) for task in tasks.values()])) for name in names))
    degrees, bins = camera_errors(targets[:, -2:], predicted[:, -2:])
    return Following(tasks, mean, degrees, bins, len(targets))


def confusion(targets: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """How often each class [n] was the target (row) and was predicted (column), int64 [classes, classes]."""
    return np.bincount(targets * classes + predicted, minlength=classes**2).reshape(classes, classes)


def macro(counts: np.ndarray) -> Scores:
    """Means over the classes that were targets or predicted; a class of which one is missing scores 0."""
    right, targets, predicted = np.diag(counts), counts.sum(1), counts.sum(0)
    precision, recall = right / np.maximum(predicted, 1), right / np.maximum(targets, 1)
    f1 = 2 * right / np.maximum(targets + predicted, 1)
    there = targets + predicted > 0
    return Scores(*(float(values[there].mean()) for values in (precision, recall, f1)))


def camera_errors(targets: np.ndarray, predicted: np.ndarray) -> tuple[float, float]:
    """Mean absolute error of angles in degrees [n, 2], in degrees and in the bins of VPT's camera."""
    bins = np.abs(VPT.encode(targets) - VPT.encode(predicted))
    return float(np.abs(targets - predicted).mean()), float(bins.mean())


def share_of_ceiling(found: Following, ceiling: Following) -> dict[str, float]:
    """What share of the F1 that true frames reach is reached, by task and as "mean".

    An inverse-dynamics model errs on real frames too; only the share says what the video lost. NaN where the
    ceiling is 0.
    """
    scores = {**found.tasks, "mean": found.mean}
    limits = {**ceiling.tasks, "mean": ceiling.mean}
    return {name: score.f1 / limits[name].f1 if limits[name].f1 else np.nan for name, score in scores.items()}


def shifted(targets: Sequence[np.ndarray], predicted: Sequence[np.ndarray], by: int) -> Following:
    """Scores of clips' actions, [T, 25] each, against the targets `by` steps later.

    Where an alignment is right, 0 scores best: a data set or a world model that is off by one shows here.
    """
    first, last = max(by, 0), min(by, 0)
    wanted = [vectors[first : len(vectors) + last] for vectors in targets]
    found = [vectors[-last : len(vectors) - first] for vectors in predicted]
    return compare(np.concatenate(wanted), np.concatenate(found))
