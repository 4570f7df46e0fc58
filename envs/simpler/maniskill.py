"""ManiSkill's environments as Bridge uses them: made, and built anew for every episode."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from typing import Any

import gymnasium as gym

from playloop.envs.gl import choose_backend
from playloop.envs.simpler.env import replaced
from playloop.envs.simpler.vulkan import choose_driver, render_device


def make_maniskill(environment: str) -> Any:
    """ManiSkill's own environment, physics on the CPU, with the pictures that are composited.

    Raises:
        ModuleNotFoundError: ManiSkill is not installed.
        RuntimeError: SAPIEN finds no driver to draw with.
    """
    choose_driver()
    device = "gpu" if render_device() == "cuda" else "cpu"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            choose_backend()  # of MuJoCo's pictures: ManiSkill imports it, and the choice is made then
            import mani_skill.envs  # noqa: F401 (registers the tasks)
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(
                "ManiSkill is not installed: pip install 'playloop[simpler]'"
            ) from error
        logging.getLogger("mani_skill ").setLevel(logging.ERROR)  # its name ends so
        made = gym.make(
            environment, obs_mode="rgb+segmentation", num_envs=1, sim_backend="cpu", render_backend=device
        )
    return made.unwrapped


def rebuild(simulation: Any, layout: int, collect: bool = True) -> None:
    """Build the scene from nothing and let a layout's objects come to rest in it.

    In a scene that has run before the same layout is another episode. Its objects come to rest while the arm
    still stands, and still drives, where the last episode left it, and may touch it: poses differ by up to
    decimetres. And with the arm put back first PhysX goes on from its old contacts and articulations, which
    SAPIEN cannot clear, not even by taking the objects out of the scene and back: the last bit of a start
    differs, and after 25 steps of touching so do decimetres. A new scene has no past. As shapes stay in
    memory it takes 20 ms.

    Args:
        simulation: of `make_maniskill`.
        layout: number of the initial state.
        collect: collect Python's garbage too, which takes 0.2 s; a scene leaves 0.2 MB behind.
    """
    import torch

    unused: dict[str, Callable] = {"get_obs": _nothing}  # a picture that nobody reads
    if not collect:
        unused["_clear"] = _nothing
    with replaced(simulation, unused):
        simulation.reset(seed=0, options={"episode_id": torch.tensor([layout]), "reconfigure": True})


def _nothing(*_: Any, **__: Any) -> None:
    return None
