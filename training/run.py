"""`playloop train`: from a configuration to a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig, ListConfig, OmegaConf

from playloop.training.distributed import World, join_world, leave_world
from playloop.training.task import Task


def train(config: DictConfig) -> bool:
    """Train as configured; True when all steps are done, False when time ran out before.

    Args:
        config: `task` and `trainer`, each with the `_target_` of its configuration; `out`; `device`.
            `data`, `seed` and `command` are referred to by the other parts (`configs/training/default.yaml`).
    """
    world = join_world(config.training.get("device", "auto"))
    try:
        trainer = build(config.training.trainer).make(world)
        task = _make_task(config.training.task, world)
        return trainer.run(task, Path(config.out))
    finally:
        leave_world()


def build(config: DictConfig) -> Any:
    """Instantiate a configuration whose plain parts become plain Python values."""
    return instantiate(config, _convert_="all")


def _make_task(config: DictConfig, world: World) -> Task:
    # The first process makes the image caches, the others find them.
    config = OmegaConf.create(OmegaConf.to_container(config, resolve=True))  # type: ignore[assignment]
    if "data" in config and not isinstance(config.data, ListConfig):
        config.data = [config.data]
    if not world.first:
        world.wait()
        return build(config).make()
    with world.all_cores():
        task = build(config).make()
    world.wait()
    return task
