"""Text in Gymnasium's vectors of processes: read when somebody looks, not once at the start.

Gymnasium keeps observations in shared memory and makes views of it once, when the environments are made. Of
numbers that is right; its view of text is a copy, so that every observation afterwards held the text of empty
memory (Gymnasium issue 1164). Here its view of text is one that reads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from gymnasium.spaces import Text
from gymnasium.vector.utils import read_from_shared_memory

_read_once: Callable[..., Any] = read_from_shared_memory.dispatch(Text)


class SharedTexts(Sequence[str]):
    """The texts that shared memory holds now; a deep copy, as `step` and `reset` return, is a tuple."""

    def __init__(self, space: Text, memory: Any, n: int):
        self._space, self._memory, self._n = space, memory, n

    def _now(self) -> tuple[str, ...]:
        return _read_once(self._space, self._memory, self._n)

    def __len__(self) -> int:
        return self._n

    def __getitem__(self, index: Any) -> Any:
        return self._now()[index]

    def __eq__(self, other: object) -> bool:
        return self._now() == other

    def __repr__(self) -> str:
        return repr(self._now())

    def __deepcopy__(self, memo: dict[int, Any]) -> tuple[str, ...]:
        return self._now()


def read_text_when_looked_at() -> None:
    """Give Gymnasium this view of every text space, of whatever environment."""
    view: Callable[..., Any] = SharedTexts
    read_from_shared_memory.register(Text, view)
