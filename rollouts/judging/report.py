"""`report.html` of a world model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from playloop.core.contract import Contract
from playloop.rollouts.formatting import estimate, estimate_interval, number, percent
from playloop.rollouts.judging.branching import BRANCHES
from playloop.rollouts.judging.judge import Pictures
from playloop.rollouts.judging.plots import Plot, line_plot
from playloop.rollouts.judging.quality import window_name
from playloop.rollouts.judging.table import DIGITS, UNITS, by_measure, chosen_horizons
from playloop.rollouts.page import write_page
from playloop.rollouts.strips import beside, magnified, png_bytes, png_uri, stack

Row = tuple[list[str], list[str], bool]
"""A row of a table: its names, its cells and whether it stands out."""
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
    own = window_name(result["windows"][0])
    return write_page(
        folder / "report.html",
        "world.html.jinja",
        result=result,
        run=run,
        own=own,
        quality=_quality(result, own),
        clips=[
            _strip({"true": kinds["true"], "imagined": kinds[own], "repeated": kinds["persistence"]}, name)
            for name, kinds in pictures.clips.items()
        ],
        following=_following(result["following"], own) if "following" in result else None,
        control=None if "left_out" in result["control"] else _control(result["control"], pictures),
        drift=None if "left_out" in result["drift"] else _drift(result["drift"], pictures),
        records={
            "Versions and machine": run["provenance"],
            "Conventions of the environment": Contract.from_json(result["contract"]).in_words(),
            "Settings": run["config"],
            "Sessions": run["sessions"],
        },
    )


def _quality(result: dict[str, Any], own: str) -> dict[str, Any]:
    """Figures and curves by horizon, and FVD where there is I3D."""
    found, horizons = by_measure(result), chosen_horizons(result["horizon"])
    rows: list[Row] = []
    for measure, kinds in found.items():
        digits = DIGITS[measure]
        for index, (kind, record) in enumerate(kinds.items()):
            cells = [number(record["mean"]["value"], digits), estimate_interval(record["mean"], digits)]
            cells += [number(record["frames"][horizon - 1]["value"], digits) for horizon in horizons]
            rows.append((["" if index else UNITS[measure], kind], cells, kind == own))
    return {
        "plots": [_horizon_plot(measure, kinds) for measure, kinds in found.items()],
        "head": ["", "", "mean", "95 % interval", *(f"frame {horizon}" for horizon in horizons)],
        "rows": rows,
        "videos": [
            ([kind], [number(distances[name], 1) for name in ("fvd", "mineworld")], False)
            for kind, distances in result["quality"]["videos"].items()
        ],
    }


def _horizon_plot(measure: str, kinds: dict[str, Any]) -> Plot | None:
    value, low, high = (
        {kind: _numbers(frame[end] for frame in record["frames"]) for kind, record in kinds.items()}
        for end in ("value", "low", "high")
    )
    x = np.arange(1.0, len(next(iter(value.values()))) + 1)
    return line_plot(value, x, UNITS[measure], {kind: (low[kind], high[kind]) for kind in kinds})


def _following(found: dict[str, Any], own: str) -> dict[str, Any]:
    """What an inverse-dynamics model reads in the frames."""
    kinds: list[Row] = []
    for kind, record in found["kinds"].items():
        mean = record["mean"]
        cells = [estimate(mean["f1"], 3), *(number(mean[n]["value"], 3) for n in ("precision", "recall"))]
        cells += [estimate(mean["share_of_ceiling"], 2), f"{number(mean['degrees']['value'], 2)}°"]
        kinds.append(([kind], [*cells, number(mean["bins"]["value"], 2)], kind == own))
    true = found["kinds"]["true"]["tasks"]
    tasks: list[Row] = []
    for name, scores in found["kinds"][own]["tasks"].items():
        cells = [number(scores[n], 3) for n in ("precision", "recall", "f1")]
        cells += [number(true[name]["f1"], 3), number(scores["share_of_ceiling"], 2)]
        tasks.append(([name], cells, False))
    shifts = found["shifted_f1"]
    steps = [int(by) for by in next(iter(shifts.values()))]
    return {
        "kinds": kinds,
        "tasks": tasks,
        "shift_head": ["", *(f"{by:+d}" if by else "0" for by in steps)],
        "shifts": [
            ([kind], [number(f1, 3) for f1 in values.values()], False) for kind, values in shifts.items()
        ],
    }


def _control(found: dict[str, Any], pictures: Pictures) -> dict[str, Any]:
    """The model's branches against the true game's."""
    everything = {"all": found["all"], **found["actions"]}
    return {
        "rows": [([name], _control_cells(record), name == "all") for name, record in everything.items()],
        "plot": _control_plot(found),
        "branches": [
            _picture([list(row) for row in ends.values()], list(ends), list(BRANCHES), name)
            for name, ends in pictures.branches.items()
        ],
    }


def _control_cells(record: dict[str, Any]) -> list[str]:
    low, high = map(percent, record["wilson95"])
    return [
        estimate(record["psnr"], 2),
        *(number(record[name]["value"], 2) for name in ("ceiling_psnr", "persistence_psnr")),
        f"{record['right']} / {record['told']} = {percent(record['rate'])}",
        f"{low} – {high}",
        percent(record["ceiling"]["rate"]),
    ]


def _control_plot(found: dict[str, Any]) -> Plot | None:
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


def _drift(found: dict[str, Any], pictures: Pictures) -> dict[str, Any]:
    """Long dreams."""
    x = np.arange(1.0, found["frames"] + 1)
    return {
        "plots": [line_plot(pictures.curves[name], x, label) for name, label in CURVES.items()],
        "dreams": [
            _strip({kind: kinds[kind] for kind in ("true", "imagined")}, name)
            for name, kinds in pictures.drifts.items()
        ],
    }


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
    return {"uri": png_uri(png_bytes(picture)), "rows": rows, "columns": columns, "caption": caption}


def _numbers(values: Any) -> np.ndarray:
    """Numbers as an array, NaN where there is none."""
    return np.array([np.nan if value is None else value for value in values])
