"""Safetensors files and their index: written, read, and damage of every kind refused."""

from __future__ import annotations

import json
from contextlib import nullcontext

import pytest
import torch
from safetensors.torch import load_file, save_file

from playloop.nn.shards import INDEX, read_header, read_shards, read_tensors, write_shards


def tensors():
    noise = torch.Generator().manual_seed(0)
    return {
        f"layer.{number}": torch.randn(4, 5, generator=noise).to(dtype)
        for number, dtype in enumerate([torch.bfloat16, torch.float32, torch.float16, torch.float32])
    }


def rewrite(path, change):
    """Change a file's header and keep its bytes."""
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    change(header)
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + content[8 + size :])


@pytest.mark.parametrize(("limit", "files"), [(10_000, 1), (150, 2), (1, 4)])
def test_what_is_written_is_read_bit_for_bit(tmp_path, limit, files):
    written = tensors()
    write_shards(tmp_path, written, limit)
    assert len(list(tmp_path.glob("*.safetensors"))) == files
    assert (tmp_path / INDEX).is_file() == (files > 1)
    entries = read_shards(tmp_path)
    found = dict(read_tensors(entries, entries))
    assert found.keys() == written.keys()
    assert all(torch.equal(found[name], value) for name, value in written.items())
    assert all(found[name].dtype == value.dtype for name, value in written.items())


def test_the_header_is_that_of_the_library(tmp_path):
    path = tmp_path / "model.safetensors"
    save_file(tensors(), path, metadata={"format": "pt"})
    header = read_header(path)
    theirs = load_file(path)
    assert {name: entry.shape for name, entry in header.items()} == {
        n: tuple(v.shape) for n, v in theirs.items()
    }
    assert sum(entry.elements for entry in header.values()) == 80


def test_shards_of_the_library_s_layout_are_read_with_their_index(tmp_path):
    parts = list(tensors().items())
    names = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    save_file(dict(parts[:1]), tmp_path / names[0])
    save_file(dict(parts[1:]), tmp_path / names[1])
    listed = {name: names[number > 0] for number, (name, _) in enumerate(parts)}
    (tmp_path / INDEX).write_text(json.dumps({"weight_map": listed}))
    assert read_shards(tmp_path).keys() == listed.keys()


def cut(path):
    path.write_bytes(path.read_bytes()[:-1])


def lengthen(path):
    path.write_bytes(path.read_bytes() + b"\0")


def promise_a_long_header(path):
    path.write_bytes((10**9).to_bytes(8, "little") + path.read_bytes()[8:])


def spoil_the_header(path):
    path.write_bytes(path.read_bytes().replace(b"{", b"[", 1))


def lie_about_the_shape(path):
    rewrite(path, lambda header: header["layer.1"].update(shape=[4, 6]))


def overlap(path):
    def change(header):
        start, end = header["layer.3"]["data_offsets"]
        header["layer.3"]["data_offsets"] = [start - 4, end - 4]

    rewrite(path, change)


def leave_a_gap(path):
    def change(header):
        start, end = header["layer.3"]["data_offsets"]
        header["layer.3"]["data_offsets"] = [start + 4, end + 4]

    rewrite(path, change)


def use_a_strange_type(path):
    rewrite(path, lambda header: header["layer.1"].update(dtype="F4"))


def make_a_side_negative(path):
    rewrite(path, lambda header: header["layer.1"].update(shape=[-4, -5]))


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (cut, "cut off.*file not fully covered"),
        (lengthen, "file not fully covered"),
        (promise_a_long_header, "no safetensors file.*header too large"),
        (spoil_the_header, "damaged.*invalid JSON in header"),
        (lie_about_the_shape, "invalid shape, data type, or offset for tensor"),
        (overlap, r"invalid offset for tensor `layer\.3`"),
        (leave_a_gap, r"invalid offset for tensor `layer\.3`"),
        (use_a_strange_type, "invalid shape, data type, or offset for tensor"),
        (make_a_side_negative, "damaged.*invalid value: integer `-4`"),
    ],
)
def test_damage_of_a_file_is_one_clear_error(tmp_path, damage, complaint):
    path = tmp_path / "model.safetensors"
    save_file(tensors(), path)
    read_header(path)
    damage(path)
    with pytest.raises(ValueError, match=complaint) as caught:
        read_shards(tmp_path)
    assert str(path) in str(caught.value) and "download the file again" in str(caught.value)


def test_no_file_is_short_enough_to_confuse(tmp_path):
    path = tmp_path / "model.safetensors"
    for content in (b"", b"\0", bytes(7), bytes(8), b"<!DOCTYPE html><html></html>"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="download the file again"):
            read_header(path)


def drop_a_shard(folder):
    (folder / "model-00002-of-00004.safetensors").unlink()


def put_a_tensor_twice(folder):
    second = folder / "model-00002-of-00004.safetensors"
    save_file(load_file(second) | {"layer.0": torch.zeros(1)}, second)


def add_a_tensor(folder):
    second = folder / "model-00002-of-00004.safetensors"
    save_file(load_file(second) | {"more": torch.zeros(1)}, second)


def exchange_shards(folder):
    first, second = (folder / f"model-0000{number}-of-00004.safetensors" for number in (1, 3))
    content = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(content)


def leave_a_stray_shard(folder):
    save_file({"old": torch.zeros(1)}, folder / "model-00001-of-00002.safetensors")


def leave_a_single_file(folder):
    save_file(tensors(), folder / "model.safetensors")


def spoil_the_index(folder):
    (folder / INDEX).write_text((folder / INDEX).read_text()[:50])


def leave_a_pointer(folder):
    (folder / "model-00001-of-00004.safetensors").write_text(
        "version https://git-lfs.github.com/spec/v1\noid 1\n"
    )


def leave_the_folder(folder):
    text = (folder / INDEX).read_text()
    (folder / INDEX).write_text(text.replace("model-00002", "../model-00002"))


def empty_the_index(folder):
    (folder / INDEX).write_text("[]")


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (drop_a_shard, "00002-of-00004.safetensors is missing"),
        (put_a_tensor_twice, "layer.0 comes twice, in model-00001-of-00004.safetensors and in model-00002"),
        (add_a_tensor, "disagree on more"),
        (exchange_shards, "disagree on layer.0"),
        (leave_a_stray_shard, "model-00001-of-00002.safetensors is not in"),
        (leave_a_single_file, "holds both"),
        (spoil_the_index, "is damaged"),
        (leave_a_pointer, "00001-of-00004.safetensors is a Git LFS pointer"),
        (leave_the_folder, "outside its folder"),
        (empty_the_index, "not an object"),
    ],
)
def test_damage_of_a_folder_is_one_clear_error(tmp_path, damage, complaint):
    write_shards(tmp_path, tensors(), 1)
    read_shards(tmp_path)
    damage(tmp_path)
    with pytest.raises((ValueError, FileNotFoundError)) as caught:
        read_shards(tmp_path)
    assert complaint in str(caught.value)


@pytest.mark.parametrize(
    "metadata", [{"total_size": 480}, {"total_size": "?"}, {"total_size": None}, {}, None, 3]
)
def test_a_stale_total_is_told_and_not_refused(tmp_path, metadata):
    write_shards(tmp_path, tensors(), 1)
    index = json.loads((tmp_path / INDEX).read_text())
    (tmp_path / INDEX).write_text(json.dumps(index | {"metadata": metadata}))
    stale = isinstance(metadata, dict) and metadata.get("total_size") is not None
    with pytest.warns(UserWarning, match="the files hold 240") if stale else nullcontext():
        assert read_shards(tmp_path).keys() == tensors().keys()


def test_a_folder_without_weights_says_what_is_wanted(tmp_path):
    with pytest.raises(FileNotFoundError, match="download the weights in the safetensors format"):
        read_shards(tmp_path)
