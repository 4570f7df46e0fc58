"""MineRL behind the contract: conversions against the package's own spaces, episodes without Minecraft."""

from __future__ import annotations

from importlib.util import find_spec

import gymnasium as gym
import numpy as np
import pytest
from minerl_space import dictionary_space

from playloop.core.episode import FRESH, Episode
from playloop.core.minecraft import BUTTONS, action_space, action_vector
from playloop.envs.minerl import (
    INSTALL,
    SUITE,
    TASKS,
    MineRLConfig,
    game_action,
    make_minerl,
)
from playloop.testing import check_env

package = pytest.mark.skipif(find_spec("minerl") is None, reason=INSTALL)

# -- the adapter, with a game that speaks as MineRL does -----------------------------------------------


class Corridor:
    """Speaks MineRL's language (old Gym: one `done`, a seed before the reset); shows what it was told."""

    action_space = dictionary_space()

    def __init__(self, name):
        self.name, self.num_steps, self.closed, self.lost = name, 0, False, False
        self.unwrapped = self

    def seed(self, seed, seed_spaces):
        self.world = seed

    def reset(self):
        self.yaw = self.pitch = 0.0
        return self.see()

    def step(self, action):
        assert self.action_space.contains(action)
        self.num_steps += 1
        self.pitch, self.yaw = self.pitch + action["camera"][0], self.yaw + action["camera"][1]
        info = {"error": "Connection timed out!"} if self.lost else {}
        return self.see(), 1024.0 * action["use"], bool(action["drop"]), info

    def see(self):
        image = np.zeros((360, 640, 3), np.uint8)
        image[:180, :, 2] = 200  # sky
        image[180:, :, 0] = int(abs(self.yaw)) % 256
        return {"pov": image[::-1][::-1]}

    def close(self):
        self.closed = True


CORRIDOR = f"{__name__}.Corridor"


@pytest.fixture
def env():
    env = MineRLConfig(height=90, width=160, horizon=10, factory=CORRIDOR).make()
    env.begin(Episode(SUITE, 0, 0))
    yield env
    env.close()


def test_it_conforms():
    config = MineRLConfig(height=90, width=160, horizon=10, factory=CORRIDOR)
    check_env(lambda: gym.make("playloop/MineRL-v0", config=config).unwrapped)


def test_images_are_resized_and_upright(env):
    image = env.observe()["images"]["pov"]
    assert image.shape == (90, 160, 3) and image[10, 10].tolist() == [0, 0, 200]
    env.advance(action_vector({"camera": (0.0, 90.0)}))
    assert env.observe()["images"]["pov"][80, 10].tolist() == [90, 0, 0]
    whole = MineRLConfig(factory=CORRIDOR).make()
    whole.begin(Episode(SUITE, 0, 0))
    assert whole.observe()["images"]["pov"].shape == (360, 640, 3)
    assert "resized" in str(env.contract.image) and str(whole.contract.image) == "upright"


def test_how_an_episode_ends(env):
    nothing = action_vector({})
    assert [env.advance(nothing).truncated for _ in range(10)] == [False] * 9 + [True]
    for button in ("ESC", "drop"):  # escape ends an episode, and so does the game
        env.begin(Episode(SUITE, 0, 0))
        outcome = env.advance(action_vector({button: 1}))
        assert outcome.terminated and not outcome.truncated and not outcome.success


def test_success_is_the_shovels_alone(env):
    use = action_vector({"use": 1})
    assert env.advance(use).reward == 1024.0 and not env.advance(use).success
    game = env._game
    env.begin(Episode(SUITE, 4, 0))
    assert game.closed and env._game.name == "MineRLObtainDiamondShovel-v0"
    assert not env.advance(use).success
    outcome = env.advance(use)
    assert outcome.success and outcome.terminated


def test_a_step_before_an_episode_is_an_error():
    env = MineRLConfig(factory=CORRIDOR).make()
    for early in (env.observe, lambda: env.advance(action_vector({}))):
        with pytest.raises(RuntimeError, match="call begin"):
            early()


def test_a_lost_game_is_an_error(env):
    env._game.lost = True
    with pytest.raises(RuntimeError, match="Connection timed out"):
        env.advance(action_vector({}))


def test_worlds_follow_from_the_identity(env):
    def world(task, init, seed):
        env.begin(Episode(SUITE, task, init, seed))
        return env._game.world

    assert world(0, 3, 0) == world(0, 3, 1) != world(0, 4, 0)
    assert world(0, FRESH, 0) != world(0, FRESH, 1) and 0 < world(1, 3, 0) < 2**31


def test_other_actions_are_refused():
    class Old(Corridor):
        action_space = gym.spaces.Dict(craft=gym.spaces.Discrete(5), camera=gym.spaces.Box(-180, 180, (2,)))

    globals()["Old"] = Old
    with pytest.raises(ValueError, match=r"craft.*MineRL 1.0"):
        MineRLConfig(factory=f"{__name__}.Old").make()


def test_tasks_and_settings():
    config = MineRLConfig(horizon=7)
    assert config.task_names() == [task.name for task in TASKS] and "horizon=7" in config.contract().protocol
    assert config.episodes([2], [5], seed=1) == [Episode(SUITE, 2, 5, 1)]
    with pytest.raises(ValueError, match="tasks 0 to 5"):
        MineRLConfig(factory=CORRIDOR).make().begin(Episode(SUITE, 6, 0))
    with pytest.raises(ValueError, match="horizon"):
        MineRLConfig(horizon=0)


@pytest.mark.skipif(find_spec("minerl") is not None, reason="MineRL is installed here")
def test_what_is_missing_is_named():
    with pytest.raises(ModuleNotFoundError, match=r"Java 8.*minerl@v1\.0\.2"):
        MineRLConfig().make()


# -- the package's own spaces --------------------------------------------------------------------------


@package
@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_every_task_has_our_actions(task):
    game = make_minerl(task.name)
    spaces = game.action_space.spaces
    assert set(spaces) == {*BUTTONS, "camera"} == set(dictionary_space().spaces)
    assert spaces["camera"].low.tolist() == [-180, -180] and spaces["camera"].high.tolist() == [180, 180]
    assert game.observation_space.spaces["pov"].shape == (360, 640, 3)
    if task.name != "MineRLHumanSurvival-v0":
        assert game.task.max_episode_steps == task.horizon


def find_cave():
    """MineRL's specification of the task, made anew: the registered one must stay unseeded."""
    from minerl.herobraine.env_specs.basalt_specs import FindCaveEnvSpec

    return FindCaveEnvSpec()


def without_minecraft(name):
    """MineRL's own fake of a game, in its own wrappers, with a picture for what Minecraft would send."""
    from minerl.env._fake import _FakeSingleAgentEnv
    from minerl.herobraine.env_specs.basalt_specs import BasaltTimeoutWrapper, DoneOnESCWrapper

    class Picture(_FakeSingleAgentEnv):
        def _get_fake_malmo_data(self):
            pov = np.zeros((360, 640, 3), np.uint8)
            pov[:180, :, 2] = 200
            return {"pov": pov}

        def close(self):
            """There is no game to end."""

    return DoneOnESCWrapper(BasaltTimeoutWrapper(Picture(env_spec=find_cave())))


@package
def test_actions_there_and_back():
    space = find_cave().action_space
    for seed in range(20):
        space.seed(seed)
        action = space.sample()
        again = game_action(action_vector(action), space)
        assert space.contains(again) and set(again) == set(action)
        assert all(again[name] == action[name] for name in BUTTONS)
        np.testing.assert_allclose(again["camera"], action["camera"])
    ours = action_space()
    ours.seed(0)
    assert all(space.contains(game_action(ours.sample(), space)) for _ in range(20))


@package
def test_the_camera_is_pitch_before_yaw():
    from minerl.herobraine.hero.handlers import CameraAction

    vector = np.zeros(25, np.float32)
    vector[23:] = 12.5, -30.0  # camera.pitch, camera.yaw
    camera = game_action(vector, find_cave().action_space)["camera"]
    assert CameraAction().to_hero(camera) == "camera 12.5 -30.0"
    assert "<delta_pitch, delta_yaw>" in (CameraAction.__doc__ or "")


@package
def test_episodes_in_minerls_own_wrappers():
    config = MineRLConfig(height=180, width=320, factory=f"{__name__}.without_minecraft")
    env = config.make()
    for _ in range(2):
        env.begin(Episode(SUITE, 0, 0))
        image = env.observe()["images"]["pov"]
        assert image.shape == (180, 320, 3) and image[0, 0].tolist() == [0, 0, 200]
        ends = [env.advance(action_vector({"forward": 1, "camera": (1.0, 2.0)})) for _ in range(3600)]
        # MineRL's timer runs through the second episode too, though its wrapper never sets it back
        assert not any(end.terminated for end in ends)
        assert [end.truncated for end in ends] == [False] * 3599 + [True]
    env.begin(Episode(SUITE, 0, 1))
    outcome = env.advance(action_vector({"ESC": 1}))
    assert outcome.terminated and not outcome.truncated
    env.close()


@package
def test_the_environment_is_made_without_minecraft():
    env = MineRLConfig().make()
    assert env._game.spec.id == TASKS[0].name
    env.close()


@package
def test_a_task_can_be_made_again_after_it_was_seeded():
    make_minerl("MineRLBasaltFindCave-v0").unwrapped.seed(5, seed_spaces=False)
    assert make_minerl("MineRLBasaltFindCave-v0").action_space.contains(
        game_action(np.zeros(25), find_cave().action_space)
    )
