"""Unknown connections to a server that others can reach: real sockets that keep silent, dribble, flood."""

from __future__ import annotations

import contextlib
import socket
import time

import pytest
from play_helpers import playing, request, run, serving, toy_session

from playloop.rollouts.play import serving as limits

TOKEN = "?token=sesame"
HALF = b"GET / HTTP/1.1\r\nHost: x\r\nX: "


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """The address of a server that wants a token."""
    out = tmp_path_factory.mktemp("connections")
    with serving(toy_session(out), token="sesame", loopback=False) as (found, _):
        yield found


@contextlib.contextmanager
def unknown(address, sources, said=b""):
    """Connections from these addresses that say so much and no more."""
    host, port = address.split(":")
    sockets = []
    try:
        for source in sources:
            sockets.append(socket.create_connection((host, int(port)), 10, (source, 0)))
            sockets[-1].sendall(said)
        yield sockets
    finally:
        for found in sockets:
            found.close()


def open_ones(sockets):
    """How many the server has not closed."""
    count = 0
    for found in sockets:
        found.settimeout(0.01)
        try:
            count += bool(found.recv(65536))
        except TimeoutError:
            count += 1
        except ConnectionError:
            pass
    return count


ONE, MANY = ["127.0.0.1"] * 90, [f"127.0.1.{number}" for number in range(1, 91)]


@pytest.mark.parametrize(("sources", "said"), [(ONE, b""), (ONE, HALF), (MANY, b"")])
def test_silent_connections_keep_nobody_out(address, sources, said):
    with unknown(address, sources, said) as silent:
        assert request(address, "GET", "/")[0] == 200
        assert open_ones(silent) <= (limits.EACH if sources is ONE else limits.ALL)


def test_who_shows_the_token_gets_in_and_is_not_pushed_out(address):
    async def stay(address):
        with unknown(address, ONE):
            async with playing(address, TOKEN) as client:
                await client.frames(3)
                with unknown(address, ONE), unknown(address, ONE):
                    return len(await client.frames(20))

    assert run(stay, address) == 20


@pytest.mark.parametrize("said", [b"", HALF, HALF + b"\r\n\r\n"])
def test_a_connection_has_a_moment_for_a_request_and_for_the_next(address, said, monkeypatch):
    """A letter now and then is no request, behind a whole one neither."""
    monkeypatch.setattr(limits, "SECONDS", 1.0)
    with unknown(address, ["127.0.0.1"], said) as [dribbler]:
        start = time.monotonic()
        dribbler.settimeout(0.1)
        with pytest.raises(ConnectionError):
            while time.monotonic() < start + 10:
                with contextlib.suppress(TimeoutError):
                    if not dribbler.recv(65536):
                        raise ConnectionResetError
                dribbler.sendall(b"a")
        assert time.monotonic() - start < 6


@pytest.mark.parametrize(
    "said",
    [
        HALF + b"a" * 100_000,
        b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 20_000,
        b"GET /" + b"a" * 100_000,
        b"\x16\x03\x01\x02\x00\x01\x00" * 10,
    ],
)
def test_what_is_no_request_is_hung_up_on(address, said):
    with unknown(address, ["127.0.0.1"]) as [found]:
        with contextlib.suppress(ConnectionError):
            found.sendall(said)
        found.settimeout(5)
        answer = b""
        with contextlib.suppress(ConnectionError):
            while piece := found.recv(65536):
                answer += piece
        assert answer == b"" or answer.startswith(b"HTTP/1.1 400")
    assert request(address, "GET", "/")[0] == 200


def test_the_token_is_looked_at_first(address):
    for path in ("/upload/any", "/upload/any?token=wrong"):
        status, why = request(address, "POST", path, b"x")
        assert status == 403 and b"token" in why
    assert request(address, "POST", f"/upload/any{TOKEN}", b"x")[0] == 409
