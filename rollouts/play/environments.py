"""The environments of a session, all driven by the same actions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from playloop.core.contract import Contract
from playloop.core.episode import Episode
from playloop.core.segment import Segment
from playloop.envs.config import EnvConfig
from playloop.rollouts.callbacks import Wants
from playloop.rollouts.worker import Begin, Begun, Execute, Executed, Executor, Failed

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

    def start_from(self, frames: np.ndarray, actions: np.ndarray | None = None) -> None:
        """Go on from these frames, uint8 [T, H, W, 3], whatever their size."""


@dataclass(frozen=True)
class Part:
    """One environment of a session: its short name, its heading on the page, its settings."""

    name: str
    label: str
    config: EnvConfig


@dataclass(frozen=True)
class View:
    """One picture of one environment."""

    part: str
    camera: str
    image: np.ndarray


@dataclass(frozen=True)
class StepResult:
    """What an action led to: what the first environment did, and what it shows to the agent now."""

    segment: Segment
    observation: dict[str, Any] | None
    info: dict[str, Any]
    over: bool


class LiveEnv(Executor):
    """An environment that is played: `Executor`, and what only real-time play wants of it."""

    images: dict[str, np.ndarray]

    def start(self) -> Any:
        """Build the environment; raises what `Executor` reports."""
        return _checked(super().start())

    def begin(self, episode: Episode, reads: frozenset[str]) -> dict[str, Any]:
        """The first observation of an episode."""
        answer = _checked(self.obey(Begin(episode, WANTS, reads)))
        assert isinstance(answer, Begun)
        self.images = self.now["images"]
        return answer.observation

    def advance(self, action: np.ndarray, info: dict[str, Any], reads: frozenset[str]) -> Executed:
        """Execute one action."""
        answer = _checked(self.obey(Execute(action[None], info, reads)))
        assert isinstance(answer, Executed)
        self.images = self.now["images"]
        return answer

    def look(self, reads: frozenset[str]) -> dict[str, Any]:
        """The present observation with what `reads` names."""
        assert self.env is not None
        self.reads = reads
        return self._visible(self.env)

    def start_from(self, frames: np.ndarray) -> None:
        """Let a world model go on from these frames."""
        assert isinstance(self.env, WorldModelEnv)
        self.env.start_from(frames, None)
        self.now = self.env.observe()  # type: ignore[attr-defined]
        self.images = self.now["images"]


class Environments:
    """Begins and advances all parts together; the first is what the agent sees and what is recorded.

    Raises:
        ValueError: the parts do not take the same actions.
        RuntimeError: an environment fails; the text says where.
    """

    def __init__(self, parts: Sequence[Part]):
        self.parts = list(parts)
        self.envs = {part.name: LiveEnv(part.config) for part in parts}
        self.first = self.envs[self.parts[0].name]

    def build(self) -> Contract:
        """Build every environment; the first one's contract."""
        contracts = {name: live.start().contract for name, live in self.envs.items()}
        check_together(contracts)
        return next(iter(contracts.values()))

    @property
    def worlds(self) -> list[LiveEnv]:
        """The parts that are world models."""
        return [live for live in self.envs.values() if isinstance(live.env, WorldModelEnv)]

    def warm_up(self, episode: Episode, rest: np.ndarray, steps: int = 3) -> None:
        """Take some steps that nobody sees: compilers and caches do their work now."""
        for live in self.worlds:
            live.begin(episode, IMAGES)
            live.env.warm_up()  # type: ignore[union-attr]
        self.begin(episode, IMAGES)
        for _ in range(steps):
            if self.advance(rest, {}, IMAGES).over:
                break

    def begin(self, episode: Episode, reads: frozenset[str]) -> dict[str, Any]:
        """Put all parts into an episode; a world model beside an environment starts from its first frame."""
        observation = self.first.begin(episode, reads)
        for live in list(self.envs.values())[1:]:
            live.begin(episode, IMAGES)
            if isinstance(live.env, WorldModelEnv):
                live.start_from(next(iter(self.first.images.values()))[None])
        return observation

    def advance(self, action: np.ndarray, info: dict[str, Any], reads: frozenset[str]) -> StepResult:
        """Execute an action [A] in every part."""
        done = self.first.advance(action, info, reads)
        over = done.segment.last
        for live in list(self.envs.values())[1:]:
            over |= live.advance(action, info, IMAGES).segment.last
        return StepResult(done.segment, done.observation, done.info, over)

    def within(self, action: np.ndarray) -> np.ndarray:
        """The action, limited to what the first environment takes."""
        space: Any = self.first.env.action_space  # type: ignore[union-attr]
        return np.clip(action, space.low, space.high).astype(np.float32)

    def views(self) -> list[View]:
        """All pictures, part by part."""
        return [
            View(name, camera, image)
            for name, live in self.envs.items()
            for camera, image in live.images.items()
        ]

    def close(self) -> None:
        """Close every environment."""
        for live in self.envs.values():
            live.close()


def check_together(contracts: dict[str, Contract]) -> None:
    """Refuse parts that cannot be driven by the same actions.

    Raises:
        ValueError: with the reason.
    """
    (name, first), *rest = contracts.items()
    for other, contract in rest:
        for what in ("action_names", "control_hz"):
            if getattr(first, what) != getattr(contract, what):
                raise ValueError(
                    f"{name} and {other} cannot be played side by side: their {what} differ "
                    f"({getattr(first, what)} and {getattr(contract, what)}); choose another world model."
                )


def _checked(answer: Any) -> Any:
    if isinstance(answer, Failed):
        raise RuntimeError(answer.error)
    return answer
