"""`import playloop`: the verbs as functions, of names and of objects."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

import playloop
from playloop.agents.random import RandomAgentConfig
from playloop.cli.main import main
from playloop.configs.settings import EvalSettings, RecordSettings
from playloop.envs.toy import ToyReachConfig

ROOT = Path(__file__).parents[1]


class Still:
    """A policy of the user's own: does not move."""

    contract, chunk, batch = ToyReachConfig().contract(), 4, 16

    def initial(self, batch):
        return [None] * batch

    def __call__(self, carry, observations, generators):
        return carry, np.zeros((len(observations), self.chunk, 2), np.float32), {}


def run(code: str, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *options, "-c", code], capture_output=True, text=True, check=True)


def test_importing_it_imports_little():
    """Gymnasium and with it NumPy, so that environments are registered; nothing of Playloop's rooms."""
    code = "import sys, playloop; print(*sys.modules)"
    heavy = {"torch", "hydra", "pydantic", "playloop.api", "playloop.envs", "playloop.core"}
    assert not heavy & set(run(code).stdout.split())
    assert set(playloop.__all__) <= set(dir(playloop))
    with pytest.raises(AttributeError, match="has no attribute 'evalute'"):
        playloop.evalute  # noqa: B018


def test_what_type_checkers_see_is_what_there_is():
    tree = ast.parse(Path(playloop.__file__).read_text())
    seen = {name.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for name in node.names}
    seen -= {"TYPE_CHECKING", "Any", "api", "registration", "version"}
    assert seen == set(playloop.__all__) - {"__version__"}
    assert playloop.__version__ and all(
        getattr(playloop, name).__doc__ for name in seen & set(playloop.__all__)
    )


@pytest.mark.parametrize(("function", "settings"), [("evaluate", EvalSettings), ("record", RecordSettings)])
def test_a_function_has_its_verbs_settings_and_defaults(function, settings):
    given = inspect.signature(getattr(playloop, function)).parameters
    for field in fields(settings):
        assert field.name in given, field.name
        if field.name not in ("env", "agent") and given[field.name].default is not inspect.Parameter.empty:
            assert given[field.name].default == field.default


def test_an_environment_by_name_has_its_settings():
    env = playloop.make_env("toy", horizon=9)
    assert (env.horizon, env.config.tasks) == (9, 4)
    with pytest.raises(ValueError, match='did you mean "toy"'):
        playloop.make_env("toi")
    with pytest.raises(ValueError, match=r'did you mean "env\.horizon"'):
        playloop.make_env("toy", horizn=9)
    with pytest.raises(ValueError, match=r"horizon.*whole number"):
        playloop.make_env("toy", horizon="many")


def test_an_evaluation_by_name_equals_the_verbs(tmp_path):
    found = playloop.evaluate("toy", "random", inits=1, videos="none", out=tmp_path / "api", horizon=12)
    words = ["env=toy", "agent=random", "inits=1", "videos=none", "horizon=12", f"out={tmp_path / 'cli'}"]
    assert main(["eval", *words]) == 0
    for name in ("config.json", "episodes.jsonl"):
        lines = [(tmp_path / who / name).read_text() for who in ("api", "cli")]
        kept = [sorted(re.sub(r'"seconds": \{.*?\}', "", text).splitlines()) for text in lines]
        assert kept[0] == kept[1]
    assert (found.success, found.interval[0], len(found.episodes)) == (0.0, 0.0, 4)
    assert str(found).startswith("0 / 4 = 0.0%")
    command = found.summary["run"]["provenance"]["command"]
    assert command.startswith("playloop.evaluate(env='toy', agent='random', inits=1, videos='none'")


def test_objects_of_ones_own_act_and_are_told_apart(tmp_path):
    env, policy = playloop.make_env("toy", horizon=5), Still()
    first = playloop.evaluate(env, policy, inits=1, workers=0, videos="none", out=tmp_path / "own")
    assert first.success == 0.0 and len(first.episodes) == 4
    again = playloop.evaluate(env, policy, inits=2, workers=0, videos="none", out=tmp_path / "own")
    assert len(again.episodes) == 8
    with pytest.raises(ValueError, match="own"):
        playloop.evaluate(env, Still(), inits=1, workers=0, videos="none", out=tmp_path / "own")
    random = playloop.evaluate(env, RandomAgentConfig(), inits=1, workers=0, out=tmp_path / "random")
    assert str(playloop.compare(first, random)) == str(playloop.compare(first.folder, random.folder))
    with pytest.raises(ValueError, match="is no environment; give a name"):
        playloop.evaluate(Still(), policy)
    with pytest.raises(ValueError, match="acts as no agent: it has no reads, rows"):
        playloop.evaluate(env, object(), out=tmp_path / "none")


def test_a_recording_is_a_data_set(tmp_path):
    folder = playloop.record("toy", out=tmp_path / "data", episodes=1, task=2, workers=0)
    assert folder == tmp_path / "data" and (folder / "meta" / "info.json").is_file()
    with pytest.raises(FileExistsError, match="already a whole data set"):
        playloop.record("toy", out=tmp_path / "data", episodes=1, task=2, workers=0)


def test_an_episode_is_kept_whole_and_drawn(tmp_path):
    kept = playloop.run_episode("toy", "expert", task="reach the blue square", init=1)
    steps = len(kept)
    assert kept.success and kept.episode.key == "toy_reach-task02-init001-seed0" and "success" in str(kept)
    assert kept.frames["top"].shape == (steps + 1, 64, 64, 3) and kept.states.shape[0] == steps
    assert kept.actions.shape == (steps, 2) and kept.rewards.shape == (steps,)
    assert kept._repr_png_().startswith(b"\x89PNG")
    again = playloop.run_episode(ToyReachConfig(), "expert", task=2, init=1)
    assert np.array_equal(again.actions, kept.actions) and np.array_equal(
        again.frames["hand"], kept.frames["hand"]
    )


def test_a_policy_is_loaded_with_its_settings_and_known_by_them(tmp_path):
    policy = playloop.load_policy("libero", execute=4)
    assert policy.execute == 4
    with pytest.raises(ValueError, match="execute 1 … 8"):
        playloop.load_policy("libero", execute=9)
    with pytest.raises(FileNotFoundError, match="neither a checkpoint folder nor a shipped checkpoint"):
        playloop.load_policy("libro")
    with pytest.raises(ValueError, match="cannot act in this environment"):
        playloop.run_episode("toy", policy)


def test_a_world_model_is_loaded_by_name():
    assert playloop.load_world("craft").contract.family == "craft"


def test_the_notebooks_lines_are_ten_at_most_and_run(tmp_path):
    script = ROOT / "examples" / "notebook.py"
    lines = [line for line in script.read_text().splitlines()[1:] if line]
    assert len(lines) <= 10
    done = subprocess.run(
        [sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert "libero_object-task03-init000-seed0" in done.stdout and "success after" in done.stdout
    assert (tmp_path / "episode.png").read_bytes().startswith(b"\x89PNG")
