"""Records of benches: added and never changed, and shown over time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from playloop.benchmarks import records
from playloop.benchmarks.records import FIGURES, add_record, busy, figures, page, picture, read_records
from playloop.cli.bench import BENCHES
from playloop.cli.main import main

QUICK = ["bench", "craft", "craft.views=1", "craft.steps=4", "craft.sizes=[[64,64]]"]
RECORDS = Path(records.__file__).parent / "records"


def test_each_run_adds_a_file_and_changes_none(tmp_path, capsys):
    folder = tmp_path / "new/records"
    assert main([*QUICK, f"record={folder}"]) == 0
    (first,) = folder.iterdir()
    before = first.read_bytes()
    assert f"Record: {first}" in capsys.readouterr().out
    assert main([*QUICK, f"record={folder}"]) == 0
    assert first.read_bytes() == before and len(list(folder.iterdir())) == 2
    record = json.loads(before)
    assert record["bench"] == "craft" and record["command"].startswith("playloop bench craft craft.views=1")
    assert record["git"] and record["hardware"]["cores"] and record["load"] >= 0
    assert [one["name"] for one in record["figures"]] == [
        "frames, 64x64",
        "steps, without pictures",
        "steps, with pictures, 64x64",
    ]
    assert record["figures"][0]["value"] == record["result"]["frames"]["64x64"]


def test_a_file_in_the_folders_place_is_told_before_the_bench(tmp_path, capsys):
    (tmp_path / "notes").write_text("mine")
    assert main([*QUICK, f"record={tmp_path}/notes/new"]) == 2
    out, err = capsys.readouterr()
    assert f"record={tmp_path}/notes/new: {tmp_path}/notes is a file; name a new folder" in err and not out


def test_two_runs_of_one_second_are_two_files(tmp_path):
    made = [
        add_record(tmp_path, "train", "playloop bench train", {"rows_per_second": n}, 0.0) for n in (1, 2)
    ]
    assert len(set(made)) == 2 and [path.name for path in tmp_path.glob(".*")] == []
    assert [record["figures"][0]["value"] for record in read_records(tmp_path)] == [1, 2]


def test_every_bench_has_figures():
    assert set(FIGURES) == set(BENCHES)
    rows = {
        "rows": [
            {"backend": "torch", "window": 4, "p50_ms": 7.5},
            {"backend": "torch", "window": 16, "p50_ms": 9},
        ]
    }
    assert [(one["name"], one["value"]) for one in figures("world", rows)] == [
        ("a frame, torch, window 4", 7.5),
        ("a frame, torch, window 16", 9),
    ]
    assert figures("instructions", {"minilm": {"right": 3, "of": 4}})[0] == {
        "name": "right, minilm",
        "value": 0.75,
        "unit": "share",
    }
    assert figures("decoder", [{"name": "rounds-12", "rate": 0.5}])[0]["name"] == "success, rounds-12"


def test_the_page_has_a_row_a_run_and_marks_a_busy_machine(tmp_path):
    for load in (0.0, 9.0):
        add_record(tmp_path, "train", "playloop bench train", {"rows_per_second": 12.25}, load)
    found = read_records(tmp_path)
    lines = page(found).splitlines()
    assert lines[0] == "## train" and len(lines) == 7 - 1
    assert "**busy**" in lines[4] and "**busy**" not in lines[5] and "rows: **12.25** a second" in lines[4]
    assert [busy(record) for record in found] == [False, True]
    assert b"<svg" in picture(found) and b"<svg" in picture([])
    assert page([]) == "No bench has been recorded yet."


def test_what_is_no_record_is_named(tmp_path):
    (tmp_path / "notes.json").write_text("{}")
    with pytest.raises(ValueError, match=r"notes.json is no record of a bench"):
        read_records(tmp_path)


def test_our_own_records_can_be_shown():
    found = read_records(RECORDS)
    assert len(found) >= 3 and page(found) and picture(found)


@pytest.mark.parametrize("words", [["train", "train.rows=2", "train.repeats=1"], ["instructions"]])
def test_benches_of_training_and_of_instructions(words, capsys):
    assert main(["bench", *words]) == 0
    said = capsys.readouterr().out
    assert "rows a second" in said if words[0] == "train" else "minilm" in said and "/ 30" in said
