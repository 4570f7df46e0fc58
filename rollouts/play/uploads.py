"""Images and clips from outside, decoded under limits and, for a page, in a process of its own.

Whatever a file does to a decoder, play goes on.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
from itertools import takewhile
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from playloop.core.children import CONTEXT
from playloop.core.files import check_pointer
from playloop.core.minecraft import ACTION_SIZE
from playloop.rollouts.play.clips import HOLES, as_shown, check_size, film, has_holes, moving

IMAGES = ("PNG", "JPEG", "WEBP", "GIF", "BMP")
MOVING = ("PNG", "WEBP", "GIF")
CONTAINERS = {b"ftyp": ("mp4", 4), b"\x1aE\xdf\xa3": ("matroska", 0)}
"""Magic number → demuxer and its offset. All others are refused: some formats name further files to read."""
SECONDS = 15
"""Processor time for a file; by the clock it may take twice as long."""
MEMORY = 2 << 30
"""Bytes of address space."""
ANSWER = 4096
"""Bytes of what the process has to say."""
CLIPS = 8
"""Most beginnings that are taken from one recording."""


def decode_upload(path: Path, rate: float | None) -> np.ndarray:
    """The frames of `read_upload` alone."""
    return read_upload(path, rate)[0]


def read_upload(path: Path, rate: float | None) -> tuple[np.ndarray, str | None]:
    """An image, or the end of a clip, as viewers show it.

    Args:
        path: the file.
        rate: ticks a second of what goes on from it, which neighbouring frames must be apart: of a clip that
            is slower only the last frame is taken. None: the last frames, however far apart.

    Returns:
        Frames, uint8 [T, H, W, 3], T ≤ 64, no side above 640, one tick from each to the next; what the sender
        should know about them, if there is anything.

    Raises:
        ValueError: it is neither, damaged, or beyond the limits.
    """
    with path.open("rb") as file:
        start = file.read(16)
    for magic, (name, offset) in CONTAINERS.items():
        if start[offset : offset + len(magic)] == magic:
            return _joined(*film(path, name, rate))
    try:
        with Image.open(path, formats=IMAGES) as image:
            check_size(*image.size)
            if image.format in MOVING and getattr(image, "is_animated", False):
                return _joined(*moving(image, rate))
            return _joined([as_shown(image)], HOLES if has_holes(image) else None)
    except (UnidentifiedImageError, OSError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        raise ValueError(
            "the file is no image or clip that can be read; send PNG, JPEG, WebP, GIF, MP4, WebM or MKV."
        ) from error


def _joined(frames: list[np.ndarray], note: str | None) -> tuple[np.ndarray, str | None]:
    """Frames of one size: those at the end that have the last one's."""
    same = [*takewhile(lambda frame: frame.shape == frames[-1].shape, reversed(frames))]
    return np.stack(same[::-1]), note


def decode_apart(path: Path, rate: float, target: Path) -> str | None:
    """Decode an upload under limits of time and memory as `read_upload` does, its frames into a file.

    Args:
        path: of the upload.
        rate: ticks a second of what goes on from it.
        target: for `load_frames`.

    Returns:
        What its sender should know about it, if there is anything.

    Raises:
        ValueError: it is of no use; says why.
    """
    ours, theirs = CONTEXT.Pipe(duplex=False)
    process = CONTEXT.Process(target=_decode, args=(theirs, path, rate, target), daemon=True)
    process.start()
    theirs.close()
    try:
        if not ours.poll(2 * SECONDS):
            raise ValueError(f"the file takes longer than {2 * SECONDS} s to decode; send less of it.")
        answer = json.loads(ours.recv_bytes(ANSWER))  # no pickle: a file may have taken the process over
    except (EOFError, OSError):
        process.join(1)
        slow = process.exitcode == -signal.SIGXCPU
        why = f"takes longer than {SECONDS} s to decode; send less of it" if slow else "breaks its decoder"
        raise ValueError(f"the file {why}.") from None
    finally:
        process.kill()
        process.join()
        process.close()
        ours.close()
    if "error" in answer:
        raise ValueError(str(answer["error"]))
    return answer["note"]


def load_frames(path: Path) -> np.ndarray:
    """What `decode_apart` has left, uint8 [T, H, W, 3]."""
    return np.load(path, allow_pickle=False)


def _decode(connection: Connection, path: Path, rate: float, target: Path) -> None:
    """Main function of the process."""
    os.nice(5)  # play comes first
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS + 1))
    with contextlib.suppress(ValueError, OSError):  # macOS has no such limit
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # decoders complain there
    answer: dict[str, Any]
    try:
        frames, note = read_upload(path, rate)
        with target.open("wb") as file:
            np.save(file, frames)
        answer = {"note": note}
    except MemoryError:
        answer = {"error": "the file takes more memory than there is for it; send less of it."}
    except ValueError as error:
        answer = {"error": str(error)[:500]}
    connection.send_bytes(json.dumps(answer).encode())
    os._exit(0)


# -- beginnings of a world model, for `playloop convert` ------------------------------------------------


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
    from playloop.demos.video.decoder import VideoDecoder  # decoding an upload does not wait for them
    from playloop.demos.vpt.recording import FPS, read_recording

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
