"""Headless OpenGL, whatever was imported before Playloop."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from playloop.envs.gl import choose_backend

pytest.importorskip("mujoco")
DRAW = """
import mujoco
from playloop.envs.gl import Renderer
ball = "<geom size='.3'/><light pos='0 0 3'/><camera name='c' pos='0 -2 0' euler='90 0 0'/>"
model = mujoco.MjModel.from_xml_string(f"<mujoco><worldbody>{ball}</worldbody></mujoco>")
data = mujoco.MjData(model)
mujoco.mj_forward(model, data)
picture = Renderer(model).draw(data, "c", 32, 32)
print(picture[16, 16].tolist(), picture[0, 0].tolist())
"""


def draw(first: str, **variables: str) -> subprocess.CompletedProcess:
    kept = {k: v for k, v in os.environ.items() if k not in ("MUJOCO_GL", "PYOPENGL_PLATFORM")}
    words = [sys.executable, "-c", first + DRAW]
    return subprocess.run(words, env=kept | variables, capture_output=True, text=True, check=False)


def test_mujoco_may_be_imported_before_playloop():
    plain = draw("from playloop.envs.gl import choose_backend; choose_backend()")
    assert plain.returncode == 0, plain.stderr
    late = draw("import mujoco")
    assert late.returncode == 0 and late.stdout == plain.stdout, late.stderr
    middle, corner = plain.stdout.split("] [")
    assert middle != corner


@pytest.mark.parametrize(
    ("first", "variables", "says"),
    [
        (
            "import OpenGL.GL",
            {},
            "RuntimeError: OpenGL was imported before Playloop, .*PYOPENGL_PLATFORM=egl",
        ),
        ("", {"MUJOCO_GL": "glfw", "DISPLAY": ""}, "RuntimeError: MUJOCO_GL=glfw needs a display"),
        ("", {"PYOPENGL_PLATFORM": "glx"}, "RuntimeError: PYOPENGL_PLATFORM=glx does not go with"),
    ],
    ids=["OpenGL first", "a window", "another platform"],
)
def test_what_cannot_draw_says_why_and_what_to_do(first, variables, says):
    failed = draw(first, **variables)
    assert failed.returncode == 1
    last = [line for line in failed.stderr.splitlines() if line.startswith("RuntimeError")][-1]
    assert re.match(says, last), failed.stderr


def test_a_misspelt_back_end_is_refused_before_an_environment_is_built(monkeypatch):
    monkeypatch.setenv("MUJOCO_GL", "elg")
    with pytest.raises(ValueError, match="MUJOCO_GL=elg names no back end of MuJoCo; unset it"):
        choose_backend()
    monkeypatch.setenv("MUJOCO_GL", " OSMesa ")
    monkeypatch.setenv("PYOPENGL_PLATFORM", "osmesa")
    assert choose_backend() == "osmesa"


def test_triton_may_be_imported_after_something_was_drawn():
    """Each brings an LLVM, and triton's crashed the process where it came second."""
    pytest.importorskip("triton", reason="Triton is not installed; it comes with PyTorch's CUDA builds")
    script = """
import mujoco
from playloop.envs.gl import Renderer
model = mujoco.MjModel.from_xml_string("<mujoco><worldbody><camera name='c'/></worldbody></mujoco>")
Renderer(model).draw(mujoco.MjData(model), "c", 16, 16)
import triton
"""
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
