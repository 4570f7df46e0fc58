"""Exact controllability: the game and the model branch from one state into single actions, and are compared.

No inverse-dynamics model stands between: the true game shows what every action would have led to.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from playloop.core.statistics import mean_interval, wilson
from playloop.rollouts.judging.branching import BRANCHES, Point
from playloop.rollouts.judging.quality import capped_psnr


def judge(points: list[Point], imagined: list[np.ndarray], reconstructed: list[np.ndarray]) -> dict[str, Any]:
    """How true imagined branches are, and how often one is nearest to what its own action leads to.

    An action that leads to the very frames of another one (forward, against a wall) cannot be told from it
    and is not counted.

    Args:
        points: what the game shows.
        imagined: uint8 [k, F, H, W, 3] for each point.
        reconstructed: what the frame tokenizer makes of the game's frames, likewise: the ceiling.

    Returns:
        By action and over all: PSNR of what is imagined, of the ceiling and of repeating the last frame; how
        often the whole branch is nearest to its own ("right" of "told"), with Wilson's interval, and the same
        of the ceiling. And the latter by one frame alone, after 1, 2, … frames.
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
    """The columns of one action or of all, [P, n]."""
    return values[:, chosen] if isinstance(chosen, slice) else values[:, [chosen]]


def _quality(shown: list[np.ndarray], true: list[np.ndarray]) -> np.ndarray:
    """Mean PSNR of every branch, [P, k]."""
    return np.array(
        [
            [capped_psnr(*branch).mean() for branch in zip(seen, wanted, strict=True)]
            for seen, wanted in zip(shown, true, strict=True)
        ]
    )


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
