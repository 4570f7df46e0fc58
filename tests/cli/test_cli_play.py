"""`playloop play` as a command: its settings, and what it refuses before anything is served."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from mineworld_release import write_synthetic

from playloop.cli.arguments import Arguments
from playloop.cli.main import main
from playloop.cli.play import adapted, session_config, url
from playloop.configs.compose import configure
from playloop.core.episode import FRESH, Episode
from playloop.envs.world import WorldEnvConfig
from playloop.worlds.sampler import SamplerConfig


def session(*words):
    arguments = Arguments.parse(["play", *words])
    return session_config(configure("play", adapted(arguments.words)), arguments)


def test_the_voxel_world_is_played_by_default():
    found = session()
    assert [*found.parts] == ["env"]
    assert (found.parts["env"].title(), found.parts["env"].contract().family) == ("voxel world", "craft")
    assert found.agent is None and found.episode == Episode("craft", 0, FRESH, 0)


def test_a_person_is_given_time_unless_told_otherwise():
    assert session("env=toy").parts["env"].horizon == 24000
    assert session("env=toy", "horizon=50").parts["env"].horizon == 50
    assert session("env=toy", "horizon=null", "env.horizon=40").parts["env"].horizon == 40


def test_task_initial_state_and_seed_choose_the_first_episode():
    chosen = session("env=toy", "task=reach the blue square", "seed=4")
    assert chosen.episode == Episode("toy_reach", 2, FRESH, 4)
    assert session("env=toy", "task=1", "init=3").episode == Episode("toy_reach", 1, 3, 0)


def test_the_agent_is_made_ready_and_named():
    found = session("env=toy", "agent=random", "agent.chunk=3")
    assert found.agent.chunk == 3


def test_a_world_without_an_environment_is_played_alone():
    assert adapted(["world=craft", "seed=1"]) == ["~env", "world=craft", "seed=1"]
    assert adapted(["env=null", "agent=null"]) == ["~env"]
    assert adapted(["world=craft", "env=craft"]) == ["world=craft", "env=craft"]
    assert adapted(["world=null"]) == ["world=null"] and adapted([]) == []


@pytest.fixture(scope="module")
def mineworld(tmp_path_factory):
    root = tmp_path_factory.mktemp("cli_play")
    source = write_synthetic(root / "release")
    assert main(["convert", str(source), f"out={root / 'world'}", "rows=2", "columns=4"]) == 0
    return root / "world"


def test_a_default_inverse_model_reads_only_frames_that_it_was_trained_on(mineworld):
    (shipped,) = session("world=craft").parts.values()
    assert Path(shipped.inverse).name == "craft-inverse" and type(shipped.sampler) is SamplerConfig
    (found,) = session(f"world={mineworld}").parts.values()
    assert found.inverse is None and found.contract().family == "minerl"
    assert session("world=craft", "inverse=null").parts["world"].inverse is None
    with pytest.raises(ValueError, match="libero is no inverse-dynamics model; it is a policy of Playloop"):
        session("world=craft", "inverse=libero")
    (asked,) = session(f"world={mineworld}", "inverse=craft-inverse").parts.values()
    assert asked.inverse == shipped.inverse


def test_a_mineworld_draws_as_released_however_it_is_named(mineworld):
    (world,) = session(f"world={mineworld}").parts.values()
    (env,) = session("env=mineworld", f"checkpoint={mineworld}").parts.values()
    assert world.sampler == env.sampler == SamplerConfig()
    assert world.title() == env.title() == "world model"


@pytest.fixture
def unserved(monkeypatch):
    """A server would wait for ever."""
    monkeypatch.setattr("playloop.rollouts.play.serving.listen", lambda *_: pytest.fail("it is served"))


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["sampler.window=9"], "window=9 must lie between 1 (diagonal) and 4 (raster)"),
        (["sampler.rules=dem"], "rules='dem': choose from clean, offline, demo"),
        (["env.weights=int4"], "env.weights='int4': choose from int8, fp8 or null"),
        (["env.backend=triton"], "backend=triton needs device=cuda and triton"),
        (["env.backend=kernels"], "backend=kernels is not for this world model; it has auto, torch, triton"),
        (["env.inits=5", "init=3"], "inits=[3] is not in world; choose from 0 to 0"),
    ],
)
def test_what_a_mineworld_cannot_is_told_before_the_page(mineworld, words, complaint, capsys, unserved):
    assert main(["play", "env=mineworld", f"checkpoint={mineworld}", "port=0", *words]) == 2
    out, err = capsys.readouterr()
    assert complaint in err and not out


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["env.weights=int8"], "weights=int8 is not for this world model; only a MineWorld has"),
        (["env.backend=triton"], "backend=triton is not for this world model; it has auto, torch, kernels"),
        (["env.sampler.window=2"], "window=2 was not trained"),
        (["env.inits=4", "init=7"], "init=7 is left out by env.inits=4; this world model has 64 beginnings"),
        (["init=64"], "choose from 0 to 63"),
    ],
)
def test_what_our_world_model_cannot_is_told_before_the_page(words, complaint, capsys, unserved):
    env = ["world=craft"] if words == ["init=64"] else ["env=world"]
    assert main(["play", *env, "port=0", *words]) == 2
    out, err = capsys.readouterr()
    assert complaint in err and not out


def test_a_beginning_that_the_world_beside_lacks_is_told_before_the_page(mineworld, capsys, unserved):
    assert main(["play", "env=craft", f"world={mineworld}", "init=1", "port=0"]) == 2
    assert "choose from 0 to 0" in capsys.readouterr().err


def test_no_weights_are_read_to_check_settings(mineworld, tmp_path):
    """Of their files the header is: numbers that are none disturb nobody."""
    shutil.copytree(mineworld, tmp_path / "world")
    for file in (tmp_path / "world").rglob("*.safetensors"):
        content = file.read_bytes()
        header = 8 + int.from_bytes(content[:8], "little")
        file.write_bytes(content[:header] + b"\xff" * (len(content) - header))
    WorldEnvConfig(str(tmp_path / "world"), SamplerConfig()).check()
    (tmp_path / "world/tokenizer/config.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"lacks tokenizer/config\.json; copy it again"):
        WorldEnvConfig(str(tmp_path / "world"), SamplerConfig()).check()


def keys_of(found):
    person = found.person.make()
    person.prepare(next(iter(found.parts.values())).contract())
    return {key for binding in person.layout()["bindings"] for key in binding["keys"]}


def test_a_world_model_alone_has_only_keys_that_it_knows(mineworld):
    for words in ([f"world={mineworld}"], ["env=mineworld", f"checkpoint={mineworld}"], ["world=craft"]):
        found = keys_of(session(*words))
        assert not found & {"KeyE", "KeyF"} and {"KeyW", "KeyQ", "Mouse1", "Digit1"} <= found
    assert {"KeyE", "KeyF"} <= keys_of(session("env=craft", f"world={mineworld}"))


def test_parts_that_take_other_actions_are_not_played_side_by_side(capsys, unserved):
    assert main(["play", "env=toy", "world=craft", "port=0"]) == 2
    assert "env and world cannot be played side by side: their action_names differ" in capsys.readouterr().err


def test_a_mineworld_is_played_beside_the_voxel_world(mineworld):
    real, dreamed = session("env=craft", f"world={mineworld}").parts.values()
    assert (real.contract().family, dreamed.contract().family) == ("craft", "minerl")


@pytest.mark.parametrize(
    ("host", "token", "address"),
    [
        ("127.0.0.1", None, "http://127.0.0.1:8600/"),
        ("0.0.0.0", "t", "http://localhost:8600/?token=t"),
        ("::1", None, "http://[::1]:8600/"),
    ],
)
def test_the_address_to_open(host, token, address):
    assert url(host, 8600, token) == address


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["env=null"], "nothing to play"),
        (["env=toy", "task=9"], "choose from 0 to 3"),
        (["env=toy", "init=9"], "choose from 0 to 4"),
        (["env=toy", "fps=0"], "fps=0"),
        (["env=toy", "sessions=0"], "sessions=0"),
        (["env=toy", "horizon=0"], "horizon=0"),
        (["env=toy", "port=1", "host=1.2.3.4"], "choose another"),
        (["env=toy", "host="], "host= names no address"),
        (["env=toy", "port=70000"], "port=70000: use a number of at most 65535"),
        (["env=toy", "person.without=[foo]"], "person.without=['foo']: there are only"),
        (["env=toy", "person.arm_speed=nan"], "person.arm_speed=nan: use a finite number"),
        (["env=toy", "agent=policy", "agent.checkpoint=nowhere"], "nowhere is neither"),
        (["env=toy", "world=nowhere"], "nowhere is neither"),
        (["env=toi"], '(did you mean "toy"?)'),
    ],
)
def test_bad_settings_are_one_sentence(words, complaint, capsys):
    assert main(["play", *words]) == 2
    out, err = capsys.readouterr()
    assert complaint in err and not out and err.startswith("playloop play: ")


def test_an_interrupt_ends_it_quietly(tmp_path):
    """On a terminal, too, that has no letters for the folder's name."""
    words = ["env=toy", "port=0", "host=0.0.0.0", f"out={tmp_path}/aüs"]
    process = subprocess.Popen(
        [sys.executable, "-m", "playloop.cli.main", "play", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    line = process.stdout.readline()
    assert "?token=" in line, "an address that others can reach holds a token"
    address = line.split("Playing at ")[1].split()[0]
    assert b"<title>Playloop</title>" in urllib.request.urlopen(address, timeout=60).read()
    os.kill(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert not list(tmp_path.iterdir()) and "a\\xfcs" in line
