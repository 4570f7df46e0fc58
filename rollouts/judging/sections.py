"""The parts of a world model's report."""

from __future__ import annotations

from html import escape
from typing import Any

import numpy as np

from playloop.rollouts.judging.branching import BRANCHES
from playloop.rollouts.judging.judge import Pictures
from playloop.rollouts.judging.plots import line_plot
from playloop.rollouts.judging.strips import beside, data_uri, stack, strip
from playloop.rollouts.judging.table import (
    DIGITS,
    UNITS,
    by_measure,
    chosen_horizons,
    interval_text,
    number_text,
    value_text,
)
from playloop.rollouts.table import percent

GROUPS = {
    "psnr": "PSNR against the truth, dB",
    "brightness": "Brightness, 0 – 255",
    "contrast": "Contrast, 0 – 255",
    "entropy": "Entropy of a frame's tokens, bits",
    "motion": "Change of a pixel from frame to frame",
}
"""The curves of long dreams and what they are called."""


def quality(result: dict[str, Any]) -> str:
    """Figures and curves by horizon, and what diagonal decoding costs."""
    found = by_measure(result)
    plots = "".join(_horizon_plot(measure, kinds) for measure, kinds in found.items())
    horizons = chosen_horizons(result["horizon"])
    head = ["", "", "mean", "95 % interval", *(f"frame {horizon}" for horizon in horizons)]
    rows = []
    for measure, kinds in found.items():
        for number, (kind, record) in enumerate(kinds.items()):
            digits = DIGITS[measure]
            cells = [number_text(record["mean"]["value"], digits), interval_text(record["mean"], digits)]
            cells += [number_text(record["frames"][h - 1]["value"], digits) for h in horizons]
            rows.append((["" if number else UNITS[measure], kind], cells, kind == _own(result)))
    return (
        f'<h2>Imagined against true frames</h2><div class="plots">{plots}</div><br>{table(head, rows)}'
        f"{_windows(result)}{_videos(result)}"
    )


def _horizon_plot(measure: str, kinds: dict[str, Any]) -> str:
    ends = ("value", "low", "high")
    found = {
        kind: [np.array([_nan(f[end]) for f in record["frames"]]) for end in ends]
        for kind, record in kinds.items()
    }
    x = np.arange(1.0, len(next(iter(found.values()))[0]) + 1)
    curves = {kind: values for kind, (values, _, _) in found.items()}
    bands = {kind: (low, high) for kind, (_, low, high) in found.items()}
    return line_plot(curves, x, UNITS[measure], bands)


def _windows(result: dict[str, Any]) -> str:
    lines = [
        f"PSNR with window {result['windows'][0]} minus that with window {other}, on the same clips with the "
        f"same draws: {value_text(measures['psnr'], 2)} dB."
        for other, measures in result["quality"]["over_other_windows"].items()
    ]
    return "".join(f"<p>{escape(line)}</p>" for line in lines)


def _videos(result: dict[str, Any]) -> str:
    videos = result["quality"]["videos"]
    if not videos:
        return (
            '<p class="note">FVD needs the standard I3D, and LPIPS its weights: fvd=FILE, lpips_…=FILE.</p>'
        )
    names = ("fvd", "mineworld")
    rows = [([kind], [number_text(v[name], 1) for name in names], False) for kind, v in videos.items()]
    return "<br>" + table(["", "FVD", "mean over 10 … 15 frames"], rows)


def clips(pictures: Pictures, result: dict[str, Any]) -> str:
    """Strips of some clips: what happened, what was imagined, the last frame repeated."""
    own = _own(result)
    shown = [
        _figure({"true": kinds["true"], "imagined": kinds[own], "repeated": kinds["persistence"]}, name)
        for name, kinds in pictures.clips.items()
    ]
    return f"<h2>Some clips</h2>{''.join(shown)}" if shown else ""


def _figure(rows: dict[str, np.ndarray], caption: str) -> str:
    count = len(next(iter(rows.values())))
    columns = sorted({round(place) for place in np.geomspace(1, count, 8)})
    picture = strip(list(rows.values()), [column - 1 for column in columns])
    return _captioned(picture, list(rows), [f"frame {column}" for column in columns], caption)


def _captioned(picture: np.ndarray, rows: list[str], columns: list[str], caption: str) -> str:
    names = "".join(f"<span>{escape(name)}</span>" for name in rows)
    heights = f'style="grid-template-rows:auto repeat({len(rows)},1fr)"'
    above = "".join(f"<span>{escape(name)}</span>" for name in columns)
    image = f'<img alt="{escape(caption)}" src="{data_uri(picture)}">'
    return (
        f'<figure><div class="frames"><div class="rows" {heights}><span class="top">.</span>{names}</div>'
        f'<div><div class="above">{above}</div>{image}</div></div>'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def following(result: dict[str, Any]) -> str:
    """What an inverse-dynamics model reads in the frames."""
    if "following" not in result:
        return '<h2>Action following</h2><p class="note">Give inverse=FOLDER to measure it.</p>'
    found = result["following"]
    head = ["", "F1", "precision", "recall", "of the ceiling", "error of an angle", "in VPT's bins"]
    rows = []
    for kind, record in found["kinds"].items():
        mean = record["mean"]
        cells = [value_text(mean["f1"], 3)]
        cells += [number_text(mean[name]["value"], 3) for name in ("precision", "recall")]
        cells += [value_text(mean["share_of_ceiling"], 2), f"{number_text(mean['degrees']['value'], 2)}°"]
        cells.append(number_text(mean["bins"]["value"], 2))
        rows.append(([kind], cells, kind == _own(result)))
    own, true = (found["kinds"][kind]["tasks"] for kind in (_own(result), "true"))
    tasks = [
        (
            [name],
            [number_text(scores[n], 3) for n in ("precision", "recall", "f1")]
            + [number_text(true[name]["f1"], 3), number_text(scores["share_of_ceiling"], 2)],
            False,
        )
        for name, scores in own.items()
    ]
    shifts = found["shifted_f1"]
    shifted = [
        ([kind], [number_text(values[by], 3) for by in values], False) for kind, values in shifts.items()
    ]
    by = [f"{int(by):+d}" if int(by) else "0" for by in next(iter(shifts.values()))]
    return (
        f'<h2>Action following</h2><p class="note">An inverse-dynamics model reads back the actions of '
        f"{found['actions']} steps. What it reads in true frames is the ceiling.</p>{table(head, rows)}"
        f"<br>{table(['imagined', 'precision', 'recall', 'F1', 'ceiling', 'share'], tasks)}"
        f'<p class="note">F1 against actions shifted by a step; 0 must be best.</p>'
        f"{table(['', *by], shifted)}"
    )


def control(result: dict[str, Any], pictures: Pictures) -> str:
    """The model's branches against the true game's."""
    found = result["control"]
    if "left_out" in found:
        return f'<h2>Exact controllability</h2><p class="note">Left out: {escape(found["left_out"])}.</p>'
    everything = {"all": found["all"], **found["actions"]}
    rows = [([name], _control_cells(record), name == "all") for name, record in everything.items()]
    shown = "".join(
        _captioned(stack([beside(list(row)) for row in ends.values()]), list(ends), list(BRANCHES), name)
        for name, ends in pictures.branches.items()
    )
    head = [
        "action held",
        "PSNR, dB",
        "tokenizer",
        "repeated",
        "nearest to its own",
        "95 % interval",
        "tokenizer",
    ]
    return (
        f'<h2>Exact controllability</h2><p class="note">From {found["points"]} states the true game and the '
        f"model branch into {len(BRANCHES)} actions. How near is an imagined branch to the true one, and is "
        f"it nearer to it than to those of the other actions (by chance {percent(found['chance'])})? Where "
        f"two actions lead to the same frames, neither is counted.</p>{table(head, rows)}<br>"
        f'<div class="plots">{_control_plot(found)}</div><br>{shown}'
    )


def _control_cells(record: dict[str, Any]) -> list[str]:
    low, high = map(percent, record["wilson95"])
    return [
        value_text(record["psnr"], 2),
        *(number_text(record[name]["value"], 2) for name in ("ceiling_psnr", "persistence_psnr")),
        f"{record['right']} / {record['told']} = {percent(record['rate'])}",
        f"{low} – {high}",
        percent(record["ceiling"]["rate"]),
    ]


def _control_plot(found: dict[str, Any]) -> str:
    names = {"imagined": "imagined", "ceiling": "tokenizer"}
    rates = {names[name]: [_nan(one["rate"]) for one in ones] for name, ones in found["by_frame"].items()}
    curves = {name: np.array(values) for name, values in rates.items()}
    curves["chance"] = np.full(len(curves["imagined"]), found["chance"])
    low, high = np.array([one["wilson95"] for one in found["by_frame"]["imagined"]]).T
    x = np.arange(1.0, len(low) + 1)
    label = "Nearest to its own action's truth, by one frame"
    return line_plot(curves, x, label, {"imagined": (low, high)}, "frames behind the branch")


def drift(result: dict[str, Any], pictures: Pictures) -> str:
    """Long dreams."""
    found = result["drift"]
    if "left_out" in found:
        return f'<h2>Long dreams</h2><p class="note">Left out: {escape(found["left_out"])}.</p>'
    x = np.arange(1.0, found["frames"] + 1)
    plots = "".join(line_plot(pictures.curves[name], x, label) for name, label in GROUPS.items())
    shown = "".join(
        _figure({"true": kinds["true"], "imagined": kinds["imagined"]}, name)
        for name, kinds in pictures.drifts.items()
    )
    return (
        f'<h2>Long dreams</h2><p class="note">Means over {found["clips"]} dreams of {found["frames"]} frames.'
        " After a while the truth is one of many futures; then only the signs without a truth tell whether "
        f'the dream still looks like the game.</p><div class="plots">{plots}</div><br>{shown}'
    )


def table(head: list[str], rows: list[tuple[list[str], list[str], bool]]) -> str:
    """A table; each row has its names, its cells and whether it stands out."""
    top = "".join(f"<th>{escape(name)}</th>" for name in head)
    body = "".join(
        f"<tr{' class=own' if own else ''}>{''.join(f'<th>{escape(name)}</th>' for name in names)}"
        f"{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>"
        for names, cells, own in rows
    )
    inside = f"<thead><tr>{top}</tr></thead><tbody>{body}</tbody>"
    return f'<div class="scroll"><table class="figures">{inside}</table></div>'


def _own(result: dict[str, Any]) -> str:
    return f"window {result['windows'][0]}"


def _nan(value: float | None) -> float:
    return np.nan if value is None else value
