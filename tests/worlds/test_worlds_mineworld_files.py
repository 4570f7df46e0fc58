"""Published MineWorld files: found, checked, refused, converted and described."""

from __future__ import annotations

import json
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from mineworld_release import TINY, TINY_VQ, vq_record, write_synthetic
from rewriting import change_record, unbind
from safetensors.torch import load_file

from playloop.cli.main import main
from playloop.configs.checkpoints import find_checkpoint
from playloop.core.minecraft import action_vector
from playloop.nn.folder import write_record
from playloop.nn.pickles import read_pickle
from playloop.nn.slots import fill_slots, published
from playloop.rollouts.play.uploads import read_starts
from playloop.tokenizers.vq import VQTokenizer
from playloop.worlds.describe import describe
from playloop.worlds.mineworld.convert import ConvertConfig, convert
from playloop.worlds.mineworld.files import GridMismatch, SeveralSizes, read_published
from playloop.worlds.mineworld.folder import MineWorldPlay
from playloop.worlds.mineworld.model import PRESETS, MineWorld
from playloop.worlds.open import opener

GRID = {"rows": 2, "columns": 4}
SETTINGS = ConvertConfig(**GRID, frames=2)
RELEASED = replace(TINY, truncate=True)
"""Published weights were trained on turns of whole degrees."""


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return write_synthetic(tmp_path_factory.mktemp("published") / "release")


@pytest.fixture
def copied(source, tmp_path):
    shutil.copytree(source.parents[1], tmp_path / "release")
    return tmp_path / "release" / "checkpoints" / source.name


def rewrite(path, change):
    """Change what a checkpoint holds."""
    content = torch.load(path, weights_only=True)
    change(content["state_dict"])
    torch.save(content, path)


def test_a_checkpoint_becomes_a_folder_with_the_same_numbers(source, tmp_path, capsys):
    out = tmp_path / "mine"
    words = [str(source.parents[1]), f"out={out}", "rows=2", "columns=4", "frames=2", "dtype=keep"]
    assert main(["convert", *words]) == 0
    printed = capsys.readouterr().out
    stored = torch.load(source, weights_only=True)["state_dict"]
    transformer = {name: value for name, value in stored.items() if name.startswith("transformer.")}
    assert f"transformer: {sum(v.numel() for v in transformer.values()):,} in {len(transformer)}" in printed
    kept = load_file(out / "model.safetensors")
    assert kept.keys() == transformer.keys()
    assert all(torch.equal(kept[name], value) for name, value in transformer.items())
    world = MineWorldPlay.load(out, dtype=torch.float32)
    found = published(world.model, world.model.slots())
    assert all(torch.equal(found[name], value) for name, value in transformer.items())
    for name, value in world.tokenizer.state_dict().items():
        assert torch.equal(value, stored[f"tokenizer.model.{name}"])
    assert world.model.config == RELEASED and world.tokenizer.config == TINY_VQ
    assert world.contract.cameras == {"pov": (32, 64)} and world.contract.control_hz == 20
    assert world.starts.shape == (1, 1, 8) and world.start_actions.shape == (1, 0, 11)
    assert json.loads((out / "training.json").read_text())["command"].startswith("playloop convert")


@pytest.mark.parametrize(("kept", "wanted"), [("float16", torch.float16), ("keep", torch.bfloat16)])
def test_the_precision_on_disk_is_chosen(tmp_path, kept, wanted):
    source = write_synthetic(tmp_path / "release", dtype=torch.bfloat16)
    convert(source, tmp_path / "out", replace(SETTINGS, dtype=kept), read_starts)
    for part in (tmp_path / "out", tmp_path / "out" / "tokenizer"):
        assert {value.dtype for value in load_file(part / "model.safetensors").values()} == {wanted}
    world = MineWorldPlay.load(tmp_path / "out", dtype=torch.bfloat16)
    assert world.model.dtype == world.tokenizer.dtype == torch.bfloat16


def test_the_tokenizer_may_lie_beside_the_transformer(tmp_path):
    source = write_synthetic(tmp_path / "release", inside=False)
    found = read_published(source, **GRID)
    inside = read_published(write_synthetic(tmp_path / "other"), **GRID)
    assert found.tokenizer_weights.keys() == inside.tokenizer_weights.keys()
    assert all(torch.equal(v, inside.tokenizer_weights[k]) for k, v in found.tokenizer_weights.items())
    (source.parent / "vae" / "vae.ckpt").unlink()
    with pytest.raises(FileNotFoundError, match=r"vae\.ckpt is not there"):
        read_published(source, **GRID)


def test_a_bare_dictionary_and_the_old_format_are_read(copied):
    state = torch.load(copied, weights_only=True)["state_dict"]
    state["transformer.model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.zeros(4)
    torch.save(state, copied.with_suffix(".bin"), _use_new_zipfile_serialization=False)
    copied.unlink()
    found = read_published(copied.parents[1], **GRID)
    assert found.path == copied.with_suffix(".bin") and found.config == RELEASED
    for folder in (copied.parents[1], copied.parent):
        assert dict(describe(folder))["file"] == str(found.path)
        with pytest.raises(FileNotFoundError, match=rf"playloop convert {found.path} out=DIR"):
            opener(folder)
    assert dict(describe(found.path))["file"] == str(found.path)


def write_large(folder, name):
    """At full size, but of one number each: the file holds their shapes."""
    with torch.device("meta"):
        model, vq = MineWorld(PRESETS[name]), VQTokenizer(replace(TINY_VQ, codes=8192))
    state = {key: torch.zeros(1).expand(v.shape) for key, v in published(model, model.slots()).items()}
    state |= {f"tokenizer.model.{k}": torch.zeros(1).expand(v.shape) for k, v in vq.state_dict().items()}
    path = folder / f"{name}.ckpt"
    (folder / "vae").mkdir(parents=True)
    torch.save({"state_dict": state}, path)
    write_record(folder / "vae" / "config.json", vq_record(replace(TINY_VQ, codes=8192)))
    return path, sum(p.numel() for p in model.parameters())


def test_without_a_yaml_file_the_published_sizes_are_taken(tmp_path):
    for name in ("700M_32f", "1200M_16f"):
        path, count = write_large(tmp_path / name, name)
        found = read_published(path, shapes=True)
        assert found.config == replace(PRESETS[name], truncate=True)
        assert sum(v.numel() for v in found.weights.values()) == count
        lines = dict(describe(path))
        assert lines["model"].startswith(f"{name}: ") and "14 x 24 tokens" in lines["frame"]


def test_sizes_that_the_name_alone_could_tell_are_not_guessed(tmp_path):
    path = write_large(tmp_path, "700M_32f")[0].rename(tmp_path / "downloaded.ckpt")
    with pytest.raises(SeveralSizes, match=r"700M_16f or 700M_32f.*give the file the name.*config=FILE"):
        read_published(path, shapes=True)
    lines = dict(describe(path))
    assert lines["model"] == "726.0 M in float32" and lines["transformer"] == "width 2048"
    assert lines["sizes"].endswith(f"playloop convert {path} config=FILE.yaml out=DIR")
    alone = write_large(tmp_path / "small", "300M_16f")[0].rename(tmp_path / "small" / "any.ckpt")
    assert read_published(alone, shapes=True).config.width == 1024  # one published size fits


def test_published_weights_get_the_ids_that_they_know(source, tmp_path):
    """The release loses turns under two degrees: its weights have never seen another id for them."""
    convert(source, tmp_path / "out", SETTINGS, read_starts)
    record = json.loads((tmp_path / "out/config.json").read_text())
    asked = [action_vector({"camera": (0.0, turn)}) for turn in (1.95, 0.0, 2.0)]
    released = MineWorldPlay.load(tmp_path / "out")
    small, none, two = released.actions.encode(np.stack(asked)).tolist()
    assert small == none != two
    told = dict(describe(tmp_path / "out"))["action"]
    assert "lose their fractions" in told
    del record["model"]["truncate"]
    (tmp_path / "out/config.json").write_text(json.dumps(record))
    unbind(tmp_path / "out")  # as a folder that was converted before there was a choice
    older = MineWorldPlay.load(tmp_path / "out")
    small, none, two = older.actions.encode(np.stack(asked)).tolist()
    assert small == two != none and older.name != released.name
    assert "keep their fractions" in dict(describe(tmp_path / "out"))["action"]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda s: s.pop("transformer.lm_head.weight"), r"1 tensors are missing, transformer\.lm_head"),
        (lambda s: s.pop("tokenizer.model.quant_conv.bias"), r"missing, quant_conv\.bias"),
        (lambda s: s.update({"transformer.model.layers.2.x": torch.zeros(1)}), "1 are unknown"),
        (lambda s: s.update({"tokenizer.model.encoder.x": torch.zeros(1)}), r"unknown, encoder\.x"),
        (
            lambda s: s.update({"transformer.lm_head.weight": torch.zeros(3, 32)}),
            r"\(3, 32\), not \(118, 32\)",
        ),
        (lambda s: s.update({"transformer.lm_head.weight": torch.zeros(118, 32).int()}), "floating-point"),
        (lambda s: [s.pop(k) for k in list(s) if k.startswith("transformer.")], "is no MineWorld"),
    ],
)
def test_tensors_must_be_exactly_those(copied, change, complaint):
    rewrite(copied, change)
    with pytest.raises(ValueError, match=complaint):
        read_published(copied, **GRID)


def test_what_training_leaves_behind_is_no_mistake(copied):
    extra = {
        "tokenizer.model.loss.x": torch.zeros(2),
        "ema.decay": torch.zeros(1),
        "discriminator.y": torch.zeros(1),
    }
    rewrite(copied, lambda state: state.update(extra))
    assert read_published(copied, **GRID).config == RELEASED


class Evil:
    def __reduce__(self):
        return (Path("/tmp/playloop-was-here").touch, ())


class Worse:
    def __reduce__(self):
        import os

        return (os.system, ("touch /tmp/playloop-was-here",))


@pytest.mark.parametrize("bad", [Evil, Worse])
@pytest.mark.parametrize("new", [True, False])
def test_a_file_that_runs_code_is_refused(copied, bad, new, capsys):
    content = torch.load(copied, weights_only=True)
    torch.save({**content, "hyper_parameters": bad()}, copied, _use_new_zipfile_serialization=new)
    assert main(["convert", str(copied), "rows=2", "columns=4", f"out={copied}.out"]) == 2
    assert "wants to run code" in capsys.readouterr().err
    assert not Path("/tmp/playloop-was-here").exists() and not Path(f"{copied}.out").exists()


@pytest.mark.parametrize("share", [0.0, 0.3, 0.95])
def test_a_truncated_file_is_refused(copied, share):
    data = copied.read_bytes()
    copied.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(ValueError, match="is damaged"):
        read_published(copied, **GRID)


def test_a_record_that_is_shorter_than_its_tensor_is_refused(copied, tmp_path):
    """The pickle promises more numbers than the archive holds."""
    with zipfile.ZipFile(copied) as old, zipfile.ZipFile(tmp_path / "new", "w") as new:
        for item in old.infolist():
            data = old.read(item)
            new.writestr(item.filename, data[: len(data) // 2] if item.filename.endswith("data/0") else data)
    shutil.move(tmp_path / "new", copied)
    with pytest.raises(ValueError, match="is damaged"):
        read_published(copied, **GRID)


def test_foreign_files_are_refused(tmp_path):
    (tmp_path / "a.ckpt").write_text("hello")
    torch.save([1, 2], tmp_path / "b.ckpt")
    for name, complaint in (("a", "damaged"), ("b", "holds a list")):
        with pytest.raises(ValueError, match=complaint):
            read_pickle(tmp_path / f"{name}.ckpt")
    with pytest.raises(ValueError, match=r"several models; name one: a\.ckpt, b\.ckpt"):
        read_published(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"holds no \.ckpt"):
        read_published(tmp_path / "empty")
    with pytest.raises(FileNotFoundError, match="not there"):
        read_published(tmp_path / "c.ckpt")


def test_configurations_are_checked(copied):
    with pytest.raises(GridMismatch, match=r"no multiple of 347.*rows= and columns="):
        read_published(copied)
    yaml = copied.parents[1] / "configs" / "tiny_4f.yaml"
    text = yaml.read_text()
    yaml.write_text(text.replace("num_hidden_layers: 2", "num_hidden_layers: 3"))
    with pytest.raises(ValueError, match=r"does not fit its configuration: 9 tensors are missing.*config="):
        read_published(copied, **GRID)
    yaml.write_text(text.replace("hidden_size: 32\n", ""))
    with pytest.raises(ValueError, match=r"lacks a part of model\.params"):
        read_published(copied, **GRID)
    yaml.unlink()
    with pytest.raises(ValueError, match="none of the published sizes"):
        read_published(copied, **GRID)
    record = copied.parent / "vae" / "config.json"
    held = json.loads(record.read_text())
    for key, value in (("mid_block_add_attention", True), ("vq_embed_dim", 7), ("norm_type", "spatial")):
        record.write_text(json.dumps({**held, key: value}))
        with pytest.raises(ValueError, match=f"another network.*{key}"):
            read_published(copied, **GRID)
    record.write_text("{")
    with pytest.raises(ValueError, match=r"config\.json is damaged"):
        read_published(copied, **GRID)


POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (
            lambda text: text.replace("num_hidden_layers: 2", "num_hidden_layers: 10000000"),
            "far larger network",
        ),
        (lambda text: text.replace("vocab_size: ", "vocab_size: 100000000"), "far larger network"),
        (lambda text: text.replace("hidden_size: 32", "hidden_size: 32.5"), r"32\.5 is no whole number"),
        (lambda text: text.replace("hidden_size: 32", "hidden_size: null"), "lacks a part of"),
        (lambda text: text[:80] + "\n  : [", "it is damaged"),
        (lambda text: POINTER, "Git LFS pointer"),
    ],
)
def test_a_configuration_is_one_sentence_before_memory_is_taken(copied, change, complaint):
    yaml = copied.parents[1] / "configs" / "tiny_4f.yaml"
    yaml.write_text(change(yaml.read_text()))
    with pytest.raises(ValueError, match=complaint) as caught:
        read_published(copied, **GRID)
    assert "\n" not in str(caught.value) and "tiny_4f" in str(caught.value)


def test_what_lies_there_instead_is_said(copied, tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"holds no \.ckpt or \.bin file; it is a world model of Playloop"
    ):
        read_published(find_checkpoint("craft"))
    (tmp_path / "scene.png").write_text("no picture")
    with pytest.raises(ValueError, match=r"starts=.*scene\.png: the file is no image or clip"):
        convert(copied, tmp_path / "out", replace(SETTINGS, starts=str(tmp_path / "scene.png")), read_starts)
    for name in ("scene.png", "other.ckpt"):
        (tmp_path / name).write_text(POINTER)
    with pytest.raises(ValueError, match=r"scene\.png is a Git LFS pointer"):
        convert(copied, tmp_path / "out", replace(SETTINGS, starts=str(tmp_path / "scene.png")), read_starts)
    with pytest.raises(ValueError, match=r"other\.ckpt is a Git LFS pointer"):
        convert(tmp_path / "other.ckpt", tmp_path / "out", SETTINGS, read_starts)
    assert not [path for path in tmp_path.iterdir() if "out" in path.name]


def test_numbers_that_float16_cannot_hold_are_refused(copied, tmp_path):
    rewrite(copied, lambda state: state["transformer.model.norm.weight"].fill_(1e6))
    with pytest.raises(ValueError, match=r"norm\.weight holds a number.*dtype=keep"):
        convert(copied, tmp_path / "out", SETTINGS, read_starts)
    assert not (tmp_path / "out").exists()
    convert(copied, tmp_path / "out", replace(SETTINGS, dtype="keep"), read_starts)


def test_a_damaged_folder_is_refused(source, tmp_path):
    out = tmp_path / "out"
    convert(source, out, SETTINGS, read_starts)
    weights = out / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    with pytest.raises(ValueError, match=r"is not the file that config\.json names"):
        MineWorldPlay.load(out)
    convert(source, out, SETTINGS, read_starts)
    (out / "starts.npz").unlink()
    with pytest.raises(FileNotFoundError, match=r"starts\.npz missing"):
        MineWorldPlay.load(out)
    convert(source, out, SETTINGS, read_starts)
    change_record(out, lambda record: record["model"].update(layers=1))
    with pytest.raises(ValueError, match="do not fit the configuration"):
        MineWorldPlay.load(out)


def test_both_forms_are_described_from_their_headers(source, tmp_path, monkeypatch):
    out = tmp_path / "out"
    convert(source, out, SETTINGS, read_starts)
    lines = dict(describe(out))
    assert lines["kind"] == "MineWorld, ready to play" and lines["made of"] == source.name
    assert lines["frame"] == "32 x 64 pixels, 2 x 4 tokens" and lines["beginnings"] == "1 of 1 frames"
    count = sum(p.numel() for p in TINY.make().parameters())
    assert lines["model"] == f"sizes of its own: {count:,} in F16"
    lines = dict(describe(source))
    assert "rows= and columns=" in lines["grid"] and lines["transformer"] == "width 32"
    assert lines["grid"].endswith(f"playloop convert {source} rows=… columns=… out=DIR")
    assert lines["model"] == f"{count:,} in float32" and lines["file"] == str(source)
    (tmp_path / "config.json").write_text('{"model": {"kind": "vla"}}')
    assert describe(tmp_path) is None and describe(tmp_path / "config.json") is None
    torch.save({"state_dict": {"x": torch.zeros(1)}}, tmp_path / "x.ckpt")
    assert describe(tmp_path / "x.ckpt") is None


def test_place_is_strict_about_start_queries(tmp_path):
    """Trained start queries are a tensor of our own; a published file has none."""
    model = replace(TINY, start_queries=True).make()
    weights = published(model, model.slots())
    assert weights["start_queries"].shape == (1, 32)
    with pytest.raises(ValueError, match="missing, start_queries"):
        fill_slots(model, model.slots(), [item for item in weights.items() if item[0] != "start_queries"])
