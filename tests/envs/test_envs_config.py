"""Settings of environments: one declared protocol, kept by every configuration, read by every verb."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec

import pytest
from mineworld_release import write_synthetic
from omegaconf import OmegaConf
from simpler_assets import why_skip
from test_envs_conformance import FOLDER, load

from playloop.cli.arguments import Arguments
from playloop.cli.main import main
from playloop.cli.play import adapted, session_config
from playloop.configs.checkpoints import make_env
from playloop.configs.compose import configure
from playloop.core.contract import Contract
from playloop.core.episode import Episode, choose_episodes
from playloop.envs.config import EnvConfig, check_env_config
from playloop.envs.luanti.process import missing
from playloop.envs.toy import ToyReachConfig
from playloop.rollouts.play.uploads import read_starts
from playloop.worlds.mineworld.convert import ConvertConfig, convert

NAMES = sorted(path.stem for path in FOLDER.glob("*.yaml"))
WITHOUT = {
    "libero": "" if find_spec("libero") else "LIBERO is not installed: pip install 'playloop[libero]'",
    "robosuite": ""
    if find_spec("robosuite")
    else "robosuite is not installed: pip install 'playloop[libero]'",
    "simpler": why_skip("bridge"),
    "luanti": "; ".join(missing()),
    "minerl": "" if find_spec("minerl") else "MineRL is not installed",
}
SMALL = {"libero": ["env.size=32"], "robosuite": ["env.size=32"], "luanti": [], "simpler": []}
EXPERTS = {"libero", "simpler", "toy", "craft"}


@pytest.fixture(scope="module")
def mineworld(tmp_path_factory):
    """The folder of a tiny MineWorld."""
    root = tmp_path_factory.mktemp("mineworld")
    convert(write_synthetic(root / "release"), root / "out", ConvertConfig(rows=2, columns=4), read_starts)
    return root / "out"


def words_of(name, mineworld):
    """What chooses an environment on the command line, without what takes long."""
    checkpoint = {"mineworld": [f"env.checkpoint={mineworld}"], "world": ["env.checkpoint=craft"]}
    return [f"env={name}", *checkpoint.get(name, []), *SMALL.get(name, [])]


@pytest.mark.parametrize("name", NAMES)
def test_every_configuration_keeps_the_protocol(name, mineworld):
    if name in ("libero", "robosuite", "simpler") and WITHOUT[name]:
        pytest.skip(WITHOUT[name])
    settings = OmegaConf.load(FOLDER / f"{name}.yaml")
    if name == "mineworld":
        settings.checkpoint = str(mineworld)
    check_env_config(make_env(settings))


@pytest.mark.parametrize("name", NAMES)
def test_every_verb_takes_every_environment(name, mineworld, tmp_path, capsys, monkeypatch):
    """Evaluated, recorded by its expert or whoever is asked for, and ready to be played."""
    if WITHOUT.get(name):
        pytest.skip(WITHOUT[name])
    tries = 1 if name in SMALL else 3  # a simulator's episodes take seconds to begin
    monkeypatch.setattr("playloop.rollouts.recording.record.ATTEMPTS_PER_EPISODE", tries)
    words = [*words_of(name, mineworld), "workers=0"]
    short = [*words, "agent=random", "env.horizon=4"]
    assert main(["eval", *short, "episodes=1", "inits=1", "videos=none", f"out={tmp_path / 'eval'}"]) == 0
    capsys.readouterr()
    horizon = 40 if name in ("toy", "craft") else 4
    recorded = ["task=0", "episodes=1", f"out={tmp_path / 'record'}"]
    status, said = main(["record", *words, f"env.horizon={horizon}", *recorded]), capsys.readouterr().err
    if name in ("toy", "craft"):
        assert status == 0, said
    elif name in EXPERTS:
        assert f"0 of 1 successful episodes after {tries} tries: {tries} failed, 0 ended in an error" in said
    else:
        assert "no expert" in said or "the expert of craft reads the game's own state" in said
        status, said = main(["record", *short, *recorded]), capsys.readouterr().err
        assert status == 0 or f"task 0 has 0 of 1 successful episodes after {tries} tries" in said, said
    arguments = Arguments.parse(["play", *words_of(name, mineworld), f"out={tmp_path / 'play'}"])
    session = session_config(configure("play", adapted(arguments.words)), arguments)
    assert [*session.parts] == ["env"] and session.parts["env"].title()


def test_a_setting_that_its_expert_lacks_is_named(tmp_path, capsys):
    words = ["env=toy", "agent=expert", "agent.misses=0.5", f"out={tmp_path / 'out'}"]
    assert main(["record", *words]) == 2 and "agent.misses: the expert of toy has" in capsys.readouterr().err


@dataclass
class Whole(EnvConfig):
    """Two tasks of three initial states."""

    suite = "whole"

    def make(self):
        return ToyReachConfig().make()

    def contract(self):
        return ToyReachConfig().contract()

    def task_names(self):
        return ["one", "two"]

    def episodes(self, tasks=None, inits=None, seed=0):
        return choose_episodes(self.suite, (2, 3), tasks, inits, seed)


def broken(**parts):
    """Settings of which some parts are others."""
    return type("Broken", (Whole,), parts)()


@pytest.mark.parametrize(
    ("config", "complaint"),
    [
        (object(), "not derived from"),
        (broken(suite=""), "has no suite"),
        (broken(contract=lambda self: {}), r"must return a playloop.core.contract.Contract"),
        (broken(task_names=lambda self: []), "a text for every task"),
        (broken(unique_names=lambda self: ["one"]), "speak of the same tasks"),
        (broken(episodes=lambda self, tasks=None, inits=None, seed=0: []), "must return a list"),
        (
            broken(episodes=lambda self, tasks=None, inits=None, seed=0: [Episode("other", 0, 0, seed)]),
            "its suite must be 'whole'",
        ),
        (
            broken(episodes=lambda self, tasks=None, inits=None, seed=0: [Episode("whole", 0, 0)]),
            "its seed 7",
        ),
        (
            broken(episodes=lambda self, tasks=None, inits=None, seed=0: [Episode("whole", 0, 0, seed)] * 2),
            "names an episode twice",
        ),
        (
            broken(
                episodes=lambda self, tasks=None, inits=None, seed=0: choose_episodes(
                    "whole", (2, 3), seed=seed
                )
            ),
            "must be the first episode of that task",
        ),
    ],
)
def test_what_is_missing_is_said(config, complaint):
    with pytest.raises((TypeError, ValueError), match=complaint):
        check_env_config(config)


def test_whole_settings_pass_and_others_are_refused_before_anything_starts(tmp_path, capsys):
    check_env_config(Whole())
    assert isinstance(Whole().contract(), Contract)
    words = ["env._target_=datetime.timedelta", "agent=random", f"out={tmp_path / 'out'}"]
    assert main(["eval", *words]) == 2
    assert "timedelta is not derived from playloop.envs.config.EnvConfig" in capsys.readouterr().err


def test_load_is_what_the_command_line_makes():
    assert load("toy") == ToyReachConfig()
