"""Read single frames of a video by their number."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from playloop.demos.parts import exact_rate


class CorruptFile(ValueError):
    """A file of a data set cannot be read; the message names it."""


class VideoDecoder:
    """One open mp4, addressed by frame number from the file's start, never by seconds in floating point.

    Args:
        path: the mp4.
        fps: its constant frame rate; frame k is expected at k / fps exactly.
    """

    forward = 8  # frames that are decoded and dropped rather than sought: about what a seek costs

    def __init__(self, path: str | Path, fps: float):
        self.path = Path(path)
        try:
            self._container = av.open(str(path))
            self._stream = self._container.streams.video[0]
            tick = Fraction(self._stream.time_base or 0)  # seconds; ffmpeg knows it of every mp4
            self._ticks = 1 / (exact_rate(fps) * tick)
        except (av.error.FFmpegError, IndexError, ZeroDivisionError) as error:
            raise CorruptFile(
                f"{path} is missing or not a readable video ({error}); restore or re-record it."
            ) from error
        self._stream.codec_context.thread_count = 1  # threads would add latency to every random access
        self._origin = self._stream.start_time or 0
        self._frames: Iterator[av.VideoFrame] = iter(())
        self._next = -1

    @property
    def length(self) -> int:
        """Number of frames in the file's header."""
        return self._stream.frames

    @property
    def header(self) -> dict:
        """What LeRobot's `info.json` tells about a video."""
        context = self._stream.codec_context
        return {
            "video.height": context.height,
            "video.width": context.width,
            "video.codec": context.codec.canonical_name,
            "video.pix_fmt": context.pix_fmt,
            "video.channels": 3,
            "has_audio": bool(self._container.streams.audio),
        }

    def frame(self, number: int) -> np.ndarray:
        """Frame `number` as uint8 [H, W, 3].

        Raises:
            CorruptFile: if the file has no such frame.
        """
        try:
            return self._find(number).to_ndarray(format="rgb24")
        except (av.error.FFmpegError, StopIteration) as error:
            self._next = -1
            raise CorruptFile(
                f"{self.path}: frame {number} of {self.length} cannot be decoded ({error})."
            ) from error

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    def _find(self, number: int) -> av.VideoFrame:
        if number < 0:
            raise CorruptFile(f"{self.path}: there is no frame {number}.")
        if not 0 <= number - self._next <= self.forward or self._next < 0:
            pts = self._origin + round(number * self._ticks)
            self._container.seek(pts, stream=self._stream, backward=True)
            self._frames = self._container.decode(self._stream)
        while True:
            frame = next(self._frames)
            found = round(((frame.pts or 0) - self._origin) / self._ticks)
            self._next = found + 1
            if found == number:
                return frame
            if found > number:
                raise CorruptFile(f"{self.path}: frame {number} is missing, the next one is {found}.")
