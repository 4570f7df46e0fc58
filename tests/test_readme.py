"""The README keeps its word: its examples conform, its commands are valid, its tree is the tree."""

from __future__ import annotations

import importlib.util
import re
import shlex
import sys
from pathlib import Path

import pytest

from playloop.agents.person import PersonConfig
from playloop.agents.random import RandomAgentConfig
from playloop.cli.arguments import Arguments
from playloop.cli.main import main
from playloop.cli.play import adapted, session_config
from playloop.configs.compose import configure
from playloop.envs.toy import ToyReachConfig
from playloop.rollouts.driver import Driver
from playloop.testing import check_agent, check_env, check_env_config, check_policy

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", README, re.M | re.S)
SHELL = [line.split("#")[0].strip() for kind, text in BLOCKS if kind == "bash" for line in text.splitlines()]
COMMANDS = SHELL + re.findall(r"`((?:playloop|make) [^`…A-Z][^`…]*)`", README)
CONFIGURED = ("eval", "play", "record", "train", "bench")


@pytest.fixture
def example(tmp_path, request):
    """The README's Python block that names the file in its first line, as a module."""
    (text,) = [text for kind, text in BLOCKS if kind == "python" and text.startswith(f"# {request.param}\n")]
    name = f"readme_{Path(request.param).stem}"
    path = tmp_path / f"{name}.py"
    path.write_text(text)
    specification = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module
    specification.loader.exec_module(module)
    yield module
    del sys.modules[name]


def run(env, agent, episodes):
    """Without processes: `workers=0` is this one."""
    return Driver(env, 0, []).run(agent, episodes)


@pytest.mark.parametrize("example", ["envs/dial.py"], indirect=True)
def test_the_environment_conforms_and_runs(example):
    config = example.DialConfig()
    check_env_config(config)
    check_env(config.make)
    results = run(config, RandomAgentConfig().make(), config.episodes(inits=2))
    assert [(result.episode.init, result.error) for result in results] == [(0, None), (1, None)]


@pytest.mark.parametrize("example", ["envs/dial.py"], indirect=True)
def test_every_verb_takes_the_environment(example, tmp_path, capsys):
    """Evaluated and recorded to an end, and played with keys of its own."""
    env = f"env._target_={example.__name__}.DialConfig"
    run = [env, "agent=random", "workers=0"]
    assert main(["eval", *run, "inits=1", f"out={tmp_path / 'eval'}"]) == 0, capsys.readouterr().err
    status = main(["record", *run, "task=0", "episodes=1", f"out={tmp_path / 'record'}"])
    said = capsys.readouterr().err
    assert status == 0 or "task 0 has 0 of 1 successful episodes after 3 tries" in said, said
    assert main(["record", env, "agent=expert", "task=0", f"out={tmp_path / 'expert'}"]) == 2
    assert "there is no expert for dial" in capsys.readouterr().err
    arguments = Arguments.parse(["play", env, f"out={tmp_path / 'play'}"])
    session = session_config(configure("play", adapted(arguments.words)), arguments)
    assert [part.title() for part in session.parts.values()] == ["dial"]
    person = PersonConfig().make()
    person.prepare(example.DialConfig().contract())
    assert "turn" in str(person.layout())


@pytest.mark.parametrize("example", ["agents/seek.py"], indirect=True)
def test_the_policy_conforms_and_succeeds(example):
    toy = ToyReachConfig()
    check_policy(example.Seek)
    check_agent(example.SeekConfig().make, toy.make)
    results = run(toy, example.SeekConfig().make(), toy.episodes())
    assert len(results) == 20 and all(result.success for result in results)


@pytest.mark.parametrize("command", [line for line in COMMANDS if line.startswith("playloop ")])
def test_every_command_is_valid(command, capsys):
    _, verb, *words = shlex.split(command)
    words = [word for word in words if "playloop." not in word]  # the examples are not installed
    assert main([verb, *words, "--print-config" if verb in CONFIGURED and words else "--help"]) == 0


@pytest.mark.parametrize("command", [line for line in COMMANDS if line.startswith("make ")])
def test_every_make_target_exists(command):
    assert re.search(rf"^{command.split()[1]}:", (ROOT / "Makefile").read_text(), re.M)


def test_the_tree_names_every_folder_once():
    (tree,) = [text for kind, text in BLOCKS if not kind]
    named = re.findall(r"^(\w+)/ +\S", tree, re.M)
    assert named == sorted(
        {path.parent.name for path in ROOT.glob("*/*") if path.suffix in (".py", ".typed")}
    )


def test_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).is_file(), target
