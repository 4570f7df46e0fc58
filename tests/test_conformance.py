"""The conformance checks pass what keeps the contract and catch what breaks it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from playloop.agents.random import RandomAgentConfig
from playloop.core.episode import Episode
from playloop.envs.toy import SUITE, ToyReach, ToyReachConfig
from playloop.testing import check_agent, check_env
from playloop.testing.determinism import check_determinism, in_fresh_process
from playloop.testing.traces import record, wild


def test_toy_conforms():
    check_env(ToyReachConfig().make, tasks=[0, 1, 2, 3])


def test_random_agent_conforms():
    check_agent(RandomAgentConfig().make, ToyReachConfig().make)


class Drifting(ToyReach):
    """Keeps something of the episode before: its wind."""

    def begin(self, episode):
        before = getattr(self, "wind", np.zeros(2))
        super().begin(episode)
        self.wind = self.wind + 0.1 * before


class Loaded(ToyReach):
    """Puts all back when another task is loaded; its own task begins with the last velocity."""

    loaded = None

    def begin(self, episode):
        before = self.wind if self.loaded == episode.task else np.zeros(2)
        super().begin(episode)
        self.wind, self.loaded = self.wind + 0.1 * before, episode.task


class Settling(ToyReach):
    """Lets the point rest in the last episode's place for a moment, if the task is the same."""

    episode = None

    def begin(self, episode):
        if self.episode is not None and (self.episode.task, self.episode.init) == (episode.task, 4):
            self.pushed = True
        super().begin(episode)
        if episode.init != 4 and getattr(self, "pushed", False):
            self.position, self.pushed = self.position + 1e-9, False


class Unfinished(ToyReach):
    """Minds only an episode that was left in its middle."""

    steps = 12

    def __init__(self):
        super().__init__(ToyReachConfig(horizon=12))

    def begin(self, episode):
        aborted = self.steps < 12
        super().begin(episode)
        self.wind = self.wind + 1e-9 * aborted


class Disturbed(ToyReach):
    """Moves when it is looked at."""

    def observe(self, images=True):
        if images:
            self.position = self.position + 1e-6
        return super().observe(images)


class Blurred(ToyReach):
    """Draws the first picture of its life otherwise; states are right."""

    drawn = -1

    def observe(self, images=True):
        seen = super().observe(images)
        self.drawn += images
        if images and self.drawn == 0:
            seen["images"]["top"][0, 0] += 1
        return seen


class Lying(ToyReach):
    """Its truth, which experts act on, is that of the episode before in the last bit; states are right."""

    begun = 0

    def begin(self, episode):
        super().begin(episode)
        self.begun += 1

    def privileged(self):
        return {"target": super().privileged()["target"] + 1e-12 * self.begun}


class Forgetful(ToyReach):
    """Shows another picture after `restore` than there was; states are right."""

    def restore(self, snapshot):
        self.shown = True
        super().restore(snapshot)

    def begin(self, episode):
        self.shown = False
        super().begin(episode)

    def observe(self, images=True):
        seen = super().observe(images)
        if images and self.shown:
            seen["images"]["top"][0, 0] += 1
        return seen


class Stale(ToyReach):
    """Draws what was restored beside the state of now."""

    def observe(self, images=True):
        now = getattr(self, "now", self.position)
        return {**super().observe(images), "state": now.astype(np.float32)}

    def begin(self, episode):
        super().begin(episode)
        self.now = self.position

    def advance(self, action):
        outcome = super().advance(action)
        self.now = self.position
        return outcome


class Halting(ToyReach):
    """Goes on from a snapshot without the wind that blew."""

    def restore(self, snapshot):
        super().restore(snapshot)
        self.wind = np.zeros(2)


class Restored(ToyReach):
    """Is never the same after `restore`, whatever begins."""

    less = 0.0

    def restore(self, snapshot):
        super().restore(snapshot)
        self.less = 1e-9

    def begin(self, episode):
        super().begin(episode)
        self.position = self.position - self.less


class Mislabelled(ToyReach):
    """Declares a camera that it does not show."""

    def observe(self, images=True):
        observation = super().observe(images)
        observation.get("images", {}).pop("hand", None)
        return observation


FIRST, SIBLING, OTHER = (Episode(SUITE, *numbers) for numbers in ((0, 0), (0, 4), (3, 4)))


@pytest.mark.parametrize("broken", [Drifting, Disturbed, Mislabelled])
def test_broken_environments_are_caught(broken):
    with pytest.raises(AssertionError):
        check_env(broken)


@pytest.mark.parametrize(
    ("broken", "complaint"),
    [
        (Drifting, "begun again at once it is another episode: state, snapshot after step 1"),
        (Loaded, "begun again at once it is another episode"),
        (Settling, "after another episode of its task: snapshot after step 0"),
        (Unfinished, "after an aborted one"),
        (Disturbed, "looking changes the episode"),
        (Blurred, "begun again at once it is another episode: picture of top after step 0"),
        (Lying, "begun again at once it is another episode: truth of target after step 0"),
        (Forgetful, "after `restore` the picture of top is not that of step"),
        (Stale, "after `restore` the state is not that of step"),
        (Halting, "goes on as neither was"),
        (Restored, "it is another episode after `restore`"),
    ],
)
def test_determinism_names_what_is_wrong(broken, complaint):
    with pytest.raises(AssertionError, match=complaint):
        check_determinism(broken(), [FIRST, SIBLING, OTHER], steps=12)


def test_a_fresh_process_is_compared():
    with in_fresh_process(ToyReachConfig().make, [FIRST], 6, wild) as compare:
        compare([record(ToyReach(), FIRST, 6)])
        with pytest.raises(AssertionError, match="in a fresh process: state, snapshot after step 0"):
            compare([record(Disturbed(), FIRST, 6)])


class Leaving(ToyReach):
    """Ends with its first action, as random keys end a game by its escape key."""

    def advance(self, action):
        return replace(super().advance(action), terminated=True)


@pytest.mark.parametrize(
    ("broken", "settings", "complaint"),
    [
        (Leaving, {}, "an episode of 1 actions proves nothing"),
        (ToyReach, {"moves": "target"}, "the actions do not change the truth of target"),
    ],
)
def test_what_proves_nothing_is_refused(broken, settings, complaint):
    with pytest.raises(AssertionError, match=complaint):
        check_env(broken, **settings)


class Chatty:
    """Lets the number of rows change what a row decides."""

    def __new__(cls):
        agent = RandomAgentConfig().make()
        plain = agent.act

        def act(carries, observations, rngs):
            carries, plans = plain(carries, observations, rngs)
            for plan in plans:
                plan.actions = plan.actions + np.float32(0.01 * len(rngs))
            return carries, plans

        agent.act = act
        return agent


def test_rows_that_mind_their_neighbours_are_caught():
    with pytest.raises(AssertionError, match="alone differs"):
        check_agent(Chatty, ToyReachConfig().make)
