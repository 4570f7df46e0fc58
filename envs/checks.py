"""What goes into an environment and what comes out of it, checked once for all families."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np

from playloop.core.contract import Contract
from playloop.envs.outcome import Outcome

REAL_NUMBERS = "fiub"
"""NumPy's kinds of numbers that an action may hold."""


class BadAction(ValueError):
    """What an agent gave is no action: its own error, not a failure at the task. Nothing was executed."""


class BadOutcome(ValueError):
    """What an environment gave does not follow its contract: an error of the environment."""


def checked_action(action: Any, size: int) -> np.ndarray:
    """An action as an array [A] of finite numbers; values out of range are the environment's to limit.

    Raises:
        BadAction: it is none.
    """
    values = _numbers(action)
    if values.shape != (size,) or not np.isfinite(values).all():
        raise BadAction(f"an action must be {size} finite numbers, got {_told(values)}")
    return values


def checked_plan(actions: Any, size: int) -> np.ndarray:
    """The actions of a plan as float32 [H, A], H at least 1: executed as they will be recorded.

    Raises:
        BadAction: they are none.
    """
    with np.errstate(over="ignore"):
        values = _numbers(actions).astype(np.float32, copy=False)
    if values.ndim != 2 or values.shape[1] != size or not np.isfinite(values).all():
        raise BadAction(f"a plan's actions must be finite numbers [H, {size}], got {_told(values)}")
    if not len(values):
        raise BadAction("a plan must have at least one action, got none")
    return values


def checked(advance: Callable[..., Outcome]) -> Callable[..., Outcome]:
    """An environment's `advance`, given nothing but actions and giving nothing but outcomes."""

    @wraps(advance)
    def careful(self: Any, action: np.ndarray) -> Outcome:
        return _checked_outcome(advance(self, checked_action(action, len(self.contract.action_names))))

    return careful


def checked_observation(seen: Any, contract: Contract, images: bool) -> dict[str, Any]:
    """An observation whose parts are what the contract declares; its state as float32.

    Raises:
        BadOutcome: names the part that is not as declared.
    """
    if not isinstance(seen, dict) or not {"state", "instruction"} <= set(seen):
        raise BadOutcome(f'observe must return {{"state", "instruction"}}, got {_brief(seen)}')
    if not isinstance(seen["instruction"], str):
        raise BadOutcome(f"the observed instruction must be text, got {_brief(seen['instruction'])}")
    state, names = np.asarray(seen["state"]), contract.state_names
    if state.dtype.kind not in REAL_NUMBERS or state.shape != (len(names),):
        raise BadOutcome(f"the observed state must be {len(names)} numbers, got {_told(state)}")
    if not np.isfinite(state).all():
        wrong = [name for name, value in zip(names, state, strict=True) if not np.isfinite(value)]
        raise BadOutcome(f"the observed state is not finite in {', '.join(wrong[:5])}")
    if images:
        _check_images(seen.get("images"), contract)
    return seen if state.dtype == np.float32 else {**seen, "state": state.astype(np.float32)}


def plain_info(info: Any) -> dict[str, Any]:
    """An outcome's info as JSON gives it back: NumPy's numbers and arrays become Python's.

    Raises:
        BadOutcome: JSON cannot hold it.
    """
    try:
        record = json.loads(json.dumps(info, default=plain, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise BadOutcome(f"an outcome's info must be JSON-able, got {_brief(info)} ({error})") from error
    if not isinstance(record, dict):
        raise BadOutcome(f"an outcome's info must be a dict, got {_brief(info)}")
    return record


def plain(value: Any) -> Any:
    """For `json.dumps(default=…)`: NumPy's numbers and arrays as Python's."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise TypeError(f"JSON cannot hold {type(value).__name__}; put numbers, text or lists there")


def _numbers(values: Any) -> np.ndarray:
    try:
        found = np.asarray(values)
    except Exception as error:  # ragged lists, tensors that need a gradient, whatever else was given
        raise BadAction(f"actions must be an array of numbers, got {_brief(values)}: {error}") from error
    if found.dtype.kind not in REAL_NUMBERS:
        raise BadAction(f"actions must be real numbers, got {_told(found)}")
    return found if found.dtype.kind == "f" else found.astype(np.float32)


def _checked_outcome(outcome: Outcome) -> Outcome:
    if not isinstance(outcome, Outcome):
        raise BadOutcome(f"advance must return an Outcome, got {_brief(outcome)}")
    reward = outcome.reward
    if type(reward) is not float:
        try:
            number = np.asarray(reward)
            reward = float(number) if number.dtype.kind in REAL_NUMBERS and number.ndim == 0 else math.nan
        except Exception:
            reward = math.nan
    if not math.isfinite(reward):
        raise BadOutcome(f"a reward must be one finite number, got {_brief(outcome.reward)}")
    outcome.reward = reward
    for name in ("success", "terminated", "truncated"):
        value = getattr(outcome, name)
        if value is not True and value is not False:
            if not isinstance(value, np.bool_):
                raise BadOutcome(f"an outcome's {name} must be true or false, got {_brief(value)}")
            setattr(outcome, name, bool(value))
    return outcome


def _check_images(images: Any, contract: Contract) -> None:
    if not isinstance(images, dict) or set(images) != set(contract.cameras):
        found = list(images) if isinstance(images, dict) else _brief(images)
        raise BadOutcome(f"the observed images must be of {list(contract.cameras)}, got {found}")
    for camera, size in contract.cameras.items():
        image, shape = images[camera], (*size, 3)
        if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.shape != shape:
            found = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else _brief(image)
            raise BadOutcome(f"the image of camera {camera} must be uint8 {shape}, got {found}")


def _told(values: np.ndarray) -> str:
    return f"{values.dtype} {values.shape}: {_brief(values.tolist())}"


def _brief(value: Any) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 80 else f"{text[:77]}…"
