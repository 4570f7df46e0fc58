"""What a shell offers at Tab: `playloop __complete SHELL …`, in tenths of a second.

Only the standard library is imported. The settings of a verb under the words that choose its parts are worked
out by `cli.completable`, in a process of its own, and kept in the user's cache folder; until they are there,
the groups and their options are offered, which are files.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from playloop.cli.verbs import FLAGS, SHELLS, VERBS

PACKAGE = Path(__file__).absolute().parent.parent
TRAINED = ("policy", "world", "tokenizer", "inverse", "mineworld", "openvla")
PARTS = ("env", "agent", *TRAINED, "objective", "training")
"""Words that choose which settings there are."""
BENCHES = (
    *("rollout", "decode", "decoder", "world", "craft", "simpler", "play", "serve", "train"),
    "instructions",
)
PATHS = ("compare", "join", "inspect", "convert", "merge")
"""Verbs with words that are files and folders."""
OPEN = ("=", "/", ".")
"""Ends of words that go on."""
STALE = 120.0
"""Seconds after which a process that works out settings counts as dead."""
KEPT = 8
"""Installations, or states of one, of which the cache is kept."""
Candidates = dict[str, str]
"""Word → what it means."""


def complete(words: list[str]) -> int:
    """Print what `playloop __complete` is asked for, a candidate a line; returns the exit status."""
    shell, *rest = words or [""]
    if shell not in SHELLS:
        return 2
    breaks = ""
    if shell == "bash":
        line, breaks = [*rest, "", ""][:2]
        rest = words_of(line)
    *before, current = rest or [""]
    found = {word: text for word, text in candidates(before, current).items() if word.startswith(current)}
    cut = max((current.rfind(mark) + 1 for mark in "=:" if mark in breaks), default=0)
    for word, text in found.items():
        if shell == "bash":
            print(escaped(word[cut:]) + ("" if word.endswith(OPEN) else " "))
        else:
            print(f"{word}\t{text}" if text else word)
    return 0


def words_of(line: str) -> list[str]:
    """The words behind `playloop` in a line up to the cursor; the last is being written, perhaps empty."""
    for ending in ("", "'", '"'):  # of a quote that is still open
        try:
            words = shlex.split(line + ending)
            break
        except ValueError:
            words = line.split()
    if not line or (line[-1].isspace() and not line.endswith("\\ ")):
        words.append("")
    named = [number for number, word in enumerate(words) if Path(word).name == "playloop"]
    return words[named[0] + 1 :] if named else words[1:]


def candidates(before: list[str], current: str) -> Candidates:
    """What the word that is being written may become, and more.

    Args:
        before: the words between `playloop` and it.
        current: as far as it is written.
    """
    if not before:
        return {**VERBS, "--help": "this list", "--version": "which version this is"}
    verb, *words = before
    if words and words[-1] == "--config-dir":
        return files(current, folders=True)
    if current.startswith("-"):
        return FLAGS
    if verb == "completion":
        return dict.fromkeys(SHELLS if not words else (), "")
    known = settings_of(verb, words)
    key, equals, text = current.partition("=")
    if equals:
        return values(known, key, text)
    found: Candidates = {}
    if verb == "bench" and not any(word in BENCHES for word in words):
        found |= dict.fromkeys(BENCHES, "")
    if verb == "inspect":
        found |= dict.fromkeys(shipped(), "ships with the package")
    if verb in PATHS:
        found |= files(current)
    return found | keys(known, {word.partition("=")[0] for word in words}, current)


def keys(known: dict[str, Any], given: set[str], current: str) -> Candidates:
    """Groups and settings that are not given yet. Those of a part go by the last of their key where one part
    alone has it, and by the whole of it once its beginning is written.
    """
    found = {f"{group}=": f"one of {', '.join(options)}" for group, options in known["groups"].items()}
    settings = known["settings"]
    last = [key.rpartition(".")[2] for key in settings]
    for key, setting in settings.items():
        short = key.rpartition(".")[2]
        text = f"{setting['value']}: {setting['meaning']}".strip(": ")
        if "." not in key or last.count(short) == 1:
            found.setdefault(f"{short}=", text)
        if current and "." in key:
            found[f"{key}="] = text
    if not current and len(found) > 60:  # bench
        found = {word: text for word, text in found.items() if word[:-1] in settings}
    return {word: text for word, text in found.items() if word[:-1] not in given}


def values(known: dict[str, Any], key: str, text: str) -> Candidates:
    """`key=value` for the values that a group or setting is known to take; else files."""
    if key in known["groups"]:
        return {f"{key}={name}": purpose for name, purpose in known["groups"][key].items()}
    full = [name for name in known["settings"] if name == key or name.endswith(f".{key}")]
    setting: dict[str, Any] = known["settings"][full[0]] if full else {"choices": [], "path": True}
    found = {str(choice): "" for choice in setting["choices"]}
    if key.rpartition(".")[2] in ("checkpoint", "tokenizer", "inverse", "world"):
        found |= dict.fromkeys(shipped(), "ships with the package")
    if setting["path"]:
        found |= files(text)
    return {f"{key}={value}": meaning for value, meaning in found.items()}


def files(text: str, folders: bool = False) -> Candidates:
    """What lies where a path that begins so leads; folders end in a stroke."""
    head, _, tail = text.rpartition("/")
    home = Path(os.path.expanduser(f"{head}/" if "/" in text else "."))
    try:
        found = sorted(path for path in home.iterdir() if path.name.startswith(tail))
    except OSError:
        return {}
    shown = [path for path in found if tail.startswith(".") or not path.name.startswith(".")]
    start = f"{head}/" if "/" in text else ""
    return {f"{start}{path.name}{'/' * path.is_dir()}": "" for path in shown if path.is_dir() or not folders}


def shipped() -> Iterator[str]:
    """Names of the checkpoints that ship with the package."""
    for room in ("policies", "worlds"):
        yield from sorted(path.parent.name for path in (PACKAGE / room / "checkpoints").glob("*/config.json"))


def settings_of(verb: str, words: list[str]) -> dict[str, Any]:
    """Groups and settings of a verb under the words that choose its parts: as cached; else what files tell,
    while another process works out the rest.
    """
    chosen = sorted(word for word in words if word.partition("=")[0] in PARTS or "._target_=" in word)
    if "--config-dir" in words[:-1]:
        chosen += words[(place := words.index("--config-dir")) : place + 2]
    for some in (chosen, []):
        try:
            found: dict[str, Any] = json.loads(entry(verb, some).read_text())
            # of other parts only the groups hold: their settings have other names and values
            return found if some == chosen else {**found, "settings": {}}
        except (OSError, ValueError):
            work_out(verb, some)
    return {"groups": {name: option_files(name) for name in groups_of(verb)}, "settings": {}}


def groups_of(verb: str) -> list[str]:
    """The groups in the defaults list of a verb's YAML."""
    path = PACKAGE / "configs" / f"{verb}.yaml"
    return re.findall(r"^  - (?!_self_)(\w+):", path.read_text(), re.M) if path.is_file() else []


def option_files(group: str) -> Candidates:
    """Option → the comment at the top of its YAML."""
    found = sorted((PACKAGE / "configs" / group).glob("*.yaml"))
    return {path.stem: path.read_text().partition("\n")[0].removeprefix("#").strip() for path in found}


def entry(verb: str, chosen: Iterable[str]) -> Path:
    """The cache's file for a verb and the words that choose its parts."""
    text = json.dumps([verb, *chosen])
    return cache_folder() / f"{verb}-{hashlib.sha256(text.encode()).hexdigest()[:12]}.json"


def cache_folder() -> Path:
    """Of this installation as it is now: with another file, or another package beside it, it is another."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "playloop", "completion")
    paths = [path for path in sys.path if path.endswith("-packages") and os.path.isdir(path)]
    for room in filter(os.path.isdir, PACKAGE.iterdir()):
        for folder, _, names in os.walk(room):
            paths += [f"{folder}/{name}" for name in names if name.endswith((".py", ".yaml"))]
    times = [os.stat(path).st_mtime_ns for path in paths]
    stamp = hashlib.sha256(json.dumps([str(PACKAGE), sys.version, *sorted(times)]).encode())
    return home / stamp.hexdigest()[:12]


def work_out(verb: str, chosen: list[str]) -> None:
    """Have another process write what the settings are, if none is at it already."""
    target = entry(verb, chosen)
    mark = target.with_suffix(".busy")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if mark.exists() and abs(mark.stat().st_mtime - time.time()) < STALE:
            return
        mark.write_text("")
    except OSError:  # nowhere to keep anything
        return
    folders = sorted(target.parent.parent.iterdir(), key=os.path.getmtime)
    for old in folders[:-KEPT]:
        shutil.rmtree(old, ignore_errors=True)
    command = [sys.executable, "-m", "playloop.cli.completable", str(target), verb, *chosen]
    null = subprocess.DEVNULL
    subprocess.Popen(command, stdin=null, stdout=null, stderr=null, start_new_session=True)


def escaped(word: str) -> str:
    """A word as one types it in bash."""
    return re.sub(r"([\s\\'\"$`&|;<>()\[\]{}*?!#])", r"\\\1", word)
