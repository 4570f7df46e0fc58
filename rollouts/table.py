"""The table that an evaluation leaves on the screen."""

from __future__ import annotations

from typing import Any

from rich.table import Table


def result_table(result: dict[str, Any]) -> Table:
    """A row a task and one for all, from the `result` part of a summary."""
    table = Table(show_edge=False, pad_edge=False)
    table.add_column("task", ratio=1)
    partial = list(result["overall"].get("partial", {}))[:1]  # the others are in the report
    for name in ("episodes", *map(words, partial), "success", "95 % interval", "mean steps", "errors"):
        table.add_column(name, justify="right", no_wrap=True)
    for task in result["tasks"]:
        table.add_row(f"{task['task']:2d}  {task['instruction']}", *_cells(task))
    table.add_section()
    table.add_row("all", *_cells(result["overall"]), style="bold")
    return table


def average_lines(result: dict[str, Any]) -> list[str]:
    """What a benchmark publishes of such episodes, a line each."""
    return [
        f"{average_name(average)}: {percent(average['rate'])}, 95 % interval {interval(average)}, "
        f"{average['episodes']} episodes"
        for average in result.get("averages", [])
    ]


def words(flag: str) -> str:
    """A flag's name as a heading."""
    return flag.replace("_", " ")


def average_name(average: dict[str, Any]) -> str:
    """What an average is of, and whether episodes of its protocol are missing."""
    return average["label"] + ("" if average["complete"] else " (incomplete)")


def percent(value: float | None) -> str:
    """A rate as text, a dash where there is none."""
    return "–" if value is None else f"{100 * value:.1f} %"


def interval(rate: dict[str, Any]) -> str:
    """Both ends of a rate's interval as text."""
    low, high = rate["wilson95"]
    return f"{100 * low:.1f} – {100 * high:.1f} %" if rate["episodes"] else "–"


def _cells(rate: dict[str, Any]) -> list[str]:
    steps = "–" if rate["mean_steps"] is None else f"{rate['mean_steps']:.0f}"
    partial = [percent(value) for value in list(rate.get("partial", {}).values())[:1]]
    counts = [str(rate["episodes"]), *partial]
    return [*counts, percent(rate["rate"]), interval(rate), steps, str(rate["errors"] or "")]
