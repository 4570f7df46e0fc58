"""The shipped configuration trains, and the same command goes on under other circumstances."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf
from policy_demos import MODEL, write_demos

import playloop.configs
from playloop.policies import checkpoint
from playloop.policies.record import to_record
from playloop.training import distributed
from playloop.training.distributed import World
from playloop.training.run import _make_task, train

CONFIGS = Path(playloop.configs.__path__[0])


def configuration(data, out: Path, **trainer):
    settings = {"steps": 4, "batch": 4, "log_every": 2, "precision": "fp32", "progress": False} | trainer
    options = {"instructions": {"_target_": "playloop.tokenizers.instructions.NGramsConfig", "size": 32}}
    changes = {"device": "cpu", "trainer": settings, "task": {"processes": 1} | options}
    task = OmegaConf.load(CONFIGS / "train.yaml").training
    training = OmegaConf.merge(OmegaConf.load(CONFIGS / "training/default.yaml"), task, changes)
    words = {
        "data": data,
        "out": str(out),
        "seed": 3,
        "command": "playloop train",
        "policy": to_record(MODEL),
    }
    return OmegaConf.create(words | {"training": training})


def test_shipped_configuration_trains_exports_and_continues(tmp_path):
    write_demos(tmp_path / "data")
    one = str(tmp_path / "data")
    assert not train(configuration(one, tmp_path / "out", max_minutes=0.0))
    assert train(configuration([one], tmp_path / "out"))
    policy = checkpoint.load(tmp_path / "out/checkpoint")
    assert sorted(policy.model.cameras) == ["front", "wrist"]
    assert (tmp_path / "out/metrics.png").exists()
    with pytest.raises(ValueError, match="other settings"):
        train(configuration(one, tmp_path / "out", rate=0.1))


def test_missing_data_is_told(tmp_path):
    with pytest.raises(FileNotFoundError, match="not a finished data set"):
        train(configuration(str(tmp_path / "nothing"), tmp_path / "out"))


@dataclass
class Counting:
    """A task that is the number of threads it was made with."""

    def make(self) -> int:
        return torch.get_num_threads()


def test_the_first_process_prepares_with_all_cores_while_the_others_wait(monkeypatch):
    waits = []
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1, 2})
    monkeypatch.setattr(distributed.dist, "barrier", lambda: waits.append(torch.get_num_threads()))
    config, before = OmegaConf.create({"_target_": f"{__name__}.Counting"}), torch.get_num_threads()
    device = torch.device("cpu")
    assert _make_task(config, World(0, 2, device)) == 3
    assert _make_task(config, World(1, 2, device)) == _make_task(config, World(0, 1, device)) == before
    assert waits == [before, before]
