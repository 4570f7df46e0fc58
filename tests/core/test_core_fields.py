"""What a dataclass's fields become as settings."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from playloop.core.fields import defaults, fill, find, make, recorded
from playloop.core.kinds import kind


@dataclass
class Inner:
    sizes: tuple[int, ...] = (3, 4)


@dataclass
class Outer:
    needed: str
    count: int = 2
    place: Path = Path("a/b")
    inner: Inner = field(default_factory=Inner)
    options: dict[str, int] = field(default_factory=dict)
    hidden: int = field(init=False, default=0)


@kind("test-lamp")
@dataclass
class Lamp:
    watts: int = 5
    inner: Inner = field(default_factory=Inner)


INNER = {"_target_": f"{__name__}.Inner", "sizes": [3, 4]}


def test_defaults_are_plain_and_nested_ones_name_their_class():
    assert defaults(Outer) == {"needed": "???", "count": 2, "place": "a/b", "inner": INNER, "options": {}}
    assert defaults(dict) == {}


def test_what_the_yaml_says_stays():
    config = fill(OmegaConf.create({"part": {"_target_": f"{__name__}.Outer", "needed": "x", "count": 5}}))
    assert OmegaConf.to_container(config.part) == {
        "_target_": f"{__name__}.Outer",
        "needed": "x",
        "count": 5,
        "place": "a/b",
        "inner": INNER,
        "options": {},
    }
    made = make(config.part)
    assert (made.needed, made.count, made.inner) == ("x", 5, Inner([3, 4]))


def test_results_name_kinds_and_the_user_s_own_classes(monkeypatch):
    lamp = {"_target_": f"{__name__}.Lamp", "watts": 7, "inner": INNER}
    kept = recorded({"rooms": [lamp], "path": "_target_"})
    assert kept == {"rooms": [{"kind": "test-lamp", "watts": 7, "inner": INNER}], "path": "_target_"}
    moved = type(sys)("moved_lamps")
    moved.Light = Lamp
    monkeypatch.setitem(sys.modules, "moved_lamps", moved)
    assert recorded({"rooms": [lamp | {"_target_": "moved_lamps.Light"}], "path": "_target_"}) == kept


@pytest.mark.parametrize("target", ["nothing", "playloop.nothing.X", f"{__name__}.Nothing"])
def test_an_unknown_class_is_named(target):
    with pytest.raises(ValueError, match=f"_target_={target} cannot be found"):
        find(target)


def test_a_module_of_the_users_own_that_fails_is_named_with_its_reason(tmp_path, monkeypatch):
    (tmp_path / "broken_module.py").write_text("1 + None\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(
        ValueError, match=r"_target_=broken_module\.Agent cannot be imported: TypeError: unsup"
    ):
        find("broken_module.Agent")
