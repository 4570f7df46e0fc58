"""A command line gives a checkpoint that acts, goes on exactly when stopped, and notices a changed weight."""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from oft_adapter import ALPHA, write_oft_adapter
from openvla_demos import disturb, seeded, settings, task_of, write_base, write_demos
from safetensors.torch import load_file, save_file
from test_training_trainer import lines

from playloop.cli.arguments import Arguments
from playloop.cli.main import dispatch
from playloop.nn.lora import merge
from playloop.nn.manifest import write_manifest
from playloop.nn.shards import read_shards, read_tensors
from playloop.policies.openvla.files import check_bound
from playloop.policies.openvla.open import open_policy
from playloop.training.openvla.model import AdapterConfig


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("openvla")
    write_demos(folder / "data")
    write_base(folder / "base")
    return folder


def words(home: Path, out: Path, *more: str) -> list[str]:
    fixed = "steps=4 batch=2 log_every=2 validate_every=4 checkpoint_every=2 processes=1 validation=0.3"
    return [
        f"openvla={home / 'base'}",
        f"data={home / 'data'}",
        f"out={out}",
        *fixed.split(),
        "rate=0.01",
        "device=cpu",
        "adapter.rank=4",
        "progress=false",
        *more,
    ]


@pytest.fixture(scope="module")
def trained(home) -> Path:
    assert dispatch(Arguments.parse(["train", *words(home, home / "run", "objective=block")])) == 0
    return home / "run/checkpoint"


def test_a_command_line_gives_a_checkpoint_that_acts(home, trained):
    policy = open_policy(trained)
    assert policy.statistics.key == "libero_data" and policy.model.config.attention == "block"
    observation = settings(home).make()._observation(0)
    _, chunks, _ = policy([None], [observation], [seeded()])
    assert chunks.shape == (1, 4, 7) and np.isfinite(chunks).all()
    before, after = read_shards(home / "base"), read_shards(trained)
    adapter = load_file(trained / "lora_adapter/adapter_model.safetensors")
    layer = "language_model.model.layers.1.self_attn.k_proj"
    (_, base), (_, merged) = (
        next(iter(read_tensors(entries, [f"{layer}.weight"]))) for entries in (before, after)
    )
    a, b = (adapter[f"base_model.model.{layer}.lora_{part}.weight"].double() for part in "AB")
    assert b.abs().max() > 0  # alpha is min(rank, 16), so the scale is 1
    assert (merged.double() - (base.double() + b @ a)).abs().max() < 2**-8 * base.abs().max()
    assert not torch.equal(base, merged)


def test_a_stopped_run_goes_on_exactly(home, trained, tmp_path):
    stopped = words(home, tmp_path / "run", "objective=block")
    dispatch(Arguments.parse(["train", *stopped, "max_minutes=0.0"]))
    assert [line["step"] for line in lines(tmp_path / "run")] == [2]
    dispatch(Arguments.parse(["train", *stopped]))
    assert lines(tmp_path / "run") == lines(trained.parent)
    for name in ("model.safetensors", "lora_adapter/adapter_model.safetensors"):
        one, two = load_file(tmp_path / "run/checkpoint" / name), load_file(trained / name)
        assert one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one)
    state = load_file(next((tmp_path / "run/state").glob("step_00000004")) / "tensors.safetensors")
    assert all("lora_" in name or "proprio" in name for name in state if name.startswith("model/"))


def test_a_changed_weight_is_noticed(trained, tmp_path):
    folder = shutil.copytree(trained, tmp_path / "copy")
    for name in (
        "language_model.model.layers.0.self_attn.v_proj.weight",
        "vision_backbone.fused_featurizer.blocks.0.mlp.fc1.weight",
        "projector.fc2.bias",
    ):
        tensors = load_file(trained / "model.safetensors")
        tensors[name].view(-1)[3] += 4
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
        with pytest.raises(ValueError, match="is not the file that was written with the others"):
            check_bound(folder)
        write_manifest(folder)
        with pytest.raises(ValueError, match="does not decide as it did when it was written"):
            open_policy(folder)
    with pytest.warns(UserWarning, match="does not decide"):
        open_policy(folder, verify="warn")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        open_policy(folder, verify="off")


@pytest.mark.parametrize("name", ["l1", "parallel"])
def test_other_decoders_are_exported_with_their_golden_decision(home, tmp_path, name):
    task = task_of(home, name)
    disturb(task.model)
    state = {n: value.detach() for n, value in task.model.named_parameters() if value.requires_grad}
    task.save(tmp_path / "checkpoint", state, {})
    policy = open_policy(tmp_path / "checkpoint")
    assert policy.decoding.decoder == name
    with np.load(tmp_path / "checkpoint/golden.npz") as golden:
        assert golden["scores"].shape == ((4, 7) if name == "l1" else (28, 256))
        assert ("tokens" in golden) == (name == "parallel")
    statistics = tmp_path / "checkpoint/dataset_statistics.json"
    record = json.loads(statistics.read_text())
    record["libero_data"]["action"]["q99"][0] += 0.5
    statistics.write_text(json.dumps(record))
    write_manifest(tmp_path / "checkpoint")
    with pytest.raises(ValueError, match="chunk differ by"):
        open_policy(tmp_path / "checkpoint")


def test_an_adapter_of_oft_s_own_run_is_gone_on_from(home, tmp_path):
    factors = write_oft_adapter(home / "base", tmp_path / "adapter")
    task = task_of(
        home, "diffusion", "block", adapter=AdapterConfig(rank=99, start=str(tmp_path / "adapter"))
    )
    model = task.model.model
    layer = model.llama.blocks[0].attention.project
    name = "base_model.model.language_model.model.layers.0.self_attn.q_proj.lora_A.weight"
    assert torch.equal(layer.lora_a[:4], factors[name]) and layer.config.rank == 4
    merge(model)
    after = {
        "language_model.lm_head": model.head.weight,
        "vision_backbone.featurizer.patch_embed.proj": model.towers[0].patches.weight,
        "vision_backbone.fused_featurizer.blocks.0.attn.proj": model.towers[1].blocks[0].out.weight,
        "projector.fc2": model.projector.second.weight,
    }
    before = dict(read_tensors(read_shards(home / "base"), [f"{name}.weight" for name in after]))
    for name, found in after.items():
        a, b = (factors[f"base_model.model.{name}.lora_{part}.weight"].flatten(1) for part in "AB")
        wanted = before[f"{name}.weight"].float() + ALPHA / 4 * (b @ a).view(found.shape)
        assert torch.allclose(found, wanted, atol=1e-6) and (b @ a).abs().max() > 0.01, name
