"""`playloop train`: from a configuration to a checkpoint."""

from __future__ import annotations

import sys
from pathlib import Path

from omegaconf import DictConfig

from playloop.core.fields import build, make, plain
from playloop.rollouts.progress import announced
from playloop.training.distributed import ProcessGroup, choose_threads, join_group, leave_group
from playloop.training.task import TaskConfig, TrainingTask


def train(config: DictConfig) -> bool:
    """Train as configured; True when all steps are done, False when time ran out before.

    Args:
        config: `task` and `trainer`, each with the `_target_` of its configuration; `out`; `device`.
            `data`, `seed` and `command` are referred to by the other parts (`configs/training/default.yaml`).

    Raises:
        BlockingIOError: another process trains in `out`.
        StoppedWithFirst: in all processes but the first, where that one fails in what it does for all.
        FileNotFoundError, OSError, ValueError, FloatingPointError: say what to do.
    """
    group = join_group(config.training.get("device", "auto"))
    try:
        if group.device.type == "cpu" and (said := choose_threads()) and group.first:
            print(said, file=sys.stderr, flush=True)
        trainer = make(config.training.trainer).make(group)
        settings, out = plain(config.training.task), Path(config.out)
        if isinstance(settings.get("data"), str):
            settings["data"] = [settings["data"]]
        task: TaskConfig = build(settings)
        with trainer.claim(out, task.settings()):
            return trainer.run(_make_task(task, group), out)
    finally:
        leave_group()


def _make_task(config: TaskConfig, group: ProcessGroup) -> TrainingTask:
    """The first process makes the image caches, the others find them."""

    def make() -> TrainingTask:
        with group.all_cores(), announced("reading the data"):
            return config.make()

    made = group.on_first(make)
    return config.make() if made is None else made
