"""A config dataclass's fields as settings: what a YAML file leaves out is filled in from the class."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import traceback
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from omegaconf import DictConfig, OmegaConf

from playloop.core.annotations import FieldsOf
from playloop.core.kinds import KEY, kind_of
from playloop.core.words import nearest


def fill(config: DictConfig) -> DictConfig:
    """Add, below every `_target_` that is a dataclass, the fields that the YAML leaves at their defaults."""
    OmegaConf.set_struct(config, False)
    target = config.get("_target_")
    if target is not None:
        for name, value in defaults(find(target)).items():
            if name not in config:
                config[name] = value
        for name, hint in hints(find(target)).items():
            name_class(config, name, hint)
    for name in list(config):
        child = None if OmegaConf.is_missing(config, name) else config._get_node(name)
        if isinstance(child, DictConfig) and not child._is_none() and not child._is_interpolation():
            fill(child)
    return config


def build(settings: Any) -> Any:
    """The objects that plain settings describe: what has a `_target_` is made of it, from the inside out.

    Hydra's `instantiate` would read text once more, and take a `${` in a file's name for a reference.
    """
    if isinstance(settings, list):
        return [build(item) for item in settings]
    if not isinstance(settings, Mapping):
        return settings
    made = {name: build(value) for name, value in settings.items() if name not in ("_target_", "_convert_")}
    if "_target_" not in settings:
        return made
    try:
        return find(settings["_target_"])(**made)
    except TypeError as error:
        raise ValueError(f"{settings['_target_']}: {error}") from error


def name_class(config: DictConfig, name: str, hint: Any) -> None:
    """Give a section, or each of several named ones, the class of its annotation where it names none."""
    section = None if OmegaConf.is_missing(config, name) else config._get_node(name)
    if not isinstance(section, DictConfig) or section._is_none() or section._is_interpolation():
        return
    if get_origin(hint) is Annotated:  # some fields of a class: the others are not to be filled in
        return
    if cls := inner_class(hint):
        if "_target_" not in section:
            config[name] = {"_target_": f"{cls.__module__}.{cls.__qualname__}", **section}
    elif item := dict_item(hint):
        for key in section:
            name_class(section, str(key), item)


def find(target: str) -> Any:
    """The class that a `_target_` names; a ValueError if there is none."""
    path, _, name = target.rpartition(".")
    try:
        module = importlib.import_module(path)
    except (ImportError, ValueError) as error:
        if isinstance(error, ModuleNotFoundError) and not f"{path}.".startswith(f"{error.name}."):
            raise ValueError(f"_target_={target} needs {error.name!r}; install it") from error
        raise ValueError(f"_target_={target} cannot be found: {error}") from error
    except (Exception, SystemExit) as error:  # in the user's own module
        reason = traceback.format_exception_only(error)[-1].strip()
        if isinstance(error, SyntaxError):
            reason = f"{error.filename}:{error.lineno}: {reason}"
        raise ValueError(f"_target_={target} cannot be imported: {reason} (--debug shows where)") from error
    if not hasattr(module, name):
        hint = nearest(name, [key for key, value in vars(module).items() if inspect.isclass(value)])
        raise ValueError(f"_target_={target} cannot be found: {path} has no {name!r}{hint}")
    return getattr(module, name)


@cache
def hints(cls: Any) -> Mapping[str, Any]:
    """Setting → annotation, of a dataclass's fields or of what another class or function is called with."""
    if dataclasses.is_dataclass(cls):
        annotated = get_type_hints(cls, include_extras=True)
        return {field.name: annotated[field.name] for field in dataclasses.fields(cls) if field.init}
    try:
        names = inspect.signature(cls).parameters
        annotated = get_type_hints(cls.__init__ if inspect.isclass(cls) else cls, include_extras=True)
    except (TypeError, ValueError, NameError):  # written in C, or annotated with what is not there
        return {}
    return {name: annotated.get(name, Any) for name in names}


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


def inner_class(hint: Any) -> Any:
    """The dataclass whose fields a node of this annotation has; None for other values."""
    if get_origin(hint) is Annotated:
        targets = [find(extra.target) for extra in get_args(hint)[1:] if isinstance(extra, FieldsOf)]
        return targets[0] if targets else None
    classes = (part for part in parts(hint) if isinstance(part, type) and dataclasses.is_dataclass(part))
    return next(classes, None)


def dict_item(hint: Any) -> Any:
    """The annotation of a mapping's values; None for other annotations."""
    found = [get_args(part)[1] for part in parts(hint) if get_origin(part) in (dict, Mapping)]
    return found[0] if found else None


def parts(hint: Any) -> tuple[Any, ...]:
    """The annotations of which one must fit."""
    return get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)


def make(node: DictConfig) -> Any:
    """The object that a node with `_target_` describes, with plain lists and dicts inside.

    Raises:
        ValueError: its class is not there, or does not take these settings.
    """
    return build(plain(node))


def make_all_but(config: DictConfig, *names: str) -> Any:
    """The object that a verb's settings describe, but for those that are the verb's own."""
    return make(OmegaConf.masked_copy(config, [str(name) for name in config if name not in names]))


def recorded(settings: Any) -> Any:
    """Plain settings as results keep them: classes of Playloop by their kind, so that one may move later.

    A kind is what was used, never what is to be built: settings are built of `_target_` alone. The user's own
    classes keep theirs.
    """
    if isinstance(settings, list):
        return [recorded(item) for item in settings]
    if not isinstance(settings, Mapping):
        return settings
    kept = {name: recorded(value) for name, value in settings.items()}
    cls = find(kept["_target_"]) if "_target_" in kept else None
    if not isinstance(cls, type) or (named := kind_of(cls)) is None:
        return kept
    return {KEY: named} | {name: value for name, value in kept.items() if name != "_target_"}


def plain(config: DictConfig) -> dict[str, Any]:
    """The configuration as resolved plain Python."""
    return OmegaConf.to_container(config, resolve=True)  # type: ignore[return-value]
