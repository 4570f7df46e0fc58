"""What an evaluation shows: `report.html`, and the table that it leaves on the screen."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from playloop.core.contract import Contract
from playloop.core.episode import FRESH, Episode
from playloop.rollouts.commands import failures_command, film_command
from playloop.rollouts.control import MEANINGS
from playloop.rollouts.page import average_name, interval, number, percent, points, write_page
from playloop.rollouts.strips import data_uri, encoded, filmstrip
from playloop.rollouts.video import video_name

MAX_STRIPS, MAX_COLUMNS = 12, 200
PHASES = {"physics": "physics", "observe": "images and state", "agent": "agent", "begin": "scene and reset"}
UNFILMED = {
    True: "An episode is the same when it is run again: its command films it into another folder.",
    False: "An episode does not repeat itself: a command films another one of that name.",
}
"""Whether environment and agent repeat themselves → what a command gives that films an episode."""
UNREPEATABLE = "not repeatable: the server's randomness is not the episode's"
MARKS = {"success": "●", "failure": "×", "error": "!"}


def write_report(folder: Path, summary: dict[str, Any]) -> Path:
    """Write `report.html` from a summary and the videos and first observation in the folder."""
    result, run = summary["result"], summary["run"]
    strips, more = _strips(folder / "videos", result)
    first = folder / "first_observation.png"
    sessions = [session for session in run["sessions"] if session["episodes"]]
    unsuccessful = failures(folder, summary)
    return write_page(
        folder / "report.html",
        "evaluation.html.jinja",
        result=result,
        run=run,
        suites=", ".join(dict.fromkeys(task["suite"] for task in result["tasks"])) or "no episode",
        marks=MARKS,
        matrix=_matrix(result),
        failures=unsuccessful,
        links={one["key"]: _link(one) for one in unsuccessful},
        film_all=_film_all(folder, summary, unsuccessful),
        unfilmed_note=UNFILMED[result["contract"]["deterministic"] and result.get("repeatable", True)],
        unrepeatable=None if result.get("repeatable", True) else UNREPEATABLE,
        server=answers(sessions[-1]) if sessions else None,
        controls=result.get("controls", []),
        meanings=MEANINGS,
        strips=strips,
        more_videos=more,
        first_observation=data_uri(first.read_bytes()) if first.is_file() else None,
        session=sessions[-1] if sessions else None,
        sessions=len(sessions),
        shares=_shares(sessions[-1]["seconds"]) if sessions else {},
        records={
            "Versions and machine": run["provenance"],
            "Conventions of the environment": Contract.from_json(result["contract"]).in_words(),
            "Configuration": run["config"],
            "Agent": run["agent_provenance"],
            "Result as JSON": {name: value for name, value in result.items() if name != "episodes"},
        },
    )


def _matrix(result: dict[str, Any]) -> dict[str, Any]:
    """Every episode: a row a task, a column an initial state and seed; no columns where they are too many."""
    cells = {}
    for line in result["episodes"]:
        outcome = _outcome(line)
        detail = line["error"] or f"{outcome} after {line['steps']} steps"
        cell = {"outcome": outcome, "key": Episode.from_json(line).key, "detail": detail}
        cells[line["suite"], line["task"], line["seed"], line["init"]] = cell
    columns = sorted({cell[2:] for cell in cells})
    if len(columns) > MAX_COLUMNS:
        return {"columns": []}
    return {
        "columns": [("new" if init == FRESH else init, seed) for seed, init in columns],
        "rows": [
            (task["task"], [cells.get((task["suite"], task["task"], *column)) for column in columns])
            for task in result["tasks"]
        ],
        "outcomes": {cell["outcome"] for cell in cells.values()},
    }


def failures(folder: Path, summary: dict[str, Any]) -> list[dict[str, Any]]:
    """Every failed episode with its video, or the command that films exactly it; errors in words."""
    result, command = summary["result"], eval_command(summary["run"])
    names = {(task["suite"], task["task"]): task["instruction"] for task in result["tasks"]}
    found = []
    for line in result["episodes"]:
        if (outcome := _outcome(line)) == "success":
            continue
        episode = Episode.from_json(line)
        video = video_name(episode, outcome)
        there = (folder / "videos" / video).is_file()
        found.append(
            {
                "key": episode.key,
                "outcome": outcome,
                "task": episode.task,
                "init": "new" if episode.init == FRESH else episode.init,
                "instruction": names.get((episode.suite, episode.task), ""),
                "detail": line["error"] or f"{line['steps']} steps",
                "video": video if there else None,
                "command": None if there else film_command(command, episode, f"{folder}-films"),
            }
        )
    return found


def _link(failure: dict[str, Any]) -> str:
    return f"videos/{quote(failure['video'])}" if failure["video"] else f"#{failure['key']}"


def eval_command(run: dict[str, Any]) -> str:
    """The command that ran a summary's episodes; of joined shards, that of the first."""
    joined: list[dict[str, Any]] = run.get("joined", [])
    command: str = joined[0]["command"] if joined else run["provenance"]["command"]
    return command


def _film_all(folder: Path, summary: dict[str, Any], found: list[dict[str, Any]]) -> str | None:
    """The command that films all failures that have no video; None where there is none of them."""
    if all(one["video"] or one["outcome"] == "error" for one in found):
        return None
    command = eval_command(summary["run"])
    return failures_command(command, str(folder), joined="joined" in summary["run"])


def _outcome(line: dict[str, Any]) -> str:
    return "error" if line["error"] else "success" if line["success"] else "failure"


def _strips(folder: Path, result: dict[str, Any]) -> tuple[list[dict[str, Any]], int]:
    """Strips of frames of videos, of as many tasks as possible, and how many videos are left out."""
    names = {(task["suite"], task["task"]): task["instruction"] for task in result["tasks"]}
    found = []
    for line in result["episodes"]:
        video = folder / video_name(Episode.from_json(line), _outcome(line))
        if video.is_file():
            found.append((video, line))
    if len(found) > MAX_STRIPS:  # the first of every task come first
        tasks = [(line["suite"], line["task"]) for _, line in found]
        found = [found[n] for n in sorted(range(len(found)), key=lambda n: tasks.index(tasks[n]) != n)]
    strips = [
        {
            "video": video.name,
            "name": names.get((line["suite"], line["task"]), ""),
            "caption": f"task {line['task']}, initial state {line['init']}, {_outcome(line)} after "
            f"{line['steps']} steps",
            "picture": data_uri(encoded(filmstrip(video), "JPEG", quality=82), "jpeg"),
        }
        for video, line in found[:MAX_STRIPS]
    ]
    return strips, len(found) - len(strips)


def _shares(seconds: dict[str, float]) -> dict[str, float]:
    """Where the episodes' time went: name → share of it."""
    wall = seconds.get("wall", 0.0)
    if not wall:
        return {}
    shares = {label: seconds.get(name, 0.0) / wall for name, label in PHASES.items()}
    return shares | {"waiting and transport": max(0.0, 1.0 - sum(shares.values()))}


@dataclass(frozen=True)
class TwoLines:
    """Text that takes two lines at most, and ends in an ellipsis where they are too short for it."""

    text: str

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        lines = [line.plain.rstrip() for line in Text(self.text).wrap(console, options.max_width)]
        if len(lines) > 2:
            words = lines[1].split(" ")
            while len(words) > 1 and cell_len(" ".join(words)) >= options.max_width:
                words.pop()
            lines = [lines[0], " ".join(words)[: options.max_width - 1] + "…"]
        yield Text("\n".join(lines))

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        width = cell_len(self.text)
        return Measurement(min(width, 12), width).with_maximum(options.max_width)


def result_table(result: dict[str, Any]) -> Table:
    """A row a task and one for all, from the `result` part of a summary; errors where there are any."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("", justify="right", no_wrap=True)
    table.add_column("task")
    partial = [flag.replace("_", " ") for flag in result["overall"].get("partial", {})]
    # the other flags are in the report
    controls = result.get("controls", [])
    errors = result["overall"]["errors"] > 0
    heads = ("episodes", *partial[:1], "success", "95 % interval", "mean steps", *["errors"] * errors)
    for name in (*heads, *(control["control"] for control in controls)):
        table.add_column(name, justify="right", no_wrap=True)
    for row, task in enumerate(result["tasks"]):
        beside = [percent(control["tasks"][row]["rate"]) for control in controls]
        table.add_row(str(task["task"]), TwoLines(task["instruction"]), *_cells(task, errors), *beside)
    table.add_section()
    beside = [percent(control["overall"]["rate"]) for control in controls]
    table.add_row("", "all", *_cells(result["overall"], errors), *beside, style="bold")
    return table


def control_lines(result: dict[str, Any]) -> list[str]:
    """How much better the agent is than each control, a line each."""
    lines = []
    for control in result.get("controls", []):
        errors = control["overall"]["errors"]
        line = f"all minus {control['control']}: {points(control['difference'])}"
        lines.append(f"{line}, {errors} error{'s' * (errors > 1)}" if errors else line)
    return lines


def average_lines(result: dict[str, Any]) -> list[str]:
    """What a benchmark publishes of such episodes, a line each."""
    return [
        f"{average_name(average)}: {percent(average['rate'])}, 95 % interval {interval(average)}, "
        f"{average['episodes']} episodes"
        for average in result.get("averages", [])
    ]


def server_lines(summary: dict[str, Any]) -> list[str]:
    """What is to be known of a server that decided, a line each; none of an agent in this process."""
    sessions = [session for session in summary["run"]["sessions"] if session["episodes"]]
    told = answers(sessions[-1]) if sessions else None
    again = [] if summary["result"].get("repeatable", True) else [UNREPEATABLE]
    return [*([f"server: {told}"] if told else []), *again]


def answers(session: dict[str, Any]) -> str | None:
    """How a server answered in one session; None where there was none."""
    if not (facts := session.get("server")):
        return None
    said = f"{facts['requests']} requests, p50 {facts['ms_p50']:g} ms, p99 {facts['ms_p99']:g} ms"
    if lost := facts["connections_lost"]:
        said += f", {lost} connection{'s' * (lost > 1)} lost"
    if anew := facts["episodes_repeated"]:
        said += f", {anew} episode{'s' * (anew > 1)} begun anew"
    return said


def _cells(rate: dict[str, Any], errors: bool) -> list[str]:
    partial = [percent(value) for value in list(rate.get("partial", {}).values())[:1]]
    counts = [str(rate["episodes"]), *partial]
    last = [number(rate["mean_steps"], 0), *[str(rate["errors"] or "")] * errors]
    return [*counts, percent(rate["rate"]), interval(rate), *last]
