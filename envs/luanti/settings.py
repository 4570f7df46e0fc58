"""The game's own settings (minetest.conf): keys, mouse, speed and what an episode needs."""

from __future__ import annotations

import math
from typing import Any

DEGREES_PER_PIXEL = 0.2
"""Turn of the view for one pixel of mouse motion."""

KEYS = {
    "forward": ("w", "forward"),
    "back": ("s", "backward"),
    "left": ("a", "left"),
    "right": ("d", "right"),
    "jump": ("space", "jump"),
    "sneak": ("c", "sneak"),
    "sprint": ("x", "aux1"),
    "drop": ("q", "drop"),
    "inventory": ("e", "inventory"),
    **{f"hotbar.{number}": (str(number), f"slot{number}") for number in range(1, 10)},
}
"""Button → X key, the game's name of the action. Sneak and sprint are letters: Shift would change digits."""
FIELD_OF_VIEW = 72.0
"""Degrees, vertical; the game's default."""


def sensitivity(height: int, width: int) -> float:
    """The setting under which one pixel of mouse motion turns the view by `DEGREES_PER_PIXEL`.

    The game widens the field of view of windows narrower than 16:10 and turns faster by as much.
    """
    widened = min(max(math.sqrt(1.6 * height / width), 1.0), 1.4)
    half = math.radians(FIELD_OF_VIEW) / 2
    return DEGREES_PER_PIXEL * math.tan(half) / math.tan(widened * half)


def game_settings(height: int, width: int, seed: int) -> dict[str, Any]:
    """Settings of a window, in pixels, and of a world that depends on nothing but its map's seed."""
    return {
        "bind_address": "127.0.0.1",
        "fixed_map_seed": seed,
        "mg_name": "v7",
        "world_start_time": 12000,
        "time_speed": 0,
        "enable_weather": False,
        "enable_damage": True,
        "creative_mode": False,
        "num_emerge_threads": 1,
        # twice the rate of the actions: what the mod tells is at most half an action old
        "dedicated_server_step": 0.025,
        "screen_w": width,
        "screen_h": height,
        "video_driver": "opengl",
        "fov": FIELD_OF_VIEW,
        "mouse_sensitivity": f"{sensitivity(height, width):.9f}",
        "fps_max": 60,
        "fps_max_unfocused": 60,
        "viewing_range": 64,
        "enable_shaders": False,
        "enable_clouds": False,
        "enable_sound": False,
        "hud_scaling": round(0.3 * width / 384, 3),
        "pause_on_lost_focus": False,
        "show_statusline_on_connect": False,
        "enable_remote_media_server": False,
        "doubletap_jump": False,
        "autojump": False,
        "keymap_dig": "KEY_LBUTTON",
        "keymap_place": "KEY_RBUTTON",
        **{
            f"keymap_{name}": "KEY_SPACE" if key == "space" else f"KEY_KEY_{key.upper()}"
            for key, name in KEYS.values()
        },
    }
