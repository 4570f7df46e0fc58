"""Options of groups that are not Playloop's own: of installed packages, and of a folder of the user's.

Playloop's own option goes before another of its name. What is wrong with an option is said when it is chosen,
and beside it in the help: it does not concern the others.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass, is_dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.plugins.search_path_plugin import SearchPathPlugin

from playloop.core.fields import find
from playloop.core.plugins import Plugin, plugins

GROUPS = {"envs": "env", "agents": "agent", "policies": "agent", "worlds": "world"}
"""Group of entry points → the settings' group whose options they become."""
USERS: ContextVar[Path | None] = ContextVar("config_dir", default=None)
"""The folder of `--config-dir`."""


@dataclass(frozen=True)
class Option:
    """One option of a group, `group=name`.

    Args:
        group: "env", "agent", …
        name: of the option.
        origin: whose it is, for people: "playloop-lander 1.2", or a folder.
        file: its YAML; None for a class.
        target: its class, where it has no YAML.
        fault: why it cannot be chosen, if so.
    """

    group: str
    name: str
    origin: str
    file: Path | None = None
    target: str | None = None
    fault: str | None = None

    def purpose(self) -> str:
        """One sentence for the help: the comment at the top of its YAML, or its class's first line."""
        if self.fault is not None:
            return f"cannot be chosen: {self.fault}"
        try:
            return f"{self._says()} ({self.origin})".lstrip()
        except ValueError as error:
            return f"cannot be chosen: {error} ({self.origin})"

    def _says(self) -> str:
        if self.file is not None:
            return first_comment(self.text())
        return (inspect.getdoc(find(str(self.target))) or "").partition("\n")[0]

    def text(self) -> str:
        """Its YAML, which is whole; "" without.

        Raises:
            ValueError: it cannot be read; says where.
        """
        if self.file is None:
            return ""
        try:
            text = self.file.read_text()
            yaml.safe_load(text)
        except (yaml.YAMLError, OSError, UnicodeDecodeError) as error:
            raise ValueError(f"{self.file} cannot be read: {' '.join(str(error).split())}") from error
        return text


def first_comment(text: str) -> str:
    """What a YAML file says of itself: the comment at its top, in one line."""
    lines = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.removeprefix("#").strip())
    return " ".join(lines)


def options(group: str) -> list[Option]:
    """All options of a group that are not Playloop's own; one whose name is taken has a fault."""
    offered = [option for option in (*_of_user(), *_of_packages()) if option.group == group]
    first = {(option.name, option.origin): option for option in reversed(offered)}  # YAML before a class
    found = [option for option in offered if first[option.name, option.origin] is option]
    return [replace(option, fault=option.fault or _clash(option, found)) for option in found]


def chosen(group: str, name: str | None) -> Option | None:
    """The option that `group=name` chooses; None for Playloop's own, and for none at all.

    Raises:
        ValueError: it has a fault, or its YAML cannot be read.
    """
    option = next((option for option in options(group) if option.name == name), None)
    if option is None or name in _own(group):
        return None
    if option.fault is not None:
        raise ValueError(f"{group}={name}: {option.fault}.")
    try:
        option.text()
    except ValueError as error:
        raise ValueError(f"{group}={name}: {error}") from error
    return option


def use_folder(folder: str | None) -> None:
    """Take options of a folder of the user's, too: `DIR/env/NAME.yaml` becomes `env=NAME`.

    Raises:
        NotADirectoryError: there is no such folder.
    """
    if folder is not None and not Path(folder).is_dir():
        raise NotADirectoryError(
            f"--config-dir {folder} is no folder; name one that holds env/NAME.yaml, agent/NAME.yaml, …"
        )
    USERS.set(Path(folder).absolute() if folder else None)


def checkpoint_folders(*groups: str) -> dict[str, Path]:
    """Name → folder of the checkpoints that installed packages bring with their policies and worlds."""
    homes = [folder for plugin in _packages(groups) if (folder := _folder(plugin)) is not None]
    return {path.parent.name: path.parent for home in homes for path in sorted(home.glob("*/config.json"))}


class _Folders(SearchPathPlugin):
    """Tells Hydra of the folders with other people's YAML, behind Playloop's own."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        folders = [*filter(None, [USERS.get()]), *map(_folder, _packages(GROUPS))]
        for folder in dict.fromkeys(filter(None, folders)):
            search_path.append("playloop-plugin", f"file://{folder}")


def register() -> None:
    """Let Hydra know all options that can be chosen; called before every composition, and cheap."""
    Plugins.instance().register(_Folders)
    for option in (option for group in sorted(set(GROUPS.values())) for option in options(group)):
        if option.target is not None and option.fault is None:  # Hydra takes a taken name for a schema
            node = {"_target_": option.target}
            ConfigStore.instance().store(option.name, node, option.group, provider=option.origin)


def _of_user() -> Iterator[Option]:
    folder = USERS.get()
    return _in_folder(folder, f"--config-dir {folder}") if folder else iter(())


def _of_packages() -> Iterator[Option]:
    for plugin in _packages(GROUPS):
        if (folder := _folder(plugin)) is not None:
            yield from _in_folder(folder, plugin.package)
        else:
            yield Option(GROUPS[plugin.group], plugin.name, plugin.package, fault=_fault(plugin))
    for kind, group in GROUPS.items():
        for plugin in plugins(kind):
            if plugin.target is not None and (kind != "worlds" or _is_config(plugin)):
                yield Option(group, plugin.name, plugin.package, target=plugin.target)


def _in_folder(folder: Path, origin: str) -> Iterator[Option]:
    for file in sorted(folder.glob("*/*.yaml")):
        yield Option(file.parent.name, file.stem, origin, file)


def _packages(kinds: Any) -> list[Plugin]:
    """Entry points that name a package instead of a class."""
    return [plugin for kind in kinds for plugin in plugins(kind) if plugin.target is None]


def _folder(plugin: Plugin) -> Path | None:
    try:
        return plugin.folder()
    except ValueError:
        return None


def _fault(plugin: Plugin) -> str:
    try:
        plugin.folder()
    except ValueError as error:
        return str(error)
    return ""


def _is_config(plugin: Plugin) -> bool:
    """Whether a world's class holds settings; otherwise it opens folders of its kind, see `worlds.open`."""
    try:
        cls = plugin.load()
    except ValueError:
        return True  # said where it is chosen
    return is_dataclass(cls) and not hasattr(cls, "load")


def _own(group: str) -> set[str]:
    folder = resources.files("playloop.configs") / group
    return {Path(file.name).stem for file in folder.iterdir()} if folder.is_dir() else set()


def _clash(option: Option, offered: list[Option]) -> str | None:
    word = f"{option.group}={option.name}"
    if option.name in _own(option.group):
        return f"{word} is Playloop's own; rename that of {option.origin}"
    others = [other.origin for other in offered if other.name == option.name and other is not option]
    both = " and ".join(sorted({option.origin, *others[:1]}))
    return f"{both} both bring {word}; rename or uninstall one" if others else None
