"""Sessions with plain clients against a real server: playing, recording, world models."""

from __future__ import annotations

import asyncio
import contextlib
import io
import time

import av
import numpy as np
import pytest
from PIL import Image
from play_helpers import (
    START,
    TOY,
    ClumsyConfig,
    ImaginedToyConfig,
    playing,
    point,
    request,
    run,
    serving,
    toy_session,
    until,
)

from playloop.agents.random import RandomAgentConfig
from playloop.demos.lerobot.dataset import Demonstrations
from playloop.envs.toy import ToyReachConfig


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    """A server with the toy and an agent that acts at random."""
    out = tmp_path_factory.mktemp("play")
    config = toy_session(out, agent=RandomAgentConfig(chunk=1), command="playloop play x")
    with serving(config, most=6, upload_bytes=100_000) as (address, _):
        yield address


@pytest.fixture(scope="module")
def dream(tmp_path_factory):
    """A server with the toy and one that can be started from pictures, side by side."""
    config = toy_session(tmp_path_factory.mktemp("play"), world=ImaginedToyConfig(horizon=10_000))
    with serving(config, upload_bytes=100_000) as (address, _):
        yield address


# -- playing ---------------------------------------------------------------------------------------------


def test_held_keys_move_the_picture_and_frames_say_which_input_they_show(toy):
    async def play(address):
        async with playing(address) as client:
            before = await client.frame()
            seq = await client.hold("ArrowLeft")
            await client.frame(seq)
            await client.until(lambda frame: point(frame)[0] < point(before)[0] - 10)
            still = await client.frame(await client.hold())
            after = await client.until(lambda frame: frame["step"] >= still["step"] + 4)
            wind = 0.01 * 64 * (after["step"] - still["step"]) + 2
            assert np.abs(point(after) - point(still)).max() < wind
            hello = next(text for text in client.texts if text["type"] == "hello")
            assert (
                hello["rate"] == 20.0
                and hello["hz"] == TOY.contract().control_hz == 10.0
                and hello["agent"] == "random"
                and not hello["world"]
            )
            keys = {"keys": ["ArrowLeft", "ArrowRight", "KeyA", "KeyD"], "does": "x −, +"}
            assert keys in hello["layout"]["bindings"]
            status, why = await upload(client, address, b"x")
            assert status == 409 and b"world=NAME" in why

    run(play, toy)


async def upload(client, address, body):
    session = next(text for text in client.texts if text["type"] == "session")
    return await asyncio.to_thread(request, address, "POST", f"/upload/{session['id']}", body)


def test_the_tick_is_steady(toy):
    async def play(address):
        async with playing(address) as client:
            for _ in range(10):  # windows: one in which nothing else wants the machine
                times = []
                for _ in range(60):
                    await client.frame()
                    times.append(time.perf_counter())
                steps = np.diff(times)
                if abs(np.mean(steps) - 0.05) < 0.002 and abs(np.median(steps) - 0.05) < 0.005:
                    return
            raise AssertionError(f"mean {np.mean(steps)}, median {np.median(steps)} instead of 0.05")

    run(play, toy)


def test_pause_step_and_reset(toy):
    async def play(address):
        async with playing(address) as client:
            await client.say("pause", on=True)
            await client.text("status", paused=True)
            with pytest.raises(TimeoutError):
                for _ in range(3):  # those drawn before may still be under way
                    await asyncio.wait_for(client.frame(), 0.6)
            await client.hold("ArrowRight")
            await client.say("step")
            first = await client.frame(client.seq)
            await client.say("step")
            second = await client.frame(client.seq)
            assert second["step"] == first["step"] + 1 and point(second)[0] > point(first)[0]
            await client.say("reset", seed=77)
            await client.text("status", seed=77)
            await client.say("reset")
            await client.text("status", seed=78)
            await client.say("reset", seed=77)
            status = await client.text("status", seed=77)
            assert status["paused"] and status["episode"] == "toy_reach-task00-fresh-seed77"

    run(play, toy)


def test_the_agent_takes_over_and_gives_back(toy):
    async def play(address):
        async with playing(address) as client:
            await client.say("hand", to="agent")
            await client.text("status", by="agent")
            acted = [point(frame) for frame in await client.frames(20)]
            await client.say("hand", to="person")
            await client.text("status", by="person")
            await client.frame(await client.hold())
            rested = [point(frame) for frame in await client.frames(20)]
            assert np.abs(np.diff(acted, axis=0)).mean() > 3 * np.abs(np.diff(rested, axis=0)).mean()

    run(play, toy)


def test_an_agent_that_fails_gives_the_controls_back(tmp_path):
    async def play(address):
        async with playing(address) as client:
            await client.say("hand", to="agent")
            await back(client, "finite numbers")
            before = await client.frame()
            await client.frame(await client.hold("ArrowLeft"))
            await client.until(lambda frame: point(frame)[0] < point(before)[0] - 6)
            await client.say("reset")
            await client.say("hand", to="agent")
            await client.text("status", by="agent", seed=START.seed + 1)
            await client.say("reset")
            await back(client, "nobody knows")
            await client.say("hand", to="agent")
            await back(client, "nobody knows")

    async def back(client, told):
        notice = (await client.text("notice"))["text"]
        assert told in notice and notice.endswith("the controls are yours again")
        await client.text("status", by="person")

    with serving(toy_session(tmp_path, agent=ClumsyConfig())) as (address, _):
        run(play, address)


def test_sessions_share_nothing_but_their_seeds_episodes(toy):
    async def play(address):
        async with playing(address) as one, playing(address) as other:
            seqs = await one.hold("ArrowLeft"), await other.hold("ArrowRight")
            await one.frame(seqs[0]), await other.frame(seqs[1])
            await one.until(lambda frame: point(frame)[0] < 24)
            assert point(await other.frame())[0] > 32
            await other.until(lambda frame: point(frame)[0] > 40)
            await one.say("pause", on=True)
            await one.text("status", paused=True)
            assert len(await other.frames(5)) == 5
            await other.say("pause", on=True)
            await other.text("status", paused=True)
            for client in (one, other):
                await client.say("reset", seed=3)
            first = [await client.until(lambda frame: frame["step"] == 0) for client in (one, other)]
            return [frame["images"] for frame in first]

    one, other = run(play, toy)
    assert one.keys() == {"env/top", "env/hand"}
    assert all(np.array_equal(one[name], other[name]) for name in one)


# -- recording -------------------------------------------------------------------------------------------


def test_a_recording_is_a_data_set_and_can_be_downloaded(toy):
    async def play(address):
        async with playing(address) as client:
            await client.hold("ArrowUp")
            await client.say("record", on=True)
            await client.text("status", recording=True)
            await client.frames(10)
            await client.say("hand", to="agent")
            await client.frames(10)
            await client.say("reset", seed=9)
            await client.frames(10)
            await client.say("record", on=False)
            return await client.text("recorded")

    recorded = run(play, toy)
    demos = Demonstrations(recorded["folder"])
    assert demos.length == recorded["steps"] >= 25 and recorded["episodes"] == len(demos.episodes) == 2
    assert demos.contract == TOY.contract() and demos.playloop["command"] == "playloop play x"
    assert demos.playloop["agent"] == "person or random"
    assert [episode["seed"] for episode in demos.playloop["episodes"]] == [START.seed, 9]
    actions, expert = demos.column("action"), demos.column("expert")
    assert np.array_equal(actions[0], [0, -1]) and expert[0] == 1 and expert[-1] == 0
    drawn = demos.frame("observation.images.top", 0)
    seen = {"images": {"env/top": np.where(drawn.sum(-1, keepdims=True) < 120, (24, 26, 30), drawn)}}
    assert np.abs(point(seen) / 64 - demos.column("observation.state")[0]).max() < 0.05
    demos.close()

    status, video = request(toy, "GET", f"/{recorded['url']}")
    assert status == 200
    with av.open(io.BytesIO(video)) as film:
        frames = sum(1 for _ in film.decode(video=0))
    assert frames == recorded["steps"]
    assert request(toy, "GET", "/recordings/guess.mp4")[0] == 404


def test_the_next_episode_begins_by_itself_and_a_recording_survives_a_page_that_goes_away(tmp_path):
    async def play(address):
        async with playing(address) as client:
            await client.say("record", on=True)
            notice = await client.text("notice")
            assert notice["text"] == "the episode is over after 40 steps; seed 6 begins."
            assert (await client.text("status", seed=6))["recording"]
            await client.until(lambda frame: 8 <= frame["step"] < 40)

    with serving(toy_session(tmp_path, env=ToyReachConfig(horizon=40))) as (address, server):
        run(play, address)
        until(lambda: not server.sessions)
    (folder,) = tmp_path.iterdir()
    demos = Demonstrations(folder)
    assert [episode["seed"] for episode in demos.playloop["episodes"]][:2] == [5, 6] and demos.length >= 9
    demos.close()


# -- world models ----------------------------------------------------------------------------------------


def test_side_by_side_under_the_same_actions_and_sampling_is_changed_live(dream):
    async def play(address):
        async with playing(address) as client:
            first = await client.frame()
            assert np.abs(point(first) - point(first, "world")).max() < 2  # started from the other's frame
            seq = await client.hold("ArrowRight")
            await client.frame(seq)
            moved = await client.until(lambda frame: point(frame)[0] > point(first)[0] + 12)
            assert point(moved, "world")[0] > point(first, "world")[0] + 4
            for seq, limits in enumerate(({"top_p": 0.25, "top_k": None}, {"top_p": 1, "top_k": 40}), 1):
                asked = {"temperature": 0.5, **limits, "seq": seq}
                await client.say("sampling", **asked)
                assert not (await client.text("status", sampling=asked))["paused"]
            await client.say("sampling", temperature=2.0, top_p=0.25, seq=3)
            assert (await client.text("notice"))["text"] == "too hot for a toy"
            await client.text("status", sampling={**asked, "seq": 3})  # answered, and nothing changed

    run(play, dream)


def test_a_world_model_starts_from_an_uploaded_picture_and_clip_if_they_are_not_too_large(dream):
    picture = Image.new("RGB", (256, 256), (230, 230, 230))
    picture.paste((10, 10, 10), (200, 24, 216, 40))
    png, clip = io.BytesIO(), io.BytesIO()
    picture.save(png, "PNG")
    with av.open(clip, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=20)
        stream.width = stream.height = 256
        stream.pix_fmt = "yuv420p"
        for _ in range(8):
            container.mux(stream.encode(av.VideoFrame.from_image(picture)))
        container.mux(stream.encode())

    async def play(address):
        async with playing(address) as client:
            await client.say("pause", on=True)
            await client.text("status", paused=True)
            for body in (png, clip):
                await client.say("reset", seed=1)
                begun = await client.until(lambda frame: frame["step"] == 0)
                assert abs(point(begun, "world")[0] - 52) > 8
                assert (await upload(client, address, body.getvalue()))[0] == 202
                await client.until(lambda frame: np.abs(point(frame, "world") - (52, 8)).max() < 2)
            with contextlib.suppress(ConnectionError):  # it may hang up before all is sent
                status, text = await upload(client, address, b"x" * 1_000_000)
                assert status == 413 and b"larger than 0.1 MB" in text
            await client.say("step")
            await client.until(lambda frame: frame["step"] == 1)  # it goes on
        assert (await asyncio.to_thread(request, address, "POST", "/upload/guess", b"x"))[0] == 409

    run(play, dream)


def test_a_picture_begins_another_episode_of_a_recorded_dream(tmp_path):
    """What is seen then does not follow from the last action."""
    file = io.BytesIO()
    Image.new("RGB", (64, 64), (10, 10, 10)).save(file, "PNG")

    async def play(address):
        async with playing(address) as client:
            await client.say("record", on=True)
            await client.frames(8)
            assert (await upload(client, address, file.getvalue()))[0] == 202
            await client.frames(8)
            await client.say("record", on=False)
            return await client.text("recorded")

    with serving(toy_session(tmp_path, env=ImaginedToyConfig(horizon=10_000))) as (address, _):
        recorded = run(play, address)
    demos = Demonstrations(recorded["folder"])
    assert recorded["episodes"] == len(demos.episodes) == 2 and demos.length == recorded["steps"]
    demos.close()
