"""Read the jsonl file of a VPT contractor recording: what was held, turned and shown, a line a frame."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from playloop.demos.decoder import CorruptFile
from playloop.envs.minecraft import BUTTONS, place_of

KEYS = {
    "key.keyboard.w": "forward",
    "key.keyboard.s": "back",
    "key.keyboard.a": "left",
    "key.keyboard.d": "right",
    "key.keyboard.space": "jump",
    "key.keyboard.left.shift": "sneak",
    "key.keyboard.left.control": "sprint",
    "key.keyboard.q": "drop",
    "key.keyboard.e": "inventory",
    "key.keyboard.f": "swapHands",
    "key.keyboard.escape": "ESC",
} | {f"key.keyboard.{number}": f"hotbar.{number}" for number in range(1, 10)}
"""What the recorder calls a key → its button."""

MOUSE = {0: "attack", 1: "use", 2: "pickItem"}
"""Number of a mouse button → its button."""

DEGREES = 360 / 2400
"""Turn of the view by one count of the mouse."""


class Lines(NamedTuple):
    """A recording's lines as arrays of n rows.

    Args:
        held: bool [n, 23], the buttons in the order of `BUTTONS`.
        pressed: bool [n, 23], those that went down on this line.
        turn: float32 [n, 2], pitch and yaw in degrees, fractions kept.
        cursor: float32 [n, 2], x and y of the mouse in a window 720 high.
        wheel: bool [n], whether the wheel was moved.
        gui: bool [n], whether a GUI is open.
        hotbar: int64 [n], the selected slot from 0; -1 where it was not recorded.
    """

    held: np.ndarray
    pressed: np.ndarray
    turn: np.ndarray
    cursor: np.ndarray
    wheel: np.ndarray
    gui: np.ndarray
    hotbar: np.ndarray


def read_lines(path: str | Path) -> Lines:
    """The lines of a jsonl file.

    Raises:
        CorruptFile: a line is no JSON or lacks a field; names the line.
    """
    rows = []
    try:
        with Path(path).open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                rows.append(_read_line(line, f"{path}, line {number}"))
    except (OSError, UnicodeDecodeError) as error:
        raise CorruptFile(f"{path} is missing or not text ({error}); restore it.") from error
    if not rows:
        raise CorruptFile(f"{path} is empty; restore it.")
    columns = list(zip(*rows, strict=True))
    kinds = (bool, bool, np.float32, np.float32, bool, bool, np.int64)
    return Lines(*(np.array(column, kind) for column, kind in zip(columns, kinds, strict=True)))


def _read_line(line: str, where: str) -> tuple[Any, ...]:
    try:
        record = json.loads(line)
        row = _row_of(record)
    except json.JSONDecodeError as error:
        raise CorruptFile(f"{where} is torn ({error}); restore the file.") from error
    except (KeyError, TypeError, ValueError) as error:
        raise CorruptFile(f"{where} is no line of a recording: {error!r}; restore the file.") from error
    return row


def _row_of(record: dict[str, Any]) -> tuple[Any, ...]:
    mouse, keyboard = record["mouse"], record["keyboard"]
    numbers = [float(mouse[name]) for name in ("dy", "dx", "x", "y")]
    slot = int(record.get("hotbar", -1))
    if not all(map(math.isfinite, numbers)) or not -1 <= slot <= 8:
        raise ValueError(f"mouse {numbers}, hotbar {slot}")
    return (
        _buttons(keyboard["keys"], mouse["buttons"]),
        _buttons(keyboard["newKeys"], mouse["newButtons"]),
        [numbers[0] * DEGREES, numbers[1] * DEGREES],
        numbers[2:],
        float(mouse.get("dwheel", 0)) != 0,
        bool(record["isGuiOpen"]),
        slot,
    )


def _buttons(keys: list[str], mouse: list[int]) -> list[bool]:
    names = [KEYS[key] for key in keys if key in KEYS] + [
        MOUSE[button] for button in mouse if button in MOUSE
    ]
    row = [False] * len(BUTTONS)
    for name in names:
        row[place_of(name)] = True
    return row
