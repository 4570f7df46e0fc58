"""The benches of published shapes, on checkpoints so small that everything runs and no time means much."""

from __future__ import annotations

import io
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from rich.console import Console

sys.path.insert(0, str(Path(__file__).parents[1] / "policies"))
from openvla_tiny import TOWERS

from playloop.benchmarks.mineworld import MineWorldBenchConfig
from playloop.benchmarks.models import random_model, variant
from playloop.benchmarks.openvla import OpenVLABenchConfig
from playloop.cli.main import main
from playloop.nn.decoder import LlamaSizes
from playloop.nn.quantize import kind_of
from playloop.policies.openvla.synthetic import write_synthetic
from playloop.worlds.mineworld.model import MineWorld
from playloop.worlds.mineworld.synthetic import TINY
from playloop.worlds.mineworld.synthetic import write_synthetic as write_mineworld

QUICK = {"precision": "fp32", "threads": 1}


def shown(bench, report):
    """The table as a terminal of 80 columns has it: nothing may be cut off."""
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(bench.table(report))
    text = console.export_text()
    assert "…" not in text, text
    return " ".join(text.split())


def test_ways_of_deciding(tmp_path):
    sizes = LlamaSizes(width=64, layers=1, heads=4, groups=4, hidden=96)
    folder = write_synthetic(tmp_path / "checkpoint", 5, "diffusion", towers=TOWERS, llama=sizes)
    config = OpenVLABenchConfig(str(folder), rounds=(4, 2), weights="int8", repeats=2, words=6, **QUICK)
    bench = config.make()
    report = bench.run()
    rows = {row["way"]: row for row in report["rows"]}
    assert list(rows) == [
        f"{way}, {rounds}" for way in ("plain", "full", "reuse", "block", "block int8") for rounds in (4, 2)
    ] + ["one"]
    assert all(row["floor_ms"] > 0 and 0 < row["p50_ms"] <= row["p99_ms"] for row in rows.values())
    assert rows["block, 4"]["tera_operations"] == rows["reuse, 4"]["tera_operations"], (
        "one whole pass, three cached"
    )
    assert rows["block int8, 4"]["gigabytes"] < rows["block, 4"]["gigabytes"]
    assert rows["reuse, 4"]["tera_operations"] < rows["full, 4"]["tera_operations"]
    assert 0 < rows["block int8, 4"]["changed"] < 1 and rows["block, 4"]["changed"] is None
    assert "block int8, 4" in shown(bench, report)


def test_ways_of_dreaming(tmp_path):
    source = write_mineworld(tmp_path / "release")
    words = [str(source), f"out={tmp_path / 'world'}", "rows=2", "columns=4"]
    assert main(["convert", *words]) == 0
    config = MineWorldBenchConfig(
        str(tmp_path / "world"), plain=(2,), players=2, weights="int8", frames=3, **QUICK
    )
    bench = config.make()
    report = bench.run()
    ways = [row["way"] for row in report["rows"]]
    assert ways == ["release, 2", "ours, 1", "2 x ours, 1", "ours int8, 1", "2 x ours int8, 1"]
    assert 0 <= report["changed"]["likeliest"] < 0.5 and 0 < report["changed"]["nats"] < 0.1
    text = shown(bench, report)
    assert "for each of 2 players" in text and "in eight bits" in text


@torch.no_grad()
def test_a_variant_shares_all_but_what_is_computed_otherwise():
    model = random_model(lambda: MineWorld(replace(TINY, start_queries=True)), "cpu", torch.float32)
    small = variant(model, torch.float32, "int8")
    assert kind_of(small.llama) == "int8" and kind_of(model.llama) is None
    assert small.start is model.start and small.head is model.head
    same = variant(model, torch.float32, None)
    assert same.llama is not model.llama and same.llama.norm is model.llama.norm


def test_settings_without_a_meaning_are_refused():
    with pytest.raises(ValueError, match=r"openvla.ways=\['half'\]"):
        OpenVLABenchConfig(ways=("half",)).make()
    with pytest.raises(ValueError, match=r"mineworld.players=0"):
        MineWorldBenchConfig(players=0).make()
