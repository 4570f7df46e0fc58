"""Whether settings hold what their dataclass declares: a wrong one is named before anything expensive."""

from __future__ import annotations

import math
from numbers import Integral, Real
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

NAMES = {
    int: "use a whole number",
    float: "use a finite number",
    bool: "use true or false",
    str: "use text",
    NoneType: "null",
}
"""What to do for a type of single values."""


def check_types(settings: Any, prefix: str = "") -> None:
    """Refuse a dataclass with a field that holds something else than its annotation says.

    Args:
        settings: the dataclass. Fields of further dataclasses, dictionaries and the like are not looked at.
        prefix: in front of a field's name in messages, "agent." for instance.

    Raises:
        ValueError: names the field, its value and what to use.
    """
    for name, hint in get_type_hints(type(settings)).items():
        value = getattr(settings, name)
        if not fits(value, hint):
            raise ValueError(f"{prefix}{name}={value!r}: {described(hint)}")


def fits(value: Any, hint: Any) -> bool:
    """Whether a value is of an annotation: whole numbers are finite ones, but booleans are no numbers."""
    kind, parts = get_origin(hint), get_args(hint)
    if kind in (Union, UnionType):
        return any(fits(value, part) for part in parts)
    if kind is Literal:
        return value in parts
    if kind is tuple:
        return isinstance(value, list | tuple) and all(fits(item, parts[0]) for item in value)
    if hint is int:
        return isinstance(value, Integral) and not isinstance(value, bool)
    if hint is float:
        return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
    return isinstance(value, hint) if hint in NAMES else True


def described(hint: Any) -> str:
    """What to do for an annotation, in words."""
    kind, parts = get_origin(hint), get_args(hint)
    if kind in (Union, UnionType):
        return " or ".join(described(part) for part in parts)
    if kind is Literal:
        return f"choose from {', '.join(map(str, parts))}"
    if kind is tuple:
        return f"{described(parts[0])}, as a list"
    return NAMES.get(hint, getattr(hint, "__name__", str(hint)))
