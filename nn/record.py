"""Configurations as JSON and back. Only classes that the caller names are ever built from a file."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from typing import Any

from playloop.nn.checks import check_types


def _path(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def to_record(value: Any) -> Any:
    """Dataclasses become dictionaries with their class as `_target_`; tuples become lists."""
    if is_dataclass(value) and not isinstance(value, type):
        return {"_target_": _path(type(value))} | {
            f.name: to_record(getattr(value, f.name)) for f in fields(value)
        }
    if isinstance(value, dict):
        return {key: to_record(item) for key, item in value.items()}
    return [to_record(item) for item in value] if isinstance(value, list | tuple) else value


def from_record(record: Any, classes: Iterable[type]) -> Any:
    """The inverse of `to_record` for these classes; lists come back as tuples.

    Raises:
        ValueError: for a class or a field that this version does not know, or a value of another type.
    """
    classes = tuple(classes)
    if isinstance(record, list):
        return tuple(from_record(item, classes) for item in record)
    if not isinstance(record, dict):
        return record
    values = {key: from_record(item, classes) for key, item in record.items() if key != "_target_"}
    if "_target_" not in record:
        return values
    known = {_path(kind): kind for kind in classes}
    kind = known.get(record["_target_"]) if isinstance(record["_target_"], str) else None
    if kind is None:
        raise ValueError(f"{record['_target_']!r} is no configuration that fits here: {sorted(known)} do")
    strange = set(values) - {f.name for f in fields(kind)}
    if strange:
        raise ValueError(
            f"{kind.__name__} has no field {sorted(strange)}; use the version that wrote the file"
        )
    try:
        made = kind(**values)
    except (TypeError, ArithmeticError, AttributeError, LookupError) as error:
        raise ValueError(f"{kind.__name__}: {error}; use the version that wrote the file") from error
    check_types(made, f"{kind.__name__}.")
    return made


def read_part(record: Any, name: str, kinds: tuple[type, ...], classes: Iterable[type] = ()) -> Any:
    """One configuration out of a file's record.

    Args:
        record: the file's.
        name: of the configuration in it.
        kinds: classes of which it must be.
        classes: that it may hold besides.

    Raises:
        ValueError: there is none, or it is of another class; names it.
    """
    if not isinstance(record, dict) or not isinstance(record.get(name), dict):
        raise ValueError(f"{name} is missing or no object; use the version that wrote the file")
    try:
        made = from_record(record[name], (*kinds, *classes))
    except RecursionError as error:
        raise ValueError(f"{name} is nested without end; copy the file again") from error
    if not isinstance(made, kinds):
        listed = " or ".join(kind.__name__ for kind in kinds)
        raise ValueError(f"{name} holds no {listed}; use the version that wrote the file")
    return made
