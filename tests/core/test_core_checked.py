"""Settings that are made in Python are checked like those of a command line."""

from __future__ import annotations

import dataclasses
import pickle
from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import Any, Literal, get_type_hints

import numpy as np
import pytest

from playloop.agents.random import RandomAgentConfig
from playloop.core.annotations import Count, Fraction, Limit, Natural, Portion, Positive
from playloop.core.checked import check_value, checked
from playloop.envs.libero import LiberoConfig
from playloop.envs.toy import ToyReachConfig


@checked(frozen=True)
class Sizes:
    """Of a picture."""

    size: tuple[Count, Count] = (1, 2)
    names: list[str] = dataclasses.field(default_factory=list)

    def __post_init__(self) -> None:
        if self.size[0] > self.size[1]:
            raise ValueError(f"size={self.size}: upright")


@pytest.mark.parametrize(
    ("make", "wanted"),
    [
        (lambda: LiberoConfig(size="x"), "^LiberoConfig.size='x': use a whole number"),
        (lambda: ToyReachConfig(tasks=0), "^ToyReachConfig.tasks=0: use a number of at least 1$"),
        (lambda: RandomAgentConfig(low="a"), "^RandomAgentConfig.low='a': use a finite number$"),
        (lambda: Sizes(size=[0, 3]), r"^Sizes.size.0=0: use a number of at least 1$"),
        (lambda: Sizes(size=(3, 2)), r"^size=\(3, 2\): upright$"),
        (lambda: dataclasses.replace(Sizes(), names=3), "^Sizes.names=3: use a list$"),
    ],
)
def test_a_wrong_value_is_one_sentence(make, wanted):
    with pytest.raises(ValueError, match=wanted) as error:
        make()
    assert type(error.value) is ValueError


def test_it_is_a_dataclass_like_any_other():
    made = Sizes([3, 4], ["a"])
    assert made == Sizes(size=(3, 4), names=["a"]) == pickle.loads(pickle.dumps(made))
    assert dataclasses.asdict(made) == {"size": (3, 4), "names": ["a"]}
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.names = []
    with pytest.raises(TypeError, match="colour"):
        Sizes(colour=3)


@dataclasses.dataclass
class Part:
    rows: Count = 1


@checked
class Settings:
    count: int = 1
    share: float | None = 0.5
    on: bool = True
    name: str = "a"
    order: Literal["max", "gap"] = "max"
    kinds: tuple[Literal["l1", "words"], ...] = ("l1",)
    sides: tuple[tuple[float, float], ...] = ((0.0, 1.0),)
    anything: Any = None
    rows: Count | None = 1
    left: Natural = 0
    chance: Fraction = 0.5
    top: Portion = 1.0
    gain: Positive = 2.0
    clip: Limit = float("inf")
    place: Path = Path("a")
    size: tuple[Natural, float] = (1, 2.0)
    inits: Count | list[Natural] | None = None
    weights: dict[str, float] = field(default_factory=dict)
    part: Part | None = None
    parts: Mapping[str, Part] = field(default_factory=dict)


@pytest.mark.parametrize(
    ("name", "value", "kept"),
    [
        ("share", 1, 1.0),
        ("share", None, None),
        ("anything", Part, Part),
        ("kinds", ["words", "l1"], ("words", "l1")),
        ("sides", [[0, 1], (2, np.float32(3))], ((0.0, 1.0), (2.0, 3.0))),
        ("clip", 1, 1.0),
        ("count", np.int64(3), 3),
        ("clip", float("inf"), float("inf")),
        ("place", "b", Path("b")),
        ("size", [0, 3], (0, 3.0)),
        ("inits", (1, 2), [1, 2]),
        ("weights", {"a": 1}, {"a": 1.0}),
        ("parts", {"a": Part(3)}, {"a": Part(3)}),
    ],
)
def test_what_is_declared_passes(name, value, kept):
    assert getattr(Settings(**{name: value}), name) == kept
    check_value(name, value, get_type_hints(Settings, include_extras=True)[name])


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
        ({"kinds": "l1"}, "of.kinds='l1': use a list"),
        ({"kinds": ("l2",)}, "of.kinds.0='l2': choose from l1, words"),
        ({"sides": ((0.0, "x"),)}, "of.sides.0.1='x': use a finite number"),
        ({"order": 1}, "of.order=1: choose from max, gap"),
        ({"rows": 0}, "of.rows=0: use a number of at least 1 or null"),
        ({"left": -1}, "of.left=-1: use a number of at least 0"),
        ({"chance": 1.5}, "of.chance=1.5: use a number of at most 1"),
        ({"chance": float("nan")}, "of.chance=nan"),
        ({"top": 0}, "of.top=0: use a number above 0"),
        ({"gain": float("inf")}, "of.gain=inf: use a finite number"),
        ({"clip": float("-inf")}, "of.clip=-inf: use a number above 0"),
        ({"clip": float("nan")}, "of.clip=nan"),
        ({"clip": True}, "of.clip=True"),
        ({"place": 3}, "of.place=3: use a path"),
        ({"size": (1, 2.0, 3)}, "use a list of at most 2"),
        ({"size": (-1, 2.0)}, "of.size.0=-1: use a number of at least 0"),
        ({"size": [1]}, r"of.size=\[1\]: use a list of at least 2"),
        ({"inits": "x"}, "of.inits='x': use a whole number or a list or null"),
        ({"inits": [1, -1]}, "of.inits.1=-1: use a number of at least 0"),
        ({"weights": {"a": "x"}}, "of.weights.a='x': use a finite number"),
        ({"weights": [1]}, "use a mapping"),
        ({"part": {"rows": 1}}, "use the settings of Part"),
        ({"parts": {"a": 3}}, "of.parts.a=3: use the settings of Part"),
    ],
)
def test_anything_else_is_named_with_what_to_do(bad, wanted):
    [(name, value)] = bad.items()
    with pytest.raises(ValueError, match=wanted):
        check_value(f"of.{name}", value, get_type_hints(Settings, include_extras=True)[name])
    with pytest.raises(ValueError, match=wanted.replace("of.", "Settings.")):
        Settings(**bad)


def test_what_only_its_own_class_can_judge_is_left_to_it():
    check_value("device", "cpu", np.ndarray)
    check_value("device", 3.5, np.ndarray | int)
