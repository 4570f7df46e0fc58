"""Help on a verb and its settings: meanings from docstrings, defaults from dataclasses and YAML."""

from __future__ import annotations

import inspect
import json
import re
import shutil
import textwrap
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import resources
from typing import Any

from omegaconf import DictConfig, OmegaConf

from playloop.configs.compose import SPECIAL, group_options, hints_in, is_reference, load
from playloop.configs.plugins import first_comment, options
from playloop.configs.settings import SETTINGS, settings_name
from playloop.core.fields import find, inner_class

COMMON_HELP = """\
Options:
  --help            this text; with group=name among the words, on the settings of that choice
  --config-dir DIR  take options from a folder of yours, too: DIR/env/NAME.yaml is env=NAME
  --print-config    print the settings that the command line leads to, and stop
  --debug           show tracebacks"""
SETTINGS_HELP = """
Settings: key=value, here with what they are unless set; null is none, … must be given. The last
part of a key will do where only one setting has it.
"""
WIDTH, COLUMN = min(shutil.get_terminal_size((100, 24)).columns, 100), 32
"""Columns of the text and of its left part."""


def show_help(verb: str, description: str, words: list[str]) -> None:
    """Print a verb's description and its settings under the words of the command line."""
    # Lists and examples stand as they are, text is wrapped.
    parts = (part if "\n  " in part else textwrap.fill(part, WIDTH) for part in description.split("\n\n"))
    print(*parts, COMMON_HELP, sep="\n\n")
    name = settings_name(verb, words)
    if name is None:
        return
    config, groups = load(name, words), group_options(name)
    print(SETTINGS_HELP)
    section = ""
    for key, value, meaning in described(config, name):
        if (head := key.partition(".")[0] if "." in key else "") != section:
            section = head
            print(f"\n{heading(head, config[head], meanings(SETTINGS[name]).get(head, ''))}")
        print(entry(f"{key}={value}", meaning))
    if groups:
        print("\nChoices: group=name")
    for group, names in groups.items():
        print(f"\n{group}:")
        for option, purpose in purposes(group, names):
            print(entry(option, purpose))


def described(config: DictConfig, name: str) -> Iterator[tuple[str, str, str]]:
    """Full key, value and meaning of every setting but those that follow another one."""
    values: Any = OmegaConf.to_container(config, resolve=False)
    yield from sorted(_walk(values, SETTINGS[name], ""), key=lambda item: "." in item[0])


def _walk(node: Mapping[str, Any], hint: Any, prefix: str) -> Iterator[tuple[str, str, str]]:
    classes = [cls for cls in (inner_class(hint), node.get("_target_") and find(node["_target_"])) if cls]
    said = {name: text for cls in classes for name, text in meanings(cls).items()}
    known = hints_in(node, hint)
    inner = {}
    for name, value in node.items():
        if name in SPECIAL or is_reference(value):
            continue
        if isinstance(value, Mapping) and value:
            inner[name] = value
        else:
            yield f"{prefix}{name}", written(value), said.get(name, "")
    for name, value in inner.items():
        yield from _walk(value, known.get(name, Any), f"{prefix}{name}.")


@cache
def meanings(cls: type) -> Mapping[str, str]:
    """Setting → what it means, as the `Args:` of a class and of those that it extends say."""
    found: dict[str, str] = {}
    for base in reversed(inspect.getmro(cls)):
        _, _, text = inspect.cleandoc(base.__dict__.get("__doc__") or "").partition("\nArgs:\n")
        block = re.split(r"^\S", text, maxsplit=1, flags=re.MULTILINE)[0]
        for item in re.finditer(r"^    (\w+): (.*(?:\n     +.*)*)", block, re.MULTILINE):
            found[item[1]] = re.sub(r"\bNone\b", "null", " ".join(item[2].split()))
    return found


def written(value: Any) -> str:
    """A value as one types it; `…` is the user's to give."""
    if value == "???":
        return "…"
    if isinstance(value, str) and value:
        return value
    return json.dumps(value, ensure_ascii=False).replace("Infinity", ".inf")


def heading(name: str, part: Any, meaning: str) -> str:
    """What a part of the settings is: in the verb's words, and its class's."""
    cls = find(part["_target_"]) if isinstance(part, DictConfig) and "_target_" in part else None
    first = inspect.cleandoc(cls.__doc__ or "").partition("\n")[0] if cls else ""
    text = f"{name}: {meaning}" if first.lower() == meaning.lower() else f"{name}: {meaning} {first}"
    return textwrap.fill(text, WIDTH, subsequent_indent="  ")


def purposes(group: str, names: list[str]) -> Iterator[tuple[str, str]]:
    """Option and what it is, of all options of a group: Playloop's own first."""
    folder, foreign = resources.files("playloop.configs") / group, options(group)
    for name in names:
        if (own := folder / f"{name}.yaml").is_file():
            yield name, first_comment(own.read_text())
    yield from ((option.name, option.purpose()) for option in foreign)


def entry(left: str, right: str) -> str:
    """One line of two columns, or several; what is long on the left has a line of its own."""
    indent = " " * COLUMN
    text = textwrap.fill(right, WIDTH, initial_indent=indent, subsequent_indent=indent)
    if len(left) + 4 > COLUMN:
        return f"  {left}\n{text}".rstrip()
    return f"  {left}{text[2 + len(left) :]}".rstrip()
