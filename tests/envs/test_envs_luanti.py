"""The real Luanti: a session is started, walked, dug in and watched; nothing of it stays behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

from playloop.core.episode import FRESH, Episode
from playloop.core.minecraft import action_vector
from playloop.envs.luanti.env import SUITE, LuantiConfig, LuantiEnv
from playloop.envs.luanti.process import missing
from playloop.testing import check_env

real = pytest.mark.skipif(bool(missing()), reason=missing())
SMALL = LuantiConfig(height=128, width=224)


@pytest.fixture(scope="module")
def env():
    env = SMALL.make()
    yield env
    env.close()


def act(env, steps=1, **action):
    """The last of some equal steps; a dot in a button's name is written as two underscores."""
    vector = action_vector({name.replace("__", "."): value for name, value in action.items()})
    return [env.advance(vector) for _ in range(steps)][-1]


def look(env, yaw, pitch=0.0):
    """Turn the view to an absolute yaw and pitch in degrees."""
    *_, now_yaw, now_pitch, _, _ = env.observe(images=False)["state"]
    act(env, camera=(pitch - now_pitch, (yaw - now_yaw + 180) % 360 - 180))
    act(env, 4)


def dig(env):
    """Walk to the tree and hold the attack button; the outcomes of all steps, from the first on."""
    outcomes = []
    while not (outcomes and (outcomes[-1].terminated or outcomes[-1].truncated)):
        state = env.observe(images=False)["state"]
        gap = env.privileged()["tree"] - state[:3]
        near = np.hypot(gap[0], gap[2]) < 1.8
        turn = (np.degrees(np.arctan2(gap[0], gap[2])) - state[6] + 180) % 360 - 180
        camera = (0.0 if near else 10.0 - state[7], turn) if len(outcomes) % 4 == 0 else (0.0, 0.0)
        outcomes.append(act(env, camera=camera, forward=int(not near), attack=int(near)))
    return outcomes


@real
@pytest.mark.timeout(600)  # ten games are started; 25 seconds on a machine that is free
def test_it_conforms():
    config = LuantiConfig(height=64, width=112, horizon=20)
    check_env(lambda: gym.make("playloop/Luanti-v0", config=config).unwrapped)


@real
def test_a_tree_is_dug_for_a_reward(env):
    for init in (0, 1):
        env.begin(Episode(SUITE, 0, init))
        outcomes = dig(env)
        assert outcomes[-1].success and outcomes[-1].terminated and not outcomes[-1].truncated
        assert [outcome.reward for outcome in outcomes] == [0.0] * (len(outcomes) - 1) + [1.0]
        # a hand digs a trunk node in 3.5 seconds: real time, kept
        assert 70 <= len(outcomes) < 250 and env.observe(images=False)["state"][-1] == 1


@real
def test_an_action_takes_a_twentieth_of_a_second_and_late_ones_are_counted(env):
    env.begin(Episode(SUITE, 0, 0))
    act(env)
    start = time.monotonic()
    before = act(env, 20).info["late"]
    assert 0.95 < time.monotonic() - start < 2.0
    time.sleep(0.3)
    assert act(env).info["late"] == before + 1


@real
def test_keys_move_as_they_are_named(env):
    env.begin(Episode(SUITE, 0, 3))

    def moves(axis, sign, **action):
        start = env.observe(images=False)["state"][axis]
        for _ in range(40):
            act(env, **action)
            if sign * (env.observe(images=False)["state"][axis] - start) > 0.8:
                act(env, 6)  # come to rest
                return True
        return False

    def speed(**action):
        peak = 0.0
        for _ in range(10):
            act(env, **action)
            peak = max(peak, np.linalg.norm(env.observe(images=False)["state"][3:6:2]))
        act(env, 6)
        return peak

    look(env, 180.0)  # to the south, away from the tree: forward is -z, right is -x
    assert moves(2, -1, forward=1) and moves(2, 1, back=1) and moves(0, -1, right=1) and moves(0, 1, left=1)
    look(env, 0.0)
    assert moves(0, 1, right=1) and moves(0, -1, left=1) and moves(1, 1, jump=1)
    slow, walk, fast = speed(forward=1, sneak=1), speed(back=1), speed(forward=1, sprint=1)
    assert slow < 0.6 * walk and fast > 1.15 * walk, (slow, walk, fast)


@real
def test_no_turn_is_lost(env):
    env.begin(Episode(SUITE, 0, 0))
    turns = np.random.default_rng(0).uniform(-25.0, 25.0, (30, 2))
    turns[:, 0] = np.resize([3.3, -3.3, 0.07, -0.07], 30)
    turns[5, 1], turns[6, 1] = 170.0, -131.3  # wider than the window: several motions
    for turn in turns:
        act(env, camera=turn)
    act(env, 12)
    yaw, pitch = env.observe(images=False)["state"][6:8]
    wanted = turns.sum(0)
    assert abs((yaw - wanted[1] + 180) % 360 - 180) < 0.25
    assert abs(pitch - wanted[0]) < 0.25


@real
def test_the_picture_is_upright_and_rgb(env):
    env.begin(Episode(SUITE, 0, 0))
    picture = env.observe()["images"]["pov"]
    assert picture.std() > 20
    look(env, 180.0, -60.0)
    for _ in range(40):  # the sky takes five seconds to reach its colour
        sky = env.observe()["images"]["pov"][: SMALL.height // 3].mean((0, 1))
        if sky[2] > 1.3 * sky[0]:
            break
        act(env, 5)
    assert sky[2] > 1.3 * sky[0], "the sky is blue"
    look(env, 180.0, 0.0)
    half = SMALL.height // 2
    blue = [
        part[..., 2].mean() / part[..., 0].mean() for part in np.split(env.observe()["images"]["pov"], [half])
    ]
    assert blue[0] > blue[1], "the sky is above"


@real
def test_the_inventory_opens_over_the_picture_and_closes(env):
    env.begin(Episode(SUITE, 0, 0))
    act(env, 10)
    before = env.observe()["images"]["pov"].astype(int)

    def changed():
        return np.abs(env.observe()["images"]["pov"] - before).mean()

    assert changed() < 3
    act(env, inventory=1)
    act(env, 6)
    assert changed() > 10
    act(env, 12, camera=(2.0, 2.0))  # moves the pointer in the window, not the view
    assert not env._keyboard.owed.any()
    act(env, inventory=1)
    act(env, 10)
    assert changed() < 3


@real
def test_an_episode_starts_alike(env):
    def start(init, seed=0):
        env.begin(Episode(SUITE, 0, init, seed))
        seen = env.observe()
        return seen["state"], env.privileged()["tree"], seen["images"]["pov"].astype(int)

    first, other, again, other_seed = start(0), start(1), start(0), start(0, seed=1)
    for same in (again, other_seed):
        assert np.allclose(first[0], same[0], atol=0.01) and np.array_equal(first[1], same[1])
        assert np.abs(first[2] - same[2]).mean() < 5
    assert np.abs(first[2] - other[2]).mean() > 10
    assert not np.array_equal(start(FRESH, 0)[2], start(FRESH, 1)[2])


@real
def test_several_at_once_and_nothing_left():
    envs = [LuantiConfig(height=64, width=112).make() for _ in range(2)]
    try:
        for env in envs:
            env.begin(Episode(SUITE, 0, 0))
        displays = [env._display for env in envs]
        assert displays[0].number != displays[1].number
        act(envs[0], 10, forward=1)
        states = [env.observe(images=False)["state"] for env in envs]
        assert states[0][2] > states[1][2] + 0.5, "a key reaches its own game only"
        assert all(processes_of(display.folder) for display in displays)
    finally:
        for env in envs:
            env.close()
    assert not any(display.folder.exists() or processes_of(display.folder) for display in displays)


@real
def test_a_step_before_an_episode_is_an_error():
    env = SMALL.make()
    for early in (env.observe, env.privileged, lambda: act(env)):
        with pytest.raises(RuntimeError, match="call begin"):
            early()


@real
def test_a_game_that_dies_is_an_error_with_its_log(env):
    env.begin(Episode(SUITE, 0, 0))
    env._game._process.kill()
    with pytest.raises(RuntimeError, match="ended by itself"):
        act(env, 40)


@real
def test_everything_dies_with_a_killed_parent():
    script = (
        "import time\nfrom playloop.core.episode import Episode\n"
        "from playloop.envs.luanti.env import LuantiConfig\n"
        "env = LuantiConfig(height=64, width=112).make()\nenv.begin(Episode('luanti', 0, 0))\n"
        "print(env._display.folder, flush=True)\ntime.sleep(600)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    folder = Path(parent.stdout.readline().strip())
    assert folder.is_dir() and len(processes_of(folder)) >= 2
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 15
    while (folder.exists() or processes_of(folder)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not folder.exists() and not processes_of(folder)


def processes_of(folder):
    """Numbers of the processes that were started with this folder in their command line."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and os.fsencode(folder) in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except OSError:  # it has just ended
            continue
    return found


def test_what_is_missing_is_named(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(RuntimeError, match=r"Xvfb.*apt-get install -y minetest xvfb"):
        LuantiEnv()


def test_settings_are_checked_and_declared():
    contract = SMALL.contract()
    assert contract.cameras == {"pov": (128, 224)} and contract.control_hz == 20
    assert not contract.deterministic and "real time" in contract.protocol
    assert str(LuantiConfig(logs=2).contract().success) == "2 trunk nodes dug"
    assert SMALL.episodes(inits=2, seed=5) == [Episode(SUITE, 0, 0, 5), Episode(SUITE, 0, 1, 5)]
    for wrong in ({"height": 10}, {"logs": 9}, {"horizon": 0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            LuantiConfig(**wrong)
