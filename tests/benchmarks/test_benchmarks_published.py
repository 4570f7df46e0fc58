"""The benches of published shapes, on checkpoints so small that everything runs and no time means much."""

from __future__ import annotations

import copy
import io
from dataclasses import replace
from importlib.util import find_spec

import pytest
import torch
from mineworld_release import TINY
from mineworld_release import write_synthetic as write_mineworld
from openvla_tiny import TOWERS
from rich.console import Console

from playloop.benchmarks import machine
from playloop.benchmarks.decode import DecodeBench
from playloop.benchmarks.machine import Cost, matrix_rate
from playloop.benchmarks.mineworld import MineWorldBench
from playloop.benchmarks.models import random_model, variant
from playloop.benchmarks.openvla import OpenVLABench
from playloop.cli.main import main
from playloop.nn.llama import LlamaSizes
from playloop.nn.quantize import kind_of
from playloop.policies.openvla.synthetic import write_synthetic
from playloop.worlds.mineworld.clip import clip_schedule
from playloop.worlds.mineworld.model import MineWorld

QUICK = {"precision": "fp32", "threads": 1}


def shown_lines(bench, report):
    """The table as a terminal of 80 columns has it: nothing may be cut off."""
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(bench.table(report))
    text = console.export_text()
    assert "…" not in text, text
    return text.splitlines()


def shown(bench, report):
    """Its words in one line."""
    return " ".join(" ".join(shown_lines(bench, report)).split())


def deciding(folder, changes=None, **settings):
    """A bench of a checkpoint that it writes; changes are of the checkpoint."""
    sizes = LlamaSizes(width=64, layers=1, heads=4, groups=4, hidden=96)
    write_synthetic(folder, 5, "diffusion", towers=TOWERS, llama=sizes, **changes or {})
    return OpenVLABench(str(folder), words=6, **QUICK, **settings)


def test_ways_of_deciding(tmp_path):
    bench = deciding(tmp_path / "checkpoint", rounds=(4, 2), weights="int8", repeats=2)
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


@pytest.fixture
def known_rates(monkeypatch):
    """Of the machine, as if measured: that takes longer than the rest of a tiny bench."""
    monkeypatch.setattr(machine, "matrix_rate", lambda dtype, device: 1e10)
    monkeypatch.setattr(machine, "bandwidth", lambda device: 1e10)


@pytest.mark.usefixtures("known_rates")
def test_rounds_that_commit_nothing_are_no_passes_of_ours(tmp_path):
    bench = deciding(tmp_path / "checkpoint", {"chunk": 4}, rounds=(12, 24), repeats=1)
    report = bench.run()
    rows = {row["way"]: row for row in report["rows"]}
    assert [rows[f"plain, {rounds}"]["evaluations"] for rounds in (12, 24)] == [12, 24], "as released: all"
    for name in ("full", "reuse", "block"):
        with torch.inference_mode():
            ways = getattr(bench, f"_{name}")()
            assert [way.run().evaluations for way in ways] == [way.evaluations for way in ways] == [11, 20]
        assert [rows[way.name]["evaluations"] for way in ways] == [11, 20]
        assert rows[f"{name}, 24"]["rounds"] == 24, "what it is compared to: the plain way's 24"
    for number in ("gigabytes", "tera_operations"):  # the first pass sees the pictures, too
        long, short = (rows[f"full, {rounds}"][number] for rounds in (24, 12))
        released = rows["plain, 24"][number] - rows["plain, 12"][number]
        assert (long - short) / 9 == pytest.approx(released / 12), number
    full = next(line for line in shown_lines(bench, report) if line.startswith("full, 24"))
    assert "x" in full, "its ratio to the plain way"


def test_weights_in_eight_bits_are_multiplied_at_their_own_rate(tmp_path, monkeypatch):
    rates = {torch.float32: 1e9, torch.bfloat16: 2e9, torch.float8_e4m3fn: 4e9}
    monkeypatch.setattr(machine, "matrix_rate", lambda dtype, device: rates[dtype])
    monkeypatch.setattr(machine, "bandwidth", lambda device: 1e15)  # products alone decide
    for weights, times in (("int8", 2), ("fp8", 4)):
        bench = deciding(tmp_path / weights, ways=("block",), rounds=(4,), weights=weights, repeats=1)
        report = bench.run()
        whole, small = (row["floor_ms"] for row in report["rows"])
        assert whole / times < small < whole, "the language model's products at their own rate, no others"
        assert f"0.00 with {weights} weights" in shown(bench, report)


@pytest.mark.usefixtures("known_rates")
def test_films_are_read_too(tmp_path):
    rows = {}
    for film in (False, True):
        bench = deciding(tmp_path / str(film), {"film": film}, ways=("one",), repeats=1)
        rows[film] = bench.run()["rows"][0]
    films = sum(parameter.numel() for parameter in bench.network.films.parameters())
    assert 1e9 * (rows[True]["gigabytes"] - rows[False]["gigabytes"]) == pytest.approx(4 * films)


def test_a_floor_of_products_at_two_rates():
    cost = Cost(100, 50) + Cost(20, 30, eight=20)
    assert cost == Cost(120, 80, 20) and cost * 2 == Cost(240, 160, 40)
    assert cost.floor(1e9, 2, 10) == 32 and cost.floor(1e9, 2) == 40 and cost.floor(1, 2, 10) == 120
    assert matrix_rate(torch.float8_e4m3fn, "cpu") > 0


@pytest.mark.usefixtures("known_rates")
def test_ways_of_dreaming(folder):
    bench = MineWorldBench(str(folder), plain=(2,), players=2, weights="int8", frames=3, **QUICK)
    report = bench.run()
    ways = [row["way"] for row in report["rows"]]
    assert ways == ["release, 2", "ours, 1", "2 x ours, 1", "ours int8, 1", "2 x ours int8, 1"]
    assert 0 <= report["changed"]["likeliest"] < 0.5 and 0 < report["changed"]["nats"] < 0.1
    text = shown(bench, report)
    assert "for each of 2 players" in text and "in eight bits" in text


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A MineWorld that was converted without a beginning: it has one grey frame."""
    root = tmp_path_factory.mktemp("mineworld")
    source = write_mineworld(root / "release")
    assert main(["convert", str(source), f"out={root / 'world'}", "rows=2", "columns=4"]) == 0
    return root / "world"


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["windows=[1,5]"], "window=5 must lie between 1 (diagonal) and 4 (raster)"),
        (["plain=[99]"], "window=99 must lie between 1 (diagonal) and 4 (raster)"),
        (["weights=int4"], "mineworld.weights='int4'"),
        (["kernels=[torch,triton]"], "kernels=triton"),
        (["frames=0"], "mineworld.frames=0"),
    ],
)
def test_what_some_row_could_not_do_is_told_before_the_first(folder, words, complaint, capsys, monkeypatch):
    monkeypatch.setattr("playloop.benchmarks.mineworld.rates", lambda *arguments: pytest.fail("too late"))
    if find_spec("triton"):  # the kernels are bound to the interpreter as they load: for other tests, now
        import playloop.nn.fused.block
        import playloop.nn.fused.draw  # noqa: F401
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    words = [f"mineworld.{word}" for word in (f"model={folder}", "precision=fp32", *words)]
    assert main(["bench", "world", *words]) == 2
    assert complaint in capsys.readouterr().err


def test_a_release_as_it_came_is_told_to_be_converted(folder, capsys):
    assert main(["bench", "world", f"mineworld.model={folder.parent / 'release'}"]) == 2
    assert "playloop convert" in capsys.readouterr().err


@torch.no_grad()
def test_eight_bits_are_judged_on_predictions_alone(folder):
    """A first frame's row starts see what they are to tell, and a lone frame has no past to tell from."""
    bench = MineWorldBench(str(folder), **QUICK)
    bench.world = bench._world()
    assert bench.world.starts.shape[1] == 1 and bench._clip()[0].shape[1] == 4
    model, other, spoiled = bench.world.model, copy.copy(bench.world), []

    def spoil(frames, actions, schedule, placeholder):
        logits = model(frames, actions, schedule, placeholder)
        counted = clip_schedule(schedule, frames.shape[1], asks=True).counted
        spoiled.append(int((~counted).sum()))
        return logits + 100 * torch.rand_like(logits) * ~counted[None, :, None]

    other.model = spoil
    assert bench._changed(other) == {"likeliest": 0.0, "nats": 0.0} and spoiled == [1]


@torch.no_grad()
def test_a_variant_shares_all_but_what_is_computed_otherwise():
    model = random_model(lambda: MineWorld(replace(TINY, start_queries=True)), "cpu", torch.float32)
    small = variant(model, torch.float32, "int8")
    assert kind_of(small.llama) == "int8" and kind_of(model.llama) is None
    assert small.start is model.start and small.head is model.head
    same = variant(model, torch.float32, None)
    assert same.llama is not model.llama and same.llama.norm is model.llama.norm


def test_settings_without_a_meaning_are_refused():
    with pytest.raises(ValueError, match=r"ways\.0='half': choose from plain, "):
        OpenVLABench(ways=("half",))
    for name in ("repeats", "batch", "words", "threads"):
        with pytest.raises(ValueError, match=rf"{name}=0: use a number of at least 1"):
            OpenVLABench(**{name: 0})
    with pytest.raises(ValueError, match=r"rounds\.1=0: use a number of at least 1"):
        OpenVLABench(rounds=(12, 0))
    with pytest.raises(ValueError, match="weights='int4': choose from int8, fp8 or null"):
        OpenVLABench(weights="int4")
    with pytest.raises(ValueError, match="repeats=0: use a number of at least 1"):
        DecodeBench("nowhere", repeats=0)
    with pytest.raises(ValueError, match="players=0: use a number of at least 1"):
        MineWorldBench(players=0)
