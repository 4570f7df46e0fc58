"""Embodied agents that speak in discrete tokens: evaluated, played and trained.

The names below are the verbs of the command line as functions; see `playloop.api`. They are imported when
they are used: `import playloop` itself costs what Gymnasium costs, which knows the environments from then on.
"""

import sys
from typing import TYPE_CHECKING, Any

if sys.argv[1:2] != ["__complete"]:  # a shell at Tab, which waits for no Gymnasium
    from playloop.configs import registration as _registration  # noqa: F401 (registers them)

if TYPE_CHECKING:
    from playloop.api import (
        Evaluation,
        compare,
        evaluate,
        join,
        load_policy,
        load_world,
        make_env,
        record,
        run_episode,
    )

    __version__: str

__all__ = [
    "Evaluation",
    "__version__",
    "compare",
    "evaluate",
    "join",
    "load_policy",
    "load_world",
    "make_env",
    "record",
    "run_episode",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("playloop")
    if name in __all__:
        from playloop import api

        return getattr(api, name)
    raise AttributeError(f"module 'playloop' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
