"""Clips as viewers show them: films upright and in their own colours, and pictures that move."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import (
    ColorPrimaries,
    ColorRange,
    Colorspace,
    ColorTrc,
    Interpolation,
    VideoReformatter,
)
from PIL import Image

from playloop.rollouts.play.sampling import Sampler
from playloop.rollouts.play.stills import as_shown, check_size, fitting, has_holes

HDR = {ColorTrc.SMPTE2084, ColorTrc.ARIB_STD_B67}
"""Transfer curves that a screen of eight bits cannot show as they are."""
UNSAID = 2
"""How ffmpeg writes that a film does not say which colours it is in."""
HIGH = 720
"""Rows from which on such a film counts as BT.709, as in browsers; below as BT.601."""
MISSING = 0.1
"""Seconds that a moving picture's frame is shown if it asks for no more than 10 ms, as in browsers."""
HOLES = "its transparent parts are shown white"


def film(path: Path, name: str, rate: float | None) -> tuple[list[np.ndarray], str | None]:
    """The last frames of a film at a rate, see `Sampler`.

    Args:
        path: the file.
        name: of the demuxer.
        rate: ticks a second, or None.

    Raises:
        ValueError: it is damaged, without a picture, or too large.
    """
    try:
        with path.open("rb") as file, av.open(file, format=name) as container:
            stream: Any = container.streams.best("video")
            if stream is None:
                raise ValueError("the clip has no picture; send one with a video track.")
            if stream.codec_context is None:
                raise ValueError("the clip's codec is not known here; send H.264, H.265, VP9 or AV1.")
            check_size(stream.codec_context.width, stream.codec_context.height)
            sampler = Sampler(_end(container, stream), rate)
            painter = VideoReformatter()  # one for all: tables for HDR take it seconds
            for time, frame in _tail(container, stream, sampler.begin):
                check_size(frame.width, frame.height)
                sampler.add(time, partial(_upright, frame, stream, painter))
            return sampler.frames()
    except av.FFmpegError as error:
        raise ValueError(f"the clip cannot be decoded: {error.strerror}.") from error


def moving(image: Image.Image, rate: float | None) -> tuple[list[np.ndarray], str | None]:
    """The last frames of a GIF, WebP or PNG that moves, at a rate; see `Sampler`."""
    times = [0.0]
    for number in range(image.n_frames):  # type: ignore[attr-defined]
        image.seek(number)
        image.load()  # WebP tells a frame's duration when it is decoded
        seconds = float(image.info.get("duration", 0)) / 1000
        times.append(times[-1] + (seconds if seconds > 0.01 else MISSING))
    sampler, holes = Sampler(times[-2], rate), False
    for number, time in enumerate(times[:-1]):
        if time >= sampler.begin:
            image.seek(number)
            holes = holes or has_holes(image)
            sampler.add(time, partial(as_shown, image))
    frames, note = sampler.frames()
    return frames, "; ".join(filter(None, (note, HOLES if holes else None))) or None


def _end(container: Any, stream: Any) -> float:
    """Time of the last frame: from the packets, as headers are often wrong."""
    shown = (p.pts for p in container.demux(stream) if p.pts is not None and p.size and not p.is_discard)
    last = max(shown, default=None)
    if last is None:
        raise ValueError("the clip holds no frame that can be decoded.")
    return float(last * stream.time_base)


def _tail(container: Any, stream: Any, begin: float) -> Iterator[tuple[float, Any]]:
    """Frames with their times from the key frame before a time on."""
    first = max(begin, float((stream.start_time or 0) * stream.time_base), -1e9)
    container.seek(int(first / stream.time_base), stream=stream, backward=True)
    frames = container.decode(stream)
    decoded = False
    while True:
        try:
            frame = next(frames)
        except StopIteration:
            return
        except av.FFmpegError:  # what follows a damaged frame may be whole
            if decoded:
                return
            raise
        decoded = True
        if frame.time is not None:
            yield float(frame.time), frame


def _upright(frame: Any, stream: Any, painter: VideoReformatter) -> np.ndarray:
    """A frame in the colours, proportions and place in which it is shown, uint8 [H, W, 3]."""
    aspect = float(stream.sample_aspect_ratio or 1)
    width, height = fitting(max(1, round(frame.width * aspect)), frame.height)
    options: dict[str, Any] = {}
    if frame.colorspace == UNSAID and not frame.format.is_rgb:
        options["src_colorspace"] = Colorspace.ITU709 if frame.height >= HIGH else Colorspace.ITU601
    if frame.color_trc in HDR:
        options |= {"dst_color_trc": ColorTrc.IEC61966_2_1, "dst_color_primaries": ColorPrimaries.BT709}
    shown = painter.reformat(
        frame,
        width,
        height,
        "rgb24",
        dst_color_range=ColorRange.JPEG,
        interpolation=Interpolation.AREA | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT,
        threads=1,
        **options,
    )
    return _turned(shown.to_ndarray(), frame)


def _turned(picture: np.ndarray, frame: Any) -> np.ndarray:
    """Turned and mirrored as the film's display matrix says, to the nearest quarter.

    The matrix maps a place (x, y) of the picture to one of the screen: x' = ax + cy, y' = bx + dy.
    """
    data = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return picture
    a, b, _, c, d = struct.unpack("=5i", bytes(data)[:20])
    if abs(b) + abs(c) > abs(a) + abs(d):  # the rows become columns
        picture, a, d = picture.swapaxes(0, 1), c, b
    if a < 0:
        picture = picture[:, ::-1]
    if d < 0:
        picture = picture[::-1]
    return np.ascontiguousarray(picture)
