"""The policy's rows are the data's, data sets act as one, and a stopped policy run goes on exactly."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from policy_demos import CONTRACT, MODEL, task_config, write_demos
from test_training_trainer import ALONE, goes_on_exactly

from playloop.core.images import shrink
from playloop.demos.lerobot.dataset import Demonstrations
from playloop.policies import checkpoint
from playloop.tokenizers.instructions import NGramsConfig
from playloop.training.task import Share
from playloop.training.trainer import TrainerConfig

CONFIG = TrainerConfig(
    steps=8,
    batch=6,
    rate=1e-3,
    warmup=2,
    precision="bf16",
    log_every=1,
    validate_every=4,
    checkpoint_every=3,
    progress=False,
)


@pytest.fixture(scope="module")
def roots(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demos")
    write_demos(folder / "one", episodes=5, seed=0)
    write_demos(folder / "two", episodes=4, rows=9, seed=1)
    return folder / "one", folder / "two"


def test_gathered_rows_are_those_of_the_data_sets(roots):
    task = task_config(*roots).make()
    datasets = [Demonstrations(root) for root in roots]
    rows = np.array([3, 60, 59, 95, 0, 61])
    batch = task.gather(rows)
    for position, row in enumerate(rows):
        dataset, local = (datasets[0], row) if row < 60 else (datasets[1], row - 60)
        image = shrink(dataset.frame("observation.images.front", int(local)), MODEL.image_size)
        assert np.array_equal(batch["images.front"][position].numpy(), image)
        assert np.array_equal(batch["actions"][position].numpy(), dataset.column("action_chunk")[local])
        assert np.array_equal(batch["target"][position].numpy(), dataset.column("observation.target")[local])
        text = dataset.tasks[dataset.column("task_index")[local]]
        assert np.array_equal(batch["instruction"][position].numpy(), task.encoder.encode([text])[0])


def test_only_the_experts_rows_are_used_and_episodes_are_not_torn(roots):
    task = task_config(*roots).make()
    expert = np.concatenate([Demonstrations(root).column("expert") for root in roots])
    episodes = np.concatenate(
        [Demonstrations(roots[0]).episode_index, 10 + Demonstrations(roots[1]).episode_index]
    )
    train, validation = task.rows["train"], task.rows["validation"]
    assert expert[train].all() and expert[validation].all()
    assert len(train) + len(validation) == expert.sum()
    assert not set(episodes[train]) & set(episodes[validation])
    assert len(set(episodes[validation])) == 2  # one of each data set


def test_a_data_set_that_is_named_twice_weighs_double_and_holds_out_the_same_episodes(roots):
    """As the shipped policies' recipes name corrections."""
    once, twice = task_config(roots[0]).make(), task_config(roots[0], roots[0]).make()
    rows = len(Demonstrations(roots[0]).episode_index)
    for split in ("train", "validation"):
        assert twice.rows[split].tolist() == [*once.rows[split], *(rows + once.rows[split])]
    assert len(once.rows["validation"])


def test_no_data_is_told():
    with pytest.raises(ValueError, match="data is empty; name at least one folder"):
        task_config()


def test_batches_are_functions_of_the_generator(roots):
    one, two = task_config(*roots).make(), task_config(*roots, resident=True).make()
    two.prepare(torch.device("cpu"), torch.float32)
    two.batch("train", 0, torch.Generator().manual_seed(1), Share(6))
    for split in ("train", "validation"):
        a = one.batch(split, 0, torch.Generator().manual_seed(7), Share(6))
        b = two.batch(split, 0, torch.Generator().manual_seed(7), Share(6))
        parts = [one.batch(split, 0, torch.Generator().manual_seed(7), Share(6, rank, 2)) for rank in (0, 1)]
        for name in a:
            assert torch.equal(a[name], b[name])
            assert torch.equal(a[name][0::2], parts[0][name]) and torch.equal(a[name][1::2], parts[1][name])


def test_stopped_run_goes_on_exactly_and_exports_a_policy(roots, tmp_path):
    stopped = goes_on_exactly(CONFIG, task_config(*roots), tmp_path, step=5)

    policy = checkpoint.load(tmp_path / "stopped" / "checkpoint")
    assert policy.contract == CONTRACT
    record = json.loads((tmp_path / "stopped/checkpoint/training.json").read_text())
    assert [data["identity"] for data in record["data"]] == [Demonstrations(root).identity for root in roots]
    assert record["steps"] == 8 and record["train_rows"] == len(stopped.rows["train"])
    assert record["validation"]["step"] == 8


def test_learns_what_it_is_shown(roots):
    task = task_config(roots[0], validation=0.0, seed=1).make()
    task.prepare(torch.device("cpu"), torch.float32)
    batch = task.gather(task.rows["train"][:4])
    optimizer = torch.optim.AdamW(task.model.parameters(), 3e-3)
    losses = []
    for step in range(60):
        loss, _ = task.loss(batch, torch.Generator().manual_seed(step))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert np.mean(losses[-5:]) < 0.6 * np.mean(losses[:5])


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"model": replace(MODEL, chunk=4)}, "chunks of 8"),
        (
            {"model": replace(MODEL, cameras={"top": MODEL.cameras["front"]})},
            r"lacks \['observation.images.top'\]",
        ),
        ({"model": replace(MODEL, image_size=48)}, "whole fraction"),
        ({"validation": 1.0}, "leaves none"),
    ],
)
def test_what_does_not_fit_is_told_before_training(roots, changes, sentence):
    with pytest.raises(ValueError, match=sentence):
        task_config(roots[0], **changes).make()


def test_data_sets_under_different_contracts_are_not_mixed(roots, tmp_path):
    write_demos(tmp_path / "other", episodes=2)
    path = tmp_path / "other/meta/playloop.json"
    record = json.loads(path.read_text())
    record["contract"]["control_hz"] = 5.0
    path.write_text(json.dumps(record))
    with pytest.raises(ValueError, match="cannot be mixed: control_hz"):
        task_config(roots[0], tmp_path / "other").make()


@pytest.fixture(scope="module")
def trained(roots, tmp_path_factory):
    """A checkpoint of the first data set, hardly trained."""
    folder = tmp_path_factory.mktemp("trained")
    assert replace(CONFIG, steps=2).make(ALONE).run(task_config(roots[0]).make(), folder)
    return folder / "checkpoint"


def test_training_begins_with_a_policy_of_its_own_kind(roots, trained, tmp_path):
    task = task_config(roots[0], start=str(trained)).make()
    policy = checkpoint.load(trained)
    assert task.statistics == policy.model.statistics
    for name, value in policy.model.state_dict().items():
        assert torch.equal(task.model.state_dict()[name], value)
    with pytest.raises(ValueError, match=rf"{trained} has other sizes than the settings: .* give the sizes"):
        task_config(roots[0], start=str(trained), model=replace(MODEL, width=64)).make()
    with pytest.raises(ValueError, match=r"trained with other embeddings of instructions; give its own"):
        task_config(roots[0], start=str(trained), instructions=NGramsConfig(size=32, letters=3)).make()
    write_demos(tmp_path / "other", episodes=2)
    rewrite_contract(tmp_path / "other", action_names=[*"abcdeg", "gripper"])
    with pytest.raises(ValueError, match=r"start=.* does not fit .*other: action_names: .*; begin with"):
        task_config(tmp_path / "other", start=str(trained)).make()


def rewrite_contract(root, **changes):
    path = root / "meta/playloop.json"
    record = json.loads(path.read_text())
    record["contract"] |= changes
    path.write_text(json.dumps(record))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"action_names": ["a", "b", "gripper"]}, "3"),
        ({"state_names": ["x"]}, "1"),
        ({"cameras": {"front": [64, 64]}}, r"\['wrist'\]"),
    ],
)
def test_a_contract_of_other_columns_is_told_before_training(tmp_path, changes, sentence):
    write_demos(tmp_path / "data", episodes=2)
    rewrite_contract(tmp_path / "data", **changes)
    with pytest.raises(ValueError, match=sentence) as caught:
        task_config(tmp_path / "data").make()
    assert "meta/playloop.json" in str(caught.value) and not list((tmp_path / "data/cache").glob("*.npy"))
