"""Values against the annotations that they should follow: settings where they are made, contents of files."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import field, fields
from typing import Annotated, Any, TypeVar, dataclass_transform, overload

import numpy as np
from pydantic import (
    ConfigDict,
    GetCoreSchemaHandler,
    GetPydanticSchema,
    PydanticUserError,
    TypeAdapter,
    ValidationError,
)
from pydantic.dataclasses import dataclass

T = TypeVar("T")
CONFIG = ConfigDict(arbitrary_types_allowed=True, extra="forbid", strict=True, allow_inf_nan=False)
HALVES = re.compile("[\ud800-\udfff]")
"""Half letters, which stand for bytes of a path that are no text; pydantic reads no JSON with them."""
WANTED = {
    "int_type": "use a whole number",
    "float_type": "use a finite number",
    "finite_number": "use a finite number",
    "greater_than_equal": "use a number of at least {ge:.12g}",
    "greater_than": "use a number above {gt:.12g}",
    "less_than_equal": "use a number of at most {le:.12g}",
    "less_than": "use a number below {lt:.12g}",
    "bool_type": "use true or false",
    "string_type": "use text",
    "string_unicode": "use text",
    "path_type": "use a path",
    "string_too_short": "use text that is not empty",
    "none_required": "use null",
    "unexpected_keyword_argument": "there is no such field",
    "list_type": "use a list",
    "tuple_type": "use a list",
    "too_short": "use a list of at least {min_length}",
    "too_long": "use a list of at most {max_length}",
    "dict_type": "use a mapping, {{name: value}}",
    "dataclass_type": "use a mapping, {{name: value}}",
    "dataclass_exact_type": "use the settings of {class_name}, {{name: value}}",
    "is_instance_of": "use a {class}",
}
"""Kind of pydantic's error → what to do about it."""


@overload
def checked(cls: type[T], /) -> type[T]: ...
@overload
def checked(*, frozen: bool = False, kw_only: bool = False) -> Callable[[type[T]], type[T]]: ...
@dataclass_transform(field_specifiers=(field,))
def checked(cls: Any = None, /, *, frozen: bool = False, kw_only: bool = False) -> Any:
    """A dataclass by pydantic, of whose annotations every object is.

    Nothing is converted, but a list becomes a tuple where one is due, and a whole number a float. Numbers are
    finite ones, and truths are no numbers; those of NumPy become Python's. A default is taken as it stands.

    >>> @checked
    ... class Lamp:
    ...     watts: int = 5
    >>> Lamp(watts=0.5)
    Traceback (most recent call last):
    ValueError: Lamp.watts=0.5: use a whole number

    Args:
        cls: the class.
        frozen: as of `dataclasses.dataclass`.
        kw_only: likewise.

    Raises:
        ValueError: by the class when it is called: a field holds something else; names it.
    """
    if cls is None:
        return functools.partial(checked, frozen=frozen, kw_only=kw_only)
    cls.__get_pydantic_core_schema__ = staticmethod(_admit_lists)
    made = dataclass(cls, frozen=frozen, kw_only=kw_only, config=CONFIG)
    check, names = made.__init__, [item.name for item in fields(made) if item.init and not item.kw_only]

    @functools.wraps(check)
    def __init__(self: Any, *args: Any, **values: Any) -> None:
        if len(args) > len(names):
            raise TypeError(
                f"{made.__name__} has {len(names)} fields by position, and got {len(args)} values"
            )
        args, values = _plain(args), _plain(values)
        try:
            check(self, *args, **values)
        except ValidationError as error:
            first = error.errors()[0]
            if "ctx" in first and isinstance(first["ctx"].get("error"), Exception):  # of __post_init__
                raise first["ctx"]["error"] from None
            said = complaint(error, dict(zip(names, args, strict=False)) | values)
            if first["type"] in ("missing", "unexpected_keyword_argument") and len(first["loc"]) == 1:
                raise TypeError(f"{made.__name__}: {said}") from None
            raise ValueError(f"{made.__name__}.{said}") from None

    made.__init__ = __init__  # type: ignore[method-assign]
    return made


def check_value(name: str, value: Any, hint: Any) -> None:
    """Refuse a value that is not of an annotation, as `checked` would.

    Args:
        name: of the setting, for the message.
        value: what it holds.
        hint: the annotation; a class that is no dataclass admits everything, for it may be made of anything.

    Raises:
        ValueError: names the setting, its value and what to use.
    """
    value = _plain(value)
    try:
        _settings(hint).validate_python({name: value})
    except ValidationError as error:
        if all(problem["type"] != "is_instance_of" for problem in error.errors()):
            raise ValueError(complaint(error, {name: value})) from None


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
        raise ValueError(f"{where}: {complaint(error, value)}") from error


def complaint(error: ValidationError, value: Any) -> str:
    """The first thing that is wrong with the value, in one sentence: "field=value: use …".

    Where an annotation has several ways (`Count | list[str] | None`), it is about those that come nearest.
    """
    problems = [(_path(problem["loc"], value), problem) for problem in error.errors(include_url=False)]
    first = problems[0][0][:1]
    path = max((path for path, _ in problems if path[:1] == first), key=len)
    near = [problem for found, problem in problems if found == path]
    name, last = ".".join(map(str, path)), near[-1]
    if last["type"] == "missing" and isinstance(last["loc"][-1], str):
        return f"{name}{': ' if name else ''}{last['loc'][-1]} is missing"
    one, *others = dict.fromkeys(map(_fix, near[-1:] if last["type"] == "missing" else near))
    fix = " or ".join([one, *(other.removeprefix("use ") for other in others)])
    return f"{name}{'=' if name else ''}{_short(last['input'])}: {fix}"


def _plain(value: Any) -> Any:
    """NumPy's numbers as Python's, in lists and mappings, too: they come of loops, and JSON knows none."""
    if isinstance(value, np.generic):
        return value.item()
    if type(value) in (list, tuple):
        return type(value)(map(_plain, value))
    return {key: _plain(item) for key, item in value.items()} if type(value) is dict else value


def _fix(problem: Any) -> str:
    """What to do about an error."""
    context = problem.get("ctx", {})
    if problem["type"] == "literal_error":
        return f"choose from {context['expected'].replace(chr(39), '').replace(' or ', ', ')}"
    if problem["type"] == "missing":
        last = problem["loc"][-1]
        return f"use a list of at least {last + 1}" if isinstance(last, int) else f"use one with {last}"
    known = WANTED.get(problem["type"])
    return known.format_map(context) if known else str(context.get("error", problem["msg"]))


def _path(location: tuple[int | str, ...], value: Any) -> tuple[int | str, ...]:
    """Names and numbers of what an error is about; pydantic puts names of types between them."""
    path = []
    for part in location:
        if isinstance(value, list | tuple):
            value = dict(enumerate(value))
        if isinstance(value, Mapping) and part in value:
            value = value[part]
            path.append(part)
    return tuple(path)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


@functools.lru_cache(maxsize=256)
def _adapter(hint: Any) -> TypeAdapter:
    return TypeAdapter(hint)


@functools.lru_cache(maxsize=1024)
def _settings(hint: Any) -> TypeAdapter:
    """For a mapping of named values of an annotation; for any where pydantic makes nothing of it."""
    try:
        return TypeAdapter(Annotated[dict[str, hint], GetPydanticSchema(_admit_lists)], config=CONFIG)
    except PydanticUserError:
        return TypeAdapter(dict[str, Any])


def _admit_lists(source: Any, handler: GetCoreSchemaHandler) -> Any:
    """A schema that is strict, but that a list may stand for a tuple, and a tuple for a list."""
    schema = handler(source)
    _loosen(handler.resolve_ref_schema(schema))
    return schema


def _loosen(schema: Any) -> None:
    if isinstance(schema, dict):
        if schema.get("type") in ("list", "tuple", "lax-or-strict"):
            schema["strict"] = False
        if schema.get("type") == "nullable":  # whose errors do not say that null will do
            schema |= {"type": "union", "choices": [schema.pop("schema"), {"type": "none"}]}
        for part in schema.values():
            _loosen(part)
    elif isinstance(schema, list):
        for part in schema:
            _loosen(part)
