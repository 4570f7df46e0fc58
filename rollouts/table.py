"""The table that an evaluation leaves on the screen."""

from __future__ import annotations

from typing import Any

from rich.table import Table

from playloop.rollouts.formatting import average_name, interval, number, percent, words


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


def _cells(rate: dict[str, Any]) -> list[str]:
    partial = [percent(value) for value in list(rate.get("partial", {}).values())[:1]]
    counts = [str(rate["episodes"]), *partial]
    steps, errors = number(rate["mean_steps"], 0), str(rate["errors"] or "")
    return [*counts, percent(rate["rate"]), interval(rate), steps, errors]
