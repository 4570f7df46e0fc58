"""What a setting may hold, by the annotation of its field."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pytest

from playloop.nn.checks import check_types


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


@pytest.mark.parametrize(
    "good",
    [
        {},
        {"count": np.int64(3), "share": 1, "anything": object()},
        {"share": None, "kinds": ["words", "l1"], "sides": [[0, 1], (np.float32(2), 3)]},
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
    ],
)
def test_anything_else_is_named_with_what_to_do(bad, wanted):
    with pytest.raises(ValueError, match=wanted):
        check_types(Settings(**bad), "of.")
