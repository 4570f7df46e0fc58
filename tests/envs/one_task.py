"""Suites cut down to one task, because loading another scene costs seconds."""

from dataclasses import dataclass

from playloop.envs.libero import LiberoConfig
from playloop.envs.robosuite import RobosuiteConfig


@dataclass
class OneLiberoTask(LiberoConfig):
    only: int = 1

    def episodes(self, tasks=None, inits=None, seed=0):
        return super().episodes([self.only], 3 if inits is None else inits, seed)


@dataclass
class OneRobosuiteTask(RobosuiteConfig):
    only: int = 0

    def episodes(self, tasks=None, inits=None, seed=0):
        return super().episodes([self.only], 3 if inits is None else inits, seed)
