"""Images and clips from outside: as viewers show them, at the world's rate, whatever is wrong with them."""

from __future__ import annotations

import io
import random
import struct
import wave
from fractions import Fraction

import av
import numpy as np
import pytest
from PIL import Image, ImageCms

from playloop.rollouts.play.clips import MAX_FRAMES, SIDE, Sampler
from playloop.rollouts.play.uploads import decode_apart, decode_upload, load_frames, read_upload

LEFT, RIGHT = (200, 0, 0), (0, 0, 200)


def halves(mode="RGB", size=(64, 32)):
    image = Image.new("RGB", size, RIGHT)
    image.paste(LEFT, (0, 0, size[0] // 2, size[1]))
    return image.convert(mode)


def saved(tmp_path, image, kind="PNG", **options):
    image.save(tmp_path / "upload", kind, **options)
    return tmp_path / "upload"


def near(pixel, wanted, most=8):
    return np.abs(np.asarray(pixel, int) - wanted).max() <= most


# -- pictures --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "mode"),
    [(kind, mode) for kind in ("PNG", "JPEG", "WEBP", "GIF", "BMP") for mode in ("RGB", "L")]
    + [("PNG", "P"), ("GIF", "P"), ("BMP", "P"), ("JPEG", "CMYK"), ("PNG", "1")],
)
def test_a_picture_is_one_frame(tmp_path, kind, mode):
    image = halves(mode)
    frames, note = read_upload(saved(tmp_path, image, kind), 20.0)
    assert frames.shape == (1, 32, 64, 3) and note is None
    shown = np.asarray(image.convert("RGB"))
    for column in (4, 60):
        assert near(frames[0, 16, column], shown[16, column], 12)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize(("turn", "corner"), [(3, RIGHT), (6, LEFT), (8, RIGHT), (2, RIGHT)])
def test_a_photograph_is_upright(tmp_path, kind, turn, corner):
    exif = Image.Exif()
    exif[274] = turn
    frames = decode_upload(saved(tmp_path, halves(), kind, exif=exif), 20.0)
    assert frames.shape == ((1, 64, 32, 3) if turn > 4 else (1, 32, 64, 3))
    assert near(frames[0, 2, 2], corner)


def test_sixteen_bits_become_eight(tmp_path):
    grey = np.linspace(0, 65535, 64 * 32).reshape(32, 64).astype(np.uint16)
    frames = decode_upload(saved(tmp_path, Image.fromarray(grey)), 20.0)
    assert np.abs(frames[0, ..., 1].astype(int) - grey // 257).max() <= 1
    colour = np.stack([grey, grey[::-1], grey[:, ::-1]], -1)
    codec = av.CodecContext.create("png", "w")
    codec.width, codec.height, codec.pix_fmt, codec.time_base = 64, 32, "rgb48be", Fraction(1, 20)
    frame = av.VideoFrame.from_ndarray(colour, format="rgb48be")
    (tmp_path / "upload").write_bytes(b"".join(bytes(packet) for packet in codec.encode(frame)))
    frames = decode_upload(tmp_path / "upload", 20.0)
    assert np.abs(frames[0].astype(int) - colour // 257).max() <= 1


@pytest.mark.parametrize(
    ("kind", "mode", "options"),
    [
        ("PNG", "RGBA", {}),
        ("PNG", "LA", {}),
        ("WEBP", "RGBA", {"lossless": True}),
        ("PNG", "RGB", {"transparency": LEFT}),
        ("PNG", "P", {"transparency": 0}),
        ("GIF", "P", {"transparency": 0}),
    ],
)
def test_what_is_transparent_is_white_and_that_is_said(tmp_path, kind, mode, options):
    image = halves()
    if mode == "P":
        image = image.quantize(4)
        options = {"transparency": image.getpixel((0, 0))}
    elif mode in ("RGBA", "LA"):
        image.putalpha(Image.fromarray(np.repeat([[0] * 32 + [255] * 32], 32, 0).astype(np.uint8)))
        image = image.convert(mode)
    frames, note = read_upload(saved(tmp_path, image, kind, **options), 20.0)
    assert near(frames[0, 2, 2], (255, 255, 255)) and not near(frames[0, 2, 60], (255, 255, 255))
    assert "transparent parts are shown white" in note
    image = halves("RGBA")  # nothing is transparent
    assert read_upload(saved(tmp_path, image), 20.0)[1] is None


def test_colours_are_those_of_the_profile(tmp_path):
    usual = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for profile in (usual, b"none that can be read"):
        found = decode_upload(saved(tmp_path, halves(), "JPEG", icc_profile=profile), 20.0)
        assert near(found[0, 2, 2], LEFT)
    path = saved(tmp_path, Image.new("RGB", (32, 32), (100, 160, 100)), icc_profile=_adobe())
    assert near(decode_upload(path, 20.0)[0, 4, 4], (53, 161, 96), 3)


def _adobe():
    """The smallest profile of Adobe RGB: three primaries and a power of 2.2."""
    fixed = lambda value: struct.pack(">i", round(value * 65536))  # noqa: E731
    point = lambda xyz: b"XYZ \0\0\0\0" + b"".join(map(fixed, xyz))  # noqa: E731
    curve = b"curv\0\0\0\0" + struct.pack(">IHH", 1, 0x0233, 0)
    tags = {b"wtpt": point((0.9642, 1.0, 0.8249)), b"rTRC": curve, b"gTRC": curve, b"bTRC": curve}
    d50 = np.array([[0.6097, 0.3111, 0.0195], [0.2053, 0.6257, 0.0609], [0.1492, 0.0632, 0.7446]])
    tags |= {name: point(xyz) for name, xyz in zip((b"rXYZ", b"gXYZ", b"bXYZ"), d50, strict=True)}
    text = b"desc\0\0\0\0" + struct.pack(">I", 6) + b"adobe\0" + b"\0" * 78
    tags[b"desc"] = text + b"\0" * (-len(text) % 4)
    place, table, body = 128 + 4 + 12 * len(tags), struct.pack(">I", len(tags)), b""
    for name, data in tags.items():
        table += name + struct.pack(">II", place + len(body), len(data))
        body += data
    head = struct.pack(
        ">I4sI4s4s4s", 128 + len(table) + len(body), b"none", 0x02100000, b"mntr", b"RGB ", b"XYZ "
    )
    head += b"\0" * 12 + b"acsp" + b"\0" * 28 + b"".join(map(fixed, (0.9642, 1.0, 0.8249)))
    return head.ljust(128, b"\0") + table + body


def test_a_large_picture_is_made_smaller(tmp_path):
    path = saved(tmp_path, Image.new("RGB", (2000, 1000)))
    assert decode_upload(path, 20.0).shape == (1, SIDE // 2, SIDE, 3)


# -- clips -----------------------------------------------------------------------------------------------


def film(tmp_path, count, rate=20, image=None, codec="libx264", name="clip.mp4", **facts):
    """A film of so many frames, frame k of grey 40 + k, or all of them of one image."""
    path = tmp_path / name
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.width, stream.height, stream.pix_fmt = 64, 48, facts.pop("pix_fmt", "yuv420p")
        if image is not None:
            stream.height, stream.width = image.shape[:2]
        for fact, value in facts.items():
            setattr(stream.codec_context, fact, value)
        for number in range(count):
            grey = np.full((48, 64, 3), 40 + number % 200, np.uint8)
            frame = av.VideoFrame.from_ndarray(grey if image is None else image, format="rgb24")
            frame.pts, frame.time_base = number, 1 / Fraction(rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def greys(frames):
    return frames[:, 8, 8, 0].astype(int) - 40


@pytest.mark.parametrize("rate", [20, 24, 25, 30, 60, 144, Fraction(30000, 1001), Fraction(20000, 1001)])
def test_a_second_of_a_clip_is_twenty_frames_at_twenty_hertz(tmp_path, rate):
    count = round(float(rate))
    frames, note = read_upload(film(tmp_path, count, rate=rate), 20.0)
    wanted = count - 1 - np.arange(len(frames))[::-1] * float(rate) / 20
    assert len(frames) == 20 and note is None
    assert np.abs(greys(frames) - wanted).max() < 3.1 and greys(frames)[-1] >= count - 3


@pytest.mark.parametrize("rate", [6, 10, 15, 19])
def test_of_a_clip_that_is_too_slow_the_last_frame_counts_and_that_is_said(tmp_path, rate):
    frames, note = read_upload(film(tmp_path, rate, rate=rate), 20.0)
    assert frames.shape == (1, 48, 64, 3) and abs(greys(frames)[0] - (rate - 1)) <= 2
    assert f"{rate} frames a second where this world has 20: only its last frame counts" in note
    assert len(decode_upload(film(tmp_path, rate, rate=rate), 5.0)) > 1, "a slower world takes it"
    assert len(decode_upload(film(tmp_path, rate, rate=rate), None)) == rate, "beginnings need no rate"


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
@pytest.mark.parametrize(("milliseconds", "frames"), [(50, 10), (40, 8), (100, 1), (0, 1)])
def test_a_picture_that_moves_is_a_clip(tmp_path, kind, milliseconds, frames):
    images = [Image.new("RGB", (64, 48), (40 + 20 * k,) * 3) for k in range(10)]
    options = {"save_all": True, "append_images": images[1:], "duration": milliseconds}
    found, note = read_upload(saved(tmp_path, images[0], kind, **options), 20.0)
    assert len(found) == frames and near(found[-1, 8, 8], 220) and bool(note) == (frames == 1)


def sampled(times, rate=20.0):
    sampler = Sampler(times[-1], rate)
    for number, time in enumerate(times):
        sampler.add(time, lambda number=number: np.full((1, 1, 3), number % 256, np.uint8))
    frames, note = sampler.frames()
    return [int(frame[0, 0, 0]) for frame in frames], note


def test_late_frames_belong_to_the_nearest_tick():
    shaken = np.arange(10) / 20 + np.tile([0.0, 0.012], 5)
    assert sampled([*shaken[:-1], 9 / 20]) == (list(range(10)), None)
    doubled = np.sort(np.concatenate([np.arange(10) / 20, np.arange(10) / 20 + 0.01]))
    kept, note = sampled(doubled)
    assert len(kept) == 10 and kept[-1] == 19 and note is None


def test_what_lies_before_a_gap_is_left_out_and_that_is_said():
    kept, note = sampled([0.0, 0.05, 0.1, 0.5, 0.55, 0.6, 0.65])
    assert kept == [3, 4, 5, 6] and "a gap 0.15 s before its end" in note
    assert sampled([0.0, 5.0])[0] == [1] and sampled([7.0]) == ([0], None)
    assert len(sampled(np.arange(500) / 20)[0]) == MAX_FRAMES


def matrix(path, a, b, c, d):
    """Turn or mirror a film as phones do: by the matrix in its track's header."""
    data = bytearray(path.read_bytes())
    place = data.find(b"tkhd") + 44
    numbers = [a, b, 0, c, d, 0, 0, 0]
    struct.pack_into(">9i", data, place, *(number << 16 for number in numbers), 1 << 30)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("numbers", "corners"),
    [
        ((1, 0, 0, 1), "abcd"),
        ((0, 1, -1, 0), "cadb"),
        ((-1, 0, 0, -1), "dcba"),
        ((0, -1, 1, 0), "bdac"),
        ((-1, 0, 0, 1), "badc"),
        ((1, 0, 0, -1), "cdab"),
        ((0, 1, 1, 0), "acbd"),
    ],
)
def test_a_film_is_upright(tmp_path, numbers, corners):
    """Its corners from top left to bottom right, as Chromium shows it."""
    image = np.zeros((48, 96, 3), np.uint8)
    colours = {"a": (255, 0, 0), "b": (0, 255, 0), "c": (0, 0, 255), "d": (255, 255, 255)}
    for name, rows, columns in (("a", 0, 0), ("b", 0, 48), ("c", 24, 0), ("d", 24, 48)):
        image[rows : rows + 24, columns : columns + 48] = colours[name]
    frame = decode_upload(matrix(film(tmp_path, 3, image=image), *numbers), 20.0)[-1]
    assert frame.shape == ((96, 48, 3) if numbers[0] == 0 else (48, 96, 3))
    places = [frame[row, column] for row in (4, -5) for column in (4, -5)]
    for place, name in zip(places, corners, strict=True):
        assert near(place, colours[name], 6), (name, place)


@pytest.mark.parametrize(
    "facts",
    [
        {},
        {"color_range": 1, "colorspace": 1, "color_primaries": 1, "color_trc": 1},
        {"color_range": 2, "colorspace": 5},
        {"pix_fmt": "yuv444p"},
        {"pix_fmt": "yuv420p10le"},
        {"codec": "libvpx-vp9", "name": "clip.webm"},
    ],
)
def test_colours_of_a_film_are_those_that_it_says(tmp_path, facts):
    image = np.full((48, 64, 3), (200, 120, 40), np.uint8)
    spaces, ranges = {1: "ITU709", 5: "ITU601"}, {1: "MPEG", 2: "JPEG"}
    frame = av.VideoFrame.from_ndarray(image, format="rgb24")
    frame = frame.reformat(
        format=facts.get("pix_fmt", "yuv420p"),
        dst_colorspace=spaces[facts.get("colorspace", 5)],
        dst_color_range=ranges[facts.get("color_range", 1)],
    )
    path = tmp_path / facts.pop("name", "clip.mp4")
    with av.open(str(path), "w") as container:
        stream = container.add_stream(facts.pop("codec", "libx264"), rate=20)
        stream.width, stream.height, stream.pix_fmt = 64, 48, frame.format.name
        for fact, value in facts.items():
            if fact != "pix_fmt":
                setattr(stream.codec_context, fact, value)
        frame.pts = 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    assert near(decode_upload(path, 20.0)[0, 24, 32], (200, 120, 40), 4)


def test_pixels_that_are_not_square_are_shown_as_wide_as_they_are(tmp_path):
    path = film(tmp_path, 3, sample_aspect_ratio=Fraction(2, 1))
    assert decode_upload(path, 20.0).shape == (3, 48, 128, 3)


def test_highlights_of_hdr_are_made_to_fit(tmp_path):
    """PQ at half its range is 92 cd/m², which a screen whose white has 203 shows as grey 180."""
    frame = av.VideoFrame.from_ndarray(np.full((64, 64), 64 + 438, np.uint16).repeat(1, 0), format="gray10le")
    frame = frame.reformat(format="yuv420p10le", src_color_range="MPEG", dst_color_range="MPEG")
    path = tmp_path / "hdr.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=20)  # libx265 fails now and then
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p10le"
        context = stream.codec_context
        context.color_range, context.colorspace, context.color_primaries, context.color_trc = 1, 9, 9, 16
        frame.pts = 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    assert near(decode_upload(path, 20.0)[0, 32, 32], 180, 10)


# -- what is refused -------------------------------------------------------------------------------------


def sound(tmp_path):
    path = tmp_path / "sound.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def named(tmp_path, content):
    (tmp_path / "file").write_bytes(content)
    return tmp_path / "file"


def riff(tmp_path):
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(b"\0" * 100)
    return named(tmp_path, buffer.getvalue())


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda tmp: named(tmp, b""), "no image or clip"),
        (lambda tmp: named(tmp, b"\0" * 1000), "no image or clip"),
        (lambda tmp: named(tmp, b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n"), "no image or clip"),
        (lambda tmp: named(tmp, b"ffconcat version 1.0\nfile /etc/passwd\n"), "no image or clip"),
        (riff, "no image or clip"),
        (lambda tmp: named(tmp, saved(tmp, halves()).read_bytes()[:60]), "no image or clip"),
        (lambda tmp: named(tmp, b"\0\0\0\x20ftypisom" + b"\0" * 100), "cannot be decoded"),
        (lambda tmp: saved(tmp, Image.new("RGB", (5000, 4000))), "too many"),
        (sound, "no picture"),
        (lambda tmp: named(tmp, film(tmp, 3).read_bytes().replace(b"avc1", b"xyz1")), "codec is not known"),
    ],
)
def test_other_files_are_refused_with_a_sentence(tmp_path, make, complaint):
    with pytest.raises(ValueError, match=complaint):
        decode_upload(make(tmp_path), 20.0)


def mutated(content, random):
    """Some bytes changed, doubled, or gone."""
    content = bytearray(content)
    for _ in range(random.choice((1, 3, 30))):
        place, kind = random.randrange(len(content)), random.randrange(4)
        if kind < 2:
            content[place] = random.randrange(256)
        elif kind == 2:
            content[place : place + 4] = random.choice((b"\xff" * 4, b"\0" * 4, b"\x7f\xff\xff\xff"))
        else:
            content[place : place + random.randrange(64)] = b""
    return bytes(content)


def test_of_damaged_files_come_frames_or_a_sentence(tmp_path):
    images = [halves().rotate(9 * k) for k in range(6)]
    moving = {"save_all": True, "append_images": images[1:], "duration": 50}
    sources = [film(tmp_path, 12, rate=24).read_bytes()]
    sources.append(film(tmp_path, 12, rate=24, codec="libvpx-vp9", name="clip.webm").read_bytes())
    sources += [saved(tmp_path, images[0], kind, **moving).read_bytes() for kind in ("GIF", "WEBP", "PNG")]
    outcomes = set()
    for number in range(400):
        content = mutated(sources[number % len(sources)], random.Random(number))
        try:
            frames = decode_upload(named(tmp_path, content), 20.0)
            assert frames.ndim == 4 and frames.dtype == np.uint8 and frames.shape[-1] == 3
            outcomes.add("frames")
        except ValueError as error:
            outcomes.add("a sentence")
            assert "\n" not in str(error) and len(str(error)) < 200
    assert outcomes == {"frames", "a sentence"}


def test_an_upload_is_decoded_in_a_process_of_its_own(tmp_path, monkeypatch):
    target = tmp_path / "frames.npy"
    assert decode_apart(film(tmp_path, 20), 20.0, target) is None
    assert load_frames(target).shape == (20, 48, 64, 3)
    assert "only its last frame" in decode_apart(film(tmp_path, 6, rate=6), 20.0, target)
    with pytest.raises(ValueError, match="no image or clip"):
        decode_apart(named(tmp_path, b"x"), 20.0, target)
    monkeypatch.setattr("playloop.rollouts.play.uploads.SECONDS", 0.01)
    with pytest.raises(ValueError, match="takes longer than"):
        decode_apart(film(tmp_path, 20), 20.0, target)
