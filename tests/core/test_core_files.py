"""Damaged JSON is one sentence with the file's name; values are checked against annotations."""

from __future__ import annotations

import os
from dataclasses import dataclass

import pytest

from playloop.core.checked import read_typed
from playloop.core.files import read_json, write_atomic, write_json


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty; restore it"),
        (b" \n", "is empty; restore it"),
        (b'{"a": 1', "is damaged"),
        (b"\xff\xfe\x00", "is damaged"),
        (b"[" * 100_000, "is damaged"),
        (b"[1]", "holds list, not an object"),
        (b"null", "holds NoneType, not an object"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n", "git lfs pull"),
    ],
)
def test_damage_is_named(tmp_path, content, said):
    path = tmp_path / "info.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=said) as caught:
        read_json(path, fix="restore it")
    assert str(path) in str(caught.value)


def test_what_is_written_is_read(tmp_path):
    write_json(tmp_path / "a.json", {"ü": [1, None]})
    assert read_json(tmp_path / "a.json") == {"ü": [1, None]}
    write_atomic(tmp_path / "b.json", b"\xef\xbb\xbf[2]")  # a byte order mark means nothing
    assert read_json(tmp_path / "b.json", kind=list) == [2]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json", "b.json"]


@dataclass
class Row:
    """A record from outside."""

    name: str
    size: tuple[int, int]
    rate: float = 1.0


def test_bytes_of_a_path_that_are_no_text_do_not_keep_a_file_from_being_written(tmp_path):
    record = {"command": "playloop eval out=" + os.fsdecode(b"runs/\xff"), "é": 1}
    write_json(tmp_path / "summary.json", record)
    assert read_json(tmp_path / "summary.json") == record
    write_atomic(tmp_path / "report.html", record["command"])
    assert (tmp_path / "report.html").read_text().endswith(r"runs/\udcff")


def test_typed_values():
    assert read_typed(Row, {"name": "a", "size": [1, 2], "more": 3}, "x") == Row("a", (1, 2))
    assert read_typed(Row, {"name": "a", "size": [1, 2], "rate": 3}, "x").rate == 3.0
    assert read_typed(list[int], [1, 2], "x") == [1, 2]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": None}, "rows.json:3: name=None: use text"),
        ({"name": 3}, "name"),
        ({"size": [1, "2"]}, r"size\.1"),
        ({"size": [1]}, "size"),
        ({"size": [1, True]}, r"size\.1"),
        ({"rate": float("nan")}, "NaN or infinite"),
        ({"rate": "1"}, "rate"),
    ],
)
def test_wrong_types_are_named(change, said):
    with pytest.raises(ValueError, match=said):
        read_typed(Row, {"name": "a", "size": [1, 2]} | change, "rows.json:3")
