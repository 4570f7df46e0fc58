"""What a world model's evaluation shows: `report.html`, and the tables that it leaves on the screen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from playloop.core.contract import Contract
from playloop.rollouts.judging.branching import BRANCHES
from playloop.rollouts.judging.control import SHIFTS
from playloop.rollouts.judging.judge import Pictures
from playloop.rollouts.judging.plots import line_plot
from playloop.rollouts.judging.quality import window_name
from playloop.rollouts.page import estimate, estimate_interval, number, percent, write_page
from playloop.rollouts.strips import beside, data_uri, encoded, magnified, stack

DIGITS = {"psnr": 2, "psnr_of_mean": 2, "ssim": 3, "lpips": 3, "accuracy": 3}
UNITS = {
    "psnr": "PSNR, dB",
    "psnr_of_mean": "PSNR of the mean error, dB",
    "ssim": "SSIM",
    "lpips": "LPIPS",
    "accuracy": "right tokens",
}
CURVES = {
    "psnr": "PSNR against the truth, dB",
    "brightness": "Brightness, 0 – 255",
    "contrast": "Contrast, 0 – 255",
    "entropy": "Entropy of a frame's tokens, bits",
    "motion": "Change of a pixel from frame to frame",
}
"""The curves of long dreams and what they are called."""


def write_report(folder: Path, summary: dict[str, Any], pictures: Pictures) -> Path:
    """Write `report.html` from a summary and the frames that were judged."""
    result, run = summary["result"], summary["run"]
    own, horizons = window_name(result["windows"][0]), _horizons(result["horizon"])
    measured, drift, control = _by_measure(result), result["drift"], result["control"]
    x = np.arange(1.0, drift.get("frames", 0) + 1)
    return write_page(
        folder / "report.html",
        "world.html.jinja",
        result=result,
        run=run,
        own=own,
        shift_names=[f"{by:+d}" if by else "0" for by in SHIFTS],
        horizon_names=[f"frame {horizon}" for horizon in horizons],
        units=UNITS,
        measured={
            measure: {kind: _cells(record, measure, horizons) for kind, record in kinds.items()}
            for measure, kinds in measured.items()
        },
        quality_plots=[_horizon_plot(measure, kinds) for measure, kinds in measured.items()],
        clips=[
            _strip({"true": kinds["true"], "imagined": kinds[own], "repeated": kinds["persistence"]}, name)
            for name, kinds in pictures.clips.items()
        ],
        control_plot=None if "left_out" in control else _control_plot(control),
        branches=[
            _picture([list(row) for row in ends.values()], list(ends), list(BRANCHES), name)
            for name, ends in pictures.branches.items()
        ],
        drift_plots=[
            line_plot(pictures.curves[n], x, label) for n, label in CURVES.items() if pictures.curves
        ],
        dreams=[
            _strip({kind: kinds[kind] for kind in ("true", "imagined")}, name)
            for name, kinds in pictures.drifts.items()
        ],
        records={
            "Versions and machine": run["provenance"],
            "Conventions of the environment": Contract.from_json(result["contract"]).in_words(),
            "Settings": run["config"],
            "Sessions": run["sessions"],
        },
    )


def _cells(record: dict[str, Any], measure: str, horizons: list[int]) -> list[str]:
    """A measure's mean, its interval, and its values at some horizons."""
    digits, mean = DIGITS[measure], record["mean"]
    shown = [number(record["frames"][horizon - 1]["value"], digits) for horizon in horizons]
    return [number(mean["value"], digits), estimate_interval(mean, digits), *shown]


def _horizon_plot(measure: str, kinds: dict[str, Any]) -> dict[str, Any] | None:
    value, low, high = (
        {kind: _numbers(frame[end] for frame in record["frames"]) for kind, record in kinds.items()}
        for end in ("value", "low", "high")
    )
    x = np.arange(1.0, len(next(iter(value.values()))) + 1)
    return line_plot(value, x, UNITS[measure], {kind: (low[kind], high[kind]) for kind in kinds})


def _control_plot(found: dict[str, Any]) -> dict[str, Any] | None:
    frames = found["by_frame"]
    curves = {
        name: _numbers(one["rate"] for one in frames[kind])
        for name, kind in {"imagined": "imagined", "tokenizer": "ceiling"}.items()
    }
    curves["chance"] = np.full(len(curves["imagined"]), found["chance"])
    low, high = np.array([one["wilson95"] for one in frames["imagined"]]).T
    label = "Nearest to its own action's truth, by one frame"
    return line_plot(
        curves, np.arange(1.0, len(low) + 1), label, {"imagined": (low, high)}, "frames behind the branch"
    )


def _strip(rows: dict[str, np.ndarray], caption: str) -> dict[str, Any]:
    """Some of every row's frames uint8 [F, H, W, 3], more of them at the beginning."""
    count = len(next(iter(rows.values())))
    numbers = sorted({round(number) for number in np.geomspace(1, count, 8)})
    frames = [[row[number - 1] for number in numbers] for row in rows.values()]
    return _picture(frames, list(rows), [f"frame {number}" for number in numbers], caption)


def _picture(
    frames: list[list[np.ndarray]], rows: list[str], columns: list[str], caption: str
) -> dict[str, Any]:
    """Rows of frames as one picture, and what its rows and columns are called."""
    picture = stack([beside([magnified(frame) for frame in row]) for row in frames])
    return {"uri": data_uri(encoded(picture)), "rows": rows, "columns": columns, "caption": caption}


def _numbers(values: Any) -> np.ndarray:
    """Numbers as an array, NaN where there is none."""
    return np.array([np.nan if value is None else value for value in values])


def result_tables(result: dict[str, Any]) -> list[Table]:
    """Quality by horizon, and a line for each of the other figures."""
    facts = Table(show_edge=False, pad_edge=False, show_header=False)
    facts.add_column("what")
    facts.add_column("value", justify="right")
    for fact in _facts(result):
        facts.add_row(*fact)
    return [_quality_table(result), facts]


def _quality_table(result: dict[str, Any]) -> Table:
    """Below each measure a row a kind of frames: the mean, its interval, and some horizons."""
    horizons = [h for h in _horizons(result["horizon"]) if h in (1, 4, 16, result["horizon"])]
    table = Table(show_edge=False, pad_edge=False)
    table.add_column("", no_wrap=True)
    for name in ("mean", "95 % interval", *(f"at {horizon}" for horizon in horizons)):
        table.add_column(name, justify="right", no_wrap=True)
    for measure, kinds in _by_measure(result).items():
        table.add_row(UNITS[measure], style="bold")
        for kind, found in kinds.items():
            table.add_row(f"  {kind}", *_cells(found, measure, horizons))
        table.add_section()
    return table


def _facts(result: dict[str, Any]) -> list[tuple[str, str]]:
    """Names and values of the single figures."""
    own = result["windows"][0]
    gain = result["quality"]["over_persistence"]["psnr"]
    found = [("PSNR minus persistence, dB", estimate(gain, 2))]
    for other, measures in result["quality"]["over_other_windows"].items():
        text = estimate(measures["psnr"], 2)
        found.append((f"PSNR of window {own} minus window {other}, dB", text))
    for kind, distances in result["quality"]["videos"].items():
        found.append((f"FVD, {kind}", number(distances["fvd"], 1)))
    found += _read_back(result)
    control = result["control"]
    if "left_out" in control:
        return [*found, ("controllability", f"left out: {control['left_out']}")]
    low, high = control["all"]["wilson95"]
    counted = f"{control['all']['right']} / {control['all']['told']}"
    share = f"{counted} = {percent(control['all']['rate'])} ({percent(low)} – {percent(high)})"
    ceiling, chance = percent(control["all"]["ceiling"]["rate"]), percent(control["chance"])
    return [*found, (f"branches nearest to their own truth (chance {chance}, tokenizer {ceiling})", share)]


def _read_back(result: dict[str, Any]) -> list[tuple[str, str]]:
    if "following" not in result:
        return []
    kinds = result["following"]["kinds"]
    found = [(f"F1 of actions read back, {kind}", estimate(k["mean"]["f1"], 3)) for kind, k in kinds.items()]
    own = kinds[f"window {result['windows'][0]}"]["mean"]
    found.append(("share of the true frames' F1", estimate(own["share_of_ceiling"], 3)))
    found.append(("error of an angle read back, degrees", estimate(own["degrees"], 2)))
    return found


def _by_measure(result: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Measure → kind → figures."""
    kinds = result["quality"]["kinds"]
    names = [name for name in DIGITS if any(name in found for found in kinds.values())]
    return {name: {kind: found[name] for kind, found in kinds.items() if name in found} for name in names}


def _horizons(horizon: int) -> list[int]:
    """1, 2, 4, … and the last."""
    return sorted({h for h in (1, 2, 4, 8, 16, 32) if h < horizon} | {horizon})
