"""Kinds: names that files give to classes, so that a class may move and what was written is still read."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

T = TypeVar("T")
KEY = "kind"
"""Where a record says what it is of."""
_CLASSES: dict[str, type] = {}


def kind(name: str) -> Callable[[type[T]], type[T]]:
    """Give a configuration the name that files know it by; written above its `@dataclass`.

    >>> from dataclasses import dataclass
    >>> @kind("doctest-lamp")
    ... @dataclass
    ... class Lamp:
    ...     watts: int = 5
    >>> kind_of(Lamp)
    'doctest-lamp'

    Args:
        name: short and stable: it stays when the class is renamed or moves.

    Raises:
        TypeError: another class has the name, or a field of this one is called "kind" like the record's own.
    """

    def register(cls: type[T]) -> type[T]:
        other = _CLASSES.get(name, cls)
        if (other.__module__, other.__qualname__) != (cls.__module__, cls.__qualname__):
            raise TypeError(f"{other.__name__} is the kind {name!r} already; name {cls.__name__} anew")
        if KEY in getattr(cls, "__dataclass_fields__", ()):
            raise TypeError(f"{cls.__name__} has a field {KEY!r}, as its record has; rename the field")
        _CLASSES[name] = cls
        cls.__kind__ = name  # type: ignore[attr-defined]
        return cls

    return register


def kind_of(cls: type) -> str | None:
    """The kind of a class; None for one that has none, its own subclasses for instance."""
    found: str | None = vars(cls).get("__kind__")
    return found


def by_kind(classes: Iterable[type]) -> dict[str, type]:
    """Kind → class, of the classes that a reader admits: a file chooses among these alone."""
    return {name: cls for cls in classes if (name := kind_of(cls)) is not None}
