"""Imagined clips on disk: one line a clip, appended when it is there and never changed."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from playloop.rollouts.differences import differences
from playloop.rollouts.files import write_json


class DreamStore:
    """`imagined.jsonl` and `config.json` in a folder; a repeated command continues a killed one.

    Only tokens are kept: every figure follows from them and from the recordings, so that a new figure costs
    no imagining. A last line that a kill has torn is cut off and its clip is imagined again.

    Args:
        folder: created if it does not exist.
        config: everything that can change a token, JSON-able.

    Raises:
        ValueError: the folder was begun with another configuration, or a line is damaged.
        BlockingIOError: another process is writing to the folder.
    """

    def __init__(self, folder: Path, config: dict[str, Any]):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.path = self.folder / "imagined.jsonl"
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            self._lock()
            self._check(config)
            self._tokens: dict[str, np.ndarray] = {}
            self.seconds: dict[str, float] = {}
            self._read()
        except BaseException:
            os.close(self._file)
            raise

    def __contains__(self, key: str) -> bool:
        return key in self._tokens

    def __getitem__(self, key: str) -> np.ndarray:
        """The tokens of a clip, int64 [F, N]."""
        return self._tokens[key]

    def append(self, key: str, tokens: np.ndarray, seconds: float) -> None:
        """Write one line and wait until it is on the disk."""
        record = {"clip": key, "seconds": round(seconds, 4), "tokens": tokens.tolist()}
        data = json.dumps(record, separators=(",", ":")).encode() + b"\n"
        if os.write(self._file, data) != len(data):
            raise OSError(f"the disk took only a part of a line of {self.path}; free some space and repeat")
        os.fsync(self._file)
        self._tokens[key], self.seconds[key] = tokens, seconds

    def close(self) -> None:
        """Release the folder."""
        os.close(self._file)

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # a killed process releases it
        except BlockingIOError:
            raise BlockingIOError(
                f"another run is writing to {self.folder}; wait for it or give another folder with out=…"
            ) from None

    def _check(self, config: dict[str, Any]) -> None:
        config, path = json.loads(json.dumps(config)), self.folder / "config.json"
        if not path.exists():
            write_json(path, config)
        elif changed := differences(json.loads(path.read_text()), config):
            raise ValueError(
                f"{self.folder} was begun with another configuration ({'; '.join(changed)}); "
                "give another folder with out=… or delete this one"
            )

    def _read(self) -> None:
        content = self.path.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            os.ftruncate(self._file, whole)
        for number, line in enumerate(content[:whole].splitlines(), 1):
            try:
                record = json.loads(line)
                tokens, seconds = np.array(record["tokens"], np.int64), float(record["seconds"])
                self._tokens[record["clip"]], self.seconds[record["clip"]] = tokens, seconds
            except (ValueError, KeyError, TypeError) as error:
                raise ValueError(
                    f"{self.path}:{number} is damaged ({error}); delete that line and repeat"
                ) from error
