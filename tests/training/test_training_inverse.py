"""Inverse dynamics is trained like any task: the right frames to a step, exact resumption, and it learns."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from inverse_demos import MODEL, task_config, turning_clip, write_demos
from policy_demos import write_demos as write_other_demos
from test_training_trainer import ALONE, goes_on_exactly

from playloop.demos.lerobot.dataset import Demonstrations
from playloop.training.task import Share
from playloop.training.trainer import TrainerConfig
from playloop.worlds.checkpoint import load_inverse
from playloop.worlds.following import compare, shifted
from playloop.worlds.inverse import InverseConfig

POV = "observation.images.pov"
CONFIG = TrainerConfig(
    steps=6,
    batch=8,
    warmup=2,
    precision="bf16",
    log_every=1,
    validate_every=3,
    checkpoint_every=2,
    progress=False,
)


@pytest.fixture(scope="module")
def roots(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inverse")
    write_demos(folder / "one", episodes=5, rows=9, seed=0)
    write_demos(folder / "two", episodes=4, rows=6, seed=1)
    return folder / "one", folder / "two"


def test_a_step_has_its_frames_and_its_action(roots):
    wide = InverseConfig(height=32, width=32, before=1, after=2, features=4, channels=(8, 8), hidden=8)
    task = task_config(*roots, model=wide).make()
    one, two = (Demonstrations(root) for root in roots)
    batch = task.gather(np.array([0, 7, 45 + 6]))  # first, last; second episode of the other
    for number, (dataset, rows, step) in enumerate(
        [(one, [0, 0, 1, 2, 3], 0), (one, [6, 7, 8, 8, 8], 7), (two, [6, 6, 7, 8, 9], 6)]
    ):
        assert np.array_equal(batch["frames"][number].numpy(), dataset.frames(POV, rows))
        assert np.array_equal(batch["turn"][number].numpy(), dataset.column("action")[step, -2:])
        assert batch["keys"][number].tolist() == [0, 1, 0, 0, 0, 0, 0]  # forward


def test_steps_never_join_two_episodes(roots):
    task = task_config(*roots).make()
    last = np.concatenate([np.arange(8, 45, 9), 45 + np.arange(5, 24, 6)])
    used = np.concatenate([task.rows["train"], task.rows["validation"]])
    assert sorted(used) == sorted(set(range(69)) - set(last))
    assert not set(task.rows["train"]) & set(task.rows["validation"])


def test_batches_are_functions_of_the_generator(roots):
    task = task_config(*roots).make()
    for split in ("train", "validation"):
        whole = task.batch(split, 0, torch.Generator().manual_seed(7), Share(6))
        parts = [task.batch(split, 0, torch.Generator().manual_seed(7), Share(6, rank, 2)) for rank in (0, 1)]
        for name in whole:
            assert torch.equal(whole[name][0::2], parts[0][name])
            assert torch.equal(whole[name][1::2], parts[1][name])


def test_a_stopped_run_goes_on_exactly_and_exports_a_model(roots, tmp_path):
    goes_on_exactly(CONFIG, task_config(*roots), tmp_path, step=4)
    model = load_inverse(tmp_path / "stopped/checkpoint")
    assert model.config == MODEL
    record = json.loads((tmp_path / "stopped/checkpoint/training.json").read_text())
    assert [data["identity"] for data in record["data"]] == [Demonstrations(root).identity for root in roots]
    assert {"keys_accuracy", "camera_degrees"} <= {key.split("/")[-1] for key in record["validation"]}
    again = task_config(*roots, start=str(tmp_path / "stopped/checkpoint")).make()
    assert torch.equal(again.model.outer.weight, model.outer.weight)


def test_it_learns_to_see_the_view_turn(tmp_path):
    """At places that it was not trained on, a turn's error is less than half of that of telling none."""
    write_demos(tmp_path / "turns", episodes=120, rows=17, seed=2)
    config = replace(CONFIG, steps=420, batch=32, rate=4e-3, warmup=50, average=0.98, precision="fp32")
    config = replace(config, log_every=420, validate_every=420, checkpoint_every=420)
    task = task_config(tmp_path / "turns", validation=0.01)
    assert config.make(ALONE).run(task.make(), tmp_path / "run")
    model, rng = load_inverse(tmp_path / "run/checkpoint"), np.random.default_rng(3)
    clips, actions = zip(*(turning_clip(9, rng) for _ in range(30)), strict=True)
    actions, told = [vectors[:-1] for vectors in actions], [model.infer(clip) for clip in clips]
    asked = np.concatenate(actions)
    found, still = compare(asked, np.concatenate(told)), compare(asked, np.zeros_like(asked))
    assert found.degrees < still.degrees / 2
    assert found.tasks["back-forward"].f1 == 1.0 > still.tasks["back-forward"].f1
    late = shifted(actions, told, 1)
    assert late.degrees > 1.5 * found.degrees


def test_data_of_other_actions_is_refused(tmp_path):
    write_other_demos(tmp_path / "other", episodes=2)
    with pytest.raises(ValueError, match="actions of MineRL"):
        task_config(tmp_path / "other").make()
