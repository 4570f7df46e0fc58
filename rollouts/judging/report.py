"""`report.html` of a world model: one page that holds everything."""

from __future__ import annotations

import json
from html import escape
from pathlib import Path
from typing import Any

from playloop.core.files import write_atomic
from playloop.rollouts.judging import sections
from playloop.rollouts.judging.judge import Pictures
from playloop.rollouts.judging.table import number_text, value_text
from playloop.rollouts.report_page import PAGE, STYLE

MORE_STYLE = """
:root { --line-0: #0f766e; --line-1: #b45309; --line-2: #7a6fb0; --line-3: #8a949c; --line-4: #1d2125; }
@media (prefers-color-scheme: dark) {
  :root { --line-0: #4fc3b4; --line-1: #e0a04c; --line-2: #a99fe0; --line-3: #8a949c; --line-4: #e8e6e1; }
}
.plots { display: grid; grid-template-columns: repeat(auto-fill, minmax(19rem, 1fr)); gap: 1.25rem; }
.plot { margin: 0; }
.plot figcaption { margin: 0 0 .25rem; color: var(--ink); font-weight: 600; }
.plot svg { display: block; width: 100%; height: auto; font-size: 12px; }
.plot svg text { fill: var(--soft); }
.plot svg line { stroke: var(--line); }
.plot svg polyline { fill: none; stroke-width: 2; stroke-linejoin: round; }
.figures { border-collapse: collapse; font-size: .875rem; width: 100%; }
.figures th, .figures td { padding: .3125rem .625rem; text-align: right; white-space: nowrap;
  border-bottom: 1px solid var(--line); font-weight: 400; }
.figures th { color: var(--soft); }
.figures th:first-child, .figures tbody th { text-align: left; }
.figures tbody th { color: var(--ink); }
.figures .own th, .figures .own td { font-weight: 600; }
.frames { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: .75rem; }
.frames img { image-rendering: pixelated; }
.rows { display: grid; font-size: .8125rem; color: var(--soft); }
.rows span { align-self: center; }
.rows .top { visibility: hidden; font-size: .75rem; margin-bottom: .125rem; }
.above { display: grid; grid-auto-flow: column; grid-auto-columns: 1fr; font-size: .75rem;
  color: var(--soft); text-align: center; margin-bottom: .125rem; }
@media (max-width: 40rem) { .frames { overflow-x: auto; } .frames > div:last-child { width: 44rem; } }
"""


def write_report(folder: Path, summary: dict[str, Any], pictures: Pictures) -> Path:
    """Write `report.html` from a summary and the frames that were judged."""
    result = summary["result"]
    parts = [
        _header(result, summary["run"]),
        _headline(result),
        sections.quality(result),
        sections.clips(pictures, result),
        sections.following(result),
        sections.control(result, pictures),
        sections.drift(result, pictures),
        _made_with(summary),
    ]
    path = folder / "report.html"
    title = escape(f"World model {result['world']}")
    style, body = STYLE + MORE_STYLE, "\n".join(filter(None, parts))
    write_atomic(path, PAGE.format(title=title, style=style, body=body))
    return path


def _header(result: dict[str, Any], run: dict[str, Any]) -> str:
    names = ", ".join(
        f"{data['name']} ({data['judged_episodes']} {'held-out ' if data['trained_on'] else ''}episodes)"
        for data in result["data"]
    )
    sampler = result["sampler"]
    top_k = sampler.get("top_k")  # older results have none
    likeliest = f"top-p {sampler['top_p']}" if top_k is None else f"top-k {top_k}"
    line = [
        f"on {names}",
        f"{result['clips']} clips, {result['context']} true frames then {result['horizon']} imagined",
        f"window {sampler['window']}, temperature {sampler['temperature']}, {likeliest}",
        run["provenance"]["started"][:10],
    ]
    return f"<header><h1>World model {escape(result['world'])}</h1><p>{escape(' · '.join(line))}</p></header>"


def _headline(result: dict[str, Any]) -> str:
    kinds = result["quality"]["kinds"]
    own = kinds[f"window {result['windows'][0]}"]["psnr"]["mean"]
    still, best = (kinds[kind]["psnr"]["mean"]["value"] for kind in ("persistence", "tokenizer"))
    gain = result["quality"]["over_persistence"]["psnr"]
    return (
        f'<p class="headline">{number_text(own["value"], 1)}<small> dB</small></p>'
        f"<p>PSNR of imagined frames, the mean over {result['horizon']} frames behind the context. "
        f"Repeating the last frame has {number_text(still, 1)}, the frame tokenizer itself "
        f"{number_text(best, 1)}.</p>"
        f'<p class="note">{value_text(gain, 2)} dB more than repeating the last frame on the same clips; '
        "in brackets 95 % intervals by bootstrap over the clips, here and below.</p>"
    )


def _made_with(summary: dict[str, Any]) -> str:
    run, result = summary["run"], summary["result"]
    details = [
        ("Versions and machine", run["provenance"]),
        ("Conventions of the environment", result["contract"]),
        ("Settings", run["config"]),
        ("Sessions", run["sessions"]),
    ]
    command = escape(run["provenance"]["command"])
    shown = "".join(
        f"<details><summary>{name}</summary>"
        f"<pre>{escape(json.dumps(record, indent=2, ensure_ascii=False))}</pre></details>"
        for name, record in details
        if record
    )
    return f'<h2>Made with</h2><pre class="wrap">{command}</pre><br>{shown}'
