"""The examples run: a policy of one's own, a world model of one's own game, and a person's demonstrations."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from play_helpers import playing, point, run, serving, toy_session

from playloop.demos.lerobot.dataset import Demonstrations
from playloop.envs.toy import COLORS

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def example(monkeypatch):
    def load(name: str, folder: str = ""):
        monkeypatch.syspath_prepend(str(EXAMPLES / folder))
        sys.modules.pop(name, None)
        return importlib.import_module(name)

    return load


def test_a_policy_of_ones_own_beats_random_actions(example, tmp_path):
    found = example("own_policy").main(tmp_path)
    assert found.success > 0.2 and len(found.episodes) == 20
    assert "own_policy.OwnPolicy" in (tmp_path / "mine" / "report.html").read_text()


def test_a_world_model_dreams_of_ones_own_game(example, tmp_path):
    dream = example("dream", "own_world")
    picture = np.asarray(Image.open(dream.main(tmp_path, episodes=6, steps=4)))
    game = picture[:128, :128]
    assert picture.shape == (256, 8 * 128, 3) and len(np.unique(game.reshape(-1, 3), axis=0)) >= 4


async def reach(address, episodes):
    """A person who sees the square that is named and holds the keys that lead there."""
    async with playing(address) as client:
        await client.say("record", on=True)
        await client.text("status", recording=True)
        for number in range(episodes):
            frame = await client.frame()
            for _ in range(40):
                image = frame["images"]["env/top"]
                rows, columns = np.nonzero((image == COLORS["red"]).all(-1))
                way = np.array([columns.mean(), rows.mean()]) - point(frame)
                if np.abs(way).max() < 3:
                    break
                keys = ["ArrowLeft" if way[0] < 0 else "ArrowRight"] if abs(way[0]) >= 2 else []
                keys += ["ArrowUp" if way[1] < 0 else "ArrowDown"] if abs(way[1]) >= 2 else []
                frame = await client.frame(await client.hold(*keys))
            await client.hold()
            await client.say("reset", seed=6 + number)
            await client.frames(2)
        await client.say("record", on=False)
        return await client.text("recorded")


def test_a_persons_recording_becomes_a_policy(example, tmp_path):
    with serving(toy_session(tmp_path / "mine")) as (address, _):
        recorded = run(reach, address, 4)
    assert len(Demonstrations(recorded["folder"]).episodes) >= 4
    person = example("person")
    assert person.recordings(tmp_path / "mine") == [Path(recorded["folder"])]
    found = person.main(tmp_path / "mine", tmp_path / "out", steps=6)
    assert len(found.episodes) == 12 and found.success is not None
    with pytest.raises(SystemExit, match="holds no recording; press V"):
        person.recordings(EXAMPLES)
