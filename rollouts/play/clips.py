"""Pictures and clips as viewers show them: upright, eight bits, sRGB, nothing transparent."""

from __future__ import annotations

import contextlib
import io
import struct
from collections import deque
from collections.abc import Callable, Iterator
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
from PIL import Image, ImageCms

from playloop.core.images import upright

GROUND = (255, 255, 255)
"""What lies behind transparent pixels: white, as most viewers have it."""
SIDE = 640
"""Longest side of what is kept, so that a clip's memory is bounded."""
MAX_PIXELS = 4096 * 2304
HDR = {ColorTrc.SMPTE2084, ColorTrc.ARIB_STD_B67}
"""Transfer curves that a screen of eight bits cannot show as they are."""
UNSAID = 2
"""How ffmpeg writes that a film does not say which colours it is in."""
HIGH = 720
"""Rows from which on such a film counts as BT.709, as in browsers; below as BT.601."""
MISSING = 0.1
"""Seconds that a moving picture's frame is shown if it asks for no more than 10 ms, as in browsers."""
HOLES = "its transparent parts are shown white"
MAX_FRAMES = 64
"""Frames of a clip that are kept, its last."""
SLOWEST = 0.97
"""Share of the world's rate that a clip must have on average."""
GAP = 1.5
"""Ticks between two frames of a clip from which on something is missing between them."""
SLACK = 0.1
"""Ticks by which the first frame that is kept may come late."""


def check_size(width: int, height: int) -> None:
    """ValueError for pictures that are too large to decode; says how large they may be."""
    if not 0 < width * height <= MAX_PIXELS:
        raise ValueError(f"{width} × {height} pixels are too many; send at most 4096 × 2304.")


def fitting(width: int, height: int) -> tuple[int, int]:
    """Width and height with the same proportions and no side above `SIDE`."""
    share = min(1.0, SIDE / max(width, height))
    return max(1, round(width * share)), max(1, round(height * share))


def has_holes(image: Image.Image) -> bool:
    """Whether anything in a picture is transparent."""
    if not image.has_transparency_data:
        return False
    return any(image.convert("RGBA").getchannel("A").histogram()[:255])


def as_shown(image: Image.Image) -> np.ndarray:
    """A picture as a viewer shows it, uint8 [H, W, 3], no side above `SIDE`.

    Turned as its EXIF says, 16 bits scaled to 8, its colour profile converted to sRGB, laid on `GROUND`.
    """
    profile = image.info.get("icc_profile")
    image = upright(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        flat = Image.alpha_composite(Image.new("RGBA", image.size, (*GROUND, 255)), image).convert("RGB")
    else:
        flat = image if image.mode == "CMYK" and profile else image.convert("RGB")
    if flat.size != (size := fitting(*flat.size)):
        flat = flat.resize(size, Image.Resampling.BOX)
    return np.array(_standard(flat, profile))


def _standard(image: Image.Image, profile: bytes | None) -> Image.Image:
    """In sRGB; a profile that cannot be read counts as none, as in browsers."""
    if profile:
        with contextlib.suppress(ImageCms.PyCMSError, OSError, ValueError):
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            turned = ImageCms.profileToProfile(
                image, source, ImageCms.createProfile("sRGB"), outputMode="RGB"
            )
            assert turned is not None
            return turned
    return image.convert("RGB")


def film(path: Path, name: str, rate: float | None) -> tuple[list[np.ndarray], str | None]:
    """The last frames of a film at a rate, see `Sampler`; `name` is the demuxer's.

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
    decoded = False
    try:
        for frame in container.decode(stream):
            decoded = True
            if frame.time is not None:
                yield float(frame.time), frame
    except av.FFmpegError:  # what came before the damage counts
        if not decoded:
            raise


def _upright(frame: Any, stream: Any, painter: VideoReformatter) -> np.ndarray:
    """A frame in the colours, proportions and orientation in which it is shown, uint8 [H, W, 3]."""
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

    The matrix maps a point (x, y) of the picture to one of the screen: x' = ax + cy, y' = bx + dy.
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


class Sampler:
    """Keeps the frames of a clip that lie nearest to the world's ticks, counted back from the clip's end.

    An action of the world lasts one tick. Neighbours that are further apart show what longer actions did:
    of a clip that is slower than the world only the last frame counts, of one with a gap what follows it.

    Args:
        end: time of the clip's last frame in seconds.
        rate: ticks a second; None takes the last frames as they are, however far apart.
    """

    def __init__(self, end: float, rate: float | None):
        self._end, self._rate = end, rate
        self._times: deque[float] = deque(maxlen=MAX_FRAMES if rate is None else 100_000)
        self._plain: deque[np.ndarray] = deque(maxlen=MAX_FRAMES)
        self._kept: dict[int, tuple[float, float, np.ndarray]] = {}

    @property
    def begin(self) -> float:
        """Frames before this time are not needed."""
        return self._end - (MAX_FRAMES + 2) / self._rate if self._rate else -np.inf

    def add(self, time: float, draw: Callable[[], np.ndarray]) -> None:
        """Take a frame in; it is drawn only if it is nearer to a tick than what is there."""
        if self._rate is None:
            self._plain.append(draw())
            return
        if time < self.begin or (self._times and time <= self._times[-1]):
            return
        self._times.append(time)
        ticks = (self._end - time) * self._rate
        tick = max(0, round(ticks))
        if tick < MAX_FRAMES and (tick not in self._kept or abs(ticks - tick) < self._kept[tick][0]):
            self._kept[tick] = abs(ticks - tick), time, draw()

    def frames(self) -> tuple[list[np.ndarray], str | None]:
        """The frames that count, one a tick, and why there are fewer than the clip could give.

        Raises:
            ValueError: there is no frame.
        """
        if not (self._kept or self._plain):
            raise ValueError("the clip holds no frame that can be decoded.")
        if self._rate is None:
            return list(self._plain), None
        begin, note = self._unbroken(self._rate)
        found: list[np.ndarray] = []
        last = int((self._end - begin) * self._rate + SLACK)
        for tick in range(min(self._kept), min(last + 1, MAX_FRAMES)):
            if tick not in self._kept or self._kept[tick][1] < begin:
                break
            found.append(self._kept[tick][2])
        return found[::-1], note

    def _unbroken(self, rate: float) -> tuple[float, str | None]:
        """Since when the clip is as fast as the world, and what is to be said about it."""
        times = np.array(self._times)
        steps = np.diff(times)
        gaps = np.flatnonzero(steps > GAP / rate)
        first = gaps[-1] + 1 if len(gaps) else 0
        count, seconds = len(times) - 1 - first, times[-1] - times[first]
        slow = count / seconds < SLOWEST * rate if count else len(times) > 1
        if slow:
            own = 1 / np.median(steps)
            return times[-1], (
                f"the clip has {own:.3g} frames a second where this world has {rate:g}: only its last frame "
                f"counts; send a clip of at least {rate:g}"
            )
        if len(gaps):
            return times[
                first
            ], f"the clip has a gap {seconds:.2f} s before its end: only what follows counts"
        return times[0], None
