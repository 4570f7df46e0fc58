"""A file of records on disk: one line each, appended when it is there and never changed."""

from __future__ import annotations

import codecs
import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic, TypeVar

from playloop.core.files import LFS_HEADER, check_pointer, encoded, read_json, write_json
from playloop.core.formats import FORMAT, check_format, format_of
from playloop.core.locks import FolderLock

Record = TypeVar("Record")
BOUND = "config"
"""Key of a line that tells under which configuration it was written; older ledgers have none."""


class Ledger(Generic[Record]):
    """JSON lines and the `config.json` that they belong to, in a folder that one process writes to at a time.

    Every line carries a hash of the configuration, so that lines stay with theirs when `config.json` is lost
    or changed. A last line that a kill has torn is cut off when the folder is opened again.

    Args:
        path: of the lines; its folder is created if it does not exist.
        config: everything that can change a record, JSON-able.
        parse: see `read_lines`; what the file holds is read at once, as `records`.
        lock: on the folder, where the caller holds and keeps it; else it is taken here, until `close`.

    Raises:
        ValueError: the folder was begun with another configuration, or a line is damaged.
        BlockingIOError: another process is writing to the folder.
    """

    def __init__(
        self,
        path: Path,
        config: dict[str, Any],
        parse: Callable[[Any, str], Record],
        lock: FolderLock | None = None,
    ):
        self.path = path
        self._lock = None if lock else FolderLock(path.parent, "a run of playloop").acquire()
        self._file: int | None = None
        self._begun = not path.with_name("config.json").exists()
        try:
            self._key = self._check({"format": FORMAT} | json.loads(json.dumps(config)))
            self.records = read_lines(path, parse, self._key) if path.exists() else []
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
            self.was_torn = self._cut_torn_line()
        except BaseException:
            self.close()
            raise

    def write(self, record: dict[str, Any], default: Callable[[Any], Any] | None = None) -> None:
        """Write a record as a line and wait until it is on the disk; `default` as in `json.dumps`.

        Raises:
            OSError: the disk is full; what was written of the line is taken back.
        """
        assert self._file is not None, "the ledger is closed"
        bound = {**record, BOUND: self._key}
        text = json.dumps(bound, ensure_ascii=False, allow_nan=False, default=default)
        data, size = encoded(text) + b"\n", os.fstat(self._file).st_size
        try:
            written = os.write(self._file, data)
            os.fsync(self._file)
        except OSError:
            os.ftruncate(self._file, size)
            raise
        if written != len(data):
            os.ftruncate(self._file, size)
            raise OSError(f"the disk took only a part of a line of {self.path}; free some space and repeat")

    def withdraw(self) -> None:
        """Remove the files if they were begun here and got no line: what fails at once leaves none."""
        if self._begun and self._file is not None and not os.fstat(self._file).st_size:
            self.path.unlink(missing_ok=True)
            self.path.with_name("config.json").unlink(missing_ok=True)

    def close(self) -> None:
        """Release the folder."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
        if self._lock is not None:
            self._lock.release()

    def _check(self, config: dict[str, Any]) -> str:
        """Compare with the configuration that the folder was begun with, or begin it; its lines' key."""
        path = self.path.with_name("config.json")
        before = read_config(path)
        if before is None:
            lines = _values(self.path) if self.path.exists() else []
            if stray := [key for key in map(_key_of, lines) if key != config_key(config)]:
                raise ValueError(
                    f"{self.path} has {len(stray)} lines of "
                    f"{'another configuration' if any(stray) else 'an older version'} and {path.name} "
                    "is missing, so that nobody can tell what they belong to; give another folder with "
                    "out=…, or put the file back"
                )
            write_json(path, config)
            return config_key(config)
        check_format(before, path, "give another folder with out=…")
        if changed := differences(before, config):
            raise ValueError(
                f"{path.parent} was begun with another configuration ({'; '.join(changed)}); "
                "give another folder with out=… or delete this one"
            )
        return config_key(before)

    def _cut_torn_line(self) -> bool:
        assert self._file is not None
        content = self.path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        # Empty lines at the end are an editor's: they go, so that none is left amid the lines to come.
        end = content.find(b"\n", len(whole.rstrip())) + 1 if whole.strip() else 0
        if end < len(content):
            os.ftruncate(self._file, end)
            os.fsync(self._file)
        return len(whole) < len(content)


def read_config(path: Path) -> dict[str, Any] | None:
    """The configuration that a folder was begun with; None if its file is not there."""
    try:
        config = read_json(path, "put it back from a copy, or give another folder with out=…")
    except FileNotFoundError:
        return None
    format_of(config, path)
    return config


def config_key(config: dict[str, Any]) -> str:
    """A short hash of a configuration as JSON, the same whatever the order of its keys."""
    text = json.dumps(_evened(config), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def read_lines(path: Path, parse: Callable[[Any, str], Record], key: str | None = None) -> list[Record]:
    """The whole lines of a file; what follows the last line end is left out.

    Args:
        path: of JSON lines.
        parse: a line's value and where it stands to a record; raises ValueError that names the line.
        key: of the configuration that the lines must have been written under, see `config_key`.

    Raises:
        ValueError: a line is damaged, or was written under another configuration; names the first.
    """
    records = []
    for number, value in enumerate(_values(path), 1):
        if key is not None and _key_of(value) not in (None, key):
            raise ValueError(
                f"{path}:{number} was written under another configuration than config.json beside it tells: "
                "one of the two was changed or copied here; put back what belongs together"
            )
        try:
            records.append(parse(value, f"{path}:{number}"))
        except ValueError as error:
            raise ValueError(f"{error}; delete that line and repeat") from error
    return records


def _values(path: Path) -> list[Any]:
    values, content = [], path.read_bytes()
    check_pointer(path, content[: len(LFS_HEADER)])
    *lines, _torn = content.removeprefix(codecs.BOM_UTF8).split(b"\n")
    while lines and not lines[-1].strip():  # an editor's
        lines.pop()
    for number, line in enumerate(lines, 1):
        try:
            values.append(json.loads(line.decode()))
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{path}:{number} is damaged ({error}); delete that line and repeat") from error
    return values


def _key_of(value: Any) -> str | None:
    """What a line is bound to; None for one of an older version."""
    return value.get(BOUND) if isinstance(value, dict) else None


def _evened(value: Any) -> Any:
    """Whole floats as integers: equal numbers have equal hashes."""
    if isinstance(value, dict):
        return {key: _evened(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_evened(part) for part in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def differences(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Sentences for the keys in which two configurations differ, nested keys joined by dots."""
    return [f"{key}: it was {old}, now it is {new}" for key, old, new in changes(before, now)]


def changes(before: dict[str, Any], now: dict[str, Any]) -> list[tuple[str, Any, Any]]:
    """The keys in which two configurations differ, nested ones joined by dots, and the value in either."""
    left, right = _flat(before), _flat(now)
    keys = sorted(left.keys() | right.keys())
    pairs = {key: (left.get(key, "(absent)"), right.get(key, "(absent)")) for key in keys}
    return [(key, old, new) for key, (old, new) in pairs.items() if old != new]


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(value, dict) or not value:
        return {prefix: value}
    return {
        name: leaf
        for key, part in value.items()
        for name, leaf in _flat(part, f"{prefix}.{key}" if prefix else str(key)).items()
    }
