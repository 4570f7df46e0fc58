"""`report.html`: one page that holds everything, for a phone as well as for a screen."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from playloop.core.episode import FRESH, Episode
from playloop.core.files import write_atomic
from playloop.rollouts.report_images import filmstrip, jpeg_uri, png_uri
from playloop.rollouts.report_page import PAGE, STYLE
from playloop.rollouts.table import average_name, interval, percent, words
from playloop.rollouts.video import OUTCOMES

MAX_STRIPS = 12
PHASES = {"physics": "physics", "observe": "images and state", "agent": "agent", "begin": "scene and reset"}
MARKS = {"success": "●", "failure": "×", "error": "!", "none": ""}


def write_report(folder: Path, summary: dict[str, Any]) -> Path:
    """Write `report.html` from a summary and the videos and first observation in the folder."""
    result, run = summary["result"], summary["run"]
    parts = [
        _header(result, run),
        _headline(result),
        _tasks(result),
        _partial(result),
        _averages(result),
        _matrix(result),
        _videos(folder, result),
        _first_observation(folder),
        _time(result, run),
        _provenance(summary),
    ]
    title = escape(f"{_suites(result)}: {percent(result['overall']['rate'])}")
    path = folder / "report.html"
    write_atomic(path, PAGE.format(title=title, style=STYLE, body="\n".join(filter(None, parts))))
    return path


def _header(result: dict[str, Any], run: dict[str, Any]) -> str:
    protocol = result["contract"]["protocol"]
    facts = [
        f"agent {run['agent']}" if run.get("agent") else "",
        f"protocol {protocol}",
        f"seed {', '.join(map(str, result['seeds']))}",
        run["provenance"]["started"][:10],
    ]
    line = escape(" · ".join(filter(None, facts)))
    return f"<header><h1>{escape(_suites(result))}</h1><p>{line}</p></header>"


def _headline(result: dict[str, Any]) -> str:
    overall = result["overall"]
    if not overall["episodes"]:
        return '<p class="headline">–</p><p>No episode has been judged.</p>'
    rate = f"{100 * overall['rate']:.1f}"
    sentence = f"{overall['successes']} of {overall['episodes']} episodes succeeded"
    missing = result["asked"] - overall["episodes"] - overall["errors"]
    remarks = [
        f"95 % interval {interval(overall)} (Wilson)",
        f"{overall['errors']} could not be judged" if overall["errors"] else "",
        f"{missing} still to run" if missing else "",
    ]
    return (
        f'<p class="headline">{rate}<small> %</small></p><p>{sentence}</p>'
        f'<p class="note">{" · ".join(filter(None, remarks))}</p>{_bar(overall, "bar big")}'
        '<div class="scale"><span>0 %</span><span>50 %</span><span>100 %</span></div>'
    )


def _bar(rate: dict[str, Any], kind: str = "bar") -> str:
    if not rate["episodes"]:
        return f'<div class="{kind}"></div>'
    low, high = (100 * end for end in rate["wilson95"])
    return (
        f'<div class="{kind}" role="img" aria-label="{percent(rate["rate"])}, {interval(rate)}">'
        f'<i style="left:{low:.2f}%;width:{high - low:.2f}%"></i>'
        f'<b style="left:{100 * rate["rate"]:.2f}%"></b></div>'
    )


def _tasks(result: dict[str, Any]) -> str:
    several = len({task["suite"] for task in result["tasks"]}) > 1
    rows = [_task_row(task, several) for task in result["tasks"]]
    head = (
        '<div class="task head"><span class="name">task</span><span>95 % interval</span>'
        "<span>rate</span><span>episodes</span><span>steps</span></div>"
    )
    total = _row('<span class="name">All tasks</span>', result["overall"], "task all")
    return f'<h2>By task</h2><div class="tasks">{head}{"".join(rows)}{total}</div>'


def _task_row(task: dict[str, Any], several: bool) -> str:
    suite = f"{escape(task['suite'])}: " if several else ""
    name = f'<span class="name"><em>{task["task"]}</em>{suite}{escape(task["instruction"])}</span>'
    return _row(name, task, "task")


def _row(name: str, rate: dict[str, Any], kind: str) -> str:
    steps = "–" if rate["mean_steps"] is None else f"{rate['mean_steps']:.0f}"
    count = f"{rate['successes']} / {rate['episodes']}"
    return (
        f'<div class="{kind}">{name}{_bar(rate)}<span>{percent(rate["rate"])}</span>'
        f'<span>{count}</span><span class="steps">{steps}</span></div>'
    )


def _partial(result: dict[str, Any]) -> str:
    """How far episodes got: a column each for partial successes and for success."""
    flags = list(result["overall"]["partial"])
    if not flags:
        return ""
    head = "".join(f"<th>{escape(words(flag))}</th>" for flag in [*flags, "success"])
    rows = [(f"{task['task']}  {task['instruction']}", task) for task in result["tasks"]]
    body = "".join(
        f"<tr><th>{escape(name)}</th>"
        + "".join(f"<td>{percent(value)}</td>" for value in [*rate["partial"].values(), rate["rate"]])
        + "</tr>"
        for name, rate in [*rows, ("All tasks", result["overall"])]
    )
    return (
        '<h2>How far</h2><p class="note">Partial successes count once they have happened in an episode.</p>'
        f'<div class="scroll"><table class="far"><thead><tr><th></th>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _averages(result: dict[str, Any]) -> str:
    rows = "".join(
        f"<tr><th>{escape(average_name(average))}</th><td>{percent(average['rate'])}</td>"
        f"<td>{interval(average)}</td><td>{average['episodes']}</td></tr>"
        for average in result["averages"]
    )
    if not rows:
        return ""
    return (
        '<h2>As published</h2><div class="scroll"><table class="far"><thead><tr><th></th><th>rate</th>'
        f"<th>95 % interval</th><th>episodes</th></tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _matrix(result: dict[str, Any]) -> str:
    lines = {_place(line): line for line in result["episodes"]}
    columns = sorted({place[2:] for place in lines}, key=lambda column: (column[1], column[0]))
    rows = [(task["suite"], task["task"]) for task in result["tasks"]]
    if not columns or len(columns) > 200:
        return ""
    seeds = {column[1] for column in columns}
    head = "".join(f"<th>{_column_name(column, len(seeds) > 1)}</th>" for column in columns)
    body = "".join(
        f"<tr><th>{task}</th>{''.join(_cell(lines.get((suite, task, *column))) for column in columns)}</tr>"
        for suite, task in rows
    )
    outcomes = {_outcome(line) for line in result["episodes"]}
    legend = "".join(
        f'<span class="{kind}">{MARKS[kind]}</span>{kind}' for kind in OUTCOMES if kind in outcomes
    )
    return (
        '<h2>Every episode</h2><p class="note">Rows are tasks, columns initial states; point at a cell '
        f'for its steps.</p><div class="scroll"><table class="matrix"><thead><tr><th></th>{head}</tr></thead>'
        f'<tbody>{body}</tbody></table></div><p class="note legend">{legend}</p>'
    )


def _place(line: dict[str, Any]) -> tuple[str, int, int, int]:
    return line["suite"], line["task"], line["init"], line["seed"]


def _column_name(column: tuple[int, int], several: bool) -> str:
    init = "new" if column[0] == FRESH else str(column[0])
    return f"{init}<br>s{column[1]}" if several else init


def _outcome(line: dict[str, Any]) -> str:
    return "error" if line["error"] else "success" if line["success"] else "failure"


def _cell(line: dict[str, Any] | None) -> str:
    if line is None:
        return '<td class="none"></td>'
    kind = _outcome(line)
    key = Episode.from_json(line).key
    detail = line["error"] or f"{kind} after {line['steps']} steps"
    return f'<td class="{kind}" title="{escape(f"{key}: {detail}")}">{MARKS[kind]}</td>'


def _videos(folder: Path, result: dict[str, Any]) -> str:
    found = []
    for line in result["episodes"]:
        episode, kind = Episode.from_json(line), _outcome(line)
        video = folder / "videos" / f"{episode.key}-{kind}.mp4"
        if video.is_file():
            found.append((video, line, kind))
    shown = found if len(found) <= MAX_STRIPS else _spread(found)
    if not shown:
        return ""
    names = {(task["suite"], task["task"]): task["instruction"] for task in result["tasks"]}
    figures = "".join(_strip(video, line, kind, names) for video, line, kind in shown)
    rest = len(found) - len(shown)
    more = f'<p class="note">{rest} more in videos/.</p>' if rest else ""
    return f"<h2>Episodes</h2>{figures}{more}"


def _spread(found: Sequence[Any]) -> list[Any]:
    """As many tasks as possible: one of each first, then the rest."""
    seen: set[Any] = set()
    first: list[Any] = []
    rest: list[Any] = []
    for item in found:
        task = (item[1]["suite"], item[1]["task"])
        (rest if task in seen else first).append(item)
        seen.add(task)
    return (first + rest)[:MAX_STRIPS]


def _strip(video: Path, line: dict[str, Any], kind: str, names: dict[tuple[str, int], str]) -> str:
    name = names.get((line["suite"], line["task"]), "")
    caption = f"task {line['task']}, initial state {line['init']}, {kind} after {line['steps']} steps"
    return (
        f'<figure><a class="strip" href="videos/{escape(video.name)}">'
        f'<img alt="{escape(name)}: {caption}" src="{jpeg_uri(filmstrip(video))}"></a>'
        f"<figcaption><strong>{escape(name)}</strong> · {caption}</figcaption></figure>"
    )


def _first_observation(folder: Path) -> str:
    path = folder / "first_observation.png"
    if not path.is_file():
        return ""
    return (
        '<h2>What the agent sees</h2><p class="note">The images of its first decision, as it gets them: '
        "compare them with its training data.</p>"
        f'<div class="seen"><img alt="first observation" src="{png_uri(path)}"></div>'
    )


def _time(result: dict[str, Any], run: dict[str, Any]) -> str:
    sessions = [session for session in run["sessions"] if session["episodes"]]
    if not sessions:
        return ""
    session, overall = sessions[-1], result["overall"]
    facts = [
        ("episodes a minute", _number(session["episodes_per_minute"])),
        ("steps a second", _number(session["steps_per_second"])),
        ("workers", str(session["workers"])),
        ("mean steps", _number(overall["mean_steps"])),
        ("of successes", _number(overall["mean_steps_of_successes"])),
        ("wall time", _duration(session["wall_seconds"])),
    ]
    cells = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in facts)
    part = f" (the last of {len(sessions)} sessions)" if len(sessions) > 1 else ""
    return f'<h2>Steps and seconds</h2><dl class="facts">{cells}</dl>{_split(session, part)}'


def _split(session: dict[str, Any], part: str) -> str:
    """Where the episodes' seconds went, as one bar."""
    seconds = session["seconds"]
    wall = seconds.get("wall", 0.0)
    if not wall:
        return ""
    shares = [(label, seconds.get(name, 0.0) / wall) for name, label in PHASES.items()]
    shares.append(("waiting and transport", max(0.0, 1.0 - sum(share for _, share in shares))))
    bar = "".join(f'<i class="c{n}" style="width:{100 * s:.2f}%"></i>' for n, (_, s) in enumerate(shares))
    keys = "".join(
        f'<span><i class="c{n}"></i>{label} {100 * s:.0f} %</span>' for n, (label, s) in enumerate(shares)
    )
    return (
        f'<div class="split">{bar}</div><div class="keys note">{keys}</div><p class="note">Shares of '
        f"the time in which {session['episodes']} episodes were in progress{part}.</p>"
    )


def _provenance(summary: dict[str, Any]) -> str:
    run, result = summary["run"], summary["result"]
    command = escape(run["provenance"]["command"])
    sections = [
        ("Versions and machine", run["provenance"]),
        ("Conventions of the environment", result["contract"]),
        ("Configuration", run["config"]),
        ("Agent", run["agent_provenance"]),
        ("Result as JSON", {name: value for name, value in result.items() if name != "episodes"}),
    ]
    details = "".join(_details(name, record) for name, record in sections if record)
    return f'<h2>Made with</h2><pre class="wrap">{command}</pre><br>{details}'


def _details(name: str, record: Any) -> str:
    text = escape(json.dumps(record, indent=2, ensure_ascii=False))
    return f"<details><summary>{name}</summary><pre>{text}</pre></details>"


def _suites(result: dict[str, Any]) -> str:
    return ", ".join(dict.fromkeys(task["suite"] for task in result["tasks"])) or "no episode"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.{0 if value >= 100 else 1}f}"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(seconds, 60)
    return f"{minutes:.0f} min {rest:.0f} s" if minutes else f"{rest:.1f} s"
