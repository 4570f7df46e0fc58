"""The example of a plugin, built and installed as a user does, and what a broken one does not break."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from playloop.core.formats import FORMAT
from playloop.demos.lerobot.dataset import Demonstrations

PLUGIN = Path(__file__).parents[2] / "examples" / "plugin"
COLUMNS = {"COLUMNS": "200"}


def run(*command: str, path: Path | None = None, good: bool = True) -> str:
    """What a command says, with the packages that lie in `path` installed, too."""
    paths = [*([str(path)] if path else []), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, **COLUMNS, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    done = subprocess.run(
        [sys.executable, "-m", *command], env=environment, capture_output=True, text=True, timeout=250
    )
    said = done.stdout + done.stderr
    assert (done.returncode == 0) == good, said
    return said


def playloop(path: Path, *words: str, good: bool = True) -> str:
    return run("playloop.cli.main", *words, path=path, good=good)


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """The example's folder; building leaves files in it."""
    ignored = shutil.ignore_patterns("build", "*.egg-info", "__pycache__")
    return Path(
        shutil.copytree(PLUGIN, tmp_path_factory.mktemp("plugin") / "playloop-lander", ignore=ignored)
    )


@pytest.fixture(scope="module")
def site(copy):
    """A folder with the package installed from its wheel."""
    wheels, site = copy.parent / "wheels", copy.parent / "site"
    run("pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(wheels), str(copy))
    (wheel,) = wheels.glob("playloop_lander-*.whl")
    run("pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(site), str(wheel))
    return site


def test_its_names_are_chosen_and_its_policy_lands(site, tmp_path):
    words = ["env=lander", "agent=lander_eyes", "workers=1", "inits=1", f"out={tmp_path / 'out'}"]
    assert "land on the red pad" in playloop(site, "eval", *words)
    lines = [json.loads(line) for line in (tmp_path / "out" / "episodes.jsonl").read_text().splitlines()]
    assert [line["success"] for line in lines] == [True] * 3
    assert {line["agent"] for line in lines} == {"Eyes (playloop-lander 0.1.0)"}
    assert "playloop-lander" in (tmp_path / "out" / "report.html").read_text()


def test_its_yaml_is_an_option_too(site):
    said = playloop(site, "eval", "env=lander_storm", "agent=lander_expert", "--print-config")
    assert "wind: 0.8" in said and "fuel: 9.0" in said and "inits: 10" in said


def test_the_help_lists_and_explains_it(site):
    said = playloop(site, "eval", "env=lander", "--help")
    assert "strength of the gusts, metres a second squared" in said
    for line in ("A craft that is to land gently", "The landing craft in gusts", "A policy that looks for"):
        assert line in said
    assert said.count("(playloop-lander 0.1.0)") == 4


def test_its_expert_is_recorded(site, tmp_path):
    words = ["env=lander", "agent=lander_expert", "episodes=3", "workers=0", f"out={tmp_path / 'data'}"]
    playloop(site, "record", *words)
    data = Demonstrations(tmp_path / "data")
    assert data.playloop["format"] == FORMAT and len(data.episodes) == 3
    assert data.features["observation.images.moon"]["shape"] == [120, 160, 3]
    assert data.contract.family == "lander" and data.column("action")[:, 1].min() < -0.3


def test_its_own_tests_pass(site, copy):
    said = run("pytest", "-q", "-p", "no:cacheprovider", str(copy / "tests"), path=site)
    assert "8 passed" in said


def install(site: Path, name: str, points: str, files: dict[str, str]) -> None:
    """What pip leaves of a package."""
    info = site / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(points)
    for path, text in files.items():
        (site / path).parent.mkdir(parents=True, exist_ok=True)
        (site / path).write_text(text)


@pytest.fixture(scope="module")
def broken(tmp_path_factory, site):
    """Where several packages are installed, each broken in its own way, and the example that is whole."""
    home = Path(shutil.copytree(site, tmp_path_factory.mktemp("broken") / "site"))
    install(home, "torn", "[playloop.envs]\ntorn = torn:Config\n", {"torn.py": "raise OSError('no disk')\n"})
    install(home, "void", "[playloop.envs]\nvoid = void:Confg\n", {"void.py": "class Config: ...\n"})
    install(home, "gone", "[playloop.agents]\ngone = nowhere.at.all:Config\n", {})
    install(home, "lost", "[playloop.envs]\nlost = lost_configs\n", {})
    yaml = {"crooked/__init__.py": "", "crooked/env/crooked.yaml": "wind: [1\n"}
    install(home, "crooked", "[playloop.envs]\nhere = crooked\n", yaml)
    install(home, "thief", "[playloop.envs]\ntoy = thief:Config\n", {"thief.py": "class Config: ...\n"})
    same = "[playloop.envs]\nlander = rival:Config\n"
    install(home, "rival", same, {"rival.py": "class Config: ...\n"})
    return home


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("env=torn", "_target_=torn.Config cannot be imported: OSError: no disk"),
        ("env=void", "void has no 'Confg' (did you mean \"Config\"?)"),
        ("agent=gone", "_target_=nowhere.at.all.Config cannot be found: No module named 'nowhere'"),
        ("env=lost", "lost_configs is neither MODULE:CLASS nor a package; mend its entry point"),
        ("env=crooked", "crooked.yaml cannot be read: while parsing a flow sequence"),
        ("env=lander", "playloop-lander 0.1.0 and rival 1.0 both bring env=lander; rename or uninstall one"),
    ],
)
def test_a_broken_one_is_a_sentence(broken, word, sentence):
    words = [word, "agent=random"] if word.startswith("env") else ["env=toy", word]
    said = playloop(broken, "eval", *words, good=False)
    assert sentence in " ".join(said.split()) and "Traceback" not in said
    assert len([line for line in said.splitlines() if line.strip()]) == 1, said


def test_it_breaks_nothing_else(broken, tmp_path):
    words = ["env=toy", "agent=random", "inits=1", "workers=0"]
    assert "reach the red square" in playloop(broken, "eval", *words, f"out={tmp_path / 'toy'}")
    said = " ".join(playloop(broken, "eval", "env=toy", "--help").split())
    assert "Hydra" not in said
    assert "env=toy is Playloop's own; rename that of thief 1.0" in said
    assert said.count("cannot be chosen: ") == 8
    assert "The landing craft in gusts" in said and "The expert: it reads where the pad is" in said
