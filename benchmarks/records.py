"""Records of benches: a JSON file a run, never changed, and the page that shows them over time."""

from __future__ import annotations

import io
import json
import os
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from playloop.core.checked import read_typed
from playloop.core.files import encoded, read_json
from playloop.core.provenance import provenance

FIGURES: dict[str, tuple[tuple[str, str, str], ...]] = {
    # keys of the result, * for any (shown in the name); name of the figure; unit
    "rollout": (
        ("ratio", "plain / ours", "times"),
        ("ours_episodes_per_minute", "ours", "episodes a minute"),
    ),
    "decode": (("cached_ms", "a chunk, cached", "ms"), ("rows.*.p50_ms", "a decision", "ms")),
    "decoder": (("*.rate", "success", "share"),),
    "world": (("rows.*.p50_ms", "a frame", "ms"),),
    "craft": (("frames.*", "frames", "a second"), ("steps.*", "steps", "a second")),
    "simpler": (("steps_per_second.*", "steps", "a second"),),
    "play": (("end.everFps", "frames", "a second"), ("end.latencyEverP99", "key to picture, 99 %", "ms")),
    "serve": (("ratio", "batched / one at a time", "times"), ("ways.*.per_second", "requests", "a second")),
    "train": (("rows_per_second", "rows", "a second"),),
    "instructions": (("*.share", "right", "share"),),
}
"""What a record shows of a bench's result, which it keeps whole."""
NAMING = ("way", "name", "backend", "window", "kernels", "weights", "players")
"""Keys by which rows of a result are told apart."""
HEAD = "| run (UTC) | figures |\n| --- | --- |"
BUSY = 0.3
"""Load for each core, before a bench begins, from which on its times are marked."""


def add_record(folder: Path, bench: str, command: str, result: Any, load: float) -> Path:
    """Add a run to the records in a folder; no file that is there is ever written again.

    Args:
        folder: made if it is missing.
        bench: its name.
        command: the command line.
        result: what the bench gave, JSON-able.
        load: of the machine before the bench: processes that wanted a core, mean of a minute.

    Returns:
        The file: `BENCH-YYYYMMDD-HHMMSS.json`, in UTC.
    """
    made = provenance(command)
    record = {"bench": bench, "date": made.pop("started"), **made, "load": round(load, 2)}
    record |= {"figures": figures(bench, result), "result": result}
    data = encoded(json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f".{bench}.{os.getpid()}"
    try:
        partial.write_bytes(data)
        while True:
            path = folder / f"{bench}-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}.json"
            try:
                os.link(partial, path)  # whole at once, and refused where a file is there
                return path
            except FileExistsError:
                time.sleep(0.2)
    finally:
        partial.unlink(missing_ok=True)


def figures(bench: str, result: Any) -> list[dict[str, Any]]:
    """What is shown of a result: name, value and unit of each figure."""
    return [
        {"name": f"{name}, {which}" if which else name, "value": value, "unit": unit}
        for path, name, unit in FIGURES[bench]
        for which, value in _found(result, path.split("."))
    ]


def _found(value: Any, path: list[str]) -> Iterator[tuple[str, float]]:
    if not path:
        if isinstance(value, int | float):
            yield "", value
        return
    key, *rest = path
    if key == "*" and isinstance(value, list):
        value = {_name(row): row for row in value}
    if not isinstance(value, dict):
        return
    if key == "share" and {"right", "of"} <= value.keys():
        value = {"share": value["right"] / value["of"]}
    for name in value if key == "*" else [key] * (key in value):
        for which, number in _found(value[name], rest):
            yield ", ".join(filter(None, [str(name) if key == "*" else "", which])), number


def _name(row: dict[str, Any]) -> str:
    said = [
        f"{key} {row[key]}" if key in ("window", "players") else str(row[key])
        for key in NAMING
        if row.get(key)
    ]
    return ", ".join(said)


def read_records(folder: Path) -> list[dict[str, Any]]:
    """The records in a folder, the oldest first.

    Raises:
        ValueError: a file is damaged; names it.
    """
    found = [(path, read_json(path, "put it back from a copy")) for path in folder.glob("*.json")]
    for path, record in found:
        read_typed(dict[str, Any], record, str(path))
        if not isinstance(record.get("figures"), list) or not isinstance(record.get("date"), str):
            raise ValueError(f"{path} is no record of a bench; remove it")
    return [record for _, record in sorted(found, key=lambda one: (one[1]["date"], one[0].name))]


def page(records: list[dict[str, Any]]) -> str:
    """The records as Markdown: a table a bench, the newest run first."""
    parts = []
    for bench in [name for name in FIGURES if any(record["bench"] == name for record in records)]:
        rows = [_row(record) for record in reversed(records) if record["bench"] == bench]
        parts += [f"## {bench}", "", HEAD, *rows, ""]
    return "\n".join(parts) or "No bench has been recorded yet."


def _row(record: dict[str, Any]) -> str:
    hardware, commit = record["hardware"], record["git"] or ""
    machine = f"{hardware['cpu']}, {hardware['cores']} cores"
    machine += f", {hardware['gpu']}" if hardware["gpu"] else ""
    machine += f"; **busy** with other work (load {record['load']:g})" if busy(record) else ""
    changed = " with changes" if commit.endswith("with changes") else ""
    date, command = record["date"][:16].replace("T", " "), record["command"].replace("|", "/")
    run = [f"{date}, `{commit[:10]}`{changed}", machine, f"`{command}`"]
    return f"| {'<br>'.join(run)} | {'<br>'.join(map(_in_words, record['figures']))} |"


def _in_words(figure: dict[str, Any]) -> str:
    value = figure["value"]
    digits = f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"
    return f"{figure['name']}: **{digits}** {figure['unit']}"


def busy(record: dict[str, Any]) -> bool:
    """Whether something else wanted the machine's cores before the bench began."""
    return record["load"] > BUSY * record["hardware"]["cores"]


def picture(records: list[dict[str, Any]]) -> bytes:
    """Figures over time as SVG: a panel a bench, a curve a figure and machine; hollow where it was busy."""
    benches = [name for name in FIGURES if any(record["bench"] == name for record in records)]
    figure = Figure(figsize=(9, 2.8 * max(1, len(benches))), layout="constrained")
    axes = figure.subplots(max(1, len(benches)), 1, squeeze=False)[:, 0]
    for axis, bench in zip(axes, benches, strict=False):
        _draw(axis, bench, [record for record in records if record["bench"] == bench])
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()


def _draw(axis: Any, bench: str, records: list[dict[str, Any]]) -> None:
    curves: dict[tuple[str, str], list[tuple[str, float, bool]]] = defaultdict(list)
    for record in records:
        for one in record["figures"]:
            label = f"{one['name']}, {one['unit']}"
            curves[label, record["hardware"]["cpu"]].append((record["date"][:16], one["value"], busy(record)))
    dates = sorted({record["date"][:16] for record in records})
    for (label, _), points in curves.items():
        x = [dates.index(date) for date, _, _ in points]
        (line,) = axis.plot(x, [value for _, value, _ in points], "-", linewidth=1, label=label)
        for place, (_, value, hollow) in zip(x, points, strict=True):
            axis.plot(place, value, "o", color=line.get_color(), fillstyle="none" if hollow else "full")
    axis.set_title(bench, loc="left")
    axis.set_xticks(range(len(dates)), [date.replace("T", "\n") for date in dates], fontsize=7)
    if max(one["value"] for record in records for one in record["figures"]) > 20:
        axis.set_yscale("log")
    axis.grid(alpha=0.3)
    axis.legend(fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
