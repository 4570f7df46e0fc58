"""Values from outside against the annotations that they should follow."""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

T = TypeVar("T")
HALVES = re.compile("[\ud800-\udfff]")
"""Half letters, which stand for bytes of a path that are no text; pydantic reads no JSON with them."""


def read_typed(hint: type[T] | Any, value: Any, where: str) -> T:
    """A JSON value as what an annotation says: a dataclass, a TypedDict, `list[int]` and the like.

    Nothing is converted but what JSON cannot tell apart: lists become tuples, whole numbers floats where the
    annotation says so. Numbers must be finite. Keys that a dataclass does not have are left out.

    Args:
        hint: the annotation.
        value: as `json.loads` gives it.
        where: the file, and line or field, for the error.

    Raises:
        ValueError: names the place, the field and what is wrong with it.
    """
    try:
        text = json.dumps(value, allow_nan=False, ensure_ascii=False)
    except ValueError as error:
        raise ValueError(f"{where}: a number in it is NaN or infinite") from error
    try:
        return _adapter(hint).validate_json(HALVES.sub("\ufffd", text), strict=True)  # type: ignore[arg-type]
    except ValidationError as error:
        raise ValueError(f"{where}: {complaint(error)}") from error


def complaint(error: ValidationError) -> str:
    """The first things that are wrong, in one sentence: "field: what, not what is there"."""
    problems = error.errors(include_url=False)
    said = []
    for problem in problems[:3]:
        field = ".".join(map(str, problem["loc"]))
        found = "" if problem["type"] == "missing" else f", not {_short(problem['input'])}"
        said.append(f"{field + ': ' if field else ''}{problem['msg']}{found}")
    return "; ".join(said) + (f" (and {len(problems) - 3} more)" if len(problems) > 3 else "")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


@lru_cache(maxsize=256)
def _adapter(hint: Any) -> TypeAdapter:
    return TypeAdapter(hint)
