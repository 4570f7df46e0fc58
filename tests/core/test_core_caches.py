"""Compiled code has a place, and nobody else's code is executed from it."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from playloop.core.caches import private_folder

pytest.importorskip("numba", reason="numba is not installed: nothing is compiled")
SOURCE = "def twice(number):\n    return number * 2\n"
RUN = "import sys; sys.path.insert(0, sys.argv[1])\n{first}\nfrom playloop.core.caches import compiled\n"
RUN += "from module import twice; print(compiled(twice)(21))"


def test_what_is_compiled_is_kept_beneath_tmpdir_where_nothing_else_can_be_written(tmp_path):
    package, place = tmp_path / "package", tmp_path / "place"
    package.mkdir()
    place.mkdir()
    (package / "module.py").write_text(SOURCE)
    (package / "__pycache__").touch()  # no folder, so that nobody, not even root, can write into it
    variables = {**os.environ, "HOME": "/dev/null", "TMPDIR": str(place)}
    for name in ("XDG_CACHE_HOME", "NUMBA_CACHE_DIR"):
        variables.pop(name, None)
    words = [sys.executable, "-c", RUN.format(first="import numba"), str(package)]
    done = subprocess.run(words, env=variables, capture_output=True, text=True, check=False)
    assert done.stdout == "42\n", done.stderr
    (folder,) = place.iterdir()
    assert folder.name == f"playloop-numba-{os.getuid()}" and folder.stat().st_mode & 0o777 == 0o700
    assert list(folder.rglob("module.twice*.nbi"))


def test_a_named_folder_that_cannot_be_written_is_refused_by_its_name(tmp_path):
    (tmp_path / "module.py").write_text(SOURCE)
    variables = {**os.environ, "NUMBA_CACHE_DIR": "/dev/null/x"}
    words = [sys.executable, "-c", RUN.format(first=""), str(tmp_path)]
    done = subprocess.run(words, env=variables, capture_output=True, text=True, check=False)
    assert "NUMBA_CACHE_DIR=/dev/null/x cannot be written" in done.stderr.splitlines()[-1]


def test_a_folder_that_others_may_write_to_is_not_used(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    first = private_folder("code")
    assert private_folder("code") == first
    first.chmod(0o777)
    assert private_folder("code") != first
    first.rmdir()
    first.symlink_to(tmp_path)
    other = private_folder("code")
    assert other != first and not other.is_symlink() and other.parent == Path(tmp_path)
