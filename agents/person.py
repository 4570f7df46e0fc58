"""A person as an agent: the keys held now give a plan of one action."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from playloop.agents.base import Plan, RowAgent
from playloop.agents.keymaps import Held, KeyMap, keymap_for
from playloop.core.annotations import Portion
from playloop.core.checked import checked
from playloop.core.contract import Contract
from playloop.core.episode import Episode
from playloop.core.kinds import kind
from playloop.core.minecraft import BUTTONS


@kind("person")
@checked(frozen=True)
class PersonConfig:
    """How hands become actions.

    Args:
        degrees_per_pixel: turn of the view for a pixel of mouse movement, where the mouse turns it.
        arm_speed: share of an arm's full speed that a held key commands; Shift gives all of it.
        without: buttons of Minecraft that have no key, because they do nothing in what is played.

    Raises:
        ValueError: there is no such button.
    """

    degrees_per_pixel: float = 0.15
    arm_speed: Portion = 0.5
    without: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if unknown := sorted(set(self.without) - set(BUTTONS)):
            raise ValueError(f"person.without={unknown}: there are only {', '.join(BUTTONS)}")

    def make(self) -> Person:
        return Person(self)


class Person(RowAgent):
    """See `agents.base.Agent`. `held` is what the hands do; whoever listens to them calls `update`."""

    rows = 1

    def __init__(self, config: PersonConfig | None = None):
        self.config = config or PersonConfig()
        self.held = Held()
        self._keys: KeyMap

    def prepare(self, contract: Contract) -> None:
        config = self.config
        self._keys = keymap_for(contract, config.degrees_per_pixel, config.arm_speed, config.without)

    def layout(self) -> dict[str, Any]:
        """The map of the keys, JSON-able; see `KeyLayout`."""
        return asdict(self._keys.layout)

    def update(self, held: Held) -> None:
        """The hands moved: to be part of the next action."""
        self.held = self.held.then(held)

    def begin(self, episode: Episode) -> Any:
        return self._keys.begin()

    def resume(self, carry: Any, action: np.ndarray) -> Any:
        """The carry after another agent has executed an action in this episode."""
        return self._keys.resume(carry, action)

    def decide(self, carry: Any, observation: dict[str, Any], rng: np.random.Generator) -> tuple[Any, Plan]:
        carry, action = self._keys.act(carry, self.held)
        self.held = self.held.rest()
        return carry, Plan(action[None], {"expert": 1})
