"""From `key=value` words to a complete configuration, with an answer to every misspelling.

A YAML file names a config dataclass by `_target_` and holds only what differs from its defaults: the rest is
filled in from the dataclass, so that every field can be set and is written into the results.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any

from hydra import compose, initialize_config_module
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf

from playloop.cli.arguments import Arguments
from playloop.cli.declared import check_settings, hint_of
from playloop.cli.settings import SETTINGS
from playloop.cli.words import Word
from playloop.core.fields import defaults, dict_item, fill, hints, inner_class
from playloop.core.words import nearest


def load(verb: str, words: list[str]) -> DictConfig:
    """The configuration of a verb under the given overrides.

    Raises:
        ValueError: a word is not `key=value`, or its key or option does not exist; names the nearest one.
    """
    given = [Word.parse(word) for word in words]
    with hydra():
        groups = chosen_groups(verb)
        choices = [word for word in given if word.key in groups]
        config = fill(compose(verb, [check_choice(word, groups) for word in choices]))
    complete(config, SETTINGS[verb])
    settings = [word for word in given if word.key not in groups]
    # A new class has other fields: it comes first, so that the rest is checked against them.
    for word in filter(names_class, settings):
        set_class(word, config)
    free = [key for key, value in flat(config).items() if value == {}]
    for word in settings:
        if not names_class(word):
            apply(word, config, free, verb)
    return fill(config)


def complete(config: DictConfig, cls: type) -> None:
    """Add what a verb's own settings are unless set, in place; a part that is not chosen is not added."""
    given = defaults(cls)
    for name, hint in hints(cls).items():
        inner = inner_class(hint)
        if name not in config and (given[name] != "???" or dict_item(hint) is None):
            config[name] = {} if inner else given[name]
        if inner:
            complete(config[name], inner)


def configure(verb: str, words: list[str], arguments: Arguments) -> DictConfig | None:
    """The complete configuration of a verb; None where `--print-config` wanted only to see it, and has.

    Raises:
        ValueError: as `load`, a setting is not what its annotation says, or one is missing that only the user
            can know.
    """
    config = load(verb, words)
    check_settings(config, verb)
    if arguments.print_config:
        show(config)
        return None
    demand(config, verb)
    check_devices(config)
    return config


def check_devices(config: DictConfig) -> None:
    """Refuse devices that are not there, before anything is loaded.

    Raises:
        ValueError: a setting names one; says which.
    """
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
    """Refuse a configuration with settings that only the user can know, and name them.

    Raises:
        ValueError: settings are missing.
    """
    if missing := [key for key, value in flat(config).items() if value == "???"]:
        wanted = " and ".join(f"{key}=…" for key in missing)
        raise ValueError(f"give {wanted}; see playloop {verb.split('_')[0]} --help.")


def show(config: DictConfig) -> None:
    """Print the configuration as YAML: resolved, unless something is still missing."""
    print(OmegaConf.to_yaml(config, resolve="???" not in flat(config).values()), end="")


def flat(config: DictConfig) -> dict[str, Any]:
    """Full key → value of all sections and settings, unresolved: `???` is missing, `${key}` a reference."""

    def walk(node: Any, prefix: str) -> Iterator[tuple[str, Any]]:
        for name, value in node.items():
            yield f"{prefix}{name}", value
            if isinstance(value, dict):
                yield from walk(value, f"{prefix}{name}.")

    return dict(walk(OmegaConf.to_container(config, resolve=False), ""))


def group_options(verb: str) -> dict[str, list[str]]:
    """The groups that a verb uses, each with its options."""
    with hydra():
        return chosen_groups(verb)


@contextmanager
def hydra() -> Iterator[None]:
    """Hydra, reading the package's own YAML files."""
    GlobalHydra.instance().clear()
    with initialize_config_module("playloop.configs", version_base="1.3"):
        yield


@cache
def chosen_groups(verb: str) -> dict[str, list[str]]:
    """Group → options, of the groups in the verb's defaults list."""
    loader = GlobalHydra.instance().config_loader()
    defaults = compose(verb, return_hydra_config=True).hydra.runtime.choices
    names = sorted(str(name) for name in defaults if not str(name).startswith("hydra/"))
    return {name: loader.get_group_options(name) for name in names}


def check_choice(word: Word, groups: dict[str, list[str]]) -> str:
    """The word of a `group=option`.

    Raises:
        ValueError: there is no such option; names the nearest.
    """
    if word.text is not None and word.text not in groups[word.key]:
        hint = nearest(word.text, groups[word.key])
        raise ValueError(f"{word.key}={word.text}: there is no such {word.key}{hint}.")
    return word.word


def names_class(word: Word) -> bool:
    """Whether the word exchanges a node's class."""
    return word.key.endswith("._target_")


def set_class(word: Word, config: DictConfig) -> None:
    """Replace a node by another class with its own fields."""
    parent = word.key.removesuffix("._target_")
    if parent not in flat(config):
        raise ValueError(f"there is nothing called {parent!r}{nearest_key(parent, list(flat(config)))}.")
    OmegaConf.update(config, parent, {"_target_": word.text}, merge=False)
    fill(config)


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
        free: the mappings below which any key may stand.
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
