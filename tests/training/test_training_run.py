"""The shipped configuration trains, and the same command goes on under other circumstances."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf
from policy_demos import MODEL, write_demos

from playloop.configs.compose import load
from playloop.core.fields import simple
from playloop.core.locks import FolderLock
from playloop.policies import checkpoint
from playloop.training.distributed import ProcessGroup
from playloop.training.run import _make_task, train


def configuration(data, out: Path, **trainer):
    settings = {
        "steps": 4,
        "warmup": 2,
        "batch": 4,
        "log_every": 2,
        "precision": "fp32",
        "progress": False,
    } | trainer
    encoder = {"_target_": "playloop.tokenizers.instructions.NGramsConfig", "size": 32}
    changes = {"device": "cpu", "trainer": settings, "task": {"processes": 1}}
    config = load("train", [])
    config.policy, config.training.task.instructions = simple(MODEL), encoder
    words = {"data": data, "out": str(out), "seed": 3, "command": "playloop train", "training": changes}
    return OmegaConf.merge(config, words)


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A folder with data and a run that was stopped at once and gone on with to its end."""
    folder = tmp_path_factory.mktemp("trained")
    write_demos(folder / "data")
    one = str(folder / "data")
    assert not train(configuration(one, folder / "out", max_minutes=0.0))
    assert train(configuration([one], folder / "out"))
    return folder


def test_shipped_configuration_trains_exports_and_continues(trained):
    policy = checkpoint.load(trained / "out/checkpoint")
    assert sorted(policy.model.cameras) == ["front", "wrist"]
    assert (trained / "out/metrics.png").exists()


def test_missing_data_is_told(tmp_path):
    with pytest.raises(FileNotFoundError, match="not a finished data set"):
        train(configuration(str(tmp_path / "nothing"), tmp_path / "out"))
    assert not (tmp_path / "out").exists()


@dataclass
class Counting:
    """A task that is the number of threads it was made with."""

    def make(self) -> int:
        return torch.get_num_threads()


def test_the_first_process_prepares_with_all_cores_while_the_others_wait(monkeypatch):
    waits = []
    told = lambda world, text: (waits.append(torch.get_num_threads()), text)[1]  # noqa: E731
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1, 2})
    monkeypatch.setattr(ProcessGroup, "broadcast", told)
    before, device = torch.get_num_threads(), torch.device("cpu")
    assert _make_task(Counting(), ProcessGroup(0, 2, device)) == 3
    assert _make_task(Counting(), ProcessGroup(1, 2, device)) == before
    assert waits == [before, before]


def run_ranks(words: list[str]) -> list[subprocess.CompletedProcess]:
    """The same command in two processes that train together, as torchrun starts them."""
    port = 33500 + os.getpid() % 2000
    variables = os.environ | {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    command = [sys.executable, "-m", "playloop.cli.main", "train", *words]
    started = [
        subprocess.Popen(
            command, env=variables | {"RANK": str(rank)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        for rank in range(2)
    ]
    ends = [process.communicate(timeout=90) for process in started]
    return [
        subprocess.CompletedProcess(command, process.returncode, out.decode(), error.decode())
        for process, (out, error) in zip(started, ends, strict=True)
    ]


def test_a_folder_in_use_ends_all_processes_by_one_sentence(tmp_path):
    out = tmp_path / "out"
    with FolderLock(out, "playloop train"):
        ends = run_ranks([f"data={tmp_path}", f"out={out}", "device=cpu", "trainer.batch=2"])
    assert [end.returncode for end in ends] == [2, 2]
    said = ends[0].stderr
    assert (
        f"{out} is being written by playloop train (process {os.getpid()} on " in said
        and "Traceback" not in said
    )
    assert "out" not in ends[1].stderr and "Traceback" not in ends[1].stderr and not out.exists()


def test_other_settings_are_refused_before_data_is_read(trained, tmp_path):
    shutil.copytree(trained / "out", tmp_path / "out")
    (trained / "data").rename(trained / "moved")
    one = str(trained / "data")
    for changes in ({"rate": 0.1}, {"steps": 9}):
        with pytest.raises(
            ValueError, match=rf"holds a run with other settings \({next(iter(changes))}: it was"
        ):
            train(configuration(one, tmp_path / "out", **changes))
    config = configuration(one, tmp_path / "out")
    config.training.task.validation = 0.5
    with pytest.raises(ValueError, match=r"task\.validation: it was 0\.05, now it is 0\.5"):
        train(config)
    with pytest.raises(FileNotFoundError):  # the same ones want their data
        train(configuration(one, tmp_path / "out"))
    assert not (tmp_path / "out/.lock").exists()
