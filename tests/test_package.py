"""The package: names, data files, types and the size of its parts."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGE = ROOT / "src" / "playloop"
ROOMS = sorted(path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__")
SOURCES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_tokenizers_is_still_hugging_faces():
    code = "import tokenizers; print(tokenizers.__file__); print(tokenizers.Tokenizer.__module__)"
    path, module = python(code).splitlines()
    assert "site-packages" in path and module == "tokenizers"


def test_ours_is_a_part_of_playloop():
    path = python("import playloop.tokenizers.actions as ours; print(ours.__file__)")
    assert Path(path).resolve() == ROOT / "tokenizers/actions.py"


def test_every_room_is_a_part_of_playloop():
    rooms = {path.parent.name for path in ROOT.glob("[a-z]*/*.py")} - {"tests", "examples"}
    assert rooms == set(ROOMS)
    for room in rooms - {"tokenizers"}:  # a link, so that its new files belong to it at once
        assert (PACKAGE / room).readlink() == Path("../..", room)
    ours = {path.name for path in (ROOT / "tokenizers").iterdir() if path.is_file()}
    assert {path.name for path in (PACKAGE / "tokenizers").iterdir() if path.is_symlink()} == ours


def test_every_dependency_is_pinned():
    extras = PROJECT["project"]["optional-dependencies"].values()
    wanted = [*PROJECT["project"]["dependencies"], *(line for extra in extras for line in extra)]
    names = {re.match(r"[\w.-]+", line).group().lower() for line in wanted}
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and line[0] != "#"]
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in lines), "only NAME==VERSION belongs here"
    assert names <= {line.split("==")[0].lower().replace("_", "-") for line in lines}


def test_the_wheel_holds_everything(tmp_path):
    pip = [sys.executable, "-m", "pip", "wheel", "-qq", "--no-deps", "--no-build-isolation", "-w", tmp_path]
    subprocess.run([*map(str, pip), str(copy_of_sources(tmp_path / "source"))], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    held = set(zipfile.ZipFile(wheel).namelist())
    wanted = {f"playloop/{path.relative_to(ROOT)}" for path in SOURCES}
    wanted |= {f"playloop/{path.relative_to(ROOT)}" for path in (ROOT / "configs").rglob("*.yaml")}
    wanted |= {f"playloop/{path.relative_to(ROOT)}" for path in (ROOT / "envs/reference").glob("*.npz")}
    data = ("*/checkpoints/*/*", "*/checkpoints/*/tokenizer/*", "envs/luanti/mod/*")
    data += ("rollouts/play/page/*", "rollouts/templates/*")
    found = [path for pattern in data for path in ROOT.glob(pattern) if path.is_file()]
    wanted |= {f"playloop/{path.relative_to(ROOT)}" for path in found}
    wanted |= {"playloop/__init__.py", "playloop/py.typed"}
    assert not wanted - held
    assert not [name for name in held if name.startswith(("tests/", "tokenizers/", "playloop/tests"))]
    assert [name for name in held if name.endswith("licenses/LICENSE")]
    run_without_checkout(wheel, tmp_path / "elsewhere")


def run_without_checkout(wheel: Path, folder: Path) -> None:
    """Evaluate and use the API where only the unpacked wheel is."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    code = (
        "import playloop; from playloop.cli.main import main; print(playloop.__file__);"
        "assert main(['eval', 'env=toy', 'agent=expert', 'episodes=1', 'out=run']) == 0;"
        "print(playloop.run_episode('toy', 'expert'))"
    )
    settings = {**os.environ, "PYTHONPATH": str(folder)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=settings, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith(str(folder)) and "success after" in done.stdout
    assert (folder / "run" / "report.html").is_file()


def copy_of_sources(folder: Path) -> Path:
    """What git would hand out: a build leaves traces, which belong in no working tree."""
    listed = ["git", "ls-files", "-co", "--exclude-standard", "-z"]
    files = subprocess.run(listed, cwd=ROOT, capture_output=True, check=True).stdout.decode().split("\0")
    for name in filter(None, files):
        if (ROOT / name).is_file() or (ROOT / name).is_symlink():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name, follow_symlinks=False)
    return folder


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_one_idea_a_file(path):
    text = path.read_text()
    assert len(text.splitlines()) <= 400
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno - node.lineno < 60, f"{node.name} is too long"
