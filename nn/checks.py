"""Whether settings hold what their dataclass declares: a wrong one is named before anything expensive."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import is_dataclass
from numbers import Integral, Real
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from annotated_types import Ge, Gt, Le, Lt, MinLen

from playloop.core.annotations import INFINITE

NAMES = {
    int: "use a whole number",
    float: "use a finite number",
    bool: "use true or false",
    str: "use text",
    Path: "use a path",
    NoneType: "null",
}
"""What to do for a type of single values."""
LIMITS = {
    Ge: (lambda value, limit: value >= limit.ge, lambda limit: f"of at least {limit.ge}"),
    Gt: (lambda value, limit: value > limit.gt, lambda limit: f"above {limit.gt}"),
    Le: (lambda value, limit: value <= limit.le, lambda limit: f"of at most {limit.le}"),
    Lt: (lambda value, limit: value < limit.lt, lambda limit: f"below {limit.lt}"),
    MinLen: (lambda value, limit: len(value) >= limit.min_length, lambda limit: "that is not empty"),
}
"""As `annotated_types` writes limits: whether a value keeps to one, and the limit in words."""


def check_types(settings: Any, prefix: str = "") -> None:
    """Refuse a dataclass with a field that holds something else than its annotation says, at any depth.

    Args:
        settings: the dataclass.
        prefix: in front of a field's name in messages, "agent." for instance.

    Raises:
        ValueError: names the field, its value and what to use.
    """
    for name, hint in get_type_hints(type(settings), include_extras=True).items():
        check_value(f"{prefix}{name}", getattr(settings, name), hint)


def check_squares(height: int, width: int, side: int) -> None:
    """Refuse a frame that cannot be divided into squares of so many pixels a side.

    Raises:
        ValueError: with the sizes.
    """
    if height % side or width % side:
        raise ValueError(f"{height} x {width} pixels cannot be divided into squares of {side}; use multiples")


def check_heads(width: int, heads: int, groups: int, even: bool = False) -> None:
    """Refuse an attention whose heads do not divide its width, or whose groups do not divide its heads.

    Args:
        width: of the stream.
        heads: of queries.
        groups: heads of keys and values.
        even: a head's width must be an even number, too.

    Raises:
        ValueError: with the sizes.
    """
    if width % (heads * (1 + even)) or heads % groups:
        raise ValueError(
            f"width={width} must be {'an even' if even else 'a'} multiple of heads={heads}, and they a "
            f"multiple of groups={groups}"
        )


def check_value(name: str, value: Any, hint: Any) -> None:
    """Refuse a value that is not of an annotation; the fields of dataclasses in it are looked at, too.

    Args:
        name: of the setting, for the message.
        value: what it holds.
        hint: the annotation. A class that is no dataclass and none of `NAMES` admits everything.

    Raises:
        ValueError: names the setting, its value and what to use.
    """
    if not fits(value, hint):
        raise ValueError(f"{name}={value!r}: {described(hint)}")
    inner = value.items() if isinstance(value, Mapping) else enumerate(value) if _is_list(value) else ()
    for key, item in [("", value), *inner]:
        if is_dataclass(item) and not isinstance(item, type):
            check_types(item, f"{name}.{key}." if key != "" else f"{name}.")


def fits(value: Any, hint: Any) -> bool:
    """Whether a value is of an annotation: numbers are finite ones, and booleans are no numbers."""
    kind, parts = get_origin(hint), get_args(hint)
    if kind is Annotated:
        return _fits_limits(value, parts[0], parts[1:])
    if kind in (Union, UnionType):
        return any(fits(value, part) for part in parts)
    if kind is Literal:
        return any(type(value) is type(part) and value == part for part in parts)
    if kind is tuple and parts[-1:] != (Ellipsis,):
        return (
            _is_list(value)
            and len(value) == len(parts)
            and all(fits(item, part) for item, part in zip(value, parts, strict=True))
        )
    if kind in (tuple, list, Sequence):
        return _is_list(value) and all(fits(item, parts[0]) for item in value)
    if kind in (dict, Mapping):
        return isinstance(value, Mapping) and all(
            fits(key, parts[0]) and fits(item, parts[1]) for key, item in value.items()
        )
    return _fits_single(value, hint)


def described(hint: Any) -> str:
    """What to do for an annotation, in words."""
    kind, parts = get_origin(hint), get_args(hint)
    if kind is Annotated:
        limits = [LIMITS[type(limit)][1](limit) for limit in parts[1:] if type(limit) in LIMITS]
        number = "use a number" if INFINITE in parts[1:] else described(parts[0])
        return " ".join([number, " and ".join(limits)]).strip()
    if kind in (Union, UnionType):
        said = list(dict.fromkeys(described(part) for part in parts))
        said = [text.replace(", as a list", " (as a list)") for text in said] if said[1:] else said
        return " or ".join([said[0], *(text.removeprefix("use ") for text in said[1:])])
    if kind is Literal:
        return f"choose from {', '.join(map(str, parts))}"
    if kind is tuple and parts[-1:] != (Ellipsis,):
        each = list(dict.fromkeys(described(part) for part in parts))
        rest = "".join(f" and {text.removeprefix('use ')}" for text in each[1:])
        return f"{each[0]}{rest}, as a list of {len(parts)}"
    if kind in (tuple, list, Sequence):
        return f"{described(parts[0])}, as a list"
    if kind in (dict, Mapping) or hint is dict:
        return "use a mapping, {name: value}"
    if is_dataclass(hint):
        return f"use the settings of {getattr(hint, '__name__', hint)}, {{name: value}}"
    return NAMES.get(hint, getattr(hint, "__name__", str(hint)))


def _fits_limits(value: Any, hint: Any, limits: tuple[Any, ...]) -> bool:
    if INFINITE in limits and isinstance(value, float) and math.isinf(value):
        value = math.copysign(1e300, value)  # keeps to the same limits, and is finite
    if not fits(value, hint):
        return False
    return all(LIMITS[type(limit)][0](value, limit) for limit in limits if type(limit) in LIMITS)


def _fits_single(value: Any, hint: Any) -> bool:
    if hint is int:
        return isinstance(value, Integral) and not isinstance(value, bool)
    if hint is float:
        return isinstance(value, Real) and not isinstance(value, bool) and _is_finite(value)
    if hint is Path:
        return isinstance(value, str | Path)
    if hint in (list, tuple):
        return _is_list(value)
    if hint is dict:
        return isinstance(value, Mapping)
    if is_dataclass(hint):  # another of the same use will do, such as the sampler of another world model
        return is_dataclass(value) and not isinstance(value, type)
    return isinstance(value, hint) if hint in NAMES else True


def _is_finite(value: Any) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number that no float holds
        return False


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple)
