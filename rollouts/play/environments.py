"""The environments of a session, all driven by the same actions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np

from playloop.core.contract import Contract
from playloop.core.episode import Episode
from playloop.envs.config import EnvConfig
from playloop.rollouts.callbacks import Wants
from playloop.rollouts.worker import Begin, Execute, Executed, Executor, Failed

WANTS = Wants(frames=True)
IMAGES = frozenset({"images"})


@runtime_checkable
class WorldModelEnv(Protocol):
    """What an environment that is a network offers beyond the contract; `envs.world.WorldEnv` is one."""

    def warm_up(self) -> None:
        """Run some frames, so that the first that somebody waits for is as fast as the rest."""

    @property
    def sampler(self) -> Any:
        """How frames are drawn: `temperature`, `top_p` and `top_k`."""

    def sampling(self, temperature: float, top_p: float, top_k: int | None = None) -> None:
        """Draw the coming frames with these; ValueError if they do not go together."""

    def start_from(self, frames: np.ndarray) -> None:
        """Go on from these frames, uint8 [T, H, W, 3], whatever their size."""


class LiveEnv(Executor):
    """An environment that is played: an `Executor` whose failures are RuntimeErrors."""

    @property
    def images(self) -> dict[str, np.ndarray]:
        """Camera → what it shows now."""
        return self.now["images"]

    def look(self, reads: frozenset[str]) -> dict[str, Any]:
        """The present observation with what `reads` names."""
        assert self.env is not None
        self.reads = reads
        return self._visible(self.env)

    def start_from(self, frames: np.ndarray) -> None:
        """Let a world model go on from these frames."""
        assert isinstance(self.env, WorldModelEnv)
        self.env.start_from(frames)
        self.now = self.env.observe()  # type: ignore[attr-defined]

    def _guarded(self, act: Any) -> Any:
        answer = super()._guarded(act)
        if isinstance(answer, Failed):
            raise RuntimeError(answer.error)
        return answer


class Environments:
    """Begins and advances all parts together; the first is what the agent sees and what is recorded.

    Raises:
        RuntimeError: an environment fails; the text says where.
    """

    def __init__(self, parts: Mapping[str, EnvConfig]):
        self.envs: dict[str, Any] = {name: LiveEnv(config) for name, config in parts.items()}
        self.first, *self.others = self.envs.values()

    def build(self) -> Contract:
        """Build every environment; the first one's contract."""
        return [live.start().contract for live in self.envs.values()][0]  # noqa: RUF015 (all of them)

    @property
    def worlds(self) -> list[Any]:
        """The parts that are world models."""
        return [live for live in self.envs.values() if isinstance(live.env, WorldModelEnv)]

    def warm_up(self, episode: Episode, rest: np.ndarray) -> None:
        """Take some steps that nobody sees: compilers and caches do their work now."""
        for live in self.worlds:
            live.obey(Begin(episode, WANTS, IMAGES))
            live.env.warm_up()
        self.begin(episode, IMAGES)
        for _ in range(3):
            if self.advance(rest, {}, IMAGES)[1]:
                break

    def begin(self, episode: Episode, reads: frozenset[str]) -> dict[str, Any]:
        """Put all parts into an episode; a world model beside an environment starts from its first frame."""
        observation = self.first.obey(Begin(episode, WANTS, reads)).observation
        for live in self.others:
            live.obey(Begin(episode, WANTS, IMAGES))
            if isinstance(live.env, WorldModelEnv):
                live.start_from(next(iter(self.first.images.values()))[None])
        return observation

    def advance(
        self, action: np.ndarray, info: dict[str, Any], reads: frozenset[str]
    ) -> tuple[Executed, bool]:
        """Execute an action [A], limited to what the first part takes, in every part.

        Returns:
            What it did in the first, and whether any episode is over.
        """
        space = self.first.env.action_space
        plan = np.clip(action, space.low, space.high).astype(np.float32)[None]
        done = self.first.obey(Execute(plan, info, reads))
        rest = [live.obey(Execute(plan, info, IMAGES)) for live in self.others]
        return done, any(answer.segment.last for answer in (done, *rest))

    def views(self) -> list[tuple[str, str, np.ndarray]]:
        """All pictures, part by part: the part, the camera, the image."""
        return [(name, *view) for name, live in self.envs.items() for view in live.images.items()]

    def close(self) -> None:
        """Close every environment."""
        for live in self.envs.values():
            live.close()
