"""The parts of real-time play by themselves: pacing, rate limit, frames."""

from __future__ import annotations

import json

import numpy as np
import pytest
from play_helpers import unpack

from playloop.agents.keymaps import Held
from playloop.rollouts.play import messages
from playloop.rollouts.play.access import AccessCheck, RateLimit, is_loopback
from playloop.rollouts.play.session import Pacer


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


def test_lateness_does_not_add_up():
    clock = Clock()
    pacer, begun = Pacer(20.0, clock), []
    for cost in (0.0, 0.03, 0.049, 0.06, 0.01, 0.0, 0.3, 0.0, 0.0):
        clock.now += pacer.left()
        begun.append(round(clock.now - 100.0, 3))
        pacer.tick()
        clock.now += cost
    assert begun == [0.0, 0.05, 0.1, 0.15, 0.21, 0.25, 0.3, 0.6, 0.6]
    assert pacer.left() == pytest.approx(0.05)


def test_a_rate_limit_fills_at_its_rate():
    clock = Clock()
    limit, burst = RateLimit(clock), [True] * 300 + [False]
    assert [limit.allow() for _ in burst] == burst
    clock.now += 1.5 / 150
    assert [limit.allow() for _ in range(2)] == [True, False]
    clock.now += 100.0
    assert [limit.allow() for _ in burst] == burst


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.1.2.3", "::1"])
def test_these_are_this_machine(host):
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "example.org", "localhost.example.org", "10.0.0.1", ""])
def test_these_are_not(host):
    assert not is_loopback(host)


@pytest.mark.parametrize(
    ("host", "origin", "good"),
    [
        ("localhost:8600", "http://localhost:8600", True),
        ("[::1]:8600", "http://[::1]:8600", True),
        ("127.0.0.1:8600", "http://localhost:8600", False),
        ("localhost:8600", "http://localhost:8600.example.org", False),
        ("example.org", "http://example.org", False),
        ("[", "http://[", False),
        ("", "", False),
    ],
)
def test_only_our_own_page_on_this_machine_is_let_in(host, origin, good):
    refusal = AccessCheck(loopback=True).refusal({"host": host, "origin": origin}, {})
    assert (refusal is None) == good


def test_hands_are_merged_without_losing_a_tap():
    merged = Held(seq=3).then(Held(frozenset("a"), turn=(1.0, 2.0), wheel=1, seq=4))
    merged = merged.then(Held(frozenset("b"), turn=(3.0, -1.0), seq=5))
    assert merged == Held(frozenset("b"), frozenset("ab"), (4.0, 1.0), 1, 5)
    assert merged.rest() == Held(frozenset("b"), seq=5) and merged.rest().down == {"b"}


@pytest.mark.parametrize(("size", "kind"), [((64, 64), "rgb"), ((128, 128), "rgb"), ((224, 384), "jpeg")])
def test_frames_survive_the_way(size, kind):
    rows, columns = np.mgrid[: size[0], : size[1]]
    image = np.stack([rows, columns // 2, (rows + columns) // 3], axis=-1).clip(0, 255).astype(np.uint8)
    packed = messages.pack({"frame": 12}, [("env", "top", image), ("world", "pov", image[::-1])])
    header, found = unpack(packed)
    assert header["frame"] == 12 and [view["format"] for view in header["views"]] == [kind, kind]
    assert [(view["part"], view["camera"]) for view in header["views"]] == [("env", "top"), ("world", "pov")]
    for picture, wanted in zip(found, (image, image[::-1]), strict=True):
        error = np.abs(picture.astype(int) - wanted)
        assert error.max() == 0 if kind == "rgb" else error.mean() < 2


def test_input_becomes_hands():
    message = messages.read('{"type":"input","seq":7,"keys":["KeyW"],"dx":2,"dy":-1.5,"wheel":1}')
    assert message.held() == Held(frozenset({"KeyW"}), turn=(2.0, -1.5), wheel=1, seq=7)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{", "Invalid JSON"),
        (b"\x00\x01", "Invalid JSON"),
        (b"\xff\xfe\xc3\x28", "Invalid JSON"),
        ('{"type": "reboot"}', "tag"),
        ('{"type": "input", "seq": 1, "keys": ["KeyW"], "more": 1}', "Extra inputs"),
        ('{"type": "input", "seq": 1, "keys": ["<b>"]}', "pattern"),
        ('{"type": "input", "seq": -1, "keys": []}', "greater than"),
        ('{"type": "input", "seq": 1, "keys": [], "dx": NaN}', "dx"),
        ('{"type": "sampling", "temperature": 1, "top_p": 0}', "greater than 0"),
        ('{"type": "pause", "on": "yes"}', "boolean"),
        (json.dumps({"type": "input", "seq": 1, "keys": ["KeyW"] * 40}), "at most 32"),
        ('{"path": "/etc/passwd"}', "discriminator"),
    ],
)
def test_what_is_no_message_is_refused_with_what_is_wrong(text, complaint):
    with pytest.raises(ValueError, match=complaint):
        messages.read(text)
