"""Plugins: what other installed packages bring, found by their entry points.

A package's `pyproject.toml` names, in the groups `playloop.envs`, `playloop.agents`, `playloop.policies` and
`playloop.worlds`, either a class (`dial = "lander.env:DialConfig"`) or one of its packages
(`dial = "lander.configs"`), whose folder holds YAML or checkpoints.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from playloop.core.fields import find

GROUPS = ("envs", "agents", "policies", "worlds")


@dataclass(frozen=True)
class Plugin:
    """One entry point of an installed package.

    Args:
        group: one of `GROUPS`.
        name: that it is offered by.
        value: "module:Class", or a package.
        package: the distribution and its version, "playloop-lander 1.2".
    """

    group: str
    name: str
    value: str
    package: str

    @property
    def target(self) -> str | None:
        """The class that it names, as `_target_` does; None where it names a package."""
        module, colon, name = self.value.partition(":")
        return f"{module}.{name}" if colon else None

    def load(self) -> Any:
        """The class that it names.

        Raises:
            ValueError: it cannot be imported.
        """
        try:
            return find(str(self.target))
        except ValueError as error:
            raise ValueError(f"{self.name} of {self.package} cannot be used: {error}") from error

    def folder(self) -> Path:
        """The folder of the package that it names; nothing but the packages around it is imported.

        Raises:
            ValueError: there is none.
        """
        try:
            spec = importlib.util.find_spec(self.value)
        except (Exception, SystemExit) as error:  # in the package's own code
            raise ValueError(
                f"{self.name} of {self.package} cannot be used: {self.value} cannot be imported "
                f"({type(error).__name__}: {error})"
            ) from error
        if spec is None or not spec.submodule_search_locations:
            raise ValueError(
                f"{self.name} of {self.package} cannot be used: {self.value} is neither MODULE:CLASS nor a "
                "package; mend its entry point"
            )
        return Path(next(iter(spec.submodule_search_locations)))


@cache
def plugins(group: str) -> tuple[Plugin, ...]:
    """What installed packages bring to one of `GROUPS`, by name."""
    points = importlib.metadata.entry_points(group=f"playloop.{group}")
    found = {Plugin(group, point.name, point.value, _package(point)) for point in points}
    return tuple(sorted(found, key=lambda plugin: (plugin.name, plugin.package)))


def _package(point: importlib.metadata.EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist else "an unknown package"
