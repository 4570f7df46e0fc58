"""Headless OpenGL for MuJoCo: choosing a back end, rendering one scene, leaving without a trace."""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import importlib
import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

MISSING_GL = (
    "no headless OpenGL back end works; install Mesa with "
    "`apt-get install -y libegl1 libegl-mesa0 libgl1-mesa-dri libgl1` (or libosmesa6 and MUJOCO_GL=osmesa)"
)
HEADLESS = ("egl", "osmesa")
"""Back ends that need no display."""
SWITCHES = ("disable", "disabled", "off", "false", "0", "enable", "enabled", "on", "true", "1", "")
KNOWN = (*HEADLESS, *SWITCHES, "glfw", "glx", "cgl", "wgl")
"""What mujoco knows; nothing can be drawn where it is off."""


def choose_backend() -> str:
    """Set `MUJOCO_GL` if the user has not; best before the first import of mujoco and OpenGL.

    Raises:
        ValueError: it names no back end, which mujoco would say in every episode, once for each.
    """
    backend = os.environ.setdefault("MUJOCO_GL", "egl").strip().lower()
    if backend not in KNOWN:
        raise ValueError(f"MUJOCO_GL={backend} names no back end of MuJoCo; unset it, or set egl or osmesa")
    if backend in HEADLESS:
        os.environ.setdefault("PYOPENGL_PLATFORM", backend)
    return backend


def load_triton() -> None:
    """Load triton's library, where it is installed. Call before anything is drawn.

    It and Mesa's drivers each bring an LLVM, and triton's crashes the process if it comes second. PyTorch
    imports triton when it likes; the library alone leaves triton's own settings open until then.
    """
    found = find_spec("triton")
    for folder in (found.submodule_search_locations or ()) if found else ():
        with contextlib.suppress(OSError):
            ctypes.CDLL(str(Path(folder) / "_C" / "libtriton.so"))


def new_context(width: int, height: int) -> Any:
    """A GL context of the chosen back end, also where mujoco was imported before it was chosen.

    Raises:
        Exception: there is none; each back end has exceptions of its own. See `advice`.
    """
    load_triton()
    backend = choose_backend()
    # mujoco's own name for it was bound when mujoco was imported: to a window, if nothing was chosen then
    home = importlib.import_module(f"mujoco.{backend}" if backend in HEADLESS else "mujoco")
    return home.GLContext(width, height)


def advice() -> str:
    """What to do where no context opens."""
    backend = choose_backend()
    if backend not in HEADLESS:
        return f"MUJOCO_GL={backend} needs a display that works; unset it, or set MUJOCO_GL=egl or osmesa"
    if (platform := os.environ["PYOPENGL_PLATFORM"]).lower() != backend:
        return f"PYOPENGL_PLATFORM={platform} does not go with MUJOCO_GL={backend}; unset it"
    loaded = getattr(sys.modules.get("OpenGL.platform"), "PLATFORM", None)
    if loaded is not None and not type(loaded).__name__.lower().startswith(backend):
        return (
            f"OpenGL was imported before Playloop, and chose {type(loaded).__name__}; set "
            f"MUJOCO_GL={backend} PYOPENGL_PLATFORM={backend} before Python starts"
        )
    return MISSING_GL


class Renderer:
    """Draws the cameras of one `mujoco.MjModel`, with the settings of robosuite's own offscreen context.

    The GL context belongs to the process that calls `draw` first, is made then and not before (a process that
    never looks never pays for one), and is shared by all models that this process loads after each other.
    """

    _context: Any = None  # the process's one GL context: a second one breaks the first under EGL
    _open_ones: ClassVar[set[Renderer]] = set()

    def __init__(self, model: Any) -> None:
        import mujoco

        self._mujoco, self._model = mujoco, model
        self._resources: Any = None
        self._scene = mujoco.MjvScene(model, maxgeom=1000)
        self._options = mujoco.MjvOption()
        self._options.geomgroup[0] = 0  # collision shapes stay hidden
        self._options.geomgroup[1] = 1  # visual meshes
        self._camera = mujoco.MjvCamera()
        self._camera.type = mujoco.mjtCamera.mjCAMERA_FIXED
        self._perturbation = mujoco.MjvPerturb()

    def draw(self, data: Any, camera: str, height: int, width: int) -> np.ndarray:
        """The camera's picture as OpenGL returns it, bottom row first: uint8 [H, W, 3]."""
        mujoco, model = self._mujoco, self._model
        self._open(height, width)
        self._camera.fixedcamid = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_CAMERA, camera)
        looks = self._options, self._perturbation, self._camera, mujoco.mjtCatBit.mjCAT_ALL
        mujoco.mjv_updateScene(model, data, *looks, self._scene)
        viewport = mujoco.MjrRect(0, 0, width, height)
        pixels = np.empty((height, width, 3), np.uint8)
        mujoco.mjr_render(viewport, self._scene, self._resources)
        mujoco.mjr_readPixels(pixels, None, viewport, self._resources)
        return pixels

    def _open(self, height: int, width: int) -> None:
        mujoco = self._mujoco
        try:
            if Renderer._context is None:
                Renderer._context = new_context(width, height)
                atexit.register(Renderer.close_all)
            Renderer._context.make_current()
            if self._resources is None:
                frame = self._model.vis.global_
                frame.offwidth, frame.offheight = max(frame.offwidth, width), max(frame.offheight, height)
                self._resources = mujoco.MjrContext(self._model, mujoco.mjtFontScale.mjFONTSCALE_150)
                Renderer._open_ones.add(self)
        except Exception as error:
            raise RuntimeError(f"{advice()} ({type(error).__name__}: {error})") from error
        # every time: another model of this process may have drawn in between
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, self._resources)

    def close(self) -> None:
        """Free this model's textures and meshes; the process's context stays for the next model."""
        if self._resources is not None:
            Renderer._context.make_current()
            self._resources.free()
            self._resources = None
            Renderer._open_ones.discard(self)

    @classmethod
    def close_all(cls) -> None:
        """Close every renderer, then the process's GL context: in this order EGL prints no traceback."""
        for renderer in list(cls._open_ones):
            renderer.close()
        if cls._context is not None:
            cls._context.free()
            cls._context = None
            atexit.unregister(cls.close_all)
