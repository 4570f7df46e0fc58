"""Archives of arrays: damage and size are known before anything is unpacked."""

from __future__ import annotations

import io
import tracemalloc
import zipfile

import numpy as np
import pytest

from playloop.nn.archives import read_archive


def header(shape, dtype="<f4", content=b""):
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": dtype, "fortran_order": False, "shape": shape})
    return file.getvalue() + content


def zipped(path, **members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return path


def test_arrays_come_back(tmp_path):
    arrays = {"a": np.arange(6).reshape(2, 3), "text": np.array(["ä", "pick up"]), "f": np.zeros((2, 2)).T}
    np.savez_compressed(tmp_path / "x.npz", **arrays, scalar=np.array("word"))
    found = read_archive(tmp_path / "x.npz", "a")
    assert all(np.array_equal(found[name], value) for name, value in arrays.items())
    assert str(found["scalar"]) == "word"


def test_a_bomb_is_not_unpacked(tmp_path):
    path = zipped(tmp_path / "bomb.npz", a=header((100_000_000,), content=bytes(400_000_000)))
    assert path.stat().st_size < 1_000_000
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"bomb\.npz: it unpacks to 400,000,\d+ bytes, more than"):
        read_archive(path)
    assert tracemalloc.get_traced_memory()[1] < 10_000_000
    tracemalloc.stop()


WRONG = {
    "header promises more": header((10**12,)),
    "negative": header((-1,), content=bytes(4)),
    "objects": header((1,), "|O", bytes(8)),
    "no array": b"hello",
    "unknown type": header((1,), "<q9", bytes(8)),
    "empty": b"",
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_no_array_is_refused_by_name(tmp_path, name):
    with pytest.raises(ValueError, match=r"x\.npz.*; copy it again"):
        read_archive(zipped(tmp_path / "x.npz", a=WRONG[name]))


@pytest.mark.parametrize(
    "content", [b"", b"PK", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"]
)
def test_what_is_no_archive_is_refused_by_name(tmp_path, content):
    (tmp_path / "x.npz").write_bytes(content)
    with pytest.raises(ValueError, match=r"x\.npz is"):
        read_archive(tmp_path / "x.npz")


def test_damage_within_and_missing_names(tmp_path):
    path = zipped(tmp_path / "x.npz", a=header((1000,), content=np.random.default_rng(0).bytes(4000)))
    with pytest.raises(ValueError, match=r"x\.npz lacks b and c; copy it again"):
        read_archive(path, "a", "b", "c")
    data = bytearray(path.read_bytes())
    data[600] ^= 255
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"x\.npz is damaged"):
        read_archive(path)
