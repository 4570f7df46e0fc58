"""Read single frames of a video by their number."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any

import av
import numpy as np

from playloop.demos.corrupt import CorruptFile, reading
from playloop.demos.video.encoder import exact_rate

UNREADABLE = (av.error.FFmpegError, IndexError, UnicodeDecodeError)
"""What a damaged video may raise: its header may lack a stream, or hold names that are no text."""


class VideoDecoder:
    """One open video, addressed by frame number, never by seconds.

    Frame k is the k-th that is shown, whenever that is: a video may begin late, and its frames may be late.

    Args:
        path: the video.
        fps: its frame rate, by which `on_time` judges.

    Raises:
        CorruptFile: there is no readable video.
    """

    forward = 8  # frames that are decoded and dropped rather than sought: about what a seek costs

    def __init__(self, path: str | Path, fps: float):
        self.path, self.fps = Path(path), fps
        self._container, self._stream = _opened(self.path)
        self._stream.codec_context.thread_count = 1  # threads would add latency to every random access
        self._frames: Iterator[av.VideoFrame] = iter(())
        self._next = -1

    @property
    def length(self) -> int:
        """Number of frames that are shown: taken from the file's index, counted where there is no whole one.

        A file that was cut without being encoded again holds more: an edit list hides those.
        """
        shown = sum(not entry.is_discard for entry in self._stream.index_entries)
        return shown if self._stream.frames and shown else len(self._times)

    @property
    def rate(self) -> float:
        """Frames a second: what the header says if it is `fps`, else by the gap that most frames keep."""
        said = float(self._stream.average_rate or 0)
        if abs(said - self.fps) <= 0.01 or len(self._times) < 2:
            return said
        return 1 / float(np.median(np.diff(self._times)) * Fraction(self._stream.time_base or 1))

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the frames."""
        return self._stream.height, self._stream.width

    @property
    def header(self) -> dict:
        """What LeRobot's `info.json` says about a video."""
        context = self._stream.codec_context
        return {
            "video.height": context.height,
            "video.width": context.width,
            "video.codec": context.codec.canonical_name,
            "video.pix_fmt": context.pix_fmt,
            "video.channels": 3,
            "has_audio": bool(self._container.streams.audio),
        }

    @property
    def on_time(self) -> bool:
        """Whether frame k is shown k / fps seconds after the first, to a quarter of a frame."""
        tick = Fraction(self._stream.time_base or 0)
        frames = (self._times - self._times[0]) * float(tick * exact_rate(self.fps))
        return bool((np.abs(frames - np.arange(len(frames))) < 0.25).all())

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

    @property
    def _times(self) -> np.ndarray:
        """When each frame is shown, in ticks of the stream, rising, int64 [n]."""
        state = self.path.stat()
        return frame_times(str(self.path), state.st_size, state.st_mtime_ns)

    def _find(self, number: int) -> av.VideoFrame:
        if not 0 <= number < len(self._times):
            raise CorruptFile(f"{self.path}: there is no frame {number} of {len(self._times)}.")
        if not 0 <= number - self._next <= self.forward or self._next < 0:
            self._seek(int(self._times[number]))
        for attempt in range(2):
            while (found := self._number_of(frame := next(self._frames))) < number:
                pass
            if found == number:
                return frame
            if attempt == 0:  # a key frame before it was not marked as one that leads to it
                self._seek(int(self._times[0]))
        raise CorruptFile(f"{self.path}: frame {number} is missing, the next one is {found}.")

    def _seek(self, time: int) -> None:
        self._container.seek(time, stream=self._stream, backward=True)
        self._frames, self._next = self._container.decode(self._stream), -1

    def _number_of(self, frame: av.VideoFrame) -> int:
        """The number of a frame that was just decoded; of several at one time, one after the other."""
        times, number = self._times, self._next
        if frame.pts is None or not (0 <= number < len(times) and times[number] == frame.pts):
            number = int(np.searchsorted(times, frame.pts if frame.pts is not None else times[-1] + 1))
        self._next = number + 1
        return number


def _opened(path: Path) -> tuple[av.container.InputContainer, av.VideoStream]:
    """A video and its first stream, whose coding is known here."""
    with reading(path, "a readable video", *UNREADABLE):
        container = av.open(str(path))
        stream = container.streams.video[0]
    if stream.codec_context is None:
        container.close()
        raise CorruptFile(f"{path} is not a readable video (its coding is damaged or unknown); restore it.")
    ends = [entry.pos + entry.size for entry in stream.index_entries]  # empty where a container has no index
    if ends and max(ends) > path.stat().st_size:
        container.close()
        raise CorruptFile(f"{path} is cut off: its frames end behind its own end; restore it.")
    return container, stream


@lru_cache(maxsize=64)
def frame_times(path: str, _size: int, _changed: int) -> np.ndarray:
    """When each frame of a video is shown, in ticks, rising, int64 [n]; read from the packets, not decoded.

    Raises:
        CorruptFile: the packets cannot be read, or do not say when their frames are shown.
    """
    with reading(Path(path), "a readable video", *UNREADABLE), av.open(path) as container:
        packets: Any = container.demux(container.streams.video[0])
        times = [packet.pts for packet in packets if packet.size and not packet.is_discard]
    if not times or None in times:
        raise CorruptFile(
            f"{path} holds no frame that says when it is shown; write it as mp4 anew (ffmpeg -i OLD NEW.mp4)."
        )
    return np.sort(np.array(times, np.int64))
