"""What a setting may hold, by the annotation of its field."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from playloop.core.annotations import Count, Fraction, Limit, Natural, Portion, Positive
from playloop.nn.checks import check_types


@dataclass
class Part:
    rows: Count = 1


@dataclass
class Other:
    columns: int = 1


@dataclass
class Settings:
    count: int = 1
    share: float | None = 0.5
    on: bool = True
    name: str = "a"
    order: Literal["max", "gap"] = "max"
    kinds: tuple[Literal["l1", "words"], ...] = ("l1",)
    sides: tuple[tuple[float, float], ...] = ((0.0, 1.0),)
    more: dict[str, Any] = field(default_factory=dict)
    anything: Any = None
    rows: Count | None = 1
    left: Natural = 0
    chance: Fraction = 0.5
    top: Portion = 1.0
    gain: Positive = 2.0
    clip: Limit = float("inf")
    place: Path = Path("a")
    size: tuple[Natural, float] = (1, 2.0)
    names: Sequence[str] = ()
    weights: dict[str, float] = field(default_factory=dict)
    part: Part = field(default_factory=Part)
    parts: dict[str, Part] = field(default_factory=dict)


@pytest.mark.parametrize(
    "good",
    [
        {},
        {"count": np.int64(3), "share": 1, "anything": object()},
        {"share": None, "kinds": ["words", "l1"], "sides": [[0, 1], (np.float32(2), 3)]},
        {
            "rows": None,
            "chance": 1,
            "clip": 1,
            "place": "b",
            "size": [0, 3],
            "names": ["a"],
            "weights": {"a": 1},
        },
        {"parts": {"a": Part(3)}, "part": Other()},
    ],
)
def test_what_is_declared_passes(good):
    check_types(Settings(**good))


@pytest.mark.parametrize(
    ("bad", "wanted"),
    [
        ({"count": "3"}, "of.count='3': use a whole number"),
        ({"count": 3.0}, "of.count=3.0: use a whole number"),
        ({"count": True}, "of.count=True: use a whole number"),
        ({"count": None}, "of.count=None: use a whole number"),
        ({"share": "x"}, "of.share='x': use a finite number or null"),
        ({"share": float("inf")}, "of.share=inf: use a finite number or null"),
        ({"on": 1}, "of.on=1: use true or false"),
        ({"name": 7}, "of.name=7: use text"),
        ({"order": "min"}, "of.order='min': choose from max, gap"),
        ({"order": ["max"]}, r"of.order=\['max'\]: choose from max, gap"),
        ({"kinds": "l1"}, "of.kinds='l1': choose from l1, words, as a list"),
        ({"kinds": ("l2",)}, "choose from l1, words, as a list"),
        ({"sides": ((0.0, "x"),)}, "of.sides"),
        ({"order": 1}, "of.order=1: choose from max, gap"),
        ({"rows": 0}, "of.rows=0: use a whole number of at least 1 or null"),
        ({"left": -1}, "of.left=-1: use a whole number of at least 0"),
        ({"chance": 1.5}, "of.chance=1.5: use a finite number of at least 0 and of at most 1"),
        ({"chance": float("nan")}, "of.chance=nan"),
        ({"top": 0}, "of.top=0: use a finite number above 0 and of at most 1"),
        ({"gain": float("inf")}, "of.gain=inf: use a finite number above 0"),
        ({"clip": float("-inf")}, "of.clip=-inf: use a number above 0"),
        ({"clip": float("nan")}, "of.clip=nan"),
        ({"clip": True}, "of.clip=True"),
        ({"place": 3}, "of.place=3: use a path"),
        ({"size": (1, 2.0, 3)}, "a whole number of at least 0 and a finite number, as a list of 2"),
        ({"size": (-1, 2.0)}, "of.size"),
        ({"names": "abc"}, "of.names='abc': use text, as a list"),
        ({"weights": {"a": "x"}}, "of.weights="),
        ({"weights": [1]}, "use a mapping"),
        ({"part": {"rows": 1}}, "use the settings of Part"),
        ({"part": Part(0)}, "of.part.rows=0"),
        ({"parts": {"a": Part(0)}}, "of.parts.a.rows=0"),
    ],
)
def test_anything_else_is_named_with_what_to_do(bad, wanted):
    with pytest.raises(ValueError, match=wanted):
        check_types(Settings(**bad), "of.")
