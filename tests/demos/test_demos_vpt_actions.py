"""Lines of VPT's recorder become action vectors, and its known faults are gone."""

from __future__ import annotations

import json

import numpy as np
import pytest
from vpt_files import line, write_lines

from playloop.core.minecraft import BUTTONS, action_dictionary, index_of
from playloop.demos.corrupt import CorruptFile
from playloop.demos.vpt.dataset import arrow, draw_cursor
from playloop.demos.vpt.lines import KEYS, MOUSE, read_lines
from playloop.demos.vpt.recording import action_vectors, hotbar_presses, null_actions, release_stuck_attack

NOWHERE = np.array([np.nan, np.nan])


def vectors(tmp_path, *lines):
    write_lines(tmp_path / "a.jsonl", list(lines))
    return action_vectors(read_lines(tmp_path / "a.jsonl"))


def held(vector):
    return {name for name, value in action_dictionary(vector).items() if name != "camera" and value}


def test_every_button_has_its_key():
    assert set(KEYS.values()) | set(MOUSE.values()) == set(BUTTONS)
    assert len(KEYS) + len(MOUSE) == len(BUTTONS)


@pytest.mark.parametrize(
    ("key", "name"),
    [(key.removeprefix("key.keyboard."), name) for key, name in KEYS.items() if "hotbar" not in name],
)
def test_a_key_is_held_as_long_as_it_is_held(tmp_path, key, name):
    found = vectors(tmp_path, line(), line([key], [key]), line([key]), line())
    assert [held(vector) for vector in found] == [set(), {name}, {name}, set()]


def test_mouse_buttons(tmp_path):
    found = vectors(tmp_path, line(), line(buttons=[0]), line(buttons=[1]), line(buttons=[2, 7]))
    assert [held(vector) for vector in found] == [set(), {"attack"}, {"use"}, {"pickItem"}]


def test_turns_keep_fractions_of_a_degree(tmp_path):
    found = vectors(tmp_path, line(dx=1, dy=-3), line(dx=6.5), line(dx=-4000, dy=2400))
    expected = [[-0.45, 0.15], [0.0, 0.975], [180.0, -180.0]]  # pitch from dy, yaw from dx; clipped
    np.testing.assert_allclose(found[:, -2:], expected, rtol=1e-6)
    assert found.dtype == np.float32


def test_stuck_attack_is_released_until_the_player_presses(tmp_path):
    lines = [line(buttons=[0], new_buttons=[0]), *[line(buttons=[0])] * 3]
    lines += [line(buttons=[0], new_buttons=[0]), line(buttons=[0]), line()]
    found = vectors(tmp_path, *lines)[:, index_of("attack")]
    assert found.tolist() == [0, 0, 0, 0, 1, 1, 0]
    assert not vectors(tmp_path, *lines[:4])[:, index_of("attack")].any()


def test_attack_that_begins_later_is_the_players():
    attack, pressed = np.array([0, 1, 1, 0, 1], bool), np.array([0, 1, 0, 0, 1], bool)
    assert np.array_equal(release_stuck_attack(attack, pressed), attack)


def test_hotbar_follows_the_selected_slot(tmp_path):
    lines = [
        line(hotbar=4),  # selected before the recording began: nobody pressed anything
        line(["3"], ["3"], hotbar=2),
        line(["3"], hotbar=2),  # still held: selects nothing more
        line(["3"], ["3"], hotbar=2),  # again the same slot
        line(dwheel=-1.0, hotbar=3),  # the wheel leaves no key
        line(hotbar=8),  # no visible cause
    ]
    found = vectors(tmp_path, *lines)
    assert [held(vector) for vector in found] == [
        set(),
        {"hotbar.3"},
        set(),
        set(),
        {"hotbar.4"},
        {"hotbar.9"},
    ]


def test_a_slot_that_shows_a_line_late_counts_for_the_line_of_its_cause():
    selected = np.array([0, 0, 5, 5, 5, 6])
    pressed, wheel = np.zeros((6, 9), bool), np.zeros(6, bool)
    pressed[1, 5] = wheel[4] = True
    presses = hotbar_presses(selected, pressed, wheel)
    assert np.argwhere(presses).tolist() == [[1, 5], [4, 6]]


def test_hotbar_keys_count_where_the_slot_was_not_recorded(tmp_path):
    lines = [line(), line(["7"], ["7"])]
    for record in lines:
        del record["hotbar"]
    assert held(vectors(tmp_path, *lines)[1]) == {"hotbar.7"}


def test_conflicting_keys_are_released(tmp_path):
    found = vectors(tmp_path, line(["w", "s", "d", "space"]), line(["w", "left.control", "left.shift"]))
    assert [held(vector) for vector in found] == [{"right", "jump"}, {"forward"}]


def test_null_actions_are_those_that_do_nothing(tmp_path):
    lines = [line(), line(["w"]), line(["w", "s"]), line(dx=0.5), line(["p"]), line(["escape"])]
    assert null_actions(vectors(tmp_path, *lines)).tolist() == [True, False, True, False, True, False]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (json.dumps(line()) + "\n" + json.dumps(line())[:80] + "\n", "line 2 is torn"),
        (json.dumps(line()) + "\n\n" + json.dumps(line()), "line 2 is empty: if one was lost"),
        (json.dumps(line(dx=1e300)), r"line 1 .*mouse.dx=1e\+300: use a number of at most 1000000"),
        (
            json.dumps({key: value for key, value in line().items() if key != "mouse"}),
            "line 1 .*mouse is missing",
        ),
        (json.dumps(line(dx=float("nan"))), "line 1 is no line"),
        (json.dumps(line(hotbar=12)), "hotbar=12: use"),
        ("[1, 2]", "line 1 is no line"),
        ("__import__('os')", "line 1 is torn"),
        ("", "is empty"),
    ],
)
def test_damaged_lines_are_named(tmp_path, text, sentence):
    (tmp_path / "a.jsonl").write_text(text)
    with pytest.raises(CorruptFile, match=sentence):
        read_lines(tmp_path / "a.jsonl")


def test_a_file_that_is_spaced_out_is_read(tmp_path):
    lines = [json.dumps(line(dx=float(number))) for number in range(4)]
    (tmp_path / "a.jsonl").write_bytes("\r\r\n".join(lines).encode())
    assert np.allclose(read_lines(tmp_path / "a.jsonl").turn[:, 1], 0.15 * np.arange(4))


@pytest.mark.parametrize("height", [64, 128, 360, 720])
def test_the_cursors_tip_lies_where_the_mouse_is(height):
    image = np.full((height, 2 * height, 3), 90, np.uint8)
    drawn = draw_cursor(image, np.array([720.0, 360.0]))
    rows, columns = np.nonzero((drawn != image).any(-1))
    assert (rows.min(), columns.min()) == (height // 2, height)
    assert drawn[height // 2, height].tolist() == [0, 0, 0]
    assert (image == 90).all(), "the frame itself stays as it was"


def test_the_cursor_is_cut_off_at_the_edge_and_absent_without_a_gui():
    image = np.full((360, 640, 3), 90, np.uint8)
    outline, inside = arrow(12)
    drawn = draw_cursor(image, np.array([1278.0, 718.0]))
    assert 0 < (drawn != image).any(-1).sum() < outline.sum() + inside.sum()
    assert np.array_equal(draw_cursor(image, np.array([5000.0, -500.0])), image)
    assert np.array_equal(draw_cursor(image, NOWHERE), image)
