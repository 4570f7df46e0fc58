"""Action following: an inverse-dynamics model reads back what the imagined frames were to show."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from playloop.core.statistics import intervals
from playloop.worlds.following import Following, compare, share_of_ceiling, shifted

SHIFTS = (-1, 0, 1)
"""Steps by which actions are shifted to see that 0 fits best."""


def following(targets: np.ndarray, predicted: dict[str, np.ndarray]) -> dict[str, Any]:
    """How well actions were read back from clips of several kinds.

    Args:
        targets: action vectors of the recording, [clips, T - 1, 25].
        predicted: kind → what was read in its frames, likewise; "true" is the ceiling.

    Returns:
        For each kind, by task and as a mean over the tasks, precision, recall, F1 and the share of the
        ceiling's F1; the camera's error in degrees and in VPT's bins; intervals by bootstrap over the clips.
        And F1 against actions that are shifted by a step.
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
