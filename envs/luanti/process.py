"""The virtual display, its picture and the game, in a temporary folder that goes with them."""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import select
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from playloop.core.locks import FolderLock
from playloop.core.scratch import sweep

PACKAGES = "minetest xvfb libgl1-mesa-dri"
"""Debian's packages; the first brings minetest_game too."""
PROGRAMS = ("Xvfb", "minetest")
START_PATIENCE = 60.0
"""Seconds that the display or the game may take to start; the game takes 2 to 3."""
GRACE = 2.0
"""Seconds that the display gets to end by itself and remove its lock file; the game gets none."""

XWD_FIELDS = 25
"""32-bit fields of an XWD header, big-endian; names follow X11/XWDFile.h."""
SCRATCH = "luanti"
"""Part of the temporary folders' names."""
WORLD = "gameid = minetest\nbackend = sqlite3\nplayer_backend = sqlite3\nauth_backend = sqlite3\n"


def missing() -> str:
    """One sentence on what this machine lacks and how to install it; empty if nothing."""
    lacking = [program for program in PROGRAMS if _find(program) is None]
    if lacking:
        names = " and ".join(lacking)
        return f"Luanti needs {names}, not found here: sudo apt-get install -y {PACKAGES}"
    if find_spec("Xlib") is None:
        return "Luanti needs python-xlib, not installed here: pip install 'playloop[luanti]'"
    return ""


class Display:
    """A virtual display and the folder of everything that belongs to it.

    Attributes:
        number: of the display; Xvfb chooses one that is free.
        folder: temporary; removed when the display ends, and it ends with this process at the latest.
        screen: its picture.
    """

    def __init__(self, height: int, width: int):
        sweep(SCRATCH)  # the leash removes the folder of a killed process, unless it was killed too
        self.folder = Path(tempfile.mkdtemp(prefix=f"playloop-{SCRATCH}-"))
        self._lock = FolderLock(self.folder, "a display of Luanti").acquire()
        # -displayfd: Xvfb itself finds a free number and tells it, so that several may start at once
        command = ["Xvfb", "-displayfd", "1", "-screen", "0", f"{width}x{height}x24"]
        command += ["-fbdir", str(self.folder), "-nolisten", "tcp", "-noreset"]
        self._process = _leashed(
            command, self.folder / "xvfb.log", GRACE, self.folder, stdout=subprocess.PIPE
        )
        try:
            self.number = int(self._read_number())
            self.screen = Screen(self.folder / "Xvfb_screen0")
        except BaseException:
            self._end()
            raise

    def close(self) -> None:
        """End the display and remove the folder."""
        self.screen.close()
        self._end()

    def _end(self) -> None:
        _stop(self._process)
        self._lock.release()

    def _read_number(self) -> bytes:
        stream = self._process.stdout
        assert stream is not None
        ready, _, _ = select.select([stream], [], [], START_PATIENCE)
        line = stream.readline() if ready else b""
        if not line.strip():
            raise RuntimeError(f"Xvfb does not start: {_last_lines(self.folder / 'xvfb.log')}")
        return line


class Screen:
    """Maps the XWD file of `Xvfb -fbdir`; a grab is one copy.

    Raises:
        ValueError: the file holds no 32-bit picture with 8-bit red, green and blue.
    """

    def __init__(self, path: Path):
        with path.open("rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        header = struct.unpack(f">{XWD_FIELDS}I", self._map[: 4 * XWD_FIELDS])
        header_size, width, height, colours = header[0], header[4], header[5], header[19]
        byte_order, bits, line, masks = header[7], header[11], header[12], header[14:17]
        if bits != 32 or masks != (0xFF0000, 0xFF00, 0xFF):
            raise ValueError(f"{path} holds {bits} bits a pixel, masks {masks}; start Xvfb with depth 24")
        pixels = np.frombuffer(self._map, np.uint8, height * line, header_size + 12 * colours)
        pixels = pixels.reshape(height, line // 4, 4)[:, :width]
        self._rgb = pixels[..., 2::-1] if byte_order == 0 else pixels[..., 1:]  # BGRX or XRGB in memory

    def grab(self) -> np.ndarray:
        """The picture now, uint8 RGB [H, W, 3], upright."""
        return np.ascontiguousarray(self._rgb)

    def close(self) -> None:
        """Unmap the file."""
        del self._rgb
        self._map.close()


class LuantiGame:
    """Luanti with a fresh world on a display.

    Args:
        display: where it draws and what folder it writes to.
        settings: of minetest.conf, by name.

    Raises:
        RuntimeError: the game ended or did not get ready; with the end of its log.
    """

    def __init__(self, display: Display, settings: dict[str, Any]):
        self._display = display
        self._world = display.folder / "world"
        shutil.rmtree(self._world, ignore_errors=True)
        mod = self._world / "worldmods" / "playloop"
        mod.mkdir(parents=True)
        for file in (resources.files("playloop.envs.luanti") / "mod").iterdir():
            (mod / file.name).write_bytes(file.read_bytes())
        (self._world / "world.mt").write_text(WORLD)
        configuration = display.folder / "minetest.conf"
        configuration.write_text("".join(f"{name} = {value}\n" for name, value in settings.items()))
        self._log = display.folder / "minetest.log"
        self._log.unlink(missing_ok=True)
        command = [str(_find("minetest")), "--go", "--gameid", "minetest", "--world", str(self._world)]
        command += ["--config", str(configuration), "--logfile", ""]
        self._process = _leashed(command, self._log, environment=self._environment())

    def state(self) -> dict[str, Any]:
        """What the mod reported last; empty before its first report.

        Raises:
            RuntimeError: the game has ended.
        """
        if self._process.poll() is not None:
            raise RuntimeError(f"Luanti ended by itself: {_last_lines(self._log)}")
        try:
            return json.loads((self._world / "state.json").read_text())
        except FileNotFoundError:
            return {}

    def wait(self) -> None:
        """Until the task is built and the player stands in it."""
        deadline = time.monotonic() + START_PATIENCE
        while not self.state().get("ready"):
            if time.monotonic() > deadline:
                raise RuntimeError(
                    f"Luanti built no world within {START_PATIENCE:g} s: {_last_lines(self._log)}"
                )
            time.sleep(0.02)

    def close(self) -> None:
        """End the game."""
        _stop(self._process)

    def _environment(self) -> dict[str, str]:
        home = self._display.folder / "home"
        home.mkdir(exist_ok=True)
        kept = {name: text for name, text in os.environ.items() if not name.startswith(("XDG_", "MINETEST_"))}
        # Mesa's software renderer is the one that can draw on a display without a card
        gl = {"LIBGL_ALWAYS_SOFTWARE": "1", "__GLX_VENDOR_LIBRARY_NAME": "mesa"}
        return {**kept, **gl, "DISPLAY": f":{self._display.number}", "HOME": str(home)}


def _find(program: str) -> str | None:
    # Debian keeps games in a folder that root's PATH leaves out
    return shutil.which(program, path=os.environ.get("PATH", os.defpath) + ":/usr/games")


def _leashed(
    command: list[str],
    log: Path,
    grace: float = 0.0,
    folder: Path | str = "",
    environment: dict[str, str] | None = None,
    stdout: int | None = None,
) -> subprocess.Popen:
    """Start a command that ends with this process, in a session of its own: Ctrl-C is not for it."""
    leash = Path(__file__).with_name("leash.py")
    words = [sys.executable, "-I", "-S", str(leash), str(os.getpid()), str(grace), str(folder), *command]
    with log.open("wb") as file:
        return subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=file if stdout is None else stdout,
            stderr=file,
            env=environment,
            start_new_session=True,
        )


def _stop(process: subprocess.Popen) -> None:
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(10)
    if process.stdout is not None:
        process.stdout.close()


def _last_lines(log: Path) -> str:
    try:
        lines = log.read_text(errors="replace").strip().splitlines()
    except OSError:
        return "its log is gone"
    return " | ".join(lines[-4:]) or "its log is empty"
