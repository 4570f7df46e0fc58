"""robosuite and LIBERO as packages: imported so that nothing of this machine changes what they are."""

from __future__ import annotations

import importlib.util
import logging
import os
import sys
from functools import cache
from pathlib import Path
from types import ModuleType

import yaml

from playloop.core.caches import settle_numba_cache
from playloop.envs.gl import choose_backend

LIBERO_CONFIG = "LIBERO_CONFIG_PATH"
"""Names the folder whose config.yaml replaces the package's scenes, initial states and assets."""
FILES = ("bddl_files", "init_states", "assets")
NO_CONFIG = Path(__file__).parent / "reference"
"""A folder of ours without a config.yaml."""


def load_robosuite() -> ModuleType:
    """Import robosuite: pictures need no display, its compiled code has a folder, and it writes no log.

    The log is one file for all users of a machine, /tmp/robosuite.log, opened at import: for everybody but
    the first of them the import fails.

    Raises:
        ModuleNotFoundError: it is not installed, with the command that installs it.
        OSError: its compiled code has no folder.
    """
    if (loaded := sys.modules.get("robosuite")) is not None:
        return loaded
    choose_backend()
    found = importlib.util.find_spec("robosuite")
    if found is None or found.origin is None:
        raise ModuleNotFoundError("robosuite is not installed: pip install 'playloop[libero]'")
    home = Path(found.origin).parent
    settle_numba_cache(home / "utils")
    macros = _run("robosuite.macros", home / "macros.py")
    macros.FILE_LOGGING_LEVEL = None  # type: ignore[attr-defined]
    logging.getLogger("robosuite_logs").setLevel(logging.ERROR)
    import robosuite

    robosuite.macros = macros  # as the import system would have bound it
    return robosuite


@cache
def load_libero() -> ModuleType:
    """Import LIBERO with the scenes, states and assets that it carries, whatever settings here name.

    Raises:
        ModuleNotFoundError: it is not installed, with the command that installs it.
    """
    choose_backend()
    try:
        import libero.libero as package
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("LIBERO is not installed: pip install 'playloop[libero]'") from error
    if notice := other_libero(package):
        print(notice, file=sys.stderr)
    os.environ[LIBERO_CONFIG] = str(NO_CONFIG)  # it looks there whenever it opens a file
    return package


@cache
def other_libero(package: ModuleType) -> str:
    """What to say of settings that name other LIBERO files than the package's; empty if there are none."""
    # read once, by `load_libero`, before the variable is set
    file = Path(os.environ.get(LIBERO_CONFIG) or package.libero_config_path).expanduser() / "config.yaml"
    if not file.is_file():
        return ""
    try:
        named = yaml.safe_load(file.read_text())
        own = package.get_default_path_dict()
        if all(os.path.realpath(named.get(key, own[key])) == os.path.realpath(own[key]) for key in FILES):
            return ""
    except (OSError, ValueError, AttributeError, TypeError, yaml.YAMLError):
        pass  # whatever it is, it is not used
    return (
        f"{file} names other LIBERO files; Playloop uses those of the installed package, on which published "
        f"results rest (unset {LIBERO_CONFIG} or move the file away, and this is not said again)"
    )


def _run(name: str, path: Path) -> ModuleType:
    """A module of a package run before the package itself."""
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
