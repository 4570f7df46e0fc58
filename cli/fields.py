"""A config dataclass's fields as settings: what a YAML file leaves out is filled in from the class."""

from __future__ import annotations

import dataclasses
import importlib
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf


def fill(config: DictConfig) -> DictConfig:
    """Add, below every `_target_` that is a dataclass, the fields that the YAML leaves at their defaults."""
    OmegaConf.set_struct(config, False)
    target = config.get("_target_")
    if target is not None:
        for name, value in defaults(find(target)).items():
            if name not in config:
                config[name] = value
    for name in list(config):
        child = None if OmegaConf.is_missing(config, name) else config._get_node(name)
        if isinstance(child, DictConfig) and not child._is_none() and not child._is_interpolation():
            fill(child)
    return config


def find(target: str) -> Any:
    """The class that a `_target_` names.

    Raises:
        ValueError: there is no such class.
    """
    module, _, name = target.rpartition(".")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"_target_={target} cannot be found: {error}.") from error


def defaults(cls: Any) -> dict[str, Any]:
    """Field → default of a dataclass; a field without one must be given: `???`."""
    if not dataclasses.is_dataclass(cls):
        return {}
    found = {}
    for field in filter(lambda field: field.init, dataclasses.fields(cls)):
        if field.default is not dataclasses.MISSING:
            found[field.name] = simple(field.default)
        elif field.default_factory is not dataclasses.MISSING:
            found[field.name] = simple(field.default_factory())
        else:
            found[field.name] = "???"
    return found


def simple(value: Any) -> Any:
    """A default as YAML can hold it; a nested config becomes a node with its own `_target_`."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: simple(getattr(value, field.name)) for field in dataclasses.fields(value)}
        return {"_target_": f"{type(value).__module__}.{type(value).__qualname__}", **fields}
    if isinstance(value, dict):
        return {name: simple(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [simple(item) for item in value]
    return str(value) if isinstance(value, Path) else value
