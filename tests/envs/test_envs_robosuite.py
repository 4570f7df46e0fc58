"""robosuite's own tasks through the one contract, on the real simulator."""

from importlib.util import find_spec

import numpy as np
import pytest

from playloop.core.episode import Episode
from playloop.envs.robosuite import HORIZONS, TASKS, RobosuiteConfig

pytestmark = pytest.mark.skipif(
    find_spec("robosuite") is None, reason="robosuite is not installed: pip install 'playloop[libero]'"
)


@pytest.mark.parametrize("name", TASKS)
def test_every_task_runs(name):
    task = list(TASKS).index(name)
    env = RobosuiteConfig(size=64).make()
    try:
        env.begin(Episode("robosuite", task, 0))
        assert env.horizon == HORIZONS[name]
        first = env.observe()
        assert first["instruction"] == TASKS[name]
        assert all(image.std() > 5 for image in first["images"].values())
        outcomes = [env.advance(np.array([0, 0, -1, 0, 0, 0, -1.0])) for _ in range(5)]
        assert not any(outcome.terminated or outcome.truncated for outcome in outcomes)
        lower = env.observe(images=False)["state"]
        assert lower[2] < first["state"][2] - 0.01
        objects = [value for key, value in env.privileged().items() if key.startswith("object/")]
        assert objects and all(np.isfinite(value).all() for value in objects)
    finally:
        env.close()


def test_placements_follow_from_the_identity_and_the_horizon_ends_an_episode():
    env = RobosuiteConfig(size=64, horizon=3).make()
    try:

        def cube(init, seed):
            env.begin(Episode("robosuite", 0, init, seed))
            return env.privileged()["object/cube"]

        first, other_init, other_seed, again = cube(0, 0), cube(1, 0), cube(0, 1), cube(0, 0)
        assert np.array_equal(first, again)
        assert not np.allclose(first[:2], other_init[:2]) and not np.allclose(first[:2], other_seed[:2])
        assert [env.advance(np.zeros(7)).truncated for _ in range(3)] == [False, False, True]
    finally:
        env.close()


def test_episodes_and_names():
    config = RobosuiteConfig()
    assert config.task_names() == ["Lift", "Stack", "PickPlace", "NutAssembly", "Door"]
    assert config.episodes([4], 2, seed=3) == [Episode("robosuite", 4, 0, 3), Episode("robosuite", 4, 1, 3)]
    assert len({episode.key for episode in config.episodes()}) == 250
    with pytest.raises(ValueError, match="tasks 0 to 4"):
        config.make().begin(Episode("robosuite", 5, 0))


def test_settings_that_depart_from_the_task_are_named():
    assert RobosuiteConfig().contract().protocol == "standard"
    assert "128" in RobosuiteConfig(size=128).contract().protocol
    assert "horizon=3" in RobosuiteConfig(horizon=3).contract().protocol
