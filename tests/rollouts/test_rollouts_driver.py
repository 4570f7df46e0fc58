"""The loop: invariance, laziness, and what happens when things break."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
from toy_helpers import Liar, Memory, SeekAgent, Unbuildable, equal

from playloop.agents.random import RandomAgentConfig
from playloop.envs.toy import ToyFault, ToyReach, ToyReachConfig
from playloop.rollouts.callbacks import Wants
from playloop.rollouts.driver import Driver
from playloop.rollouts.processes import ProcessWorker
from playloop.rollouts.worker import Begin, Execute, Executor

CONFIG = ToyReachConfig(tasks=3, inits=3)
EPISODES = CONFIG.episodes(seed=5)


def run(workers, episodes=EPISODES, config=CONFIG, rows=3, memory=None, **options):
    memory = memory or Memory()
    agent = SeekAgent(rows=rows)
    results = Driver(config, workers, [memory], **options).run(agent, episodes)
    return memory, results, agent


def judged(results):
    return [(r.episode, r.success, r.steps, r.return_, r.decisions, r.error, r.info) for r in results]


@pytest.fixture(scope="module")
def reference():
    return run(0)


@pytest.mark.parametrize(("workers", "rows"), [(2, 1), (4, 3)])
def test_workers_and_batches_do_not_change_an_action(reference, workers, rows):
    memory, results, _ = run(workers, rows=rows)
    assert judged(results) == judged(reference[1])
    for column in ("actions", "states", "rewards", "success"):
        assert equal(memory.column(column), reference[0].column(column))


def test_order_and_company_do_not_change_an_action(reference):
    memory, _, _ = run(0, episodes=EPISODES[::-1][:4])
    expected = {e: a for e, a in reference[0].column("actions").items() if e in EPISODES[::-1][:4]}
    assert equal(memory.column("actions"), expected)


def test_the_agent_is_not_trivial(reference):
    results = reference[1]
    assert sum(r.success for r in results) > 0
    assert len({r.steps for r in results}) > 2
    other, _, _ = run(0, episodes=CONFIG.episodes(seed=6))
    actions = [a.tobytes() for a in other.column("actions").values()]
    assert actions != [a.tobytes() for a in reference[0].column("actions").values()]


def test_several_episodes_are_decided_for_in_one_call():
    class Slow(SeekAgent):
        def act(self, *arguments):
            time.sleep(0.1)  # meanwhile the other workers come to wait
            return super().act(*arguments)

    agent = Slow(rows=2)
    Driver(CONFIG, 3).run(agent, EPISODES)
    assert max(agent.batches) == 2


def test_images_are_drawn_for_decisions_only(reference):
    for result in reference[1]:
        assert result.info["renders"] == result.decisions
    results = Driver(CONFIG, 0).run(RandomAgentConfig().make(), EPISODES)
    assert [r.info["renders"] for r in results] == [0] * len(EPISODES)


def test_recording_draws_every_step_and_changes_nothing(reference):
    memory, results, _ = run(2, memory=Memory(frames=True, trace=True))
    assert [r.info["renders"] for r in results] == [r.steps for r in results]
    for column in ("actions", "states", "rewards"):
        assert equal(memory.column(column), reference[0].column(column))
    assert all(s.frames is None and s.snapshots is None for p in reference[0].segments.values() for s in p)


def test_a_trace_holds_what_was_before_every_action():
    memory, _, _ = run(0, episodes=EPISODES[:2], memory=Memory(frames=True, trace=True))
    for episode, segments in memory.segments.items():
        env = ToyReach(CONFIG)
        env.begin(episode)
        for segment in segments:
            for row in range(len(segment)):
                seen = env.observe()
                assert np.array_equal(segment.states[row], seen["state"])
                assert np.array_equal(segment.snapshots[row], env.snapshot())
                assert np.array_equal(segment.privileged["target"][row], env.privileged()["target"])
                assert np.array_equal(segment.frames["hand"][row], seen["images"]["hand"])
                env.advance(segment.actions[row])
        assert [s.last for s in segments] == [False] * (len(segments) - 1) + [True]
        assert np.array_equal(segments[-1].final_frames["top"], env.observe()["images"]["top"])
        assert [s.plan_info["decision"] for s in segments] == list(range(len(segments)))


def test_callbacks_hear_of_everything_in_order(reference):
    log = reference[0].log
    assert log[0] == ("start", 9, 0) and log[-1] == ("close",)
    assert log[1:-1] == [(kind, e) for e in EPISODES for kind in ("begin", "end")]


def faulty(tmp_path, kind, times):
    counter = tmp_path / "left"
    counter.write_text(str(times))
    return replace(CONFIG, fault=ToyFault(EPISODES[4].key, kind, str(counter)))


@pytest.mark.parametrize("kind", ["crash", "raise", "hang"])
def test_a_broken_episode_is_repeated_once(tmp_path, reference, kind):
    memory, results, _ = run(2, config=faulty(tmp_path, kind, 1), step_timeout=6.0)
    assert judged(results) == judged(reference[1])
    assert [r.attempts for r in results] == [2 if e == EPISODES[4] else 1 for e in EPISODES]
    assert equal(memory.column("actions"), reference[0].column("actions"))


@pytest.mark.parametrize(
    ("kind", "says"), [("crash", "exit code 13"), ("raise", "RuntimeError: the toy broke")]
)
def test_an_episode_that_breaks_twice_is_an_error_and_no_failure(tmp_path, reference, kind, says):
    _, results, _ = run(2, config=faulty(tmp_path, kind, 2))
    broken = results[4]
    assert says in broken.error and not broken.success and broken.attempts == 2
    rest = [r for r in results if r is not broken]
    assert judged(rest) == judged([r for r in reference[1] if r.episode != broken.episode])


def test_workers_are_replaced_after_so_many_episodes(reference, monkeypatch):
    hired = []

    class Counted(ProcessWorker):
        def __init__(self, config):
            hired.append(config)
            super().__init__(config)

    monkeypatch.setattr("playloop.rollouts.driver.ProcessWorker", Counted)
    _, results, _ = run(1, recycle_after=4)
    assert judged(results) == judged(reference[1]) and len(hired) == 3


@pytest.mark.parametrize(
    ("dies", "says"), [(False, "cannot be built.*no assets here"), (True, "exit code 7.*doctor")]
)
def test_an_environment_that_cannot_be_built_ends_the_run(dies, says):
    with pytest.raises(RuntimeError, match=says):
        run(1, config=Unbuildable(dies=dies))


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan")])
def test_the_time_out_is_a_time(seconds):
    with pytest.raises(ValueError, match="step_timeout positive"):
        Driver(CONFIG, step_timeout=seconds)


def test_a_declared_contract_that_is_not_kept_is_an_error():
    with pytest.raises(ValueError, match="differs from its settings"):
        run(0, config=Liar())


def test_an_agent_that_does_not_fit_is_refused_before_anything_runs():
    class Stranger(SeekAgent):
        def prepare(self, contract):
            raise ValueError("made for another arm")

    memory = Memory()
    with pytest.raises(ValueError, match="another arm"):
        Driver(CONFIG, 1, [memory]).run(Stranger(), EPISODES)
    assert memory.log == []


def test_bad_requests_are_refused():
    with pytest.raises(ValueError, match="twice"):
        run(0, episodes=[EPISODES[0], EPISODES[0]])
    with pytest.raises(ValueError, match="workers"):
        Driver(CONFIG, workers=-1)
    assert Driver(CONFIG).run(SeekAgent(), []) == []


def test_a_plan_may_read_less_from_then_on():
    executor = Executor(ToyReachConfig())
    begun = executor.obey(Begin(EPISODES[0], Wants(), frozenset({"images"})))
    assert "images" in begun.observation
    still = np.zeros((2, len(ToyReachConfig().contract().action_names)), np.float32)
    assert "images" in executor.obey(Execute(still, {})).observation
    assert "images" not in executor.obey(Execute(still, {}, frozenset())).observation
    assert "images" not in executor.obey(Execute(still, {})).observation
    executor.close()
