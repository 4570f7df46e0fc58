"""Keys and mouse of a virtual display, through the XTEST extension."""

from __future__ import annotations

import time

import numpy as np
from Xlib import XK, X
from Xlib.display import Display
from Xlib.ext import xtest

from playloop.core.minecraft import index_of
from playloop.envs.luanti.settings import DEGREES_PER_PIXEL, KEYS

MOUSE = {"attack": 1, "use": 3}
"""Button → mouse button."""

FREE_AFTER = 0.4
"""Seconds after which a pointer that has not been brought back is taken for one in an open window."""
POLL = 0.002


class Keyboard:
    """Holds the buttons of an action vector and turns the view.

    The game reads how far the pointer is from the middle of its window, turns the view by that much and puts
    the pointer back. A motion is therefore sent only while the pointer rests in the middle: none is lost
    between the game's reading and its putting back, and a turn wider than the window becomes several. While
    the inventory is open nobody puts the pointer back: motions then move it freely.

    Args:
        number: the display's number.
        size: height and width of the window.
    """

    def __init__(self, number: int, size: tuple[int, int]):
        self._display = Display(f":{number}")
        self._root = self._display.screen().root
        self._display.change_keyboard_control(auto_repeat_mode=X.AutoRepeatModeOff)
        self._middle = np.array([size[1] // 2, size[0] // 2])
        self._codes = {
            button: self._display.keysym_to_keycode(XK.string_to_keysym(key))
            for button, (key, _) in KEYS.items()
        }
        self._held: set[str] = set()
        self._sent_at, self._free = 0.0, False
        self.owed = np.zeros(2)
        """Mouse motion that is still to be made, in pixels to the right and down."""

    def focus(self, patience: float) -> None:
        """Give the keyboard to the game's window, once it is there: no window manager does.

        Raises:
            TimeoutError: no window appeared within `patience` seconds.
        """
        deadline = time.monotonic() + patience
        while not (windows := self._visible_windows()):
            if time.monotonic() > deadline:
                raise TimeoutError(f"Luanti opened no window within {patience:g} s")
            time.sleep(0.05)
        windows[-1].set_input_focus(X.RevertToPointerRoot, X.CurrentTime)
        self._display.sync()

    def hold(self, action: np.ndarray) -> None:
        """Press what the action vector [25] holds and let go of everything else; adds its turn to `owed`."""
        wanted = {button for button in (*KEYS, *MOUSE) if action[index_of(button)] > 0.5}
        self._switch(wanted)
        self.owed += action[[index_of("camera.yaw"), index_of("camera.pitch")]] / DEGREES_PER_PIXEL

    def release(self) -> None:
        """Let go of everything and forget the turn that is owed."""
        self._switch(set())
        self.owed[:] = 0.0

    def turn_until(self, deadline: float) -> None:
        """Make as much of the owed turn as the game takes before `deadline` (of `time.monotonic`)."""
        while time.monotonic() < deadline:
            step = np.clip(np.trunc(self.owed), 1 - self._middle, self._middle - 1)
            if not step.any():
                return
            if self._ready():
                xtest.fake_input(self._display, X.MotionNotify, 1, x=int(step[0]), y=int(step[1]))
                self._display.flush()
                self._sent_at = time.monotonic()
                self.owed -= step
            time.sleep(POLL)

    def close(self) -> None:
        """Hang up."""
        self._display.close()

    def _ready(self) -> bool:
        pointer = self._root.query_pointer()
        if np.array_equal((pointer.root_x, pointer.root_y), self._middle):
            self._free = False
            return True
        self._free = self._free or time.monotonic() - self._sent_at > FREE_AFTER
        return self._free

    def _switch(self, wanted: set[str]) -> None:
        for button in sorted(self._held ^ wanted):
            down = button in wanted
            if button in MOUSE:
                kind, detail = (X.ButtonPress if down else X.ButtonRelease), MOUSE[button]
            else:
                kind, detail = (X.KeyPress if down else X.KeyRelease), self._codes[button]
            xtest.fake_input(self._display, kind, detail)
        self._display.flush()
        self._held = wanted

    def _visible_windows(self) -> list:
        children = self._root.query_tree().children
        return [window for window in children if window.get_attributes().map_state == X.IsViewable]
