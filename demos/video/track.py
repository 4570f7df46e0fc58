"""Join the videos of episodes into larger files without encoding them again."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av

from playloop.demos.corrupt import reading
from playloop.demos.video.decoder import UNREADABLE

ENCODER = "playloop.demos.video.encoder.encode_video"


class VideoTrack:
    """Appends episodes of one camera to mp4 files, so that frame k of a file lies exactly at k / fps.

    Args:
        rate: frames a second.
        name: file number → path of that file.
        limit: bytes after which the next file is begun.
    """

    def __init__(self, rate: Fraction, name: Callable[[int], Path], limit: int):
        self._rate, self._name, self._limit = rate, name, limit
        self._container: av.container.OutputContainer | None = None
        self._extradata: bytes | None = None
        self._bytes = 0
        self.file = -1
        self.frames = 0

    def append(self, part: Path, frames: int) -> tuple[int, int]:
        """Add a video of exactly `frames` frames; the file's number, and that of its first frame there."""
        with _packets(part, frames) as (stream, packets):
            self._make_room(stream, os.path.getsize(part))
            first = self.frames
            for packet in packets:
                self._write(packet)
        return self.file, first

    def close(self) -> None:
        """Write the index of the open file; without it the file is unreadable."""
        if self._container is not None:
            self._container.close()
            self._container = None

    def _make_room(self, stream, size: int) -> None:
        # Packets of another encoder setting cannot follow in one file: the header describes all of them.
        extradata = bytes(stream.codec_context.extradata or b"")
        full = self._bytes > 0 and self._bytes + size > self._limit
        if self._container is None or full or extradata != self._extradata:
            self.close()
            self.file, self.frames, self._bytes, self._extradata = self.file + 1, 0, 0, extradata
            path = self._name(self.file)
            path.parent.mkdir(parents=True, exist_ok=True)
            self._container = av.open(str(path), "w", format="mp4")
            self._stream = self._container.add_stream_from_template(stream)
            self._stream.time_base = 1 / self._rate
        self._bytes += size

    def _write(self, packet: av.Packet) -> None:
        packet.pts = packet.dts = self.frames
        packet.duration = 1
        packet.time_base = 1 / self._rate
        packet.stream = self._stream
        assert self._container is not None
        self._container.mux(packet)
        self.frames += 1


def check_part(part: Path, frames: int) -> None:
    """Raise unless `part` can be appended as an episode of so many frames."""
    with _packets(part, frames):
        pass


@contextmanager
def _packets(part: Path, frames: int) -> Iterator[tuple[av.VideoStream, list[av.Packet]]]:
    """The stream and packets of a video that is an episode of `frames` frames."""
    with reading(part, "a readable video", *UNREADABLE):
        source = av.open(str(part))
    with source:
        stream = source.streams.video[0]
        packets = [packet for packet in source.demux(stream) if packet.size]
        if len(packets) != frames:
            raise ValueError(
                f"{part} holds {len(packets)} frames, the episode has {frames} rows; encode one for each row."
            )
        if any(later <= earlier for earlier, later in pairwise(packet.pts or 0 for packet in packets)):
            raise ValueError(f"{part} has B-frames; encode it with {ENCODER} (max_b_frames = 0).")
        if not packets[0].is_keyframe:
            raise ValueError(f"{part} does not begin with a key frame; encode it with {ENCODER}.")
        yield stream, packets
