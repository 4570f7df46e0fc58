"""What clients must not do, and how sessions end: with plain clients against a real server."""

from __future__ import annotations

import asyncio
import json
import time

import pytest
import websockets
from play_helpers import (
    ImaginedToyConfig,
    connect,
    playing,
    request,
    run,
    serving,
    sessions_of,
    toy_session,
    until,
)

from playloop.envs.toy import ToyFault, ToyReachConfig


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    """A server with the toy, one that dreams beside it, and little patience."""
    config = toy_session(tmp_path_factory.mktemp("play"), world=ImaginedToyConfig(horizon=10_000))
    with serving(config, most=12, upload_bytes=100_000) as (address, _):
        yield address


def refused(address, query="", **options):
    async def knock():
        async with connect(address, query, **options):
            pass

    with pytest.raises(websockets.InvalidStatus) as answer:
        asyncio.run(knock())
    return answer.value.response.status_code


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://localhost:1", None])
def test_foreign_origins_are_refused(toy, origin):
    assert refused(toy, origin=origin) == 403
    headers = {"Origin": origin} if origin else {"Origin": ""}
    assert request(toy, "POST", "/upload/any", b"x", **headers)[0] == 403


def test_a_name_that_is_not_this_machine_is_refused(toy):
    for path in ("/", "/main.js"):
        assert request(toy, "GET", path, Host="evil.example")[0] == 403
    headers = {"Host": "evil.example", "Origin": "http://evil.example"}
    assert request(toy, "POST", "/upload/any", b"x", **headers)[0] == 403


def test_a_token_is_wanted_where_there_is_one(tmp_path):
    async def play(address):
        async with playing(address, "?token=s%C3%A9same") as client:
            await client.frame()

    with serving(toy_session(tmp_path), token="sésame") as (address, _):
        for query in ("", "?token=", "?token=s%C3%A9sam", "?token=%F0%9F%99%82"):
            assert refused(address, query) == 403
        assert request(address, "POST", "/upload/any", b"x")[0] == 403
        assert request(address, "GET", "/recordings/any.mp4")[0] == 403
        assert request(address, "GET", "/")[0] == 200
        run(play, address)


def test_what_is_no_message_ends_its_session_and_no_other(toy, capfd):
    """Nor does text that is no text say a word on the terminal."""

    async def play(address):
        async with playing(address) as good:
            async with connect(address) as bad:
                await bad.send('{"type": "input", "seq": 1, "keys": ["<b>"]}')
                assert any("no message" in text and "pattern" in text for text in await rest_of(bad))
                assert bad.close_code == 1008
            async with connect(address) as bad:
                bad.transport.write(b"\x81\x84\0\0\0\0\xff\xfe\xc3\x28")
                assert any("no message" in text for text in await rest_of(bad))
            assert len(await good.frames(2)) == 2

    run(play, toy)
    assert capfd.readouterr().err == ""


async def rest_of(socket):
    texts = []
    try:
        while True:
            message = await asyncio.wait_for(socket.recv(), 30)
            texts += [message] if isinstance(message, str) else []
    except websockets.ConnectionClosed:
        return texts


def test_a_flood_ends_its_session_and_slows_no_other(toy):
    async def play(address):
        async with playing(address) as good, playing(address) as bad:
            try:
                for _ in range(3000):
                    await bad.hold("ArrowLeft")
            except websockets.ConnectionClosed:
                pass
            texts = await rest_of(bad.socket)
            assert any("too many messages" in text for text in texts) or bad.socket.close_code == 1008
            for _ in range(10):
                start = time.perf_counter()
                await good.frames(20)
                if time.perf_counter() - start < 1.2:  # 20 frames are one second
                    return
            raise AssertionError("the other session is slowed down")

    run(play, toy)


def test_a_message_that_is_too_long_ends_its_session(toy):
    async def play(address):
        async with playing(address) as good, playing(address) as bad:
            await bad.socket.send("x" * 100_000)
            await rest_of(bad.socket)
            assert bad.socket.close_code == 1009
            assert len(await good.frames(3)) == 3

    run(play, toy)


def test_an_upload_that_is_too_large_is_refused_and_the_session_goes_on(toy):
    async def play(address):
        async with playing(address) as client:
            session = next(text for text in client.texts if text["type"] == "session")
            path, body = f"/upload/{session['id']}", b"x" * 1_000_000
            try:
                status, text = await asyncio.to_thread(request, address, "POST", path, body)
                assert status == 413 and b"larger than 0.1 MB" in text
            except ConnectionError:  # it hung up before all was sent
                pass
            assert len(await client.frames(3)) == 3
        assert (await asyncio.to_thread(request, address, "POST", "/upload/guess", b"x"))[0] == 409

    run(play, toy)


def test_a_slow_page_gets_the_newest_frame_not_a_backlog(toy):
    async def play(address):
        async with connect(address) as socket:
            numbers = []
            with pytest.raises(TimeoutError):
                while True:
                    message = await asyncio.wait_for(socket.recv(), 2.0 if numbers else 60)
                    if isinstance(message, bytes):
                        numbers.append(json.loads(message[4 : 4 + message[0] + 256 * message[1]])["frame"])
            assert len(numbers) <= 4
            await asyncio.sleep(1.0)
            await socket.send(json.dumps({"type": "seen", "frame": numbers[-1]}))
            message = await socket.recv()
            newest = json.loads(message[4 : 4 + message[0] + 256 * message[1]])["frame"]
            assert newest > numbers[-1] + 30

    run(play, toy)


def test_there_are_so_many_sessions_and_no_more(tmp_path):
    async def play(address):
        async with playing(address), connect(address) as second:
            texts = await rest_of(second)
            assert "all 1 sessions are taken" in texts[-1] and second.close_code == 1013
        await asyncio.to_thread(until, lambda: not server.sessions)
        async with playing(address) as again:
            await again.frame()

    with serving(toy_session(tmp_path), most=1) as (address, server):
        run(play, address)


# -- ends ------------------------------------------------------------------------------------------------


def test_the_process_ends_with_its_page(tmp_path):
    async def play(address):
        async with playing(address), playing(address) as client:
            await client.frame()
            return len(sessions_of())

    with serving(toy_session(tmp_path)) as (address, server):
        before = len(sessions_of())
        assert run(play, address) == before + 2
        until(lambda: len(sessions_of()) == before)
        until(lambda: not server.sessions)


@pytest.mark.parametrize(
    ("kind", "complaint"),
    [("raise", "the toy broke down, as it was told to"), ("crash", "process ended with exit code 13")],
)
def test_a_crash_is_a_sentence_on_the_page(tmp_path, kind, complaint):
    counter = tmp_path / "counter"
    fault = ToyFault("toy_reach-task00-fresh-seed6", kind, str(counter))

    async def play(address):
        async with playing(address) as client:
            counter.write_text("1")
            await client.say("reset", seed=6)
            error = await client.text("error")
            assert complaint in error["text"] and "Traceback" not in error["text"]
            await rest_of(client.socket)
            assert client.socket.close_code == 1011

    with serving(toy_session(tmp_path, env=ToyReachConfig(fault=fault))) as (address, _):
        run(play, address)


def test_a_session_that_cannot_be_built_says_why(tmp_path):
    async def play(address):
        async with connect(address) as socket:
            return await rest_of(socket)

    wrong = ImaginedToyConfig(tasks=0)
    with serving(toy_session(tmp_path, env=wrong)) as (address, _):
        texts = run(play, address)
    assert json.loads(texts[-1])["type"] == "error" and "Traceback" not in texts[-1]
