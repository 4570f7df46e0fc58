"""Whether imagined frames obey: what an inverse-dynamics model reads back, and exact controllability.

For the latter the game and the model branch from one state into single actions: the true game shows what each
would have led to, and no model stands between.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from playloop.core.statistics import intervals, mean_interval, wilson
from playloop.rollouts.judging.branching import BRANCHES, Point
from playloop.rollouts.judging.quality import capped_psnr
from playloop.worlds.following import Following, compare, share_of_ceiling, shifted

SHIFTS = (-1, 0, 1)
"""Steps by which actions are shifted to see that 0 fits best."""


def following(targets: np.ndarray, predicted: dict[str, np.ndarray]) -> dict[str, Any]:
    """How well the recording's actions [clips, T - 1, 25] were read back from clips of several kinds.

    `predicted` is what was read in the frames of each kind, of which "true" is the ceiling.

    Returns:
        For each kind, by task and as a mean over the tasks, precision, recall, F1 and the share of the
        ceiling's F1; the camera's error in degrees and in VPT's bins. And F1 against shifted actions.
    """
    return {
        "clips": len(targets),
        "actions": int(targets.shape[0] * targets.shape[1]),
        "kinds": {kind: _kind(targets, found, predicted["true"]) for kind, found in predicted.items()},
        "shifted_f1": {kind: _shifts(targets, found) for kind, found in predicted.items()},
    }


def _kind(targets: np.ndarray, predicted: np.ndarray, ceiling: np.ndarray) -> dict[str, Any]:
    """Scores of predicted actions [clips, T - 1, 25], and their share of what was read in the true frames."""

    def scored(vectors: np.ndarray, chosen: np.ndarray) -> Following:
        return compare(np.concatenate(targets[chosen]), np.concatenate(vectors[chosen]))

    def means(chosen: np.ndarray) -> dict[str, float]:
        found, limit = scored(predicted, chosen), scored(ceiling, chosen)
        share = share_of_ceiling(found, limit)["mean"]
        camera = {"degrees": found.degrees, "bins": found.bins}
        return asdict(found.mean) | camera | {"share_of_ceiling": share}

    everything = np.arange(len(targets))
    found, limit = scored(predicted, everything), scored(ceiling, everything)
    shares = share_of_ceiling(found, limit)
    tasks = {
        name: asdict(scores) | {"share_of_ceiling": shares[name]} for name, scores in found.tasks.items()
    }
    return {"mean": intervals(means, len(targets)), "tasks": tasks}


def _shifts(targets: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    """Mean F1 where actions are taken for those `SHIFTS` steps later."""
    return {str(by): shifted(list(targets), list(predicted), by).mean.f1 for by in SHIFTS}


def judge(points: list[Point], imagined: list[np.ndarray], reconstructed: list[np.ndarray]) -> dict[str, Any]:
    """How true imagined branches are, and how often one is nearest to what its own action leads to.

    An action that leads to the very frames of another one (forward, against a wall) cannot be told from it
    and is not counted.

    Args:
        points: what the game shows.
        imagined: uint8 [k, F, H, W, 3] for each point.
        reconstructed: what the frame tokenizer makes of the game's frames: the ceiling.

    Returns:
        By action and over all: PSNR of what is imagined, of the ceiling and of repeating the last frame; how
        often the whole branch is nearest to its own ("right" of "told"), and the same of the ceiling. And the
        latter by one frame alone, after 1, 2, … frames.
    """
    true = [point.branches for point in points]
    still = [np.tile(point.frames[-1], (*point.branches.shape[:2], 1, 1, 1)) for point in points]
    told = np.stack([distinct(branches) for branches in true])  # [P, k, F]
    at_all = np.asarray(told.any(-1))
    shown = {"psnr": imagined, "ceiling_psnr": reconstructed, "persistence_psnr": still}
    quality = {name: _quality(branches, true) for name, branches in shown.items()}  # [P, k]
    found = {
        name: np.stack([distance(*pair) for pair in zip(branches, true, strict=True)])  # [P, k, k, F]
        for name, branches in (("imagined", imagined), ("ceiling", reconstructed))
    }

    def record(chosen: slice | int) -> dict[str, Any]:
        psnr = {name: mean_interval(_of(values, chosen).mean(1)) for name, values in quality.items()}
        rates = {
            name: rate(_of(nearest(far.mean(-1)), chosen), _of(at_all, chosen)) for name, far in found.items()
        }
        return psnr | rates["imagined"] | {"ceiling": rates["ceiling"]}

    frames = range(told.shape[-1])
    by_frame = {
        name: [rate(nearest(far[..., f]), told[..., f]) for f in frames] for name, far in found.items()
    }
    return {
        "actions": {name: record(number) for number, name in enumerate(BRANCHES)},
        "all": record(slice(None)),
        "by_frame": by_frame,
        "chance": 1 / len(BRANCHES),
        "points": len(points),
    }


def _of(values: np.ndarray, chosen: slice | int) -> np.ndarray:
    """The columns [P, n] of one action or of all."""
    return values[:, chosen] if isinstance(chosen, slice) else values[:, [chosen]]


def _quality(shown: list[np.ndarray], true: list[np.ndarray]) -> np.ndarray:
    """Mean PSNR of every branch, [P, k]."""
    points = zip(shown, true, strict=True)
    return np.array([[capped_psnr(*branch).mean() for branch in zip(*pair, strict=True)] for pair in points])


def distance(imagined: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Mean squared error of every imagined branch to every true one, at every frame, [k, k, F]."""
    shown, wanted = imagined.astype(np.float32), true.astype(np.float32)
    return np.stack([((branch[None] - wanted) ** 2).mean((2, 3, 4)) for branch in shown])


def distinct(true: np.ndarray) -> np.ndarray:
    """Whether a branch [k, F, …] differs from every other one, at every frame, bool [k, F]."""
    pixels = true.reshape(*true.shape[:2], -1)
    same = (pixels[:, None] == pixels[None]).all(-1)  # [k, k, F]
    return same.sum(1) == 1


def nearest(distances: np.ndarray) -> np.ndarray:
    """Whether the smallest distance [P, k, k] is that to the own branch, bool [P, k]."""
    return distances.argmin(-1) == np.arange(distances.shape[-1])


def rate(right: np.ndarray, told: np.ndarray) -> dict[str, Any]:
    """How many of those that can be told are right, both bool [P, k]."""
    won, tried = int((right & told).sum()), int(told.sum())
    share = won / tried if tried else None
    return {"right": won, "told": tried, "rate": share, "wilson95": list(wilson(won, tried))}
