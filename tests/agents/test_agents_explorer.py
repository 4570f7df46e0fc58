"""Random play: how often keys are held, and that nothing follows from anything."""

import itertools

import numpy as np
import pytest

from playloop.agents.explorer import GROUPS, HOTBAR_RATE, PITCH, TAPS, ExplorerConfig
from playloop.core.episode import Episode
from playloop.core.minecraft import BUTTONS, index_of
from playloop.envs.craft.env import CraftConfig
from playloop.envs.toy import ToyReachConfig
from playloop.testing import check_agent

TICKS = 30_000


@pytest.fixture(scope="module")
def actions():
    """float32 [30 000, 25], over several episodes."""
    agent, found = ExplorerConfig(chunk=1000).make(), []
    for seed in range(TICKS // 5000):
        episode = Episode("craft", 0, 0, seed)
        carry = agent.begin(episode)
        for decision in range(5):
            [carry], [plan] = agent.act([carry], [{}], [episode.rng("decision", decision)])
            found.append(plan.actions)
    return np.concatenate(found)


def held(actions, name):
    return actions[:, index_of(name)] > 0.5


def test_keys_are_held_for_their_share_of_time(actions):
    for names, shares, _ in GROUPS:
        for name, share in zip(names, shares, strict=True):
            assert held(actions, name).mean() == pytest.approx(share, abs=0.05), name
    for name, rate in TAPS:
        assert held(actions, name).mean() == pytest.approx(rate, abs=0.35 * rate + 0.001), name
    hotbar = np.stack([held(actions, f"hotbar.{number}") for number in range(1, 10)])
    assert hotbar.sum() / len(actions) == pytest.approx(HOTBAR_RATE, abs=0.005)
    assert (hotbar.mean(1) > HOTBAR_RATE / 18).all() and hotbar.sum(0).max() == 1
    assert not held(actions, "ESC").any() and not held(actions, "inventory").any()
    assert set(np.unique(actions[:, : len(BUTTONS)])) == {0.0, 1.0}


def test_keys_are_held_for_a_while(actions):
    for names, shares, ticks in GROUPS:
        for name, share in zip(names, shares, strict=True):
            pressed = held(actions, name)
            presses = (np.diff(pressed.astype(int)) == 1).sum()
            # A key that is drawn anew with the same result goes on being held.
            assert pressed.sum() / presses == pytest.approx(ticks / (1 - share), rel=0.25), name


def test_keys_of_a_group_exclude_each_other(actions):
    for names, _, _ in GROUPS:
        for one, other in itertools.combinations(names, 2):
            assert not (held(actions, one) & held(actions, other)).any()


def test_keys_of_different_groups_are_independent(actions):
    for (one, _, _), (other, _, _) in itertools.combinations(GROUPS, 2):
        for pair in itertools.product(one, other):
            both = np.corrcoef(*(held(actions, name) for name in pair))[0, 1]
            assert abs(both) < 0.1, pair
    turns = np.abs(actions[:, -1]) > 0
    for names, _, _ in GROUPS:
        assert abs(np.corrcoef(turns, held(actions, names[0]))[0, 1]) < 0.1


def test_the_view_is_mostly_where_there_is_something_to_see(actions):
    pitches = []
    for episode in np.split(actions, TICKS // 5000):
        pitch = 0.0
        for turn in episode[:, -2]:
            pitch = min(max(pitch + float(turn), -90.0), 90.0)
            pitches.append(pitch)
    low, high = np.quantile(pitches, [0.25, 0.75])
    assert PITCH[0] < low < high < PITCH[1] and 0 < np.mean(pitches) < 25
    assert np.abs(actions[:, -1]).max() < 60 and 0.25 < (actions[:, -1] == 0).mean() < 0.45
    assert abs(actions[:, -1].mean()) < 1.0


def test_the_pitch_is_bounded_and_the_same_as_in_the_world():
    env, episode = CraftConfig().make(), Episode("craft", 0, 1)
    agent = ExplorerConfig(chunk=100).make()
    env.begin(episode)
    carry = agent.begin(episode)
    for decision in range(3):
        [carry], [plan] = agent.act([carry], [{}], [episode.rng("decision", decision)])
        for action in plan.actions:
            env.advance(action)
        assert -90 <= carry.pitch <= 90
        assert env.game.body.pitch == pytest.approx(carry.pitch, abs=1e-3)


def test_conformance():
    check_agent(ExplorerConfig().make, CraftConfig().make)
    agent = ExplorerConfig(chunk=7).make()
    _, plans = agent.act([agent.begin(Episode("craft", 0, 0))], [{}], [np.random.default_rng(0)])
    assert plans[0].actions.shape == (7, 25)


def test_other_actions_and_bad_settings_are_refused():
    with pytest.raises(ValueError, match="use env=craft"):
        ExplorerConfig().make().prepare(ToyReachConfig().contract())
    ExplorerConfig().make().prepare(CraftConfig().contract())
    for settings in ({"chunk": 0}, {"rows": 0}):
        with pytest.raises(ValueError, match=r"(chunk|rows)=0: use a number of at least 1"):
            ExplorerConfig(**settings).make()
