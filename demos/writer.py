"""Data sets as a writer from outside knows them: `playloop.demos.writer.DatasetWriter`."""

from playloop.demos.lerobot.writer import DatasetWriter

__all__ = ["DatasetWriter"]
