"""LIBERO on the real simulator: equal to upstream to the last bit, whatever ran before and whoever looks."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from one_task import OneLiberoTask
from upstream_libero import CAMERAS, random_actions

from playloop.core.contract import Contract
from playloop.core.episode import FRESH, Episode
from playloop.envs.libero import HORIZONS, LiberoConfig, load_states

HERE = Path(__file__).parent
STEPS = 12
STORED = {"libero_object": Episode("libero_object", 1, 3), "libero_spatial": Episode("libero_spatial", 4, 2)}
"""libero_spatial task 4 has a cabinet, whose pose is a property of the model and not of the state."""

pytestmark = pytest.mark.skipif(
    find_spec("libero") is None, reason="LIBERO is not installed: pip install 'playloop[libero]'"
)


@pytest.fixture(scope="module")
def upstream(tmp_path_factory):
    """Suite → what upstream's OffScreenRenderEnv gives; one process a suite, side by side."""
    folder = tmp_path_factory.mktemp("upstream")
    jobs = {suite: start_upstream(episode, folder / f"{suite}.npz") for suite, episode in STORED.items()}
    found = {}
    for suite, job in jobs.items():
        output = job.communicate(timeout=280)[0]
        assert job.returncode == 0, output
        with np.load(folder / f"{suite}.npz", allow_pickle=False) as archive:
            found[suite] = dict(archive)
    return found


def start_upstream(episode, path):
    command = [
        sys.executable,
        HERE / "upstream_libero.py",
        episode.suite,
        episode.task,
        episode.init,
        STEPS,
        path,
    ]
    return subprocess.Popen(
        list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=one_thread()
    )


def one_thread():
    return {**os.environ, "MUJOCO_GL": os.environ.get("MUJOCO_GL", "egl"), "LP_NUM_THREADS": "1"}


@pytest.fixture(scope="module", params=list(STORED))
def env(request, upstream):
    """Our environment; made when upstream's processes have ended and one after the other, to spare memory."""
    made = LiberoConfig(request.param).make()
    yield made
    made.close()


@pytest.fixture
def suite(env):
    return env.config.suite


object_only = pytest.mark.parametrize("env", ["libero_object"], indirect=True)
spatial_only = pytest.mark.parametrize("env", ["libero_spatial"], indirect=True)


def states_of(env, episode, actions):
    """The flattened simulator state after every action."""
    env.begin(episode)
    found = []
    for action in actions:
        env.advance(action)
        found.append(flattened(env))
    return np.stack(found)


def flattened(env):
    data = env._simulation.sim.data
    return np.concatenate([[data.time], data.qpos, data.qvel])


def test_equals_upstream_in_states_observations_and_pixels(env, upstream, suite):
    theirs = upstream[suite]
    env.begin(STORED[suite])
    for step, action in enumerate(random_actions(STEPS)):
        env.advance(action)
        assert np.array_equal(flattened(env), theirs["states"][step]), f"state after step {step}"
        seen = env.observe()
        for camera in CAMERAS:
            assert np.array_equal(seen["images"][camera], theirs[camera][step]), f"{camera} after step {step}"
        state = np.concatenate([theirs[name][step] for name in ("eef_pos", "axis_angle", "fingers")])
        np.testing.assert_array_max_ulp(seen["state"], state.astype(np.float32), maxulp=2)
    assert len(np.unique(theirs["agentview"].reshape(STEPS, -1), axis=0)) == STEPS  # nothing stands still
    assert theirs["agentview"].mean() > 20


def test_equals_upstream_from_a_fresh_placement(env, upstream, suite):
    episode = Episode(suite, STORED[suite].task, FRESH, 7)
    assert np.array_equal(states_of(env, episode, random_actions(2)), upstream[suite]["fresh_states"])


def test_stored_episodes_do_not_mind_what_ran_before(env, upstream, suite):
    episode, actions = STORED[suite], random_actions(STEPS)
    task = episode.task
    for other in (Episode(suite, task, FRESH, 5), Episode(suite, task, 9), Episode(suite, task, FRESH, 6)):
        states_of(env, other, -actions[:5])
        assert np.array_equal(states_of(env, episode, actions), upstream[suite]["states"])


@object_only
def test_another_task_in_between_changes_nothing(env, upstream):
    episode = STORED["libero_object"]
    before = states_of(env, Episode("libero_object", 1, FRESH, 8), random_actions(5))
    states_of(env, Episode("libero_object", 6, 0), random_actions(3))
    env.observe()
    assert np.array_equal(states_of(env, episode, random_actions(STEPS)), upstream["libero_object"]["states"])
    assert np.array_equal(states_of(env, Episode("libero_object", 1, FRESH, 8), random_actions(5)), before)
    assert np.array_equal(env.observe()["images"]["agentview"], env.observe()["images"]["agentview"])


def test_fresh_placements_follow_from_the_seed(env, suite):
    task = STORED[suite].task

    def placement(seed):
        env.begin(Episode(suite, task, FRESH, seed))
        return {name: value for name, value in env.privileged().items() if name.startswith("object/")}

    first, other, again = placement(0), placement(1), placement(0)
    assert first and all(np.array_equal(first[name], again[name]) for name in first)
    moved = {name for name in first if np.linalg.norm(first[name][:2] - other[name][:2]) > 1e-3}
    assert {f"object/{env.goal_objects[0]}"} <= moved
    env.begin(Episode(suite, task, 0))
    assert not np.allclose(env.privileged()[min(moved)][:2], first[min(moved)][:2], atol=1e-4)


@spatial_only
def test_cabinet_returns_to_its_place(env):
    """Every reset moves it, in the model: two placements differ, a repeat equals the first."""

    def cabinet(seed):
        env.begin(Episode("libero_spatial", 4, FRESH, seed))
        model = env._simulation.sim.model
        return np.array(model.body_pos[model.body_name2id("wooden_cabinet_1_main")])

    places = [cabinet(seed) for seed in (0, 1, 0)]
    assert np.array_equal(places[0], places[2])
    assert not np.array_equal(places[0], places[1])


@object_only
def test_snapshots_are_drawn_as_they_were_seen(env):
    episode = STORED["libero_object"]
    env.begin(episode)
    for action in random_actions(6):
        env.advance(action)
    seen, snapshot = env.observe()["images"], env.snapshot()
    env.begin(Episode("libero_object", 1, FRESH, 3))
    env.begin(episode)
    env.restore(snapshot)
    again = env.observe()["images"]
    assert all(np.array_equal(again[camera], seen[camera]) for camera in CAMERAS)
    with pytest.raises(ValueError, match="another scene"):
        env.restore(snapshot[:-1])


@object_only
def test_wrong_actions_and_unknown_episodes_are_refused(env):
    env.begin(STORED["libero_object"])
    for action in (np.zeros(6), np.full(7, np.nan)):
        with pytest.raises(ValueError, match="7"):
            env.advance(action)
    with pytest.raises(ValueError, match="0 to 9, not 10"):
        env.begin(Episode("libero_object", 10, 0))


@object_only
def test_an_episode_of_another_suite_is_refused(env):
    with pytest.raises(ValueError, match="libero_spatial"):
        env.begin(Episode("libero_spatial", 1, 0))


@object_only
def test_an_initial_state_out_of_range_is_refused(env):
    for init in (50, -2):
        with pytest.raises(ValueError, match=f"has 50 initial states.* no {init}"):
            env.begin(Episode("libero_object", 1, init))


def test_two_environments_in_one_process_see_what_each_sees_alone():
    first = OneLiberoTask("libero_object", size=64).make()
    second = LiberoConfig("libero_object", size=128).make()
    try:
        first.begin(Episode("libero_object", 1, 0))
        alone = first.observe()["images"]["agentview"]
        second.begin(Episode("libero_object", 1, 0))
        wide = second.observe()["images"]["agentview"]
        assert wide.mean() == pytest.approx(alone.mean(), abs=2)
        assert np.array_equal(first.observe()["images"]["agentview"], alone)
        assert np.array_equal(second.observe()["images"]["agentview"], wide)
        second.close()
        assert np.array_equal(first.observe()["images"]["agentview"], alone)
    finally:
        second.close()
        first.close()


@pytest.mark.parametrize(
    ("family", "manner"),
    [("libero", "forget"), ("robosuite", "close"), ("robosuite", "error"), ("robosuite", "again")],
)
def test_leaving_prints_no_traceback(family, manner):
    command = [sys.executable, str(HERE / "leave.py"), family, manner]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, env=one_thread())
    assert "['agentview', 'robot0_eye_in_hand']" in done.stdout
    assert done.returncode == (1 if manner == "error" else 0)
    for trace in ("Traceback", "EGLError", "Exception ignored"):
        assert trace not in done.stderr, done.stderr


# -- settings, without a simulator ------------------------------------------------------------------------


def test_a_misspelt_suite_is_answered_with_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'libero_object'"):
        LiberoConfig("libero_objects").make()
    with pytest.raises(ValueError, match="did you mean 'libero_spatial'"):
        LiberoConfig("libero_spacial").tasks()


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("libero_spatial", 10),
        ("libero_object", 10),
        ("libero_goal", 10),
        ("libero_10", 10),
        ("libero_90", 90),
    ],
)
def test_every_task_has_its_scene_and_fifty_initial_states(name, count):
    tasks = LiberoConfig(name).tasks()
    assert len(tasks) == count == len({task.name for task in tasks})
    assert [task.name for task in tasks if not task.scene.is_file()] == []
    shapes = {task.name: load_states(task).shape for task in tasks}
    assert {task: shape for task, shape in shapes.items() if len(shape) != 2 or shape[0] != 50} == {}


def test_the_standard_protocol():
    assert HORIZONS == {
        "libero_spatial": 220,
        "libero_object": 280,
        "libero_goal": 300,
        "libero_10": 520,
        "libero_90": 400,
    }
    for name, horizon in HORIZONS.items():
        config = LiberoConfig(name)
        assert config.limit() == horizon and config.deviations() == "standard"
        contract = config.contract()
        assert Contract.from_json(contract.to_json()) == contract
        assert contract.control_hz == 20 and set(contract.cameras.values()) == {(256, 256)}


@pytest.mark.parametrize(
    ("settings", "protocol"),
    [
        ({"size": 128}, "standard, size=128"),
        ({"horizon": 220}, "standard, horizon=220"),
        ({"horizon": 280}, "standard"),
        ({"settle_steps": 5, "success_steps": 10}, "standard, settle_steps=5, success_steps=10"),
        ({"size": 64, "horizon": 30}, "standard, size=64, horizon=30"),
        ({"protocol": "lerobot"}, "lerobot"),
        ({"protocol": "lerobot", "horizon": 9}, "lerobot, horizon=9"),
    ],
)
def test_deviations_have_names(settings, protocol):
    config = LiberoConfig("libero_object", **settings)
    assert config.deviations() == config.contract().protocol == protocol
    assert config.make().horizon == config.limit()


def test_protocols_differ_in_their_limits():
    limits = {name: LiberoConfig("libero_spatial", protocol=name).limit() for name in ("standard", "lerobot")}
    assert limits == {"standard": 220, "lerobot": 280}
    with pytest.raises(ValueError, match=r"protocol='.*': choose from standard, lerobot"):
        LiberoConfig(protocol="openvla")


def test_the_rule_of_success_is_declared():
    assert "10 steps" in str(LiberoConfig(success_steps=10).contract().success)
    assert "any step" in str(LiberoConfig().contract().success)


def test_episodes_and_their_limits():
    config = LiberoConfig("libero_object")
    assert len(config.episodes()) == 500
    assert config.episodes([3], 2, seed=4) == [
        Episode("libero_object", 3, 0, 4),
        Episode("libero_object", 3, 1, 4),
    ]
    assert [episode.init for episode in config.episodes([0], [7, 2])] == [7, 2]
    wrong = (([10], 1, "tasks 0 to 9"), ([0], 51, "0 to 49"), ([0], [-1], "0 to 49"), ([1, 1], 1, "twice"))
    for tasks, inits, complaint in wrong:
        with pytest.raises(ValueError, match=complaint):
            config.episodes(tasks, inits)


@pytest.mark.parametrize(
    ("name", "task", "instruction"),
    [
        ("libero_object", 1, "pick up the cream cheese and place it in the basket"),
        (
            "libero_spatial",
            4,
            "pick up the black bowl in the top drawer of the wooden cabinet and place it on the plate",
        ),
        ("libero_10", 0, "put both the alphabet soup and the tomato sauce in the basket"),
        ("libero_90", 0, "close the top drawer of the cabinet"),
    ],
)
def test_instructions_are_the_published_ones(name, task, instruction):
    assert LiberoConfig(name).task(task).instruction == instruction
    assert LiberoConfig(name).task_names()[task] == instruction
