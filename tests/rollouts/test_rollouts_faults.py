"""Whose error it is: what an agent or an environment gives that is no action, no outcome or an exception."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from toy_helpers import Memory, SeekAgent, equal

from playloop.agents.base import Plan
from playloop.envs.checks import BadAction, BadOutcome
from playloop.envs.craft.env import CraftConfig
from playloop.envs.outcome import Outcome
from playloop.envs.toy import ToyReach, ToyReachConfig
from playloop.rollouts.driver import Driver

CONFIG = ToyReachConfig(tasks=2, inits=2)
EPISODES = CONFIG.episodes(seed=5)
BROKEN = EPISODES[2]


class Faulty(SeekAgent):
    """Does something at one decision of one episode."""

    def __init__(self, what, rows=3, at=1):
        super().__init__(rows)
        self.what, self.at = what, at

    def begin(self, episode):
        if self.at is None and episode == BROKEN:
            raise KeyError("nothing is known of it")
        return (0, episode)

    def act(self, carries, observations, rngs):
        numbers = [number for number, _ in carries]
        _, plans = super().act(numbers, observations, rngs)
        for index, (number, episode) in enumerate(carries):
            if episode == BROKEN and number == self.at:
                plans[index] = self.what(plans[index])
        return [(number + 1, episode) for number, episode in carries], plans


def acts(actions):
    return lambda plan: Plan(actions)


def raises(error):
    def what(plan):
        raise error

    return what


BAD_PLANS = {
    "nan": (acts(np.full((2, 2), np.nan, np.float32)), "finite numbers"),
    "infinite in the middle": (acts(np.array([[0, 0], [0, np.inf], [0, 0]])), "finite numbers"),
    "too large for its type": (acts(np.array([[0.0, 1e300]])), "finite numbers"),
    "strings": (acts(np.array([["left", "up"]])), "real numbers"),
    "numbers in words": (acts([["0.5", "1"]]), "real numbers"),
    "complex": (acts(np.zeros((1, 2), complex)), "real numbers"),
    "objects": (acts(np.array([[None, lambda: 0]])), "real numbers"),
    "a column": (acts(np.zeros((4, 1), np.float32)), r"\[H, 2\]"),
    "one action alone": (acts(np.zeros(2, np.float32)), r"\[H, 2\]"),
    "one dimension too many": (acts(np.zeros((1, 4, 2))), r"\[H, 2\]"),
    "ragged": (acts([[0.0], [0.0, 1.0]]), "array of numbers"),
    "nothing": (acts(None), "real numbers"),
    "empty": (acts(np.zeros((0, 2), np.float32)), "at least one action"),
    "a gradient": (acts(torch.zeros(1, 2, requires_grad=True)), "requires grad"),
    "no plan": (lambda plan: plan.actions, "must be a Plan, got ndarray"),
    "an exception": (
        raises(ZeroDivisionError("in the agent")),
        r"ZeroDivisionError: in the agent \(.*:\d+\)",
    ),
    "a library that calls sys.exit": (raises(SystemExit(0)), r"SystemExit: 0 \("),
    "info that does not travel": (lambda plan: replace(plan, info={"why": lambda: 0}), "pickle"),
}


@pytest.fixture(scope="module")
def reference():
    memory = Memory()
    Driver(CONFIG, 0, [memory]).run(SeekAgent(), EPISODES)
    return memory.column("actions")


@pytest.mark.parametrize("name", BAD_PLANS)
def test_what_is_no_plan_is_the_agents_error_and_the_run_goes_on(reference, name):
    what, says = BAD_PLANS[name]
    memory = Memory()
    results = Driver(CONFIG, 1 if "travel" in name else 0, [memory]).run(Faulty(what), EPISODES)
    for result in results:
        if result.episode == BROKEN:
            assert result.fault == "agent" and not result.success and result.attempts == 1
            assert result.steps == 4, "what came before the bad plan was executed, and nothing of it"
            assert re.search(says, result.error), result.error
        else:
            assert result.error is None and result.fault is None
    others = {e: a for e, a in memory.column("actions").items() if e != BROKEN}
    assert equal(others, {e: a for e, a in reference.items() if e != BROKEN})
    json.dumps([result.to_json() for result in results], allow_nan=False)


@pytest.mark.parametrize("workers", [3])
def test_a_batch_with_a_bad_row_is_decided_for_row_by_row_with_the_same_actions(reference, workers):
    memory, agent = Memory(), Faulty(raises(RuntimeError("bad row")))
    results = Driver(CONFIG, workers, [memory]).run(agent, EPISODES)
    assert [r.fault for r in results] == ["agent" if e == BROKEN else None for e in EPISODES]
    others = {e: a for e, a in memory.column("actions").items() if e != BROKEN}
    assert equal(others, {e: a for e, a in reference.items() if e != BROKEN})


def test_an_episode_that_an_agent_cannot_begin_is_its_error():
    results = Driver(CONFIG, 0).run(Faulty(None, at=None), EPISODES)
    assert [r.fault for r in results] == ["agent" if e == BROKEN else None for e in EPISODES]
    assert "nothing is known of it" in results[2].error


@pytest.mark.parametrize("given", [np.float64, np.float16, np.int64, np.bool_, list, torch.tensor])
def test_other_numbers_are_actions_too_and_recorded_as_executed(given):
    class Odd(SeekAgent):
        def _plan(self, carry, observation, rng):
            actions = np.round(super()._plan(carry, observation, rng).actions)
            return Plan(given(actions))

    memory = Memory()
    results = Driver(CONFIG, 0, [memory]).run(Odd(), EPISODES[:1])
    assert results[0].error is None and results[0].steps
    env = CONFIG.make()
    env.begin(EPISODES[0])
    segments = memory.segments[EPISODES[0]]
    for segment in segments:
        for action, state in zip(segment.actions, segment.states, strict=True):
            assert np.array_equal(env.observe(images=False)["state"], state)
            env.advance(action)


BAD_ACTIONS = [
    lambda n: np.full(n, np.nan),
    lambda n: np.append(np.zeros(n - 1), -np.inf),
    lambda n: np.full(n, "x"),
    lambda n: np.zeros((4, 1)),
    lambda n: np.zeros((1, n)),
    lambda n: np.zeros(n + 1),
    lambda n: np.zeros(n, complex),
    lambda n: None,
    lambda n: 0.0,
    lambda n: [[0.0], 1.0],
]


@pytest.mark.parametrize("config", [CONFIG, CraftConfig()], ids=["toy", "craft"])
def test_no_environment_executes_what_is_no_action_however_it_is_called(config):
    env = config.make()
    env.reset(options={"episode": config.episodes()[0]})
    before = env.observe(images=False)["state"]
    for bad in BAD_ACTIONS:
        for call in (env.advance, env.step):
            with pytest.raises(BadAction):
                call(bad(len(env.contract.action_names)))
    assert np.array_equal(env.observe(images=False)["state"], before)


@dataclass(frozen=True)
class Broken(ToyReachConfig):
    what: str = ""
    value: Any = None

    def make(self):
        return BrokenToy(self)


class BrokenToy(ToyReach):
    """Gives something that is not declared at its third step in one episode."""

    def _now(self):
        return self.episode == BROKEN and self.steps == 3

    def advance(self, action):
        outcome = super().advance(action)
        if not self._now() or self.config.what not in vars(outcome):
            return self.config.value if self._now() and self.config.what == "outcome" else outcome
        return replace(outcome, **{self.config.what: self.config.value})

    def observe(self, images=True):
        seen = super().observe(images)
        if self._now() and self.config.what in seen:
            seen[self.config.what] = self.config.value
        if self._now() and self.config.what == "camera" and images:
            seen["images"]["top"] = self.config.value
        return self.config.value if self._now() and self.config.what == "observation" else seen


class Waits(SeekAgent):
    """One action a decision that ends no episode."""

    def _plan(self, carry, observation, rng):
        return Plan(np.zeros((1, 2), np.float32))


@pytest.mark.parametrize(
    ("what", "value", "says"),
    [
        ("reward", float("nan"), "reward"),
        ("reward", np.inf, "reward"),
        ("reward", "much", "reward"),
        ("reward", None, "reward"),
        ("reward", np.zeros(2), "reward"),
        ("success", "no", "success must be true or false"),
        ("terminated", None, "terminated must be"),
        ("truncated", np.array([True]), "truncated must be"),
        ("outcome", (1.0, False, False, {}), "must return an Outcome"),
        ("info", {"what": object()}, "info must be JSON-able"),
        ("info", {"distance": float("nan")}, "info must be JSON-able"),
        ("info", 3, "info must be a dict"),
        ("state", np.array([0.5, np.nan], np.float32), "state is not finite in y"),
        ("state", np.zeros(3, np.float32), "state must be 2 numbers"),
        ("state", np.array(["a", "b"]), "state must be 2 numbers"),
        ("instruction", None, "instruction must be text"),
        ("camera", np.zeros((64, 64, 3), np.float32), "camera top must be uint8"),
        ("camera", np.zeros((64, 32, 3), np.uint8), "camera top must be uint8"),
        ("camera", None, "camera top must be uint8"),
        ("images", {}, "images must be of"),
        ("observation", None, "observe must return"),
    ],
)
def test_what_an_environment_gives_that_it_did_not_declare_is_its_error(what, value, says):
    config = Broken(tasks=2, inits=2, horizon=6, what=what, value=value)
    results = Driver(config, 0).run(Waits(), EPISODES)
    for result in results:
        if result.episode == BROKEN:
            assert says in result.error and result.fault == "environment"
            assert result.attempts == 2 and not result.success
        else:
            assert result.error is None
    json.dumps([result.to_json() for result in results], allow_nan=False)


def test_numpys_truth_and_numbers_are_an_outcome_and_become_pythons():
    given = Outcome(np.float32(0.5), np.True_, np.True_, False, {"at": np.arange(2), 3: np.int8(1)})
    config = Broken(tasks=2, inits=2, what="outcome", value=given)
    (result,) = Driver(config, 0).run(Waits(), [BROKEN])
    assert (result.error, result.success, result.steps) == (None, True, 3)
    assert result.return_ == 0.5 and result.info == {"at": [0, 1], "3": 1}


def test_rewards_whose_sum_overflows_are_the_environments_error():
    config = Broken(tasks=2, inits=2, horizon=6, what="reward", value=1.7e308)

    class Twice(BrokenToy):
        def _now(self):
            return self.steps > 0

    @dataclass(frozen=True)
    class TwiceConfig(Broken):
        def make(self):
            return Twice(self)

    results = Driver(TwiceConfig(**vars(config)), 0).run(Waits(), [BROKEN])
    assert results[0].fault == "environment" and np.isfinite(results[0].return_)


def test_gymnasium_is_told_of_a_bad_outcome():
    env = Broken(tasks=2, inits=2, what="reward", value=float("nan")).make()
    env.reset(options={"episode": BROKEN})
    env.step(np.zeros(2))
    env.step(np.zeros(2))
    with pytest.raises(BadOutcome, match="reward"):
        env.step(np.zeros(2))


def test_a_failure_to_build_is_told_once_and_without_its_traceback():
    class Nowhere(ToyReachConfig):
        def make(self):
            raise FileNotFoundError("no assets here")

    with pytest.raises(RuntimeError) as caught:
        Driver(Nowhere(), 0).run(SeekAgent(), EPISODES)
    assert str(caught.value).count("no assets here") == 1 and "Traceback" not in str(caught.value)
    assert "Traceback" in caught.value.__notes__[0]


class Leaving(BrokenToy):
    def advance(self, action):
        return sys.exit() if self._now() else super().advance(action)


@dataclass(frozen=True)
class LeavingConfig(Broken):
    def make(self):
        return Leaving(self)


def test_an_environment_that_calls_exit_ends_its_episode_and_not_the_run():
    results = Driver(LeavingConfig(tasks=2, inits=2, horizon=6), 0).run(Waits(), EPISODES)
    assert [r.fault for r in results] == ["environment" if e == BROKEN else None for e in EPISODES]
    assert "SystemExit" in results[2].error
