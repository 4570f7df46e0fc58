"""Settings that are checked where they are made, in Python as on the command line."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import field
from typing import Any, TypeVar, dataclass_transform, overload

from pydantic import ConfigDict, ValidationError
from pydantic.dataclasses import dataclass

from playloop.core.typed import complaint

T = TypeVar("T")


@overload
def checked(cls: type[T], /) -> type[T]: ...
@overload
def checked(*, frozen: bool = False) -> Callable[[type[T]], type[T]]: ...
@dataclass_transform(field_specifiers=(field,))
def checked(cls: Any = None, /, *, frozen: bool = False) -> Any:
    """A dataclass by pydantic, of whose annotations every object is; a list becomes a tuple where one is due.

    >>> @checked
    ... class Lamp:
    ...     watts: int = 5
    >>> Lamp(watts=0.5)
    Traceback (most recent call last):
    ValueError: Lamp.watts: Input should be a valid integer, got a number with a fractional part, not 0.5

    Args:
        cls: the class.
        frozen: as of `dataclasses.dataclass`.

    Raises:
        ValueError: by the class when it is called: a field holds something else; names it.
    """
    if cls is None:
        return functools.partial(checked, frozen=frozen)
    made = dataclass(cls, frozen=frozen, config=ConfigDict(arbitrary_types_allowed=True, extra="forbid"))
    check = made.__init__

    @functools.wraps(check)
    def __init__(self: Any, *args: Any, **values: Any) -> None:
        try:
            check(self, *args, **values)
        except ValidationError as error:
            first = error.errors()[0]
            if first["type"] in ("missing", "unexpected_keyword_argument"):  # as of any other dataclass
                raise TypeError(f"{made.__name__}: {complaint(error)}") from None
            own = first.get("ctx", {}).get("error")  # of the class's __post_init__
            raise own if own is not None else ValueError(f"{made.__name__}.{complaint(error)}") from None

    made.__init__ = __init__  # type: ignore[method-assign]
    return made
