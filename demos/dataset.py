"""Data sets as a reader from outside knows them: `playloop.demos.dataset.Demonstrations`."""

from playloop.demos.lerobot.dataset import Demonstrations

__all__ = ["Demonstrations"]
