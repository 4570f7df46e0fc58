"""The trainer learns, and an interrupted run equals an unbroken one to the bit."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
from regression_task import RegressionConfig
from safetensors.torch import load_file

from playloop.training import distributed
from playloop.training.distributed import ProcessGroup, choose_threads, keep_threads
from playloop.training.metrics import read_metrics
from playloop.training.task import TaskConfig, TrainingTask
from playloop.training.trainer import TrainerConfig

ALONE = ProcessGroup(0, 1, torch.device("cpu"))
CONFIG = TrainerConfig(
    steps=60,
    batch=16,
    rate=0.02,
    warmup=5,
    average=0.9,
    precision="fp32",
    log_every=4,
    validate_every=20,
    checkpoint_every=7,
    progress=False,
)


def lines(folder: Path) -> list[dict]:
    """What was logged, without the clock."""
    clock = {"seconds", "rows_per_second"}
    return [
        {k: v for k, v in line.items() if k not in clock} for line in read_metrics(folder / "metrics.jsonl")
    ]


def equal_exports(a: Path, b: Path) -> bool:
    one, two = load_file(a / "checkpoint/model.safetensors"), load_file(b / "checkpoint/model.safetensors")
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


def goes_on_exactly(config: TrainerConfig, task: TaskConfig, folder: Path, step: int) -> TrainingTask:
    """Interrupt a run at a step and go on: equal to the unbroken one. Both lie in the folder."""
    assert config.make(ALONE).run(task.make(), folder / "unbroken")
    stopped: Any = task.make()
    make = stopped.batch

    def die(split, number, *arguments):
        if (split, number) == ("train", step):
            raise KeyboardInterrupt
        return make(split, number, *arguments)

    stopped.batch = die
    with pytest.raises(KeyboardInterrupt):
        config.make(ALONE).run(stopped, folder / "stopped")
    assert config.make(ALONE).run(task.make(), folder / "stopped")
    assert lines(folder / "stopped") == lines(folder / "unbroken")
    assert equal_exports(folder / "stopped", folder / "unbroken")
    return stopped


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("unbroken")
    assert CONFIG.make(ALONE).run(RegressionConfig().make(), folder)
    return folder


def test_learns_logs_and_exports(unbroken):
    logged = lines(unbroken)
    assert [line["step"] for line in logged] == list(range(4, 61, 4))
    assert [line["step"] for line in logged if "validation/loss" in line] == [20, 40, 60]
    assert logged[-1]["loss"] < 0.3 * logged[0]["loss"]
    assert (unbroken / "metrics.png").read_bytes()[:4] == b"\x89PNG"
    assert sorted(path.name for path in (unbroken / "state").iterdir()) == ["step_00000056", "step_00000060"]


@pytest.mark.parametrize("stops", [[3], [7], [17, 41], [30, 31, 32, 58]])
def test_interrupted_run_equals_unbroken(unbroken, tmp_path, stops):
    for stop in stops:
        with pytest.raises(KeyboardInterrupt):
            CONFIG.make(ALONE).run(RegressionConfig(die_at=stop).make(), tmp_path)
    assert CONFIG.make(ALONE).run(RegressionConfig().make(), tmp_path)
    assert lines(tmp_path) == lines(unbroken)
    assert equal_exports(tmp_path, unbroken)


def test_a_finished_run_is_exported_again_without_a_step(unbroken, tmp_path, capsys):
    shutil.copytree(unbroken, tmp_path / "run")
    shutil.rmtree(tmp_path / "run/checkpoint")
    assert replace(CONFIG, progress=True).make(ALONE).run(RegressionConfig().make(), tmp_path / "run")
    assert equal_exports(tmp_path / "run", unbroken)
    assert "nan" not in "".join(capsys.readouterr())


def test_finished_run_is_left_alone(unbroken):
    stamp = (unbroken / "checkpoint/model.safetensors").stat().st_mtime_ns
    assert CONFIG.make(ALONE).run(RegressionConfig(die_at=0).make(), unbroken)
    assert (unbroken / "checkpoint/model.safetensors").stat().st_mtime_ns == stamp


def test_other_settings_are_refused(unbroken):
    with pytest.raises(ValueError, match=r"rate: it was 0\.02, now it is 0\.5"):
        replace(CONFIG, rate=0.5).make(ALONE).run(RegressionConfig().make(), unbroken)


def test_time_limit_leaves_an_export_and_goes_on(unbroken, tmp_path):
    assert not replace(CONFIG, max_minutes=0.0).make(ALONE).run(RegressionConfig().make(), tmp_path)
    assert (tmp_path / "checkpoint/model.safetensors").exists()
    assert [line["step"] for line in lines(tmp_path)] == [4]
    assert CONFIG.make(ALONE).run(RegressionConfig().make(), tmp_path)
    assert lines(tmp_path) == lines(unbroken) and equal_exports(tmp_path, unbroken)


def test_an_export_of_an_earlier_stop_is_not_the_result(unbroken, tmp_path):
    """The run is killed between its last state and its export, after one that time had stopped."""
    assert not replace(CONFIG, max_minutes=0.0).make(ALONE).run(RegressionConfig().make(), tmp_path)
    task = RegressionConfig().make()
    task.save = lambda *arguments: (_ for _ in ()).throw(KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        CONFIG.make(ALONE).run(task, tmp_path)
    assert (tmp_path / "state/step_00000060").exists() and not equal_exports(tmp_path, unbroken)
    assert CONFIG.make(ALONE).run(RegressionConfig().make(), tmp_path)
    assert equal_exports(tmp_path, unbroken)


def test_loss_that_is_no_number_is_named(tmp_path):
    task = RegressionConfig().make()
    task.outputs = task.outputs * float("nan")
    with pytest.raises(FloatingPointError, match="step 4"):
        CONFIG.make(ALONE).run(task, tmp_path)


def test_an_infinite_loss_does_not_cost_the_last_good_state(tmp_path):
    task = RegressionConfig().make()
    make = task.batch
    task.batch = lambda split, step, *rest: (
        make(split, step, *rest)
        | ({"outputs": torch.full((16, 3), torch.inf)} if (split, step) == ("train", 24) else {})
    )
    with pytest.raises(FloatingPointError, match="step 28"):
        CONFIG.make(ALONE).run(task, tmp_path)
    assert sorted(path.name for path in (tmp_path / "state").iterdir()) == ["step_00000014", "step_00000021"]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"drop": 3}, r"trainer\.drop=3 comes before the warm-up ends, at trainer\.warmup=5"),
        ({"steps": 0}, r"TrainerConfig\.steps=0: use a number of at least 1"),
        ({"rate": float("nan")}, r"TrainerConfig\.rate=nan"),
        ({"betas": (0.9, 1.0)}, r"TrainerConfig\.betas"),
        ({"precision": "fp16"}, r"TrainerConfig\.precision='fp16': choose from bf16, fp32"),
        ({"batch": 2.5}, r"TrainerConfig\.batch=2\.5: use a whole number"),
        ({"clip": 0.0}, r"TrainerConfig\.clip=0\.0"),
    ],
)
def test_settings_out_of_range_are_told(changes, sentence):
    with pytest.raises(ValueError, match=sentence):
        replace(CONFIG, **changes).make(ALONE)
    assert replace(CONFIG, clip=float("inf")).make(ALONE)


def test_a_run_goes_on_with_its_number_of_threads(monkeypatch):
    before = torch.get_num_threads()
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    try:
        assert keep_threads(0) is None and keep_threads(before) is None
        assert "goes on with 3 threads" in (keep_threads(3) or "") and torch.get_num_threads() == 3
        monkeypatch.setenv("OMP_NUM_THREADS", "3")
        assert "OMP_NUM_THREADS=3" in (keep_threads(2) or "") and torch.get_num_threads() == 3
        assert choose_threads() is None and torch.get_num_threads() == 3
        monkeypatch.delenv("OMP_NUM_THREADS")
        monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1})
        for load, said in ((0.5, False), (9.0, True)):
            monkeypatch.setattr(os, "getloadavg", lambda load=load: (load, 0.0, 0.0))
            assert ("OMP_NUM_THREADS=1 may be faster" in (choose_threads() or "")) == said
            assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_what_is_hardly_meant_is_said(tmp_path, capsys):
    replace(CONFIG, batch=512, steps=2, warmup=8).make(ALONE).run(RegressionConfig().make(), tmp_path)
    said = capsys.readouterr().err
    assert "batch=512 is more than the 448 rows" in said
    assert "warmup=8 is longer than the run of 2 steps: the rate only rises to 25% of 0.02" in said


SCRIPT = """
import sys, time
from pathlib import Path
sys.path.insert(0, {tests!r})
import torch
torch.set_num_threads(1)
from test_training_trainer import ALONE, CONFIG, RegressionConfig
task = RegressionConfig().make()
make = task.batch
task.batch = lambda *arguments: (time.sleep(0.05), make(*arguments))[1]
CONFIG.make(ALONE).run(task, Path(sys.argv[1]))
"""


def started(folder: Path, state: str) -> subprocess.Popen:
    """A slow run in another process that has gone beyond a state."""
    command = [sys.executable, "-c", SCRIPT.format(tests=os.path.dirname(__file__)), str(folder)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    while max((path.name for path in (folder / "state").glob("step_*")), default="") <= state:
        assert process.poll() is None
        time.sleep(0.02)
    return process


def test_a_run_that_is_interrupted_and_then_killed_equals_unbroken(unbroken, tmp_path):
    process = started(tmp_path, "step_00000007")
    with pytest.raises(BlockingIOError, match=rf"written by playloop train \(process {process.pid} on "):
        CONFIG.make(ALONE).run(RegressionConfig().make(), tmp_path)
    for _ in range(2):  # torchrun passes on what the terminal has sent already
        process.send_signal(signal.SIGINT)
        time.sleep(0.05)
    _, said = process.communicate(timeout=60)
    assert process.returncode != 0 and "stops after this step and stores its state" in said
    assert not (tmp_path / "checkpoint").exists() and not (tmp_path / ".lock").exists()
    last = max(path.name for path in (tmp_path / "state").iterdir())
    assert "step_00000014" < last < "step_00000050"
    assert read_metrics(tmp_path / "metrics.jsonl")[-1]["step"] <= int(last[5:])
    process = started(tmp_path, last)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (tmp_path / "checkpoint").exists()
    (tmp_path / "state/.step_00000021.1.partial").mkdir()  # as kills at other moments leave them
    (tmp_path / ".metrics.jsonl.1").write_text("torn")
    task = RegressionConfig().make()
    save, threads = task.save, []
    task.save = lambda *arguments: (threads.append(torch.get_num_threads()), save(*arguments))
    assert CONFIG.make(ALONE).run(task, tmp_path) and threads == [1]  # no more for its export
    assert lines(tmp_path) == lines(unbroken) and equal_exports(tmp_path, unbroken)
    assert [path.name for path in tmp_path.rglob(".*")] == []


def test_a_second_ctrl_c_interrupts_at_once(monkeypatch):
    clock = iter([10.0, 10.5, 11.5])
    monkeypatch.setattr(distributed.time, "monotonic", lambda: next(clock))
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), distributed.deferred_interrupt() as asked:
        assert not asked.is_set()
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        assert asked.is_set()
        signal.raise_signal(signal.SIGINT)
        pytest.fail("not interrupted")
    assert signal.getsignal(signal.SIGINT) is before


def test_processes_wait_for_hours_while_the_first_exports(monkeypatch):
    asked = {}
    monkeypatch.setattr(distributed.dist, "init_process_group", lambda *_, **named: asked.update(named))
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert distributed.join_group("cpu").ranks == 2
    assert asked["timeout"] >= timedelta(hours=2)
