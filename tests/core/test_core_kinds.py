"""Names that outlive the places of classes."""

from __future__ import annotations

from dataclasses import dataclass

import pydantic.dataclasses
import pytest

from playloop.core.kinds import by_kind, kind, kind_of


@kind("test-plain")
@dataclass(frozen=True)
class Plain:
    size: int = 1


@kind("test-checked")
@pydantic.dataclasses.dataclass
class Checked:
    size: int = 1


class Heir(Plain):
    pass


def test_both_kinds_of_dataclasses_have_names_and_heirs_have_none():
    assert (kind_of(Plain), kind_of(Checked), kind_of(Heir), kind_of(int)) == (
        "test-plain",
        "test-checked",
        None,
        None,
    )
    assert by_kind([Plain, Checked, Heir]) == {"test-plain": Plain, "test-checked": Checked}
    assert Checked(size=2).size == 2 and Plain(3).size == 3


def test_a_name_is_one_class_s_alone():
    with pytest.raises(TypeError, match="Plain is the kind 'test-plain' already; name Other anew"):

        @kind("test-plain")
        @dataclass
        class Other:
            pass


def test_a_field_cannot_be_mistaken_for_the_name():
    with pytest.raises(TypeError, match="Lens has a field 'kind', as its record has; rename the field"):

        @kind("test-lens")
        @dataclass
        class Lens:
            kind: str = "wide"
