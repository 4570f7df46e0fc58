"""Luanti behind the one contract: MineRL's actions as keys and mouse, its window as the camera."""

from __future__ import annotations

import time
from typing import Annotated, Any

import numpy as np
from annotated_types import Ge, Le

from playloop.core.annotations import Count
from playloop.core.checked import checked
from playloop.core.contract import Contract
from playloop.core.conventions import Convention
from playloop.core.episode import Episode
from playloop.core.kinds import kind
from playloop.core.minecraft import action_space, minerl_contract
from playloop.envs.base import PlayEnv
from playloop.envs.config import EnvConfig
from playloop.envs.luanti.process import Display, LuantiGame, missing
from playloop.envs.luanti.settings import game_settings
from playloop.envs.outcome import Outcome

SUITE = "luanti"
TASKS = ["chop down the tree"]
TICK = 0.05
"""Seconds between two actions."""
STATE_NAMES = ("x", "y", "z", "vx", "vy", "vz", "yaw", "pitch", "health", "logs")
ATTEMPTS = 3
"""How often the game is started for an episode: it picks its port by chance, which may be taken."""


@kind("luanti")
@checked
class LuantiConfig(EnvConfig):
    """A tree to chop in a fresh world of Debian's Luanti (Minetest) and its minetest_game.

    Args:
        height: pixels of the window, 64 to 2048.
        width: pixels of the window, 64 to 2048.
        horizon: most actions an episode, 20 a second.
        logs: trunk nodes to dig for success, up to 4, the height of the tree; by hand one takes 3.5 seconds.
    """

    suite, inits, endless = SUITE, 50, True  # worlds in the default protocol; each is drawn from its number
    height: Annotated[int, Ge(64), Le(2048)] = 224
    width: Annotated[int, Ge(64), Le(2048)] = 384
    horizon: Count = 600
    logs: Annotated[int, Ge(1), Le(4)] = 1

    def make(self) -> LuantiEnv:
        return LuantiEnv(self)

    def task_names(self) -> list[str]:
        return list(TASKS)

    def contract(self) -> Contract:
        return minerl_contract(
            (self.height, self.width),
            family="luanti",
            action=Convention("minerl-1.0", {"idle": "ESC, pickItem and swapHands"}),
            state_names=STATE_NAMES,
            success=Convention("nodes-dug", {"count": self.logs, "node": "trunk"}),
            deterministic=False,
            protocol="real time: the world goes on while an agent decides; "
            f"the task is this project's own, horizon={self.horizon}",
        )


class LuantiEnv(PlayEnv):
    """The real program in real time: what it does between two actions depends on the machine.

    The same episode has the same map, tree and view at its start; after that nothing is promised to the bit.
    Positions are in nodes (x east, y up, z north), velocities in nodes a second, yaw and pitch in degrees
    (yaw is 0 to the north and grows to the right, pitch grows downwards), health is out of 20.

    Actions are due every 50 ms; `advance` waits for the end of its tick. One that comes after its tick is
    over is late: it is counted in `info["late"]`, and the ticks go on from there. Meanwhile keys stay held.
    """

    def __init__(self, config: LuantiConfig | None = None, render_mode: str | None = None):
        if lack := missing():
            raise RuntimeError(lack)
        self.config = config or LuantiConfig()
        super().__init__(self.config.contract(), self.config.horizon, render_mode, action_space())
        self._display: Display | None = None
        self._keyboard: Any = None
        self._game: LuantiGame | None = None

    def begin(self, episode: Episode) -> None:
        self._instruction = TASKS[self.config.task_of(episode)]
        self._start(self._settings(episode))
        self._settle()
        self._report = self._game_now().state()
        self._steps = self._late = 0
        self._due = time.monotonic()

    def advance(self, action: np.ndarray) -> Outcome:
        action = np.asarray(action, np.float64)
        game, now = self._game_now(), time.monotonic()
        if now > self._due + TICK:
            self._late += self._steps > 0  # the first action has nothing to be late for
            self._due = now
        self._due += TICK
        self._keyboard.hold(action)
        self._keyboard.turn_until(self._due)
        time.sleep(max(0.0, self._due - time.monotonic()))
        self._steps += 1
        return self._outcome(game)

    def observe(self, images: bool = True) -> dict[str, Any]:
        self._game_now()
        observation: dict[str, Any] = {"state": self._state(), "instruction": self._instruction}
        if images:
            assert self._display is not None  # started before the game
            observation["images"] = {"pov": self._display.screen.grab()}
        return observation

    def privileged(self) -> dict[str, np.ndarray]:
        """The position of the lowest trunk node, "tree" [3], in the coordinates of the state."""
        self._game_now()
        return {"tree": _vector(self._report["tree"])}

    def close(self) -> None:
        """End the game and the display, and remove their folder."""
        for part in (self._game, self._keyboard, self._display):
            if part is not None:
                part.close()
        self._game = self._keyboard = self._display = None

    # -- starting --------------------------------------------------------------------------------------

    def _settings(self, episode: Episode) -> dict[str, Any]:
        world = episode.unseeded()
        rng = world.rng("placement")
        return {
            **game_settings(self.config.height, self.config.width, world.derive("map")),
            "playloop_tree_distance": round(rng.uniform(4.0, 8.0), 3),
            "playloop_tree_bearing": round(rng.uniform(-35.0, 35.0), 3),
        }

    def _start(self, settings: dict[str, Any]) -> None:
        """A new game on the display, which is started if it is not there."""
        from playloop.envs.luanti.keyboard import Keyboard

        if self._game is not None:
            self._game.close()
        if self._display is None:
            self._display = Display(self.config.height, self.config.width)
            self._keyboard = Keyboard(self._display.number, (self.config.height, self.config.width))
        self._keyboard.release()
        for attempt in range(ATTEMPTS):
            self._game = LuantiGame(self._display, settings)
            try:
                self._game.wait()
                return self._keyboard.focus(10.0)
            except RuntimeError:
                self._game.close()
                if attempt == ATTEMPTS - 1:
                    raise

    def _settle(self, patience: float = 5.0, still: float = 0.4) -> None:
        """Wait until the world is drawn: the picture keeps still.

        Water is animated, and the sky takes five seconds to reach its colour: small changes do not count.
        """
        assert self._display is not None
        deadline = time.monotonic() + patience
        before = self._display.screen.grab()
        while time.monotonic() < deadline:
            time.sleep(still)
            after = self._display.screen.grab()
            if (np.abs(after.astype(np.int16) - before) > 32).any(-1).mean() < 0.01:
                return
            before = after

    # -- what the game tells ---------------------------------------------------------------------------

    def _game_now(self) -> LuantiGame:
        if self._game is None:
            raise RuntimeError("no episode has begun; call begin or reset first")
        return self._game

    def _outcome(self, game: LuantiGame) -> Outcome:
        before, self._report = self._report, game.state()
        success = self._report["logs"] >= self.config.logs
        terminated = success or self._report["health"] <= 0
        return Outcome(
            reward=float(self._report["logs"] - before["logs"]),
            success=success,
            terminated=terminated,
            truncated=not terminated and self._steps >= self.horizon,
            info={"late": self._late},
        )

    def _state(self) -> np.ndarray:
        report = self._report
        rest = [(report["yaw"] + 180) % 360 - 180, report["pitch"], report["health"], report["logs"]]
        body = [_vector(report["position"]), _vector(report["velocity"])]
        return np.concatenate([*body, rest]).astype(np.float32)


def _vector(report: dict[str, float]) -> np.ndarray:
    return np.array([report["x"], report["y"], report["z"]], np.float64)
