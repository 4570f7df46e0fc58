"""Read the jsonl file of a VPT contractor recording: what was held, turned and shown, a line a frame."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, NamedTuple, NotRequired

import numpy as np
from annotated_types import Ge, Le
from typing_extensions import TypedDict  # pydantic wants this one before Python 3.12

from playloop.core.checked import read_typed
from playloop.core.minecraft import BUTTONS
from playloop.demos.corrupt import CorruptFile, reading

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

SPACED = 4
"""Lines from which on every second one that is empty means nothing; of fewer, one may have been lost."""
FARTHEST = 1e6
"""Counts of the mouse; far more than any hand makes in a frame."""

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
    """The lines of a jsonl file; a `CorruptFile` names one that is no JSON or lacks a field."""
    path = Path(path)
    with reading(path, "text", UnicodeDecodeError):
        # A byte order mark and empty lines at the end mean nothing: editors of Windows leave them.
        lines = path.read_text(encoding="utf-8-sig").rstrip().split("\n")
    if lines == [""]:
        raise CorruptFile(f"{path} is empty; restore it.")
    if len(lines) > SPACED and not "".join(lines[1::2]).strip():
        lines = lines[::2]  # spaced out, as newlines that are translated twice are
    rows = [_read_line(line, f"{path}, line {number}") for number, line in enumerate(lines, 1)]
    kinds = (bool, bool, np.float32, np.float32, bool, bool, np.int64)
    return Lines(*map(np.array, zip(*rows, strict=True), kinds))


Counts = Annotated[float, Ge(-FARTHEST), Le(FARTHEST)]


class _Mouse(TypedDict):
    dx: Counts
    dy: Counts
    x: Counts
    y: Counts
    dwheel: NotRequired[float]
    buttons: list[int]
    newButtons: list[int]


class _Keyboard(TypedDict):
    keys: list[str]
    newKeys: list[str]


class _Line(TypedDict):
    mouse: _Mouse
    keyboard: _Keyboard
    isGuiOpen: bool
    hotbar: NotRequired[Annotated[int, Ge(-1), Le(8)]]


def _read_line(text: str, where: str) -> tuple[Any, ...]:
    if not text.strip():
        raise CorruptFile(
            f"{where} is empty: if one was lost there, those after it belong to other frames; if not, remove "
            "it."
        )
    try:
        record = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CorruptFile(f"{where} is torn ({error}); restore the file.") from error
    if isinstance(record, dict):  # what else stands there may be anything
        record = {name: record[name] for name in _Line.__annotations__ if name in record}
    try:
        return _row_of(read_typed(_Line, record, f"{where} is no line of a recording"))
    except ValueError as error:
        raise CorruptFile(f"{error}; restore the file.") from error


def _row_of(record: _Line) -> tuple[Any, ...]:
    mouse, keyboard = record["mouse"], record["keyboard"]
    return (
        _buttons(keyboard["keys"], mouse["buttons"]),
        _buttons(keyboard["newKeys"], mouse["newButtons"]),
        [mouse["dy"] * DEGREES, mouse["dx"] * DEGREES],
        [mouse["x"], mouse["y"]],
        mouse.get("dwheel", 0.0) != 0,
        record["isGuiOpen"],
        record.get("hotbar", -1),
    )


def _buttons(keys: list[str], mouse: list[int]) -> list[bool]:
    held = {KEYS.get(key) for key in keys} | {MOUSE.get(button) for button in mouse}
    return [name in held for name in BUTTONS]
