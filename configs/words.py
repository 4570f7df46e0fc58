"""One `key=value` word, and its value by the type that the setting declares.

Text, and so every path, is taken as the shell gives it: names hold spaces, commas, brackets, `=`, `$` and
letters of every language. Everything else is read by Hydra's grammar.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

WORD = re.compile(r"(?P<mode>\+{0,2}|~)(?P<key>[A-Za-z_][\w.@-]*)(?P<given>=(?P<text>.*))?", re.DOTALL)
ITEM = re.compile(r"""\s*(?:"(?P<double>[^"]*)"|'(?P<single>[^']*)'|(?P<bare>[^,]*?))\s*,""", re.DOTALL)


@dataclass(frozen=True)
class Word:
    """`key=value`, `+key=value` (a new key), `~key` (taken away), as written.

    Args:
        word: the whole of it, for messages.
        key: of the setting, or of a part of it.
        text: behind the `=`; None where there is none.
        mode: "", "+", "++" or "~".
    """

    word: str
    key: str
    text: str | None
    mode: str = ""

    @classmethod
    def parse(cls, word: str) -> Word:
        """A word taken apart.

        Raises:
            ValueError: it is no setting.
        """
        found = WORD.fullmatch(word)
        if found is None or (found["given"] is None and found["mode"] != "~"):
            raise ValueError(f"{word!r} is not a setting; write key=value.")
        return cls(word, found["key"], found["text"], found["mode"])

    def value(self, hint: Any) -> Any:
        """What the setting shall hold.

        Args:
            hint: its annotation; `Any` where nothing is declared.

        Raises:
            ValueError: the value reads as nothing.
        """
        kinds, text = options(hint), self.text or ""
        if str not in kinds and Path not in kinds:
            is_list = {list, tuple} & kinds and {str} & options(item_of(hint))
            return texts(text, item_of(hint)) if is_list and in_brackets(text) else self._parse()
        if text == "null":
            return None
        if in_brackets(text) and {list, tuple} & kinds:
            return texts(text, item_of(hint))
        if bool in kinds and text in ("true", "false"):
            return text == "true"
        return number_or_text(text, kinds)

    def _parse(self) -> Any:
        """By Hydra's grammar, and infinity as YAML writes it."""
        if re.fullmatch(r"[+-]?\.inf", self.text or ""):
            return float((self.text or "").replace(".", ""))
        try:
            override = OverridesParser.create().parse_override(f"key={self.text or ''}")
        except HydraException as error:
            raise ValueError(
                f"{self.word} does not read as key=value; put quotes around unusual text."
            ) from error
        if override.is_sweep_override():
            raise ValueError(f"{self.word} gives several values; give one, or a list in brackets: [1,2].")
        return override.value()


def is_setting(word: str) -> bool:
    """Whether a word of the command line is a setting; a folder's path, `runs/epoch=9`, is none."""
    found = WORD.fullmatch(word)
    return found is not None and (found["given"] is not None or found["mode"] == "~")


def options(hint: Any) -> set[Any]:
    """The types that an annotation admits, a literal by the type of its values: `int | None` is both."""
    kind, parts = get_origin(hint), get_args(hint)
    if kind is Annotated:
        return options(parts[0])
    if kind in (Union, UnionType):
        return set().union(*map(options, parts))
    if kind is Literal:
        return {type(part) for part in parts}
    return {list if kind is Sequence else dict if kind is Mapping else kind or hint}


def item_of(hint: Any) -> Any:
    """The annotation of a list's items; `Any` where it admits no list."""
    kind, parts = get_origin(hint), get_args(hint)
    if kind is Annotated:
        return item_of(parts[0])
    if kind in (Union, UnionType):
        return next((item for part in parts if (item := item_of(part)) is not Any), Any)
    return parts[0] if kind in (list, tuple, Sequence) and parts else Any


def number_or_text(text: str, kinds: set[Any]) -> Any:
    """A whole number where one is admitted and it reads as one; else the text, and `~` is the home folder."""
    if int in kinds and re.fullmatch(r"[+-]?\d+", text):
        return int(text)
    return literal(os.path.expanduser(text))


def texts(text: str, hint: Any) -> list[Any]:
    """The items of `[a, b]`, each as typed; one with a comma in it stands in quotes."""
    inner, items = text[1:-1].strip(), []
    for found in ITEM.finditer(inner.removesuffix(",") + ",") if inner else ():
        quoted = found["double"] if found["double"] is not None else found["single"]
        items.append(number_or_text(found["bare"], options(hint)) if quoted is None else literal(quoted))
    return items


def in_brackets(text: str) -> bool:
    """Whether a value is written as a list."""
    return text.startswith("[") and text.endswith("]")


def literal(text: str) -> str:
    """Text as OmegaConf must be given it to give it back: `${` would begin a reference."""
    return re.sub(r"(\\*)\$\{", lambda found: found[1] * 2 + r"\${", text)
