"""Configurations as JSON and back. Only the classes named here are ever built from a file."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any

from playloop.policies.augment import Augmentation
from playloop.policies.diffusion import DecoderConfig
from playloop.policies.vla import CameraConfig, VLAConfig
from playloop.tokenizers.instructions import MiniLMConfig, NGramsConfig

CLASSES = (VLAConfig, CameraConfig, Augmentation, DecoderConfig, MiniLMConfig, NGramsConfig)


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


def from_record(record: Any) -> Any:
    """The inverse of `to_record`; lists come back as tuples.

    Raises:
        ValueError: for a class or a field that this version does not know.
    """
    if isinstance(record, list):
        return tuple(from_record(item) for item in record)
    if not isinstance(record, dict):
        return record
    values = {key: from_record(item) for key, item in record.items() if key != "_target_"}
    if "_target_" not in record:
        return values
    known = {_path(kind): kind for kind in CLASSES}
    kind = known.get(record["_target_"])
    if kind is None:
        raise ValueError(f"{record['_target_']!r} is no configuration of a policy; known are {sorted(known)}")
    strange = set(values) - {f.name for f in fields(kind)}
    if strange:
        raise ValueError(
            f"{kind.__name__} has no field {sorted(strange)}; use the version that wrote the file"
        )
    return kind(**values)
