"""The environment: `env=lander`."""

from __future__ import annotations

from typing import Any

import numpy as np

from playloop.core.annotations import Count, Magnitude, Positive
from playloop.core.checked import checked
from playloop.core.contract import Contract
from playloop.core.episode import Episode
from playloop.envs.base import PlayEnv
from playloop.envs.config import EnvConfig
from playloop.envs.outcome import Outcome
from playloop_lander.moon import HEIGHT, PADS, WIDTH, Craft, new_ground
from playloop_lander.picture import CAMERAS, Sky, draw

HZ = 20.0
STATE = ("x", "y", "vx", "vy", "tilt", "fuel")
SURFACES = ("", "ground", *PADS)


@checked(frozen=True)
class LanderConfig(EnvConfig):
    """A craft that is to land gently on the pad that the instruction names.

    Args:
        inits: stored moons a task.
        fuel: seconds of full throttle.
        wind: strength of the gusts, metres a second squared.
        horizon: most actions an episode; 20 are a second.
    """

    suite = "lander"
    inits: Count = 10
    fuel: Positive = 15.0
    wind: Magnitude = 0.0
    horizon: Count = 600

    def make(self) -> Lander:
        return Lander(self)

    def contract(self) -> Contract:
        return Contract(
            family="lander",
            action="steer: -1 tilts to the left, 1 to the right; descend: -1 is full throttle, 0 none",
            action_names=("steer", "descend"),
            control_hz=HZ,
            cameras={name: size for name, (size, _) in CAMERAS.items()},
            image="upright",
            state_names=STATE,
            success="it stands on the pad that is named, touched at walking pace and upright",
            protocol=", ".join(self.departures("fuel", "wind")) or "standard",
            partial=("safe",),
        )

    def task_names(self) -> list[str]:
        return [f"land on the {color} pad" for color in PADS]


class Lander(PlayEnv):
    """A craft over hills with three pads. Deterministic; nothing is drawn until somebody looks."""

    def __init__(self, config: LanderConfig | None = None, render_mode: str | None = None):
        self.config = config or LanderConfig()
        super().__init__(self.config.contract(), self.config.horizon, render_mode)

    def begin(self, episode: Episode) -> None:
        placed = episode.unseeded()  # of the run are only the gusts
        self.task = list(PADS)[self.config.task_of(episode)]
        self.ground, self.sky = new_ground(placed.rng("ground")), Sky(placed.rng("sky"))
        rng = placed.rng("craft")
        self.craft = Craft(
            x=rng.uniform(0.15, 0.85) * WIDTH,
            y=rng.uniform(0.8, 0.9) * HEIGHT,
            vx=rng.uniform(-1.5, 1.5),
            fuel=self.config.fuel,
        )
        self.gusts, self.steps = episode.rng("gusts").uniform(0.0, 2 * np.pi, 3), 0

    def gust(self) -> float:
        """The wind's push now: three slow waves, metres a second squared."""
        waves = np.sin(np.array([0.013, 0.031, 0.057]) * self.steps + self.gusts)
        return self.config.wind * float(waves.mean())

    def advance(self, action: np.ndarray) -> Outcome:
        self.craft = self.craft.after(action, self.ground, self.gust(), 1.0 / HZ)
        self.steps += 1
        craft = self.craft
        success, over = craft.safe and craft.landed == self.task, bool(craft.landed)
        truncated = not over and self.steps >= self.horizon
        return Outcome(float(success), success, over, truncated, {"safe": craft.safe})

    def observe(self, images: bool = True) -> dict[str, Any]:
        state = np.array([getattr(self.craft, name) for name in STATE], np.float32)
        seen: dict[str, Any] = {"state": state, "instruction": f"land on the {self.task} pad"}
        if images:
            seen["images"] = {
                name: draw(self.craft, self.ground, self.sky, self.steps, name) for name in CAMERAS
            }
        return seen

    def privileged(self) -> dict[str, np.ndarray]:
        return {"pad": self.ground.pads[self.task].copy(), "craft": np.array([self.craft.x, self.craft.y])}

    def snapshot(self) -> np.ndarray:
        craft = self.craft
        numbers = [getattr(craft, name) for name in (*STATE, "throttle")]
        return np.array([*numbers, SURFACES.index(craft.landed), craft.safe, self.steps], np.float64)

    def restore(self, snapshot: np.ndarray) -> None:
        *numbers, landed, safe, steps = snapshot.tolist()
        self.craft = Craft(*numbers, SURFACES[int(landed)], bool(safe))
        self.steps = int(steps)
