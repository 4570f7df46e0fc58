"""Encode frames into a video whose frame k lies exactly at k / fps."""

from __future__ import annotations

import os
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

SMALL = 128
"""Height in pixels under which a video keeps all colours and nearly all detail."""


def exact_rate(fps: float) -> Fraction:
    """The frame rate as a fraction, so that no time in a file is ever a rounded float."""
    return Fraction(fps).limit_denominator(1001)


class PartWriter:
    """An mp4 that grows frame by frame and appears under its name when it is whole.

    A key frame every `gop` frames makes random access cheap. There are no B-frames: packets lie in the order
    in which they are shown, so that episodes can later be joined without encoding them again.

    Args:
        path: of the finished file.
        fps: frames a second.
        crf: quality, 0 best; None for 18, and for 4 where pictures are small: there each pixel counts, and
            all keep their colour (yuv444p) instead of one in four.
        codec: of ffmpeg.
        gop: frames from one key frame to the next.
        growing: the file has its name from the first frame on and can be read at any moment, up to a frame or
            two: for what a kill must not lose.
    """

    def __init__(
        self,
        path: str | Path,
        fps: float,
        crf: int | None = None,
        codec: str = "libx264",
        gop: int = 2,
        growing: bool = False,
    ):
        self.path, self.frames = Path(path), 0
        self._rate, self._crf, self._codec, self._gop = exact_rate(fps), crf, codec, gop
        self._growing = growing
        self._partial = (
            self.path if growing else self.path.with_name(f".{self.path.name}.{os.getpid()}.partial")
        )
        self._container: av.container.OutputContainer | None = None
        self._stream: Any = None

    def add(self, image: np.ndarray) -> None:
        """Append a frame uint8 [H, W, 3]."""
        if self._container is None:
            self._open(image)
        assert self._container is not None
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
        frame.pts, frame.time_base = self.frames, 1 / self._rate
        self._container.mux(self._stream.encode(frame))
        self.frames += 1

    def close(self, path: Path | None = None) -> None:
        """Finish the file; under another name if one is given."""
        if self._container is None:
            raise ValueError("A video needs at least one frame.")
        self._container.mux(self._stream.encode())
        self._container.close()
        os.replace(self._partial, path or self.path)

    def discard(self) -> None:
        """Leave nothing behind; without effect after `close`."""
        if self._container is not None:
            self._container.close()
        self._partial.unlink(missing_ok=True)

    def _open(self, image: np.ndarray) -> None:
        height, width, channels = image.shape
        if channels != 3 or image.dtype != np.uint8 or height % 2 or width % 2:
            raise ValueError(
                f"Frames are {image.dtype} {image.shape}; pass uint8 [H, W, 3] with even H and W (yuv420p)."
            )
        small = self._crf is None and height < SMALL
        crf = self._crf if self._crf is not None else 4 if small else 18
        options = {"crf": str(crf)} | ({"preset": "veryfast"} if self._codec == "libx264" else {})
        container = {}
        if self._growing:
            options |= {"rc-lookahead": "0"}  # a frame is written when it comes
            container = {"movflags": "frag_every_frame+empty_moov+default_base_moof", "flush_packets": "1"}
        self._container = av.open(str(self._partial), "w", format="mp4", options=container)
        stream: Any = self._container.add_stream(self._codec, rate=self._rate, options=options)
        self._stream = stream
        stream.width, stream.height = width, height
        stream.pix_fmt = "yuv444p" if small else "yuv420p"
        stream.time_base = stream.codec_context.time_base = 1 / self._rate
        stream.codec_context.gop_size = self._gop
        stream.codec_context.max_b_frames = 0
        stream.codec_context.thread_count = 1  # several recorders share the machine


def encode_video(
    frames: Iterable[np.ndarray],
    path: str | Path,
    fps: float,
    crf: int | None = None,
    codec: str = "libx264",
    gop: int = 2,
) -> None:
    """Encode frames uint8 [n, H, W, 3] (an array or a stream of images) into an mp4; see `PartWriter`."""
    writer = PartWriter(path, fps, crf, codec, gop)
    try:
        for image in frames:
            writer.add(image)
        writer.close()
    finally:
        writer.discard()
