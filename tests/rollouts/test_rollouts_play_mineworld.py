"""A MineWorld from its published files to frames under held keys, all of it through the commands."""

from __future__ import annotations

import asyncio
import io

import numpy as np
import pytest
import torch
from mineworld_release import write_synthetic
from PIL import Image
from play_helpers import Client, playing, request, run

from playloop.benchmarks.servers import served
from playloop.cli.main import main
from playloop.core.episode import FRESH, Episode
from playloop.core.minecraft import ACTION_SIZE, action_vector
from playloop.envs.world import WorldEnv, WorldEnvConfig
from playloop.worlds.sampler import SamplerConfig

SIZE = (32, 64, 3)
STEPS = 6
"""More than the context of four frames holds."""
ACTIONS = {
    (): np.zeros(ACTION_SIZE, np.float32),
    ("KeyW",): action_vector({"forward": 1}),
    ("KeyW", "Space"): action_vector({"forward": 1, "jump": 1}),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What `playloop convert` makes of a small checkpoint, no setting but its small grid's."""
    root = tmp_path_factory.mktemp("play_mineworld")
    source = write_synthetic(root / "release")
    image = np.random.default_rng(0).integers(0, 256, (9, 16, 3), np.uint8).repeat(10, 0).repeat(10, 1)
    Image.fromarray(image).save(root / "start.png")
    words = [str(source), f"out={root / 'world'}", f"starts={root / 'start.png'}", "rows=2", "columns=4"]
    assert main(["convert", *words]) == 0
    return root / "world"


@pytest.fixture(scope="module")
def address(folder):
    """The address of the server, as a user starts it."""
    with served("play", (f"world={folder}", f"out={folder.parent / 'recordings'}")) as (
        found,
        _,
    ):
        yield found


@pytest.fixture(scope="module")
def env(folder):
    """The same world in this process, to compare with, on as many threads: a picture between two codes is
    taken for the one or the other by rounding."""
    threads = torch.get_num_threads()
    yield WorldEnvConfig(str(folder), SamplerConfig(), threads=1).make()
    torch.set_num_threads(threads)


def near(one: np.ndarray, other: np.ndarray) -> bool:
    """Equal up to a grey level: another process may add up in another order."""
    return np.abs(one.astype(int) - other).max() <= 1


def dreamed(env: WorldEnv, action: np.ndarray, seed: int) -> list[np.ndarray]:
    """The frames of an episode without a server."""
    env.begin(Episode("world", 0, FRESH, seed))
    frames = [env.observe()["images"]["pov"]]
    for _ in range(STEPS):
        env.advance(action)
        frames.append(env.observe()["images"]["pov"])
    return frames


def gone_on_from(env: WorldEnv, picture: np.ndarray) -> np.ndarray:
    """What is seen first when play goes on from a picture."""
    env.start_from(picture[None])
    return env.observe()["images"]["pov"]


def test_all_that_the_model_sees_of_a_clip_is_seen(folder):
    """The context holds the new frame, too: were it full, all but `keep` frames would be forgotten for it."""
    env = WorldEnvConfig(str(folder), SamplerConfig(keep=1), threads=0).make()
    env.begin(Episode("world", 0, FRESH))
    clip = np.random.default_rng(6).integers(0, 256, (6, *SIZE), np.uint8)
    env.start_from(clip, np.zeros((5, ACTION_SIZE), np.float32))
    given = list(env.players.contexts[0].frames)
    assert len(given) == env.world.seen == 3
    env.advance(ACTIONS[("KeyW",)])
    assert len(env.players.contexts[0].frames) == 4 and torch.equal(
        torch.stack(given), torch.stack(env.players.contexts[0].frames[:3])
    )


async def upload(client: Client, address: str, picture: np.ndarray) -> None:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG")
    session = next(text for text in client.texts if text["type"] == "session")
    path = f"/upload/{session['id']}"
    status, _ = await asyncio.to_thread(request, address, "POST", path, file.getvalue())
    assert status == 202


async def episode(client: Client, keys: tuple[str, ...], seed: int) -> list[np.ndarray]:
    """The frames of an episode, step by step under held keys."""
    await client.say("reset", seed=seed)
    frames = [await client.until(lambda frame: frame["step"] == 0)]
    seq = await client.hold(*keys)
    for _ in range(STEPS):
        await client.say("step")
        frames.append(await client.frame(seq))
    assert [frame["step"] for frame in frames] == [*range(STEPS + 1)]
    return [frame["images"]["world/pov"] for frame in frames]


def test_held_keys_play_the_world_through_the_server(address, env):
    """What a page is sent is what the world dreams of the same seed, or picture, under the same actions."""
    picture = np.random.default_rng(5).integers(0, 256, (9, 16, 3), np.uint8).repeat(20, 0).repeat(20, 1)

    async def play(address):
        async with playing(address) as client:
            await client.hold("KeyW")
            running = [frame["images"]["world/pov"] for frame in await client.frames(10)]
            await client.say("pause", on=True)
            await client.text("status", paused=True)
            found = {keys: await episode(client, keys, seed=1) for keys in ACTIONS}
            other = await episode(client, ("KeyW",), seed=2)
            await upload(client, address, picture)
            await client.until(lambda frame: near(frame["images"]["world/pov"], gone_on_from(env, picture)))
            return client.texts, running, found, other

    texts, running, found, other = run(play, address.removeprefix("http://").strip("/"))
    hello = next(text for text in texts if text["type"] == "hello")
    assert hello["world"] and hello["rate"] == 20.0
    assert len({frame.tobytes() for frame in running}) > 5, "it goes on by itself"
    for keys, frames in found.items():
        assert all(frame.shape == SIZE for frame in frames)
        assert all(near(*pair) for pair in zip(frames, dreamed(env, ACTIONS[keys], 1), strict=True)), keys
        assert np.array_equal(frames[0], found[()][0]) and not np.array_equal(frames[0], frames[1])
    assert len({np.stack(frames).tobytes() for frames in [*found.values(), other]}) == len(ACTIONS) + 1
