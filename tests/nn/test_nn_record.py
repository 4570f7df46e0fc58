"""Configurations in files: by kind, and only of classes that the reader names."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field

import pytest

from playloop.core.checked import checked
from playloop.core.kinds import kind
from playloop.nn.record import from_record, model_kind, read_part, to_record


@kind("test-part")
@checked
class Part:
    sizes: tuple[int, ...] = (1, 2)


@kind("test-whole")
@checked
class Whole:
    parts: dict[str, Part] = field(default_factory=lambda: {"kind": Part(), "other": Part((3,))})
    rate: float = 0.5


@dataclass
class Stranger:
    size: int = 1


CLASSES = (Whole, Part)


def test_a_record_is_json_and_its_inverse_exact():
    record = json.loads(json.dumps(to_record(Whole())))
    assert record["kind"] == "test-whole" and record["parts"]["other"] == {"kind": "test-part", "sizes": [3]}
    assert from_record(record, CLASSES) == Whole()  # although one part is called "kind"


def test_a_class_that_moved_is_written_and_read_as_before(monkeypatch):
    before = to_record(Part())
    monkeypatch.setattr(Part, "__module__", "playloop.elsewhere")
    assert to_record(Part()) == before and from_record(before, CLASSES) == Part()


def test_a_file_cannot_name_code(tmp_path, monkeypatch):
    (tmp_path / "trap_module.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("os.system", "trap_module.Config", "test-part", "playloop.nn.record.Whole", "", "__main__"):
        with pytest.raises(ValueError, match=r"is no configuration that fits here: .'test-whole'. do"):
            from_record({"kind": name, "sizes": [1]}, (Whole,))
    assert "trap_module" not in sys.modules


def test_a_class_without_a_kind_is_written_for_people_and_never_read():
    record = to_record(Stranger())
    assert record == {"kind": f"{__name__}.Stranger", "size": 1}
    with pytest.raises(ValueError, match="no configuration that fits"):
        from_record(record, (Stranger, *CLASSES))


def test_a_class_of_playloop_without_a_kind_is_never_written(monkeypatch):
    monkeypatch.setattr(Stranger, "__module__", "playloop.elsewhere")
    with pytest.raises(TypeError, match=r"playloop\.elsewhere\.Stranger has no kind for files; write @kind"):
        to_record(Stranger())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"steps": 3}, r"Whole has no field \['steps'\]; use the version"),
        ({"rate": "fast"}, r"Whole\.rate='fast': use a finite number"),
        ({"parts": {"a": {"kind": "test-part", "sizes": ["x"]}}}, r"Part\.sizes\.0='x': use a whole number"),
        ({"kind": 5}, "model holds no Whole"),
    ],
)
def test_a_wrong_field_is_named(change, said):
    with pytest.raises(ValueError, match=said):
        read_part({"model": to_record(Whole()) | change}, "model", (Whole,), (Part,))


def test_a_folder_s_kind_is_its_model_s():
    assert model_kind({"model": to_record(Whole())}) == "test-whole"
    assert [model_kind(record) for record in ({}, {"model": 1}, {"model": {"kind": []}}, [])] == [None] * 4
