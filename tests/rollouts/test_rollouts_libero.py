"""The loop on the real simulator: renders what is read, and gives the same whoever works beside it."""

from importlib.util import find_spec

import av
import numpy as np
import pytest
from libero_helpers import CAMERAS, Assassin, Swing, small, tiny_policy_agent
from toy_helpers import Memory, equal

from playloop.core.episode import Episode
from playloop.envs.gl import Renderer
from playloop.rollouts.driver import Driver
from playloop.rollouts.video import VideoRecorder

COLUMNS = ("actions", "states", "snapshots", "rewards", "success")
EPISODES = [Episode("libero_object", task, init) for task in (1, 3) for init in (0, 1)]

pytestmark = pytest.mark.skipif(
    find_spec("libero") is None, reason="LIBERO is not installed: pip install 'playloop[libero]'"
)


def roll_out(workers, episodes=EPISODES, memory=None):
    memory = memory or Memory(trace=True)
    agent = tiny_policy_agent(small().contract())
    return Driver(small(), workers, [memory]).run(agent, episodes), memory


@pytest.fixture(scope="module")
def alone():
    """The real policy agent with one worker."""
    return roll_out(1)


def outcomes(results):
    return [(r.episode, r.success, r.steps, r.return_, r.decisions, r.error, r.info) for r in results]


def tokens(memory):
    """Episode → every token of every decision."""
    return {e: np.stack([s.plan_info["tokens"] for s in parts]) for e, parts in memory.segments.items()}


def assert_equal_runs(left, right):
    assert outcomes(left[0]) == outcomes(right[0])
    for column in COLUMNS:
        assert equal(left[1].column(column), right[1].column(column)), column
    assert equal(tokens(left[1]), tokens(right[1]))


def test_one_worker_gives_whole_and_different_episodes(alone):
    results, memory = alone
    assert [result.episode for result in results] == EPISODES
    assert {(result.steps, result.decisions, result.error) for result in results} == {(20, 3, None)}
    actions = memory.column("actions")
    assert all(actions[episode].shape == (20, 7) for episode in EPISODES)
    assert len({actions[episode].tobytes() for episode in EPISODES}) == 4


def test_several_workers_give_the_same_action_for_action(alone):
    """Three: the policy decides for two rows and for one, and one of the workers plays two episodes."""
    assert_equal_runs(alone, roll_out(3))


def test_a_killed_worker_is_replaced_and_its_episode_is_what_it_would_have_been(alone):
    killer = Assassin()
    (result,), memory = roll_out(1, EPISODES[:1], killer)
    assert len(killer.victims) == 1
    assert result.attempts == 2 and result.error is None
    assert [entry[0] for entry in killer.log] == ["start", "begin", "begin", "end", "close"]
    assert outcomes([result]) == outcomes(alone[0][:1])
    for column in COLUMNS:
        assert np.array_equal(memory.column(column)[EPISODES[0]], alone[1].column(column)[EPISODES[0]])


@pytest.fixture
def draws(monkeypatch):
    """Names of the cameras drawn in this process."""
    drawn, draw = [], Renderer.draw

    def counted(self, data, camera, height, width):
        drawn.append(camera)
        return draw(self, data, camera, height, width)

    monkeypatch.setattr(Renderer, "draw", counted)
    return drawn


def test_only_images_that_somebody_reads_are_drawn(draws, tmp_path):
    """16 steps in chunks of eight are two decisions; a video wants every step, and only of its episode."""
    plain, filmed = Memory(trace=True), Memory(trace=True)
    episodes = EPISODES[:2]
    Driver(small(horizon=16), 0, [plain]).run(Swing(), episodes)
    assert [draws.count(camera) for camera in CAMERAS] == [2 * 2, 2 * 2]
    draws.clear()
    recorder = VideoRecorder(tmp_path, episodes[1:], 20.0)
    Driver(small(horizon=16), 0, [filmed, recorder]).run(Swing(), episodes)
    assert [draws.count(camera) for camera in CAMERAS] == [2 + 17, 2 + 17]
    for column in COLUMNS:
        assert equal(plain.column(column), filmed.column(column)), f"the video changes {column}"
    assert [segment.frames is None for segment in filmed.segments[episodes[0]]] == [True] * 2
    (video,) = tmp_path.glob("*.mp4")
    assert video.name == f"{episodes[1].key}-failure.mp4"
    with av.open(str(video)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 17


def test_an_agent_that_never_looks_costs_no_picture(draws):
    from playloop.agents.random import RandomAgentConfig

    (result,) = Driver(small(), 0).run(RandomAgentConfig().make(), EPISODES[:1])
    assert result.steps == 20 and draws == []
