"""Reports: numbers in words, and pages that hold all they show, of templates that escape what they get."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from playloop.core.files import write_atomic


def write_page(path: Path, template: str, **content: Any) -> Path:
    """Fill a template of `rollouts/templates` and write the page; what it names and misses is an error."""
    found = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    shown = (percent, interval, number, estimate, minutes, average_name, points, points_interval, signed)
    found.filters |= {show.__name__: show for show in shown}
    found.filters["as_json"] = partial(json.dumps, indent=2, ensure_ascii=False)
    found.filters["width"] = "{:.2%}".format
    write_atomic(path, found.get_template(template).render(**content))
    return path


def percent(value: float | None) -> str:
    """A rate, a dash where there is none."""
    return "–" if value is None else f"{100 * value:.1f} %"


def interval(rate: dict[str, Any]) -> str:
    """Both ends of a rate's interval."""
    low, high = rate["wilson95"]
    return f"{100 * low:.1f} – {100 * high:.1f} %" if rate["episodes"] else "–"


def points(difference: dict[str, Any]) -> str:
    """A difference of rates in points, with its interval and p; a dash where there are no pairs."""
    if not difference["pairs"]:
        return "–"
    return f"{signed(difference['value'])} {points_interval(difference)} points, p = {difference['p']:.2g}"


def points_interval(difference: dict[str, Any]) -> str:
    """Both ends of a difference's interval, in points."""
    return f"[{signed(difference['low'])}, {signed(difference['high'])}]"


def signed(value: float) -> str:
    """A difference of rates in points, with its sign."""
    return f"{100 * value:+.1f}".replace("-", "−")


def number(value: float | None, digits: int | None = None) -> str:
    """A number, a dash where there is none; without `digits` one below 100 and none from there on."""
    if value is None:
        return "–"
    digits = (0 if value >= 100 else 1) if digits is None else digits
    return f"{value:.{digits}f}".replace("-", "−")


def estimate_interval(record: dict[str, Any], digits: int) -> str:
    """Both ends of the interval of an estimate ("value", "low", "high")."""
    return f"{number(record['low'], digits)} … {number(record['high'], digits)}"


def estimate(record: dict[str, Any], digits: int) -> str:
    """An estimate with its interval."""
    return f"{number(record['value'], digits)} ({estimate_interval(record, digits)})"


def minutes(seconds: float) -> str:
    """A length of time: "2 min 5 s", below a minute "5.3 s"."""
    whole, rest = divmod(seconds, 60)
    return f"{whole:.0f} min {rest:.0f} s" if whole else f"{rest:.1f} s"


def average_name(average: dict[str, Any]) -> str:
    """What an average is of, and whether episodes of its protocol are missing."""
    return average["label"] + ("" if average["complete"] else " (incomplete)")
