"""`playloop merge`: what OFT's training leaves becomes a checkpoint that acts; what does not fit is told."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from oft_adapter import ALPHA, write_oft_adapter
from openvla_tiny import write
from safetensors.torch import load_file, save_file

from playloop.cli.main import main
from playloop.nn.manifest import write_manifest
from playloop.nn.shards import read_shards, read_tensors
from playloop.policies.openvla.files import read_openvla
from playloop.policies.openvla.open import open_policy

RANK = 4
SMALL = ("dataset_statistics.json", "tokenizer.json")


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """As openvla/openvla-7b lies there: token by token, nothing of chunks."""
    return write(tmp_path_factory.mktemp("merge") / "base", "openvla")


def run_of(root, base, kind="oft", rank=RANK, film=False):
    """A training run's folder: adapter, statistics and further files, no weights."""
    full, run = write(root / "full", kind, seed=3, film=film), root / "run"
    factors = write_oft_adapter(base, run / "lora_adapter", rank, film)
    for path in (*(full / name for name in SMALL), *full.glob("*_checkpoint.pt")):
        shutil.copyfile(path, run / path.name)
    return run, factors


@pytest.fixture(scope="module")
def run(base, tmp_path_factory):
    return run_of(tmp_path_factory.mktemp("run"), base)


@pytest.fixture(scope="module")
def out(base, run, tmp_path_factory):
    found = tmp_path_factory.mktemp("out") / "merged"
    assert main(["merge", str(base), str(run[0]), f"out={found}"]) == 0
    return found


def weights(folder):
    entries = read_shards(folder)
    return dict(read_tensors(entries, entries))


def test_every_adapted_layer_is_the_base_and_its_product(base, run, out):
    before, after, factors = weights(base), weights(out), run[1]
    assert list(before) == list(after) and len(list(out.glob("model-*.safetensors"))) > 1
    changed = 0
    for name, value in before.items():
        key = f"base_model.model.{name.removesuffix('.weight')}.lora_"
        found, wanted = after[name].double(), value.double()
        if f"{key}A.weight" in factors:
            a, b = (factors[f"{key}{part}.weight"].flatten(1).double() for part in "AB")
            wanted = wanted + ALPHA / RANK * (b @ a).view(value.shape)
            changed += 1
        assert after[name].dtype == torch.bfloat16
        assert ((found - wanted).abs() <= 1.001 * 2**-8 * wanted.abs() + 1e-9).all(), name
        assert torch.equal(after[name], value) == (f"{key}A.weight" not in factors), name
    assert changed == len(factors) // 2


def test_the_merged_checkpoint_is_what_the_run_trained(run, out):
    statistics = json.loads((run[0] / "dataset_statistics.json").read_text())
    assert json.loads((out / "dataset_statistics.json").read_text()) == statistics
    policy = open_policy(out)
    config = policy.model.config
    assert (config.decoders, config.attention, config.proprio) == (("l1",), "full", 8)
    assert (config.images, config.chunk) == (2, 8)  # LIBERO's, by the name of the data set
    shape = policy.contract.cameras["agentview"]
    observation = {
        "images": {name: np.full((*shape, 3), 90, np.uint8) for name in policy.contract.cameras},
        "state": np.zeros(8, np.float32),
        "instruction": "pick up the milk",
    }
    _, chunks, _ = policy([None], [observation], [torch.Generator()])
    assert chunks.shape == (1, 8, 7) and np.isfinite(chunks).all()
    assert json.loads((out / "merge.json").read_text())["command"].startswith("playloop merge ")
    assert main(["inspect", str(out)]) == 0


def test_a_weight_that_changes_later_is_noticed(out, tmp_path):
    shutil.copytree(out, tmp_path / "copy")
    path = read_shards(tmp_path / "copy")["projector.fc1.weight"].file
    tensors = load_file(path)
    tensors["projector.fc1.weight"] += 0.05
    save_file(tensors, path)
    with pytest.raises(ValueError, match=rf"{path.name} is not the file that was written with the others"):
        open_policy(tmp_path / "copy")
    write_manifest(tmp_path / "copy")
    with pytest.raises(ValueError, match="does not decide as it did when it was written"):
        open_policy(tmp_path / "copy")


def test_a_run_with_film(base, tmp_path):
    run, factors = run_of(tmp_path, base, "diffusion", 32, film=True)
    assert main(["merge", str(base), str(run / "lora_adapter"), f"out={tmp_path / 'out'}"]) == 0
    layer = "vision_backbone.featurizer.blocks.0.attn.qkv"
    key = "base_model.model.vision_backbone.vision_backbone.featurizer.blocks.0.block.attn.qkv.lora_"
    product = ALPHA / 32 * factors[f"{key}B.weight"] @ factors[f"{key}A.weight"]
    moved = weights(tmp_path / "out")[f"{layer}.weight"].float() - weights(base)[f"{layer}.weight"].float()
    assert torch.allclose(moved, product, atol=0.005) and product.abs().max() > 0.03
    config = open_policy(tmp_path / "out").model.config
    assert config.film and config.decoders == ("diffusion",)


def test_an_adapter_alone_wants_to_be_told_whose_statistics_it_needs(base, run, tmp_path, capsys):
    """And whose training left it: OpenVLA's own as well as OFT's without state."""
    shutil.copytree(run[0] / "lora_adapter", tmp_path / "adapter")
    words = ["merge", str(base), str(tmp_path / "adapter"), f"out={tmp_path / 'out'}"]
    assert main(words) == 2
    assert "has no dataset_statistics.json" in capsys.readouterr().err
    assert main([*words, "statistics=base"]) == 2
    assert "give decoders" in capsys.readouterr().err
    assert main([*words, "statistics=base", "decoders=[autoregressive]"]) == 0
    assert "kind: OpenVLA, tokens one after the other" in capsys.readouterr().out
    model = read_openvla(tmp_path / "out")
    assert model.config.decoders == ("autoregressive",) and model.config.chunk == 1
    statistics = (tmp_path / "out/dataset_statistics.json").read_text()
    assert statistics == (base / "dataset_statistics.json").read_text()


@pytest.mark.parametrize("word", [".", "../lora_adapter", ".."])
def test_the_run_is_found_from_inside_it(base, run, tmp_path, monkeypatch, word):
    monkeypatch.chdir(run[0] / "lora_adapter")
    assert main(["merge", str(base), word, f"out={tmp_path / 'out'}", "golden=false"]) == 0
    assert read_openvla(tmp_path / "out").config.decoders == ("l1",)


def test_a_checkpoint_with_float32_parts_decides_alike_in_every_type(base, run, out, tmp_path):
    shutil.copytree(run[0], tmp_path / "run")
    path = next((tmp_path / "run").glob("action_head--*"))
    head = torch.load(path, weights_only=True)
    torch.save({name: value.float() * 1.001 for name, value in head.items()}, path)
    assert main(["merge", str(base), str(tmp_path / "run"), f"out={tmp_path / 'out'}"]) == 0
    for dtype in (torch.bfloat16, torch.float32):
        open_policy(tmp_path / "out", dtype=dtype)
    with pytest.raises(ValueError, match="verify='Strict': use strict, warn, off"):
        open_policy(out, verify="Strict")


def test_a_folder_without_weights_says_how_to_merge(run):
    with pytest.raises(FileNotFoundError, match=r"playloop merge BASE .*run out=DIR"):
        open_policy(run[0])


def change_factors(change):
    def damage(run):
        path = run / "lora_adapter/adapter_model.safetensors"
        tensors = load_file(path)
        change(tensors)
        save_file(tensors, path)

    return damage


def rename_data(run):
    path = run / "dataset_statistics.json"
    path.write_text(json.dumps({"kitchen": next(iter(json.loads(path.read_text()).values()))}))


def drop_layer(tensors):
    for name in [name for name in tensors if "projector.fc1" in name]:
        del tensors[name]


def drop_norm(run):
    path = next(run.glob("action_head--*"))
    head = torch.load(path, weights_only=True)
    torch.save({name: value for name, value in head.items() if "layer_norm2.bias" not in name}, path)


HEAD = "base_model.model.language_model.lm_head.lora_A.weight"
OWN = "base_model.model.language_model.lm_head.base_layer.weight"
DAMAGE = {
    "partner": (change_factors(lambda t: t.pop(HEAD)), "lm_head lacks one of its two factors"),
    "rank": (change_factors(lambda t: t.update({HEAD: torch.zeros(3, 32)})), "has not the rank 4"),
    "width": (change_factors(lambda t: t.update({HEAD: torch.zeros(4, 31)})), "training began with"),
    "base": (change_factors(lambda t: t[OWN].add_(0.1)), "was trained beside another checkpoint"),
    "layer": (change_factors(drop_layer), "lacks 1 of the layers that it adapts, projector.fc1 first"),
    "empty": (change_factors(lambda t: t.clear()), "lacks"),
    "nan": (change_factors(lambda t: t[HEAD].fill_(torch.nan)), "holds numbers that are none"),
    "head": (drop_norm, "missing, model.layer_norm2.bias first"),
    "whole numbers": (
        change_factors(lambda t: t.update({n: (9 * v).int() for n, v in t.items()})),
        "has the type torch.int32; only floating-point",
    ),
    "stranger": (change_factors(lambda t: t.update({"x.magnitude": torch.zeros(1)})), "no factor of LoRA"),
    "data set": (rename_data, "give images, chunk and proprio"),
    "merged": (lambda run: (run / "model.safetensors").touch(), "merged weights beside its adapter already"),
    "adapter": (lambda run: shutil.rmtree(run / "lora_adapter"), "holds no LoRA adapter"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_what_does_not_fit_is_one_sentence_and_leaves_nothing(name, base, run, tmp_path, capsys):
    shutil.copytree(run[0], tmp_path / "run")
    damage, sentence = DAMAGE[name]
    damage(tmp_path / "run")
    assert main(["merge", str(base), str(tmp_path / "run"), f"out={tmp_path / 'out'}"]) == 2
    error = capsys.readouterr().err
    assert sentence in error and ".partial" not in error
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_folders_are_named(base, capsys):
    assert main(["merge", str(base)]) == 2
    assert "give two folders, not 1" in capsys.readouterr().err
    assert main(["merge", str(base / "x"), str(base)]) == 2
    assert "it is not there: check the path" in capsys.readouterr().err


def test_nothing_else_is_replaced(base, run, tmp_path, capsys):
    for folder in (base, run[0], tmp_path):
        before = sorted(folder.rglob("*"))
        (tmp_path / "diary.txt").write_text("dear diary")
        assert main(["merge", str(base), str(run[0]), f"out={folder}"]) == 2
        assert "name a new folder" in capsys.readouterr().err
        assert set(before) <= set(folder.rglob("*"))
    out = f"out={tmp_path / 'out'}"
    for _ in range(2):  # the same command again is welcome
        assert main(["merge", str(base), str(run[0]), "golden=false", out]) == 0
