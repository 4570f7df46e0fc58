"""One person's session: a loop at a fixed tick, in a process of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from playloop.agents.acting import as_agent
from playloop.agents.keymaps import Held
from playloop.agents.person import PersonConfig
from playloop.core.episode import Episode
from playloop.core.provenance import name_of
from playloop.core.words import speak_any_language
from playloop.envs.config import EnvConfig
from playloop.rollouts.play import messages
from playloop.rollouts.play.controls import Controls
from playloop.rollouts.play.environments import Environments
from playloop.rollouts.play.recorder import PlayRecorder, RecordingStopped
from playloop.rollouts.play.uploads import load_frames
from playloop.rollouts.worker import RAISED, error_text

IDLE = 0.5
"""Seconds between two looks at a paused session's commands."""


class Pacer:
    """Says how long to wait for the next of `rate` ticks a second.

    Ticks lie on a grid: one that comes late shortens the wait for the next. Whoever is more than a tick late
    starts a new grid instead of hurrying after the old one.
    """

    def __init__(self, rate: float, clock: Callable[[], float] = time.perf_counter):
        self.period = 1.0 / rate
        self._clock = clock
        self.due = clock()

    def left(self) -> float:
        """Seconds until the next tick is due; 0 when it is."""
        return max(0.0, self.due - self._clock())

    def tick(self) -> None:
        """The tick that was due begins now."""
        self.due = max(self.due + self.period, self._clock())

    def restart(self) -> None:
        """Begin anew: the next tick is due now."""
        self.due = self._clock()


@dataclass(frozen=True)
class SessionConfig:
    """All that a session's process needs; must survive pickling.

    Args:
        parts: name → environment; the first is what the agent sees and what is recorded.
        episode: the first one; those after it have the next seeds.
        out: folder of the recordings.
        agent: settings of who may be given the controls.
        person: how hands become actions.
        fps: ticks a second; None is the first environment's control rate.
        command: the command line, for the record.

    Raises:
        ValueError: the parts cannot be driven by the same actions.
    """

    parts: dict[str, EnvConfig]
    episode: Episode
    out: Path
    agent: Any = None
    person: PersonConfig = field(default_factory=PersonConfig)
    fps: float | None = None
    command: str = ""

    def __post_init__(self) -> None:
        (name, first), *rest = ((name, part.contract()) for name, part in self.parts.items())
        for other, contract in rest:
            for what in ("action_names", "control_hz"):
                if getattr(first, what) != getattr(contract, what):
                    raise ValueError(
                        f"{name} and {other} cannot be played side by side: their {what} differ "
                        f"({getattr(first, what)} and {getattr(contract, what)}); choose another world model."
                    )


class Session:
    """The loop: hands → action → every environment → pictures.

    Sends ("text", dict), ("frame", (number, bytes)) and ("recorded", FinishedRecording); takes `Held`,
    `messages.Command`, and None, which ends it.
    """

    def __init__(self, config: SessionConfig, connection: Connection):
        self.config, self.connection = config, connection
        self.envs = Environments(config.parts)
        agent = as_agent(config.agent) if config.agent is not None else None
        self.controls = Controls(config.person.make(), agent)
        self.recorder: PlayRecorder | None = None
        self.observation: dict[str, Any] = {}
        self.paused = self.single = self.leaving = False
        self.frames = self.recordings = 0
        self.sampling: dict[str, Any] | None = None

    def run(self) -> None:
        """Play until the other side hangs up, which raises EOFError."""
        self.contract = self.envs.build()
        self.controls.prepare(self.contract)
        self.rate = self.config.fps or self.contract.control_hz
        self._hello()
        self._warm_up()
        self._begin(self.config.episode)
        for number in (signal.SIGTERM, signal.SIGHUP):  # they may be sent to the whole group
            if signal.getsignal(number) == signal.SIG_DFL:  # under nohup SIGHUP is ignored
                signal.signal(number, self.leave)
        self._send("ready")
        pacer = Pacer(self.rate)
        while True:
            for command in self._commands(pacer):
                self._obey(command)
            if not self.paused or self.single:
                pacer.tick()
                self.single = False
                self._tick()

    def leave(self, *_: Any) -> None:
        """Handler of signals: end at the next tick."""
        self.leaving = True

    def close(self) -> None:
        """Save what is being recorded and close the environments."""
        with contextlib.suppress(OSError), self._recording_stops():  # OSError: nobody is there to read it
            self._finish_recording()
        self.envs.close()

    def _commands(self, pacer: Pacer) -> Iterator[Any]:
        """What arrives until the next tick is due; while paused, until something has arrived."""
        while True:
            if self.leaving:
                raise EOFError
            wait = IDLE if self.paused and not self.single else pacer.left()
            if self.connection.poll(wait):
                command = self.connection.recv()
                if command is None:
                    raise EOFError
                yield command
                if self.paused and self.single:
                    pacer.restart()
            elif not self.paused or self.single:
                return

    def _tick(self) -> None:
        began = time.perf_counter()
        try:
            action, info = self.controls.act(self.observation)
        except RAISED as error:
            self._take_back(error)
            action, info = self.controls.act(self.observation)
        done, over = self.envs.advance(action, info, self.controls.reads)
        self.steps += 1
        self._publish(time.perf_counter() - began)
        with self._recording_stops():
            if self.recorder is not None:
                self.recorder.add(self.episode, done.segment, [view[-1] for view in self.envs.views()])
        self.success |= bool(done.segment.success.any())
        if over:  # by its own rule
            how = "success" if self.success else "the episode is over"
            self._send("notice", text=f"{how} after {self.steps} steps; seed {self.episode.seed + 1} begins.")
            self._reset(None)
        elif done.observation is not None:
            self.observation = done.observation

    def _take_back(self, error: BaseException) -> None:
        """An agent that fails gives the controls back."""
        if self.controls.by == "person":
            raise error
        self.controls.hand("person")
        self._send("notice", text=f"the agent failed ({error_text(error)}); the controls are yours again")
        self._status()

    # -- episodes --------------------------------------------------------------------------------------

    def _begin(self, episode: Episode) -> None:
        self.episode, self.steps, self.success = episode, 0, False
        self.observation = self.envs.begin(episode, self.controls.reads)
        try:
            self.controls.begin(episode)
        except RAISED as error:
            self._take_back(error)
        self._publish()
        self._status()

    def _close_episode(self) -> None:
        with self._recording_stops():
            if self.recorder is not None:
                self.recorder.end_episode()

    def _warm_up(self) -> None:
        self.controls.begin(self.config.episode)
        rest, _ = self.controls.act({})
        self.envs.warm_up(self.config.episode, rest)
        self.controls.warm_up(self.config.episode, self.envs.first.look)

    # -- commands --------------------------------------------------------------------------------------

    def _obey(self, command: Held | messages.Command) -> None:
        if isinstance(command, Held):
            self.controls.person.update(command)
            return
        try:
            match command:
                case messages.Pause():
                    self.paused = command.on
                case messages.Step():
                    self.paused = self.single = True
                case messages.Reset():
                    self._reset(command.seed)
                case messages.Hand():
                    self._hand(command.to)
                case messages.Sampling():
                    self._sample(command)
                case messages.Record():
                    self._record(command.on)
                case messages.Start():
                    self._start_from(command)
        except ValueError as error:
            self._send("notice", text=str(error))
        self._status()

    def _reset(self, seed: int | None) -> None:
        """Begin an episode of this seed; of the next one without."""
        self._close_episode()
        self._begin(replace(self.episode, seed=self.episode.seed + 1 if seed is None else seed))

    def _hand(self, to: str) -> None:
        if to == "agent" and self.controls.agent is None:
            raise ValueError("nobody is there to take over; start with agent=…, see playloop play --help.")
        try:
            self.controls.hand(to)
        except RAISED as error:  # the agent's own
            self._take_back(error)
        self.observation = self.envs.first.look(self.controls.reads)

    def _sample(self, command: messages.Sampling) -> None:
        if not self.envs.worlds:
            raise ValueError("there is no world model to sample from.")
        self.sampling = {**(self.sampling or {}), "seq": command.seq}  # answered, even where it is refused
        for live in self.envs.worlds:
            live.env.sampling(command.temperature, command.top_p, command.top_k)
        self.sampling = command.model_dump(exclude={"type"})

    def _start_from(self, command: messages.Start) -> None:
        frames = load_frames(Path(command.path))
        Path(command.path).unlink()
        if self.envs.first in self.envs.worlds:
            self._close_episode()  # the picture does not follow from the last action
        try:
            for live in self.envs.worlds:
                live.start_from(frames)
        except Exception as error:
            raise ValueError(f"the world model cannot go on from it ({error_text(error)}).") from error
        self.observation = self.envs.first.look(self.controls.reads)
        self._publish()
        if command.note:
            self._send("notice", text=command.note)

    # -- recording -------------------------------------------------------------------------------------

    def _record(self, on: bool) -> None:
        with self._recording_stops():
            if not on:
                self._finish_recording()
            elif self.recorder is None:
                self.recordings += 1
                name = f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}-{self.recordings}"
                acting = " or ".join(name_of(one) for one in self.controls.all)
                self.recorder = PlayRecorder(
                    self.config.out / name, self.contract, self.config.command, acting
                )

    def _finish_recording(self) -> None:
        recorder, self.recorder = self.recorder, None
        if recorder is not None and (done := recorder.finish()) is not None:
            self._print(f"Recorded {done.steps} steps in {done.folder}")
            self.connection.send(("recorded", done))

    @contextlib.contextmanager
    def _recording_stops(self) -> Iterator[None]:
        """Play goes on where a recording cannot: page and terminal say why."""
        try:
            yield
        except RecordingStopped as error:
            self.recorder = None
            self._print(str(error))
            self._send("notice", text=str(error))
            self._status()

    def _print(self, text: str) -> None:
        """To the terminal, if it is still there."""
        with contextlib.suppress(OSError):
            print(text, flush=True)

    # -- messages to the page -------------------------------------------------------------------------

    def _send(self, kind: str, **facts: Any) -> None:
        self.connection.send(("text", {"type": kind, **facts}))

    def _hello(self) -> None:
        worlds = self.envs.worlds
        if worlds:
            sampler = worlds[0].env.sampler
            drawn = {name: getattr(sampler, name) for name in ("temperature", "top_p", "top_k")}
            self.sampling = {"seq": 0, **drawn}
        self._send(
            "hello",
            parts=[{"name": name, "label": part.title()} for name, part in self.config.parts.items()],
            layout=self.controls.person.layout(),
            agent=name_of(self.controls.agent) if self.controls.agent is not None else None,
            rate=self.rate,
            hz=self.contract.control_hz,
            world=bool(worlds),
        )

    def _status(self) -> None:
        self._send(
            "status",
            paused=self.paused,
            by=self.controls.by,
            recording=self.recorder is not None,
            episode=self.episode.key,
            seed=self.episode.seed,
            instruction=self.observation["instruction"],
            sampling=self.sampling,
        )

    def _publish(self, seconds: float = 0.0) -> None:
        """Send what every environment shows now, after a step of so many seconds."""
        self.frames += 1
        seq, cost = self.controls.person.held.seq, round(1000 * seconds, 2)
        header = {"frame": self.frames, "seq": seq, "step": self.steps, "ms": cost}
        message = messages.pack(header, self.envs.views())
        self.connection.send(("frame", (self.frames, message)))


def play(connection: Connection, config: SessionConfig) -> None:
    """Main function of a session's process: play until the server hangs up or is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the server decides what Ctrl-C means
    speak_any_language()
    session: Session | None = None
    try:
        session = Session(config, connection)
        session.run()
    except (EOFError, BrokenPipeError, ConnectionResetError):
        text = "the session was ended by a signal" if session and session.leaving else ""
    except RAISED as error:
        text = " ".join(str(error).split()) or type(error).__name__
    if text:
        with contextlib.suppress(OSError):
            connection.send(("failed", text[:500]))
    if session is not None:
        session.close()
    with contextlib.suppress(OSError):
        connection.close()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # as rollouts.worker.serve: GL objects must not be finalised at interpreter shutdown
