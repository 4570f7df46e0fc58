"""What results call who acted, and the packages that others brought."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import playloop
from playloop.agents.craft.expert import CraftExpertConfig
from playloop.agents.dialect import speaking
from playloop.agents.expert import ExpertConfig
from playloop.agents.explorer import ExplorerConfig
from playloop.agents.handover import HandoverConfig
from playloop.agents.person import PersonConfig
from playloop.agents.policy import folder_name
from playloop.agents.random import RandomAgentConfig
from playloop.agents.replay import ReplayAgentConfig
from playloop.core.provenance import distribution_of, name_of
from playloop.envs.toy import ToyReachConfig
from playloop.policies.dialects import DIALECTS

PROJECT = """
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"
[project]
name = "{name}"
version = "{version}"
[project.entry-points."playloop.agents"]
seek = "{package}.{module}:SeekConfig"
[tool.setuptools.packages.find]
namespaces = true
"""
SEEK = '''
"""An agent with a kind, one without, a policy, and an environment."""

from dataclasses import dataclass

import numpy as np
import torch

from playloop.agents.base import Plan, RowAgent
from playloop.agents.policy import PolicyAgent
from playloop.core.kinds import kind
from playloop.envs.toy import ToyReachConfig


@kind("seek")
@dataclass
class SeekConfig:
    def make(self):
        return Seek(self)


class Seek(RowAgent):
    def __init__(self, config=None):
        self.config = config

    def prepare(self, contract):
        pass

    def decide(self, carry, observation, rng):
        return carry, Plan(np.ones((20, 2), np.float32))


class Drift:
    chunk, batch = 20, 4
    contract = ToyReachConfig().contract()

    def initial(self, batch):
        return [None] * batch

    def __call__(self, carry, observations, generators):
        return carry, np.ones((len(observations), 20, 2), np.float32), {}


class Table(ToyReachConfig):
    pass


def policy_agent():
    return PolicyAgent(Drift())
'''


def test_every_agent_of_ours_has_a_name(tmp_path):
    (tmp_path / "plays").mkdir()
    given = {
        "random": RandomAgentConfig(),
        "expert": ExpertConfig(),
        "craft-expert": CraftExpertConfig(),
        "explorer": ExplorerConfig(),
        "person": PersonConfig(),
        "replay plays": ReplayAgentConfig(str(tmp_path / "plays")),
        "handover from random": HandoverConfig(RandomAgentConfig()),
    }
    for name, config in given.items():
        assert name_of(config.make()) == name
    dialect = speaking(RandomAgentConfig().make(), DIALECTS["bridge"], (8, 8), "area")
    assert name_of(dialect) == "random translated from bridge_dataset"
    assert name_of(ToyReachConfig()) == "toy" and name_of(ToyReachConfig().make()) == "toy"


def test_a_checkpoint_is_called_by_its_folder(tmp_path, monkeypatch):
    assert folder_name("runs/a/checkpoint") == "a/checkpoint"
    assert folder_name("models/openvla-7b") == "openvla-7b"
    monkeypatch.chdir(tmp_path)
    assert folder_name(".") == tmp_path.name


def test_only_other_peoples_packages_are_told():
    assert distribution_of(ToyReachConfig) is None and distribution_of(Path) is None
    assert distribution_of(pytest.Item) == ("pytest", pytest.__version__)

    class Seek:
        name = ""  # says nothing

    assert name_of(Seek()) == f"{__name__}.Seek" and distribution_of(Seek) is None


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder into which pip has installed two packages that share a namespace."""
    home, target = tmp_path_factory.mktemp("projects"), tmp_path_factory.mktemp("site")
    for name, version, module in (("playloop-seek", "1.2", "seek"), ("playloop-other", "0.7", "other")):
        package = home / name / "seekers"
        package.mkdir(parents=True)
        (package / f"{module}.py").write_text(SEEK.replace('"seek"', f'"{module}"'))
        project = PROJECT.format(name=name, version=version, package="seekers", module=module)
        (home / name / "pyproject.toml").write_text(project)
    quiet = ["-q", "--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check"]
    projects = [str(path) for path in sorted(home.iterdir())]
    command = [sys.executable, "-m", "pip", "install", *quiet, "--target", str(target), *projects]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return target


EVALUATE = """
from seekers.other import SeekConfig as Other
from seekers.seek import Seek, SeekConfig, Table, policy_agent
from playloop.agents.handover import HandoverConfig
from playloop.core.provenance import name_of
from playloop.rollouts.evaluate import evaluate

class Mine(Seek):
    pass

class Maker:
    make = staticmethod(policy_agent)

table = Table(tasks=1, inits=1)
agents = [SeekConfig().make(), Seek(), policy_agent(), HandoverConfig(Maker).make(), Other().make(), Mine()]
print([name_of(agent) for agent in agents])
print(evaluate(table, policy_agent(), table.episodes(), "out", workers=0)["run"]["provenance"]["versions"])
"""


def test_what_a_package_brought_is_named_with_its_version(site, tmp_path):
    (tmp_path / "mine.py").write_text(EVALUATE)
    paths = os.pathsep.join([str(site), str(Path(playloop.__file__).parents[1])])
    environment = os.environ | {"PYTHONPATH": paths}
    command = [sys.executable, "mine.py"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    names, versions = map(eval, done.stdout.splitlines())
    assert names == [
        "seek (playloop-seek 1.2)",
        "Seek (playloop-seek 1.2)",
        "Drift (playloop-seek 1.2)",
        "handover from Drift (playloop-seek 1.2)",
        "other (playloop-other 0.7)",
        "mine.Mine",
    ]
    assert versions["playloop-seek"] == "1.2" and "playloop-other" not in versions
    [line] = (tmp_path / "out" / "episodes.jsonl").read_text().splitlines()
    assert json.loads(line)["agent"] == "Drift (playloop-seek 1.2)"
    page = (tmp_path / "out" / "report.html").read_text()
    assert "agent Drift (playloop-seek 1.2) · environment Table (playloop-seek 1.2) · protocol" in page
