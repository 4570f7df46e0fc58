"""From `key=value` words to a complete configuration, with an answer to every misspelling.

A YAML file names a config dataclass by `_target_` and holds only what differs from its defaults: the rest is
filled in from the dataclass, so that every field can be set and is written into the results.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_module
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import ConfigCompositionException
from omegaconf import DictConfig, OmegaConf

from playloop.configs.plugins import USERS, chosen, options, register
from playloop.configs.settings import SETTINGS
from playloop.configs.words import Word, literal
from playloop.core.checked import check_value
from playloop.core.fields import defaults, dict_item, fill, find, hints, inner_class, simple
from playloop.core.words import nearest

SPECIAL = ("_target_", "_convert_", "_recursive_", "_partial_", "_args_")
"""Keys of a node that are Hydra's."""


def load(verb: str, words: list[str], values: Mapping[str, Any] | None = None) -> DictConfig:
    """The configuration of a verb under the given overrides.

    Args:
        verb: one of `SETTINGS`.
        words: `key=value`, as typed.
        values: further settings, key → value; a dataclass is a part's class with its fields.

    Raises:
        ValueError: a word is not `key=value`, or its key or option does not exist; names the nearest one.
    """
    given = [Word.parse(word) for word in words]
    groups = group_options(verb)
    choices = [word for word in given if word.key in groups]
    config = choose(verb, choices, groups)
    complete(config, SETTINGS[verb])
    settings = [word for word in given if word.key not in groups]
    classes = [word for word in settings if word.key.endswith("._target_")]
    for word in classes:  # a new class has other fields, against which the rest is checked
        parent = word.key.removesuffix("._target_")
        if parent not in flat(config):
            raise ValueError(f"there is nothing called {parent!r}{nearest_key(parent, list(flat(config)))}.")
        OmegaConf.update(config, parent, {"_target_": word.text}, merge=False)
        fill(config)
    free = [key for key, value in flat(config).items() if value == {}]
    for word in settings:
        if word not in classes:
            apply(word, config, free, verb)
    for key, value in (values or {}).items():
        whole = is_dataclass(value)  # instead of what the verb's YAML has there
        name = full_key(key, list(flat(config)), free)
        OmegaConf.update(config, name, as_node(simple(value)), merge=not whole, force_add=True)
    return fill(config)


def as_node(value: Any) -> Any:
    """Plain values as OmegaConf must be given them to give them back."""
    if isinstance(value, Mapping):
        return {name: as_node(item) for name, item in value.items()}
    if isinstance(value, list):
        return [as_node(item) for item in value]
    return literal(value) if isinstance(value, str) else value


def choose(verb: str, choices: list[Word], groups: dict[str, list[str]]) -> DictConfig:
    """A verb's YAML and that of the chosen options, with the fields of the classes that they name.

    Raises:
        ValueError: an option does not exist, or cannot be used; names whose it is.
    """
    words = [check_choice(word, groups) for word in choices]
    foreign = [option for word in choices if (option := chosen(word.key, word.text)) is not None]
    with hydra():
        try:
            return fill(compose(verb, words))
        except (ValueError, ConfigCompositionException) as error:
            if not foreign:
                raise
            whose = ", ".join(f"{option.group}={option.name} is of {option.origin}" for option in foreign)
            raise ValueError(f"{error} ({whose})") from error


def complete(config: DictConfig, cls: type) -> None:
    """Add what a verb's own settings are unless set, in place; a part that is not chosen is not added."""
    given = defaults(cls)
    for name, hint in hints(cls).items():
        inner = inner_class(hint)
        if name not in config and (given[name] != "???" or dict_item(hint) is None):
            config[name] = {} if inner else given[name]
        if inner:
            complete(config[name], inner)


def configure(verb: str, words: list[str], values: Mapping[str, Any] | None = None) -> DictConfig:
    """The complete configuration of a verb, with which it can run; see `load`.

    Raises:
        ValueError: as `load`, a setting is not what its annotation says, or one is missing that only the user
            can know.
    """
    config = load(verb, words, values)
    check_settings(config, verb)
    demand(config, verb)
    check_devices(config)
    return config


def in_yaml(verb: str, words: list[str]) -> str:
    """The settings that a verb's words lead to, as YAML; what only the user can know may be missing.

    Raises:
        ValueError: as `configure`.
    """
    config = load(verb, words)
    check_settings(config, verb)
    return OmegaConf.to_yaml(config, resolve="???" not in flat(config).values())


def check_devices(config: DictConfig) -> None:
    """Refuse devices that are not there, before anything is loaded."""
    for key, value in flat(config).items():
        if key.split(".")[-1] != "device" or not isinstance(value, str) or value in ("cpu", "auto"):
            continue
        if value.startswith("${"):  # another setting's, which is looked at there
            continue
        import torch  # seconds, which the usual devices need not wait

        try:
            kind = torch.device(value).type
        except RuntimeError as error:
            raise ValueError(f"{key}={value}: there is no such device; use cpu or cuda") from error
        if kind == "cuda" and not torch.cuda.is_available():
            raise ValueError(
                f"{key}={value}: torch {torch.__version__} sees no GPU; use {key}=cpu, or install its CUDA "
                "build (pip install torch)"
            )
        try:  # a number read back, from kinds that this torch may lack or only pretend
            torch.ones(1, device=value).item() if kind not in ("cpu", "cuda") else None
        except Exception as error:
            raise ValueError(f"{key}={value}: this torch cannot compute there; use {key}=cpu") from error


def demand(config: DictConfig, verb: str) -> None:
    """Refuse a configuration that lacks settings which only the user can know."""
    if missing := [key for key, value in flat(config).items() if value == "???"]:
        wanted = " and ".join(f"{key}=…" for key in missing)
        raise ValueError(f"give {wanted}; see playloop {verb.split('_')[0]} --help.")


def flat(config: DictConfig) -> dict[str, Any]:
    """Full key → value of all sections and settings, unresolved: `???` is missing, `${key}` a reference."""

    def walk(node: Any, prefix: str) -> Iterator[tuple[str, Any]]:
        for name, value in node.items():
            yield f"{prefix}{name}", value
            if isinstance(value, dict):
                yield from walk(value, f"{prefix}{name}.")

    return dict(walk(OmegaConf.to_container(config, resolve=False), ""))


@contextmanager
def hydra() -> Iterator[None]:
    """Hydra, reading the package's own YAML files and then those of others."""
    register()
    GlobalHydra.instance().clear()
    with initialize_config_module("playloop.configs", version_base="1.3"):
        yield


def group_options(verb: str) -> dict[str, list[str]]:
    """Group → options, of the groups in the verb's defaults list."""
    own = _own_and_installed(verb, USERS.get())
    return {
        group: sorted({*names, *(option.name for option in options(group))}) for group, names in own.items()
    }


@cache
def _own_and_installed(verb: str, folder: Path | None) -> dict[str, list[str]]:
    with hydra():
        loader = GlobalHydra.instance().config_loader()
        chosen = compose(verb, return_hydra_config=True).hydra.runtime.choices
        names = sorted(str(name) for name in chosen if not str(name).startswith("hydra/"))
        return {name: loader.get_group_options(name) for name in names}


def check_choice(word: Word, groups: dict[str, list[str]]) -> str:
    """The word of a `group=option`, of which there must be one."""
    if word.text is not None and word.text not in groups[word.key]:
        hint = nearest(word.text, groups[word.key])
        raise ValueError(f"{word.key}={word.text}: there is no such {word.key}{hint}.")
    return word.word


def apply(word: Word, config: DictConfig, free: list[str], verb: str) -> None:
    """Set, add (`+key=value`) or take away (`~key`) one setting, in place."""
    key = word.key if "+" in word.mode else full_key(word.key, list(flat(config)), free)
    parent, _, name = key.rpartition(".")
    if word.mode == "~":
        del (OmegaConf.select(config, parent) if parent else config)[name]
    else:
        value = word.value(hint_of(config, verb, key))
        parts = isinstance(value, Mapping) and isinstance(OmegaConf.select(config, key), DictConfig)
        OmegaConf.update(config, key, value, merge=parts, force_add=True)


def full_key(key: str, known: list[str], free: list[str]) -> str:
    """`suite` → `env.suite` where only one group has it.

    Args:
        key: as written.
        known: all full keys.
        free: the mappings with free keys.
    """
    if key in known:
        return key
    ends = [name for name in known if name.endswith(f".{key}")]
    shortest = [name for name in ends if name.count(".") == min(end.count(".") for end in ends)]
    if len(shortest) == 1:
        return shortest[0]
    if shortest:
        raise ValueError(f"{key!r} could be {' or '.join(shortest)}; write which.")
    head, _, tail = key.rpartition(".")
    for mapping in free:
        if mapping == head or mapping.endswith(f".{head}"):
            return f"{mapping}.{tail}"
    raise ValueError(f"there is no setting {key!r}{nearest_key(key, known)}.")


def nearest_key(key: str, known: list[str]) -> str:
    """Compare the last part as well as the whole: `sed` is near `seed`, `env.sute` near `env.suite`."""
    if "." in key:
        return nearest(key, known)
    return nearest(key, dict.fromkeys(name.rsplit(".", 1)[-1] for name in known))


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
    """
    values: Any = OmegaConf.to_container(config, resolve=False)
    for field in fields(SETTINGS[verb]):
        if field.name not in values:
            raise ValueError(f"{field.name} is taken away, and playloop {verb.split('_')[0]} needs it.")
    check_node(values, SETTINGS[verb], "")


def check_node(node: Mapping[str, Any], hint: Any, prefix: str) -> None:
    """Check the settings of one node and of those in it; see `check_settings`."""
    known = hints_in(node, hint)
    target = node.get("_target_")  # a dataclass takes no other settings than its fields
    closed = bool(inner_class(hint)) or (isinstance(target, str) and is_dataclass(find(target)))
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


def holds_settings(hint: Any) -> bool:
    """Whether an annotation is that of a node: a class, some of its fields, or named nodes of one class."""
    return bool(inner_class(hint)) or inner_class(dict_item(hint)) is not None
