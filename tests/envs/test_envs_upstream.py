"""robosuite and LIBERO as they are imported: nothing of the machine changes what they are."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from playloop.envs.upstream import load_libero, other_libero

for package in ("robosuite", "libero"):
    pytest.importorskip(package)

LOOK = """
import logging, os, sys
from playloop.envs.upstream import load_robosuite
robosuite = load_robosuite()
assert robosuite.macros is sys.modules["robosuite.macros"] and load_robosuite() is robosuite
assert robosuite.macros.ENABLE_NUMBA is True
handlers = logging.getLogger("robosuite_logs").handlers
assert handlers and not any(isinstance(handler, logging.FileHandler) for handler in handlers), handlers
from playloop.envs.libero import LiberoConfig
from libero.libero import get_libero_path
print(LiberoConfig("libero_object").tasks()[0].scene.is_file(), os.path.isdir(get_libero_path("assets")))
"""


def test_liberos_own_files_are_used_and_robosuite_writes_no_log(tmp_path):
    (tmp_path / "config.yaml").write_text("bddl_files: /nowhere\nassets: /nowhere\n")
    variables = {**os.environ, "LIBERO_CONFIG_PATH": str(tmp_path)}
    words = [sys.executable, "-c", LOOK]
    done = subprocess.run(words, env=variables, capture_output=True, text=True, check=False)
    assert done.stdout == "True True\n", done.stderr
    assert done.stderr.count(f"{tmp_path}/config.yaml names other LIBERO files") == 1


@pytest.mark.parametrize("text", ["init_states: /nowhere\n", "- of another kind\n", "{", "assets: 3\n"])
def test_other_files_are_named_and_the_packages_own_are_not(tmp_path, monkeypatch, text):
    package = load_libero()
    monkeypatch.setenv("LIBERO_CONFIG_PATH", str(tmp_path))
    assert other_libero.__wrapped__(package) == ""
    own = "".join(f"{name}: {path}\n" for name, path in package.get_default_path_dict().items())
    (tmp_path / "config.yaml").write_text(own)
    assert other_libero.__wrapped__(package) == ""
    (tmp_path / "config.yaml").write_text(text)
    assert str(tmp_path) in other_libero.__wrapped__(package)
