"""Action following: an inverse-dynamics model reads back what the imagined frames were told to do."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from playloop.core.statistics import intervals
from playloop.worlds.following import Following, compare, share_of_ceiling, shifted

SHIFTS = (-1, 0, 1)
"""Steps by which actions are shifted to see that 0 fits best."""


def following(asked: np.ndarray, told: dict[str, np.ndarray]) -> dict[str, Any]:
    """How well actions were read back from clips of several kinds.

    Args:
        asked: action vectors of the recording, [clips, T - 1, 25].
        told: kind → what was read in its frames, likewise; "true" is the ceiling.

    Returns:
        For each kind, by task and as a mean over the tasks, precision, recall, F1 and the share of the
        ceiling's F1; the camera's error in degrees and in VPT's bins; intervals by bootstrap over the clips.
        And F1 against actions that are shifted by a step.
    """
    return {
        "clips": len(asked),
        "actions": int(asked.shape[0] * asked.shape[1]),
        "kinds": {kind: _kind(asked, found, told["true"]) for kind, found in told.items()},
        "shifted_f1": {kind: _shifts(asked, found) for kind, found in told.items()},
    }


def _kind(asked: np.ndarray, told: np.ndarray, ceiling: np.ndarray) -> dict[str, Any]:
    """Scores of actions told [clips, T - 1, 25], and their share of what was told of the true frames."""

    def scored(vectors: np.ndarray, chosen: np.ndarray) -> Following:
        return compare(np.concatenate(asked[chosen]), np.concatenate(vectors[chosen]))

    def means(chosen: np.ndarray) -> dict[str, float]:
        found, limit = scored(told, chosen), scored(ceiling, chosen)
        share = share_of_ceiling(found, limit)["mean"]
        camera = {"degrees": found.degrees, "bins": found.bins}
        return asdict(found.mean) | camera | {"share_of_ceiling": share}

    everything = np.arange(len(asked))
    found, limit = scored(told, everything), scored(ceiling, everything)
    shares = share_of_ceiling(found, limit)
    tasks = {
        name: asdict(scores) | {"share_of_ceiling": shares[name]} for name, scores in found.tasks.items()
    }
    return {"mean": intervals(means, len(asked)), "tasks": tasks}


def _shifts(asked: np.ndarray, told: np.ndarray) -> dict[str, float]:
    """Mean F1 where actions are taken for those `SHIFTS` steps later."""
    return {str(by): shifted(list(asked), list(told), by).mean.f1 for by in SHIFTS}
