"""Encode frames into a video whose frame k lies exactly at k / fps."""

from __future__ import annotations

import os
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np


def exact_rate(fps: float) -> Fraction:
    """The frame rate as a fraction, so that no time in a file is ever a rounded float."""
    return Fraction(fps).limit_denominator(1001)


def encode_video(
    frames: Iterable[np.ndarray],
    path: str | Path,
    fps: float,
    crf: int = 18,
    codec: str = "libx264",
    gop: int = 2,
) -> None:
    """Encode frames uint8 [n, H, W, 3] (an array or a stream of images) into an mp4, atomically.

    A key frame every `gop` frames makes random access cheap. There are no B-frames: packets lie in the order
    in which they are shown, so that episodes can later be joined without encoding them again.
    """
    path = Path(path)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with av.open(str(partial), "w", format="mp4") as container:
            _encode(container, frames, exact_rate(fps), crf, codec, gop)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _encode(container, frames: Iterable[np.ndarray], rate: Fraction, crf: int, codec: str, gop: int) -> None:
    stream = None
    for number, image in enumerate(frames):
        if stream is None:
            stream = _open_stream(container, image, rate, crf, codec, gop)
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
        frame.pts, frame.time_base = number, 1 / rate
        container.mux(stream.encode(frame))
    if stream is None:
        raise ValueError("A video needs at least one frame.")
    container.mux(stream.encode())


def _open_stream(container, image: np.ndarray, rate: Fraction, crf: int, codec: str, gop: int):
    height, width, channels = image.shape
    if channels != 3 or image.dtype != np.uint8 or height % 2 or width % 2:
        raise ValueError(
            f"Frames are {image.dtype} {image.shape}; pass uint8 [H, W, 3] with even H and W (yuv420p)."
        )
    options = {"crf": str(crf)}
    if codec == "libx264":
        options["preset"] = "veryfast"
    stream = container.add_stream(codec, rate=rate, options=options)
    stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
    stream.time_base = stream.codec_context.time_base = 1 / rate
    stream.codec_context.gop_size = gop
    stream.codec_context.max_b_frames = 0
    stream.codec_context.thread_count = 1  # several recorders share the machine
    return stream
