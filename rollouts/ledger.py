"""A file of records on disk: one line each, appended when it is there and never changed."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from playloop.core.files import write_json
from playloop.rollouts.differences import differences

Record = TypeVar("Record")


class Ledger:
    """JSON lines and the `config.json` that they belong to, in a folder that one process writes to at a time.

    A last line that a kill has torn is cut off when the folder is opened again.

    Args:
        path: of the lines; its folder is created if it does not exist.
        config: everything that can change a record, JSON-able.

    Raises:
        ValueError: the folder was begun with another configuration.
        BlockingIOError: another process is writing to the folder.
    """

    def __init__(self, path: Path, config: dict[str, Any]):
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            self._lock()
            self._check(json.loads(json.dumps(config)))
            self.was_torn = self._cut_torn_line()
        except BaseException:
            self.close()
            raise

    def append(self, line: str) -> None:
        """Write a line, given without its end, and wait until it is on the disk."""
        data = line.encode() + b"\n"
        if os.write(self._file, data) != len(data):
            raise OSError(f"the disk took only a part of a line of {self.path}; free some space and repeat")
        os.fsync(self._file)

    def close(self) -> None:
        """Release the folder."""
        os.close(self._file)

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # a killed process releases it
        except BlockingIOError:
            raise BlockingIOError(
                f"another run is writing to {self.path.parent}; wait for it or give another folder with out=…"
            ) from None

    def _check(self, config: dict[str, Any]) -> None:
        """Compare with the configuration that the folder was begun with; write it at the beginning."""
        path = self.path.with_name("config.json")
        if not path.exists():
            write_json(path, config)
        elif changed := differences(json.loads(path.read_text()), config):
            raise ValueError(
                f"{path.parent} was begun with another configuration ({'; '.join(changed)}); "
                "give another folder with out=… or delete this one"
            )

    def _cut_torn_line(self) -> bool:
        content = self.path.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole == len(content):
            return False
        os.ftruncate(self._file, whole)
        os.fsync(self._file)
        return True


def read_lines(path: Path, parse: Callable[[Any], Record]) -> list[Record]:
    """The whole lines of a file; what follows the last line end is left out.

    Args:
        path: of JSON lines.
        parse: a line's value to a record; raises ValueError, KeyError or TypeError if it is none.

    Raises:
        ValueError: a line is damaged.
    """
    records = []
    *lines, _torn = path.read_text().split("\n")
    for number, line in enumerate(lines, 1):
        try:
            records.append(parse(json.loads(line)))
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path}:{number} is damaged ({error}); delete that line and repeat") from error
    return records
