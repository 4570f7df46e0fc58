"""What settings may hold beyond their type, as annotations of a dataclass's fields: `chunk: Count = 8`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from annotated_types import Ge, Gt, Le, MinLen
from pydantic import AllowInfNan

Natural = Annotated[int, Ge(0)]
"""A whole number, 0 or more."""
Count = Annotated[int, Ge(1)]
"""A whole number, 1 or more."""
Counts = Annotated[tuple[Count, ...], MinLen(1)]
"""Such numbers, at least one of them."""
Magnitude = Annotated[float, Ge(0)]
"""A finite number, 0 or more."""
Positive = Annotated[float, Gt(0)]
"""A finite number above 0."""
Fraction = Annotated[float, Ge(0), Le(1)]
"""A number from 0 to 1."""
Portion = Annotated[float, Gt(0), Le(1)]
"""A number above 0, up to 1."""
Limit = Annotated[float, Gt(0), AllowInfNan()]
"""A number above 0, or infinity for no limit."""

Name = Annotated[str, MinLen(1)]
"""Text that must say something: an empty path would be the working folder."""


@dataclass(frozen=True)
class FieldsOf:
    """Beside `dict`: some fields of a dataclass, the others keep what they are elsewhere.

    Args:
        target: the class, as module.Name; by name, so that nothing large is imported for an annotation.
    """

    target: str


@dataclass(frozen=True)
class Known:
    """Beside `str`: values that are known, which a shell offers; there may be others.

    Args:
        values: the values.
    """

    values: tuple[str, ...]


DecoderFields = Annotated[dict[str, Any], FieldsOf("playloop.policies.diffusion.DecoderConfig")]
"""Fields of the decoder of a discrete diffusion policy that differ from the checkpoint's."""
