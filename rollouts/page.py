"""Reports: pages that hold everything they show, made of templates that escape whatever they are given."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from playloop.core.files import write_atomic
from playloop.rollouts import formatting

FILTERS = ("percent", "interval", "number", "estimate", "minutes", "average_name", "words")


def write_page(path: Path, template: str, **content: Any) -> Path:
    """Fill a template of `rollouts/templates` and write the page.

    Args:
        path: of the page.
        template: the file's name.
        content: what the template names; one that is missing is an error.
    """
    write_atomic(path, _templates().get_template(template).render(**content))
    return path


def _templates() -> Environment:
    found = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= {name: getattr(formatting, name) for name in FILTERS}
    found.filters |= {"as_json": _as_json, "width": lambda share: f"{100 * share:.2f}%"}
    return found


def _as_json(record: Any) -> str:
    return json.dumps(record, indent=2, ensure_ascii=False)
