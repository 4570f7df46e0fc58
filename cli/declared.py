"""What a setting may hold, found where it is declared, and the check of all before anything starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from omegaconf import DictConfig, OmegaConf

from playloop.cli.settings import SETTINGS
from playloop.core.checked import check_value
from playloop.core.fields import dict_item, find, hints, inner_class
from playloop.core.words import nearest

SPECIAL = ("_target_", "_convert_", "_recursive_", "_partial_", "_args_")
"""Keys of a node that are Hydra's."""


def hint_of(config: DictConfig, verb: str, key: str) -> Any:
    """The annotation of the setting with this full key; `Any` where nothing is declared."""
    node: Any = OmegaConf.to_container(config, resolve=False)
    hint: Any = SETTINGS[verb]
    for name in key.split("."):
        hint = hints_in(node, hint).get(name, Any)
        node = node.get(name) if isinstance(node, dict) else None
    return hint


def hints_in(node: Any, hint: Any) -> Mapping[str, Any]:
    """The annotations of the settings in a node: of the class that it names, of the one that its own
    annotation names, or of both.
    """
    found: dict[str, Any] = {}
    if cls := inner_class(hint):
        found |= hints(cls)
    if isinstance(node, Mapping) and isinstance(node.get("_target_"), str):
        found |= hints(find(node["_target_"]))
    elif (item := dict_item(hint)) is not None and isinstance(node, Mapping):
        found |= dict.fromkeys(map(str, node), item)
    return found


def check_settings(config: DictConfig, verb: str) -> None:
    """Refuse settings of another kind than declared, out of their limits, unknown or taken away.

    References (`${seed}`) are looked at where they point to, and what only the user can know may be missing.

    Raises:
        ValueError: names the setting, its value and what to use.
    """
    values: Any = OmegaConf.to_container(config, resolve=False)
    for field in fields(SETTINGS[verb]):
        if field.name not in values:
            raise ValueError(f"{field.name} is taken away, and playloop {verb.split('_')[0]} needs it.")
    check_node(values, SETTINGS[verb], "")


def check_node(node: Mapping[str, Any], hint: Any, prefix: str) -> None:
    """Check the settings of one node and of those in it; see `check_settings`."""
    known = hints_in(node, hint)
    closed = bool(inner_class(hint)) or is_closed(node)
    for name, value in node.items():
        key = f"{prefix}{name}"
        if name in SPECIAL or value == "???" or is_reference(value):
            continue
        if closed and name not in known:
            raise ValueError(f"there is no setting {key!r}{nearest(str(name), known)}.")
        declared = known.get(name, Any)
        if isinstance(value, Mapping) and ("_target_" in value or holds_settings(declared)):
            check_node(value, declared, f"{key}.")
        elif holds_settings(declared) and value is not None:
            check_value(key, value, dict)
        else:
            check_value(key, value, declared)


def is_reference(value: Any) -> bool:
    """Whether a value is another setting's."""
    return isinstance(value, str) and value.startswith("${")


def is_closed(node: Mapping[str, Any]) -> bool:
    """Whether a node names a class that takes no other settings than its fields."""
    target = node.get("_target_")
    return isinstance(target, str) and is_dataclass(find(target))


def holds_settings(hint: Any) -> bool:
    """Whether an annotation is that of a node: a class, some of its fields, or named nodes of one class."""
    return bool(inner_class(hint)) or inner_class(dict_item(hint)) is not None
