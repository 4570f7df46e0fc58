"""Who flies: an expert that knows where the pad is, and a policy that finds it in the picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from playloop.agents.base import Plan, RowAgent
from playloop.core.annotations import Positive
from playloop.core.checked import checked
from playloop.core.contract import Contract
from playloop.core.episode import Episode
from playloop_lander.env import LanderConfig
from playloop_lander.moon import ENGINE, GRAVITY, HEIGHT, LEGS, PADS, TILT, WIDTH


def fly(state: np.ndarray, pad: np.ndarray, speed: float = 4.0) -> np.ndarray:
    """The next action [steer, descend], float32.

    Args:
        state: x, y, vx, vy, tilt, fuel.
        pad: middle of the pad, metres [2].
        speed: fastest flight sideways, metres a second.
    """
    x, y, vx, vy, tilt, _ = (float(number) for number in state)
    away, height = float(pad[0]) - x, y - LEGS - float(pad[1])
    sideways = float(np.clip(0.6 * away, -speed, speed))
    steer = np.clip(0.35 * (sideways - vx), -1.0, 1.0)
    aligned = abs(away) < 1.2 and abs(vx) < 1.0
    sink = 0.5 + 0.3 * height if aligned else 0.35 * (height - 7.0)  # stay seven metres up until it is below
    wanted = GRAVITY + 1.5 * (-min(sink, 4.0) - vy)
    throttle = np.clip(wanted / (ENGINE * np.cos(TILT if abs(tilt) > TILT else tilt)), 0.0, 1.0)
    return np.array([steer, -throttle], np.float32)


@checked
class LanderExpertConfig:
    """The expert: it reads where the pad is, so it records demonstrations and is no contestant.

    Args:
        speed: fastest flight sideways, metres a second.
    """

    speed: Positive = 4.0

    def make(self) -> LanderExpert:
        return LanderExpert(self)


class LanderExpert(RowAgent):
    """See `playloop.agents.base.Agent`."""

    reads = frozenset({"privileged"})

    def __init__(self, config: LanderExpertConfig):
        self.config = config

    def prepare(self, contract: Contract) -> None:
        if contract.family != "lander":
            raise ValueError(f"lander_expert flies env=lander, not {contract.family}; use agent=expert")

    def begin(self, episode: Episode) -> None:
        return None

    def decide(self, carry: None, observation: dict[str, Any], rng: np.random.Generator) -> tuple[None, Plan]:
        action = fly(observation["state"], observation["privileged"]["pad"], self.config.speed)
        return None, Plan(action[None], {"expert": 1})


@dataclass
class EyesConfig:
    """A policy that looks for the pad's colour in the picture of the moon and flies there."""

    def make(self) -> Eyes:
        return Eyes()


class Eyes:
    """See `playloop.policies.network.Policy`: it decides two actions at a time for any number of episodes."""

    contract, chunk, batch = LanderConfig().contract(), 2, 16

    def initial(self, batch: int) -> list[None]:
        return [None] * batch

    def __call__(
        self, carry: Any, observations: list[dict[str, Any]], generators: Any
    ) -> tuple[Any, np.ndarray, dict]:
        chunks = [self.decide(observation) for observation in observations]
        return carry, np.stack(chunks), {}

    def decide(self, observation: dict[str, Any]) -> np.ndarray:
        action = fly(observation["state"], self.find(observation))
        return np.tile(action, (self.chunk, 1))

    def find(self, observation: dict[str, Any]) -> np.ndarray:
        """The middle of the pad that the instruction names, metres [2]; that of the moon if none is seen."""
        color = next((color for color in PADS if color in observation["instruction"]), "red")
        image = observation["images"]["moon"]
        rows, columns = np.nonzero((image == PADS[color]).all(-1))
        if not len(rows):
            return np.array([WIDTH / 2, 5.0])
        scale = WIDTH / image.shape[1]
        row = np.bincount(rows).argmax()  # the lamps are higher, and smaller
        return np.array([(columns[rows == row].mean() + 0.5) * scale, HEIGHT - row * scale])
