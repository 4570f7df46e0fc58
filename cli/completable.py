"""Works out what `cli.complete` offers: `python -m playloop.cli.completable FILE VERB [WORD …]`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

from playloop.cli.arguments import Arguments
from playloop.cli.help import described, purposes
from playloop.configs.compose import group_options, hint_of, load
from playloop.configs.plugins import use_folder
from playloop.configs.settings import settings_name
from playloop.configs.words import options
from playloop.core.annotations import Known
from playloop.core.fields import parts
from playloop.core.files import write_json

DEVICES = ["cpu", "cuda", "auto"]


def completable(verb: str, words: list[str]) -> dict[str, Any]:
    """Groups with options; settings with value, meaning, known values and whether they may be a path."""
    name = settings_name(verb, words)
    if name is None:
        return {"groups": {}, "settings": {}}
    config = load(name, words)
    settings = {
        key: {"value": value, "meaning": meaning, **_values(key, hint_of(config, name, key))}
        for key, value, meaning in described(config, name)
    }
    groups = {group: dict(purposes(group, names)) for group, names in group_options(name).items()}
    return {"groups": groups, "settings": settings}


def _values(key: str, hint: Any) -> dict[str, Any]:
    known = DEVICES if key.rpartition(".")[2] == "device" else choices(hint)
    return {"choices": known, "path": not known and bool({str, Path} & options(hint))}


def choices(hint: Any) -> list[str]:
    """The values that an annotation names, as one types them.

    >>> choices(Literal["final", "any"] | None)
    ['final', 'any', 'null']
    """
    if hint is bool:
        return ["true", "false"]
    if hint is type(None):
        return ["null"]
    if get_origin(hint) is Literal:
        return [str(value) for value in get_args(hint)]
    if get_origin(hint) is Annotated:
        inner, *extras = get_args(hint)
        named = [value for extra in extras if isinstance(extra, Known) for value in extra.values]
        return named or choices(inner)
    found = [value for part in parts(hint) if part is not hint for value in choices(part)]
    return found if found != ["null"] else []


def main(target: Path, verb: str, words: list[str]) -> None:
    """Write the file; that of the verb alone where the words lead to no settings."""
    try:
        arguments = Arguments.parse([verb, *words])
        use_folder(arguments.config_dir)
        found = completable(verb, arguments.words)
    except Exception:  # a misspelt word, a plugin that is broken: said when the command runs
        found = completable(verb, []) if words else {"groups": {}, "settings": {}}
    write_json(target, found)
    target.with_suffix(".busy").unlink(missing_ok=True)


if __name__ == "__main__":
    os.nice(10)
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3:])
