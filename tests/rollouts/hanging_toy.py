"""An evaluation whose environments hang in C code: `python hanging_toy.py DIR WHERE`."""

import ctypes
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from toy_helpers import SeekAgent

from playloop.envs.toy import ToyReach, ToyReachConfig
from playloop.rollouts.evaluate import evaluate


@dataclass(frozen=True)
class HangingConfig(ToyReachConfig):
    folder: str = ""
    where: str = ""

    def make(self):
        self.hang("make")
        return HangingToy(self)

    def hang(self, where):
        if self.where == where:
            Path(self.folder, f"pid{os.getpid()}").touch()
            ctypes.PyDLL(None).sleep(600)  # keeps Python's lock: no thread and no signal handler runs


class HangingToy(ToyReach):
    def begin(self, episode):
        self.config.hang("begin")
        super().begin(episode)

    def advance(self, action):
        self.config.hang("advance")
        return super().advance(action)


if __name__ == "__main__":
    folder, where = sys.argv[1:]
    config = HangingConfig(tasks=2, inits=1, folder=folder, where=where)
    evaluate(config, SeekAgent(), config.episodes(), Path(folder, "out"), 2)
