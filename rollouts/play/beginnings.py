"""Pictures that play can begin with; published checkpoints carry none."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from playloop.core.files import check_pointer
from playloop.core.minecraft import ACTION_SIZE
from playloop.demos.video.decoder import VideoDecoder
from playloop.demos.vpt.recording import FPS, read_recording
from playloop.rollouts.play.uploads import decode_upload

CLIPS = 8
"""Most beginnings that are taken from one recording."""


def read_starts(path: Path, frames: int) -> tuple[np.ndarray, np.ndarray]:
    """Beginnings from an image, a clip, or a VPT recording: a clip NAME.mp4 beside its NAME.jsonl.

    Args:
        path: the image or the clip.
        frames: of a beginning, where the actions between them are known; else one.

    Returns:
        uint8 [S, T, H, W, 3]; the actions between the frames, float32 [S, T - 1, 25].

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is neither, or damaged.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there; give starts=FILE, an image or a clip")
    if path.suffix == ".mp4" and path.with_suffix(".jsonl").is_file():
        return _recorded(path, frames)
    check_pointer(path)
    try:
        images = decode_upload(path, None)  # every picture is a beginning of its own
    except ValueError as error:
        raise ValueError(f"starts={path}: {error}") from error
    chosen = images[np.unique(np.linspace(0, len(images) - 1, CLIPS).round().astype(int))]
    return chosen[:, None], np.zeros((len(chosen), 0, ACTION_SIZE), np.float32)


def _recorded(path: Path, frames: int) -> tuple[np.ndarray, np.ndarray]:
    recording = read_recording(path.parent, path.stem, slack=1)
    gui = recording.gui
    firsts = [k for k in range(0, len(gui) - frames + 1, frames) if not gui[k : k + frames].any()]
    if not firsts:
        raise ValueError(f"{path} has no {frames} frames in a row outside of menus; give another recording")
    chosen = [firsts[k] for k in np.unique(np.linspace(0, len(firsts) - 1, CLIPS).round().astype(int))]
    decoder = VideoDecoder(path, FPS)
    try:
        images = np.stack([[decoder.frame(first + k) for k in range(frames)] for first in chosen])
    finally:
        decoder.close()
    return images, np.stack([recording.actions[first : first + frames - 1] for first in chosen])
