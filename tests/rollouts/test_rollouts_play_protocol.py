"""What clients must not do, and how sessions end: with plain clients against a real server."""

from __future__ import annotations

import asyncio
import contextlib
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


async def rest_of(socket):
    texts = []
    try:
        while True:
            message = await asyncio.wait_for(socket.recv(), 30)
            texts += [message] if isinstance(message, str) else []
    except websockets.ConnectionClosed:
        return texts


def test_what_is_no_message_too_long_or_too_much_ends_its_session_and_no_other(toy, capfd):
    """Nor is there a word on the terminal."""

    async def play(address):
        async with playing(address) as good:
            async with connect(address) as bad:
                await bad.send('{"type": "input", "seq": 1, "keys": ["<b>"]}')
                assert any("no message" in text and "pattern" in text for text in await rest_of(bad))
                assert bad.close_code == 1008
            async with connect(address) as bad:
                bad.transport.write(b"\x81\x84\0\0\0\0\xff\xfe\xc3\x28")  # text that is no UTF-8
                assert any("no message" in text for text in await rest_of(bad))
            async with connect(address) as bad:
                await bad.send("x" * 100_000)
                await rest_of(bad)
                assert bad.close_code == 1009
            async with connect(address) as bad:
                with contextlib.suppress(websockets.ConnectionClosed):
                    for number in range(3000):
                        await bad.send(json.dumps({"type": "input", "seq": number, "keys": ["ArrowLeft"]}))
                texts = await rest_of(bad)
                assert any("too many messages" in text for text in texts) or bad.close_code == 1008
            for _ in range(10):
                start = time.perf_counter()
                await good.frames(20)
                if time.perf_counter() - start < 1.2:  # 20 frames are one second
                    return
            raise AssertionError("the other session is slowed down")

    run(play, toy)
    assert capfd.readouterr().err == ""


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


# -- ends ------------------------------------------------------------------------------------------------


def test_there_are_so_many_sessions_and_no_more_and_their_processes_end_with_their_pages(tmp_path):
    async def play(address):
        async with playing(address), playing(address) as client, connect(address) as third:
            texts = await rest_of(third)
            assert "all 2 sessions are taken" in texts[-1] and third.close_code == 1013
            await client.frame()
            assert len(sessions_of()) == 2
        await asyncio.to_thread(until, lambda: not server.sessions and not sessions_of())
        async with playing(address) as again:
            await again.frame()

    with serving(toy_session(tmp_path), most=2) as (address, server):
        until(lambda: not sessions_of())  # those of other tests
        run(play, address)


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
