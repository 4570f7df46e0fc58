"""Pairs of files as VPT's recorder leaves them, with known content: frame k shows the number k."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from numbered_demos import number_image

from playloop.demos.video.encoder import encode_video


def line(
    keys=(), new_keys=(), buttons=(), new_buttons=(), dx=0.0, dy=0.0, x=640.0, y=360.0, gui=False, **fields
) -> dict:
    """A line of a jsonl file; keys by their last word, "w" or "left.shift"."""
    return {
        "mouse": {
            "x": x,
            "y": y,
            "dx": dx,
            "dy": dy,
            "scaledX": x - 640,
            "scaledY": y - 360,
            "dwheel": fields.pop("dwheel", 0.0),
            "buttons": list(buttons),
            "newButtons": list(new_buttons),
        },
        "keyboard": {
            "keys": [f"key.keyboard.{key}" for key in keys],
            "newKeys": [f"key.keyboard.{key}" for key in new_keys],
            "chars": "",
        },
        "isGuiOpen": gui,
        "hotbar": 0,
        "yaw": 0.0,
        "pitch": 0.0,
        "tick": 0,
        "inventory": [],
        "stats": {},
    } | fields


def write_lines(path: Path, lines: list[dict]) -> None:
    path.write_text("".join(json.dumps(record) + "\n" for record in lines))


def write_pair(root: Path, name: str, lines: list[dict], frames=None, fps: float = 20.0) -> None:
    """`frames`: as many as there are lines, numbered, unless given."""
    root.mkdir(parents=True, exist_ok=True)
    frames = [number_image(number) for number in range(len(lines))] if frames is None else frames
    encode_video(frames, root / f"{name}.mp4", fps)
    write_lines(root / f"{name}.jsonl", lines)


def noise(size: tuple[int, int], seed: int = 0) -> np.ndarray:
    """A smooth picture that a codec keeps."""
    coarse = np.random.default_rng(seed).integers(0, 256, (size[0] // 20, size[1] // 20, 3), np.uint8)
    return coarse.repeat(20, 0).repeat(20, 1)
