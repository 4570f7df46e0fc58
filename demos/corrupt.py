"""Files of demonstrations that cannot be used: one error, one sentence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playloop.core.files import check_pointer


class CorruptFile(ValueError):
    """A file of a data set cannot be used; the message names it."""


@contextmanager
def reading(path: Path, what: str, *errors: type[Exception]) -> Iterator[None]:
    """Turn what may go wrong while a file is opened into a `CorruptFile`.

    Args:
        path: of the file.
        what: it should be: "a readable video".
        errors: that its reader raises besides `OSError`.

    Raises:
        CorruptFile: it is missing, damaged or a pointer of Git LFS.
    """
    unreadable: tuple[type[Exception], ...] = (OSError, *errors)
    try:
        check_pointer(path)
        yield
    except unreadable as error:
        raise CorruptFile(f"{path} is missing or not {what} ({error}); restore it.") from error
    except ValueError as error:  # a pointer
        raise CorruptFile(str(error)) from error
