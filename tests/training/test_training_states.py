"""States on disk: damaged ones are passed over, full disks lose nothing, old ones are read."""

from __future__ import annotations

import json
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest
from regression_task import RegressionConfig
from test_training_trainer import ALONE, CONFIG, equal_exports, lines

from playloop.core.files import file_hash
from playloop.training.metrics import read_metrics
from playloop.training.states import load_state


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("unbroken")
    assert CONFIG.make(ALONE).run(RegressionConfig().make(), folder)
    return folder


@pytest.fixture(scope="module")
def killed(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("killed")
    with pytest.raises(KeyboardInterrupt):
        CONFIG.make(ALONE).run(RegressionConfig(die_at=45).make(), folder)
    return folder


@pytest.fixture
def stopped(killed, tmp_path) -> Path:
    """States of steps 35 and 42, and metrics up to step 44."""
    return Path(shutil.copytree(killed, tmp_path / "stopped"))


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-40] ^= 4
    path.write_bytes(bytes(content))


def empty(path: Path) -> None:
    path.write_bytes(b"")


FILES = ("tensors.safetensors", "scalars.json", "sha256.json")


@pytest.mark.parametrize("damage", [truncate, flip, empty, Path.unlink])
@pytest.mark.parametrize("name", FILES)
def test_a_damaged_state_is_passed_over(stopped, damage, name):
    said: list[str] = []
    damage(stopped / "state/step_00000042" / name)
    state = load_state(stopped / "state", said.append)
    assert state is not None and state[1].step == 35
    assert len(said) == 1 and "step_00000042/" in said[0] and name in said[0]


def test_a_run_goes_on_from_an_older_state_exactly(unbroken, stopped, capsys):
    flip(stopped / "state/step_00000042/tensors.safetensors")
    assert CONFIG.make(ALONE).run(RegressionConfig().make(), stopped)
    assert capsys.readouterr().err.count("the run goes on from the state before it") == 1
    assert lines(stopped) == lines(unbroken) and equal_exports(stopped, unbroken)


def test_a_finished_run_is_not_exported_from_a_damaged_state(unbroken, tmp_path, capsys):
    shutil.copytree(unbroken, tmp_path / "run")
    shutil.rmtree(tmp_path / "run/checkpoint")
    flip(tmp_path / "run/state/step_00000060/tensors.safetensors")
    assert CONFIG.make(ALONE).run(RegressionConfig().make(), tmp_path / "run")
    assert "is not what sha256.json says" in capsys.readouterr().err
    assert equal_exports(tmp_path / "run", unbroken)
    assert load_state(tmp_path / "run/state", pytest.fail)[1].step == 60


def test_no_sound_state_is_one_sentence_and_nothing_is_removed(stopped):
    for path in (stopped / "state").iterdir():
        truncate(path / "tensors.safetensors")
    with pytest.raises(ValueError, match="no older state is sound: restore") as caught:
        CONFIG.make(ALONE).run(RegressionConfig().make(), stopped)
    assert "\n" not in str(caught.value) and len(list((stopped / "state").iterdir())) == 2


def test_a_run_of_an_older_format_is_one_sentence(stopped):
    for path in (stopped / "state").iterdir():
        scalars = json.loads((path / "scalars.json").read_text())
        del scalars["settings"]["format"]
        (path / "scalars.json").write_text(json.dumps(scalars))
        hashes = {name: file_hash(path / name) for name in FILES[:2]}
        (path / "sha256.json").write_text(json.dumps(hashes))
    with pytest.raises(ValueError, match=f"the run in {stopped} has .* older .*; choose another out"):
        CONFIG.make(ALONE).run(RegressionConfig().make(), stopped)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ('{"step": 12, "lo', "line 3 is damaged"),
        ("[1]", "line 3 is damaged"),
        ('{"step": "x", "loss": 1.0}', "line 3 is damaged"),
        ('{"loss": 1.0}', "line 3 is damaged"),
        ("\x00\x00", "line 3 is damaged"),
    ],
)
def test_damaged_metrics_are_one_sentence_before_anything_starts(stopped, line, sentence):
    path = stopped / "metrics.jsonl"
    content = path.read_text().splitlines()
    path.write_text("\n".join([*content[:2], line, *content[3:]]) + "\n")
    with (
        pytest.raises(ValueError, match=f"metrics.jsonl, {sentence}.*; remove that line"),
        CONFIG.make(ALONE).claim(stopped),
    ):
        pytest.fail("claimed")


def test_metrics_that_are_no_number_are_json(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1, "loss": NaN}\n')  # as older versions wrote them
    assert read_metrics(path) == [{"step": 1, "loss": None}]


@contextmanager
def small_disk(folder: Path, size: str):
    """A file system of its own, in memory; only an administrator can make one."""
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "playloop-test", folder], check=False
    )
    if made.returncode:
        pytest.skip("a small disk can be mounted by an administrator only")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def fill_up(folder: Path) -> Path:
    """A file that leaves no room."""
    filler = folder.parent / "filler"
    with filler.open("wb") as file:
        for size in (4096, 1):
            while True:
                try:
                    file.write(b"x" * size)
                    file.flush()
                except OSError:
                    break
    return filler


@pytest.mark.parametrize("moment", ["step", "export"])
def test_a_full_disk_is_one_sentence_and_loses_nothing(unbroken, tmp_path, moment):
    with small_disk(tmp_path / "disk", "400k"):
        run, task = tmp_path / "disk/run", RegressionConfig().make()
        batch, save = task.batch, task.save

        def filling(split, step, *arguments):
            if (split, step) == ("train", 30):
                fill_up(run)
            return batch(split, step, *arguments)

        def filled(*arguments):
            fill_up(run)
            save(*arguments)

        if moment == "step":
            task.batch = filling
        else:
            task.save = filled
        with pytest.raises(
            OSError, match=rf"the disk of {run} is full; free some room .* goes on from step \d+,"
        ):
            CONFIG.make(ALONE).run(task, run)
        left = [path.name for path in run.rglob(".*")]
        assert left == []
        (tmp_path / "disk/filler").unlink()
        assert CONFIG.make(ALONE).run(RegressionConfig().make(), run)
        assert lines(run) == lines(unbroken) and equal_exports(run, unbroken)
