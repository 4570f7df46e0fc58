"""What other writers may do, and what a video may be: it is read all the same, frame by frame."""

from __future__ import annotations

import io
import json
import os
from fractions import Fraction

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from altered_demos import DATA, EPISODES, change, change_info
from numbered_demos import CAMERAS, number_image, read_number, write
from PIL import Image
from vpt_files import line, write_lines

from playloop.demos.corrupt import CorruptFile
from playloop.demos.frames import FrameCache
from playloop.demos.lerobot.dataset import Demonstrations
from playloop.demos.lerobot.integrity import identify
from playloop.demos.video.decoder import VideoDecoder
from playloop.demos.video.encoder import encode_video
from playloop.demos.vpt.dataset import CAMERA, VPTRecordings

ON_TIME = np.arange(24) * 50
LATE = np.cumsum(np.random.default_rng(0).integers(40, 60, 24))
LATE[15:] += 400
"""Milliseconds at which frames are shown."""
KINDS = {
    "on time": {"times": ON_TIME},
    "begins late": {"times": ON_TIME + 500},
    "frames late": {"times": LATE},
    "frames between others": {"times": LATE, "between": 2},
    "no count": {"times": ON_TIME, "options": {"movflags": "frag_keyframe+empty_moov"}},
    "no count, late, between": {
        "times": LATE,
        "between": 2,
        "options": {"movflags": "frag_keyframe+empty_moov"},
    },
    "another container": {"times": ON_TIME, "kind": "matroska"},
}


def encode(path, times, between=0, options=None, kind="mp4"):
    """A video whose frame k shows the number k."""
    container = av.open(str(path), "w", format=kind, options=options or {})
    stream = container.add_stream("libx264", rate=20, options={"crf": "10"})
    stream.width = stream.height = 64
    stream.pix_fmt, stream.codec_context.gop_size = "yuv444p", 6
    stream.codec_context.max_b_frames = between
    stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
    for number, time in enumerate(times):
        frame = av.VideoFrame.from_ndarray(number_image(number), format="rgb24")
        frame.pts, frame.time_base = int(time), Fraction(1, 1000)
        container.mux(stream.encode(frame))
    container.mux(stream.encode())
    container.close()


@pytest.mark.parametrize("kind", KINDS)
def test_frames_are_found_by_number_whenever_they_are_shown(tmp_path, kind):
    encode(tmp_path / "a.mp4", **KINDS[kind])
    write_lines(tmp_path / "a.jsonl", [line(dx=float(number + 1)) for number in range(24)])
    decoder = VideoDecoder(tmp_path / "a.mp4", 20)
    order = np.random.default_rng(1).permutation(24)
    assert [read_number(decoder.frame(int(number))) for number in order] == order.tolist()
    assert decoder.length == 24 and decoder.on_time == (kind in KINDS and KINDS[kind]["times"] is not LATE)
    with pytest.raises(CorruptFile, match="no frame 24 of 24"):
        decoder.frame(24)
    recording = VPTRecordings(tmp_path)  # line i belongs to frame i
    assert [read_number(recording.frame(CAMERA, int(row))) for row in order] == order.tolist()


@pytest.mark.parametrize("keys", [1, 12])
def test_frames_that_an_edit_list_hides_are_no_frames(tmp_path, keys):
    """As `ffmpeg -ss … -c copy` cuts: what stood before the cut stays in the file and is not shown."""
    encode_video([number_image(number) for number in (99, 98, *range(10))], tmp_path / "b.mp4", 20, gop=keys)
    with av.open(str(tmp_path / "b.mp4")) as source, av.open(str(tmp_path / "a.mp4"), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.size:
                early = round(2 / 20 / packet.time_base)
                packet.pts, packet.dts, packet.stream = packet.pts - early, packet.dts - early, stream
                target.mux(packet)
    (tmp_path / "b.mp4").unlink()
    write_lines(tmp_path / "a.jsonl", [line()] * 10)
    recording = VPTRecordings(tmp_path)
    assert [read_number(recording.frame(CAMERA, row)) for row in range(10)] == list(range(10))


def test_a_video_whose_end_is_missing_is_told_before_anything_starts(tmp_path):
    path = tmp_path / "a.mp4"
    encode(path, ON_TIME, options={"movflags": "faststart"})  # the index lies in front, and is whole
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(CorruptFile, match=r"a\.mp4 is cut off"):
        VideoDecoder(path, 20)


def test_late_frames_in_a_data_set_belong_to_the_rows_of_their_number(tmp_path):
    root = tmp_path / "data"
    write(root, (24,))
    os.remove(root / "meta/files.json")
    encode(root / f"videos/{CAMERAS[0]}/chunk-000/file-000.mp4", LATE, 2)
    dataset = Demonstrations(root)
    assert [read_number(image) for image in dataset.frames(CAMERAS[0], np.arange(24))] == list(range(24))


@pytest.fixture
def root(tmp_path):
    write(tmp_path / "data", (3, 4))
    os.remove(tmp_path / "data/meta/files.json")
    return tmp_path / "data"


@pytest.mark.parametrize(
    ("shape", "names"),
    [
        ([3, 64, 128], ["channels", "height", "width"]),
        ([3, 64, 128], ["channel", "height", "width"]),
        ([64, 128, 3], ["height", "width", "channel"]),
        ([128, 64, 3], ["width", "height", "channels"]),
        ([3, 64, 128], None),
        ([64, 128, 3], {"axes": ["h", "w", "c"]}),
        ([3, 64, 128], ["height", "width", "channel"]),  # turned by a tool that left the names
    ],
)
def test_a_camera_may_be_described_with_its_sides_in_any_order(root, shape, names):
    camera, path = CAMERAS[0], f"videos/{CAMERAS[0]}/chunk-000/file-000.mp4"
    wide = [np.concatenate([number_image(number)] * 2, axis=1) for number in range(7)]
    encode_video(wide, root / path, 20)
    info = json.loads((root / "meta/info.json").read_text())
    info["features"][camera] |= {"shape": shape, "names": names}
    (root / "meta/info.json").write_text(json.dumps(info))
    dataset = Demonstrations(root)
    assert dataset.features[camera]["shape"] == [64, 128, 3]
    assert dataset.frames(camera, [0, 6]).shape == (2, 64, 128, 3)
    assert FrameCache(dataset, camera, (32, 64)).array.shape == (7, 32, 64, 3)
    assert read_number(dataset.frame(camera, 5)[:, :64]) == 5


def test_pictures_of_another_size_than_declared_are_refused(root):
    info = json.loads((root / "meta/info.json").read_text())
    info["features"][CAMERAS[0]]["shape"] = [32, 32, 3]
    (root / "meta/info.json").write_text(json.dumps(info))
    with pytest.raises(CorruptFile, match=r"is 64×64, meta/info.json declares .* as 32×32"):
        Demonstrations(root)


def test_a_grey_camera_is_read_as_three_equal_channels(root):
    change_info(root, **{"features__observation.images.front__shape": [64, 64, 1]})
    images = Demonstrations(root).frames(CAMERAS[0], [0, 6])
    assert images.shape == (2, 64, 64, 3) and read_number(images[1]) == 6


def encoded(number, kind="PNG", wide=False):
    buffer, image = io.BytesIO(), number_image(number)
    image = image[..., 0].astype(np.uint16) * 257 if wide else image
    Image.fromarray(image).save(buffer, kind, **({"quality": 100} if kind == "JPEG" else {}))
    return buffer.getvalue()


def test_pictures_may_lie_in_the_rows_themselves(root):
    """LeRobot's `image`: bytes in the parquet file, or the path of a file, maybe a link; in any order."""
    (root / "images").mkdir()
    (root.parent / "blob").write_bytes(encoded(3))
    (root / "images/3.png").symlink_to("../../blob")
    stored = [{"bytes": encoded(n, "PNG" if n % 2 else "JPEG"), "path": f"{n}.png"} for n in range(7)]
    stored[5]["bytes"] = encoded(5, wide=True)
    stored[3] = {"bytes": None, "path": "images/3.png"}
    table = pa.table({"picture": stored})["picture"].combine_chunks()
    change(root / DATA, **{"observation.state": table})
    info = json.loads((root / "meta/info.json").read_text())
    del info["features"]["observation.state"]
    info["features"]["picture"] = {
        "dtype": "image",
        "shape": [3, 64, 64],
        "names": ["channels", "height", "width"],
    }
    (root / "meta/info.json").write_text(json.dumps(info))
    names = ["picture" if name == "observation.state" else name for name in pq.read_schema(root / DATA).names]
    pq.write_table(pq.read_table(root / DATA).rename_columns(names).take([6, 0, 5, 1, 4, 2, 3]), root / DATA)
    dataset = Demonstrations(root)
    assert "picture" in dataset.cameras
    assert [read_number(image) for image in dataset.frames("picture", np.arange(7))] == list(range(7))
    cache = FrameCache(dataset, "picture", (32, 32), processes=2)
    assert [read_number(cache[row]) for row in range(7)] == list(range(7))


@pytest.mark.parametrize(
    ("stored", "sentence"),
    [
        ({"bytes": b"no picture", "path": None}, "no picture that can be used"),
        ({"bytes": None, "path": "../../../etc/passwd"}, "outside of the data set"),
        ({"bytes": encoded(1)[:50], "path": None}, "no picture that can be used"),
    ],
)
def test_a_picture_that_cannot_be_used_is_named(root, stored, sentence):
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    change(root / DATA, **{"observation.state": pa.array([stored] * 7, kind)})
    change_info(
        root, **{"features__observation.state": {"dtype": "image", "shape": [64, 64, 3], "names": None}}
    )
    dataset = Demonstrations(root)
    with pytest.raises(
        CorruptFile, match=f"{DATA}: column 'observation.state', row 2 of the file: .*{sentence}"
    ):
        dataset.frame("observation.state", 2)


@pytest.mark.parametrize("plain", [True, False])
def test_a_row_without_a_picture_is_told_before_anything_starts(root, plain):
    picture = encoded(1) if plain else {"bytes": encoded(1), "path": None}
    stored = [picture, picture, picture, picture, None if plain else {"bytes": None, "path": None}]
    change(root / DATA, **{"observation.state": pa.array([*stored, picture, picture])})
    change_info(
        root, **{"features__observation.state": {"dtype": "image", "shape": [64, 64, 3], "names": None}}
    )
    with pytest.raises(
        CorruptFile, match=f"{DATA}: column 'observation.state', episode 1, row 1: no picture"
    ):
        Demonstrations(root)
    dataset = Demonstrations(root, on_corrupt="skip")
    assert dataset.length == 3 and read_number(dataset.frame("observation.state", 2)) == 1


def test_an_episode_without_rows_is_left_out_or_told(root):
    table = pq.read_table(root / EPISODES)
    empty = dict(table.to_pylist()[1], episode_index=2, length=0)
    pq.write_table(pa.Table.from_pylist([*table.to_pylist(), empty], table.schema), root / EPISODES)
    with pytest.raises(CorruptFile, match=r"episode 2 has no rows\. Restore it"):
        Demonstrations(root)
    dataset = Demonstrations(root, on_corrupt="skip")
    assert [read_number(image) for image in dataset.frames(CAMERAS[0], np.arange(7))] == list(range(7))


def test_tables_may_hold_whole_numbers_as_floats_and_one_task_as_text(root):
    change(root / "meta/tasks.parquet", task_index=[0.0, 1.0])
    change(root / EPISODES, length=[3.0, 4.0], episode_index=[0.0, 1.0], tasks=["task 0", "task 1"])
    dataset = Demonstrations(root)
    assert dataset.tasks == {0: "task 0", 1: "task 1"} and dataset.starts.tolist() == [0, 3, 7]
    change(root / EPISODES, length=[3.5, 4.0])
    with pytest.raises(ValueError, match=r"row 0: length=3\.5: use a whole number"):
        Demonstrations(root)


@pytest.mark.parametrize("name", [DATA, f"videos/{CAMERAS[0]}/chunk-000/file-000.mp4"])
def test_files_of_others_are_known_by_what_they_hold(root, name):
    before, content = Demonstrations(root).identity, bytearray((root / name).read_bytes())
    assert Demonstrations(root).identity == before
    if name == DATA:
        change(
            root / DATA,
            **{"observation.state": pq.read_table(root / DATA)["observation.state"].take([1] * 7)},
        )
    else:
        content[-40] ^= 1  # of the same size and time
        state = (root / name).stat()
        (root / name).write_bytes(content)
        os.utime(root / name, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert identify(root) != before
