"""An expert that sleeps through some episodes, so that recordings have failures to drop."""

from dataclasses import dataclass

import numpy as np

from playloop.agents.base import Plan
from playloop.agents.panda import PandaExpert, PandaExpertConfig


@dataclass
class ClumsyConfig(PandaExpertConfig):
    def make(self):
        return Clumsy(self)


class Clumsy(PandaExpert):
    """Asleep wherever the placement's number is 1, 4, 7, …"""

    def begin(self, episode):
        return None if episode.seed % 3 == 1 else super().begin(episode)

    def decide(self, carry, observation, rng):
        if carry is None:
            return None, Plan(np.zeros((20, 7), np.float32), {"expert": 1})
        return super().decide(carry, observation, rng)
