"""Configurations as JSON and back. Only classes that the caller names are ever built from a file."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from typing import Any

from playloop.core.kinds import KEY, by_kind, kind_of


def to_record(value: Any) -> Any:
    """Dataclasses become dictionaries with their `kind`; tuples become lists.

    A class of the user's own that has no kind is written by its dotted path: text for people, which no reader
    follows.

    Raises:
        TypeError: a class of Playloop has no kind.
    """
    if is_dataclass(value) and not isinstance(value, type):
        return {KEY: _name(type(value))} | {f.name: to_record(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, dict):
        return {key: to_record(item) for key, item in value.items()}
    return [to_record(item) for item in value] if isinstance(value, list | tuple) else value


def _name(cls: type) -> str:
    path = f"{cls.__module__}.{cls.__qualname__}"
    if (found := kind_of(cls)) is None and path.startswith("playloop."):
        raise TypeError(f"{path} has no kind for files; write @kind(…) above its @dataclass")
    return found or path


def from_record(record: Any, classes: Iterable[type]) -> Any:
    """The inverse of `to_record` for these classes; lists come back as tuples.

    Raises:
        ValueError: for a kind or a field that this version does not know, or a value of another type.
    """
    classes = tuple(classes)
    if isinstance(record, list):
        return tuple(from_record(item, classes) for item in record)
    if not isinstance(record, dict):
        return record
    named = record.get(KEY)
    if not isinstance(named, str):  # a mapping, which may have an item of that name
        return {key: from_record(item, classes) for key, item in record.items()}
    known = by_kind(classes)
    if named not in known:
        raise ValueError(f"{named!r} is no configuration that fits here: {sorted(known)} do")
    return _build(known[named], {k: from_record(item, classes) for k, item in record.items() if k != KEY})


def _build(cls: type, values: dict[str, Any]) -> Any:
    strange = set(values) - {f.name for f in fields(cls)}  # type: ignore[arg-type]
    if strange:
        raise ValueError(
            f"{cls.__name__} has no field {sorted(strange)}; use the version that wrote the file"
        )
    try:
        return cls(**values)
    except TypeError as error:
        raise ValueError(f"{error}; use the version that wrote the file") from error


def read_part(record: Any, name: str, kinds: tuple[type, ...], classes: Iterable[type] = ()) -> Any:
    """The configuration of a name in a file's record.

    Args:
        record: the file's.
        name: of the configuration.
        kinds: classes of which it must be.
        classes: that it may hold besides.

    Raises:
        ValueError: there is none, or it is of another class.
    """
    if not isinstance(record, dict) or not isinstance(record.get(name), dict):
        raise ValueError(f"{name} is missing or no object; use the version that wrote the file")
    try:
        made = from_record(record[name], (*kinds, *classes))
    except RecursionError as error:
        raise ValueError(f"{name} is nested without end; copy the file again") from error
    if not isinstance(made, kinds):
        listed = " or ".join(cls.__name__ for cls in kinds)
        raise ValueError(f"{name} holds no {listed}; use the version that wrote the file")
    return made


def model_kind(record: Any) -> str | None:
    """What a model's folder holds, by its `config.json`: the kind of its "model", if there is one."""
    model = record.get("model") if isinstance(record, dict) else None
    found = model.get(KEY) if isinstance(model, dict) else None
    return found if isinstance(found, str) else None
