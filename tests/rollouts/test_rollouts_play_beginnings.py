"""What play can begin with: a picture, a clip, or a recording with its actions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from mineworld_release import write_synthetic
from PIL import Image
from vpt_files import line, noise, write_pair

from playloop.cli.main import main
from playloop.core.minecraft import index_of
from playloop.rollouts.play.uploads import read_starts
from playloop.tokenizers.vq import resize_linear
from playloop.worlds.mineworld.convert import ConvertConfig, convert
from playloop.worlds.mineworld.folder import MineWorldPlay

SETTINGS = ConvertConfig(rows=2, columns=4, frames=2)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return write_synthetic(tmp_path_factory.mktemp("published") / "release")


def test_beginnings_come_from_a_picture(source, tmp_path):
    picture = np.random.default_rng(0).integers(0, 256, (90, 160, 3), np.uint8)
    Image.fromarray(picture).save(tmp_path / "start.png")
    convert(
        source,
        tmp_path / "out",
        replace(SETTINGS, starts=str(tmp_path / "start.png"), dtype="keep"),
        read_starts,
    )
    world = MineWorldPlay.load(tmp_path / "out", dtype=torch.float32)
    wanted = world.tokenizer.encode(torch.from_numpy(world.resize(picture))[None])
    assert torch.equal(world.starts, wanted[None]) and len(wanted.unique()) > 2
    for words, complaint in (("nowhere.png", "not there"), (str(source), "no image or clip")):
        with pytest.raises((FileNotFoundError, ValueError), match=complaint):
            convert(source, tmp_path / "x", replace(SETTINGS, starts=words), read_starts)


@pytest.mark.parametrize(
    ("stated", "context", "frames"), [(None, 16, 8), (None, 9, 8), (None, 4, 3), (None, 2, 1), (15, 16, 15)]
)
def test_a_beginning_leaves_room_in_the_context(stated, context, frames):
    assert ConvertConfig(frames=stated).frames_in(context) == frames


def test_a_beginning_without_room_is_refused():
    for stated, context in ((None, 1), (16, 16), (17, 16)):
        with pytest.raises(ValueError, match=f"below the context, which holds {context} frames"):
            ConvertConfig(frames=stated).frames_in(context)


def test_beginnings_of_a_recording_are_as_long_as_the_context_allows(source, tmp_path):
    """Without a word about frames: three of a context of four."""
    write_pair(tmp_path, "scene", [line(keys=["w"])] * 10, [noise((360, 640))] * 10)
    words = [
        str(source),
        f"out={tmp_path / 'out'}",
        f"starts={tmp_path / 'scene.mp4'}",
        "rows=2",
        "columns=4",
    ]
    assert main(["convert", *words]) == 0
    world = MineWorldPlay.load(tmp_path / "out", dtype=torch.float32)
    assert world.model.config.context == 4 and world.starts.shape == (3, 3, 8)
    assert world.start_actions.shape == (3, 2, 11)
    assert main(["convert", *words, "frames=4"]) == 2


def test_pictures_shrink_as_opencv_does_it():
    cv2 = pytest.importorskip("cv2")
    image = np.random.default_rng(1).integers(0, 256, (360, 640, 3), np.uint8)
    ours = resize_linear(image, (224, 384))
    theirs = cv2.resize(image, (384, 224), interpolation=cv2.INTER_LINEAR)
    assert np.abs(ours.astype(int) - theirs).max() <= 1
    assert np.array_equal(resize_linear(image, (360, 640)), image)


def test_a_recording_gives_frames_and_their_actions(tmp_path):
    lines = [line(keys=["w"] if k % 3 else ["a"], gui=4 <= k < 6) for k in range(14)]
    pictures = [noise((80, 160), seed=k) for k in range(14)]
    write_pair(tmp_path, "scene", lines, pictures)
    frames, actions = read_starts(tmp_path / "scene.mp4", 3)
    assert frames.shape == (3, 3, 80, 160, 3) and actions.shape == (3, 2, 25)
    for clip, first in enumerate((0, 6, 9)):
        for k in range(3):
            assert np.abs(frames[clip, k].astype(int) - pictures[first + k]).mean() < 12
            if k < 2:
                held = "forward" if (first + k) % 3 else "left"
                assert actions[clip, k, index_of(held)] == 1 and actions[clip, k].sum() == 1
    lines = [line(gui=True)] * 14
    write_pair(tmp_path, "menu", lines, pictures)
    with pytest.raises(ValueError, match="3 frames in a row outside of menus"):
        read_starts(tmp_path / "menu.mp4", 3)
