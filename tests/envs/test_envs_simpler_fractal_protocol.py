"""Fractal's episodes, placements and appearances as published; its motion law; nothing is simulated."""

import numpy as np
import pytest

from playloop.core.episode import FRESH, Episode
from playloop.envs.simpler.config import SimplerConfig
from playloop.envs.simpler.fractal import looks, protocol
from playloop.envs.simpler.fractal.controller import Limits, plan
from playloop.envs.simpler.fractal.env import resize
from playloop.envs.simpler.fractal.layouts import APPLE, CLOSE, NEAR, OPEN, PICK, layouts

LIMITS = Limits(1.5, 2.0, 50.0)


def test_numbers_of_episodes():
    assert [protocol.count(task) for task in range(5)] == [300, 240, 108, 108, 108]
    assert [protocol.count(task, "fractal_variants") for task in range(5)] == [675, 480, 189, 189, 189]
    episodes = SimplerConfig("fractal").episodes()
    assert len(episodes) == len({episode.key for episode in episodes}) == 864
    assert [episode.init for episode in SimplerConfig("fractal").episodes([NEAR], [3, 239], 5)] == [3, 239]
    assert len(SimplerConfig("fractal").episodes([PICK, CLOSE], 2)) == 4


def test_can_lies_where_published():
    found = layouts(PICK)
    assert [layout.label for layout in found[::25]] == ["horizontal", "standing", "vertical"]
    assert found[1].objects[0].xy == pytest.approx((-0.35, 0.09))  # y runs first
    assert found[5].objects[0].xy == pytest.approx((-0.2925, -0.02))
    assert all(layout.base == (0.35, 0.20) and layout.yaw == 0 for layout in found)


def test_objects_of_move_near():
    episode = layouts(NEAR)[17]
    assert [placed.name for placed in episode.objects] == ["7up can", "apple", "sponge"]
    assert (episode.source, episode.target) == (2, 1)
    assert episode.objects[2].xy == (-0.13, 0.19)
    assert layouts(NEAR)[18].objects[2].xy == (-0.13, 0.34)  # the other triangle


def test_robot_stands_where_the_photograph_was_taken():
    episode = layouts(OPEN)[9 + 2]
    assert (episode.drawer, episode.base, episode.yaw) == ("middle", (0.889, -0.203), -0.06)
    assert episode.photo == "open_drawer_a2"
    assert layouts(CLOSE) == layouts(OPEN)
    apples = layouts(APPLE)
    assert [layout.photo for layout in apples[::9]] == ["open_drawer_a0", "open_drawer_b0", "open_drawer_c0"]
    assert apples[1].objects[0].xy == pytest.approx((-0.08, 0.03))
    grid = layouts(OPEN, "fractal_variants")
    assert grid[1].base == (0.65, 0.0) and grid[3].base == (0.75, -0.2) and not grid[0].photo


@pytest.mark.parametrize(
    "task, init, steps, text",
    [
        (PICK, 80, 0, "pick coke can"),
        (NEAR, 0, 0, "move blue plastic bottle near pepsi can"),
        (NEAR, 17, 0, "move sponge near apple"),
        (OPEN, 10, 0, "open middle drawer"),
        (CLOSE, 20, 0, "close bottom drawer"),
        (APPLE, 0, 100, "open top drawer"),
        (APPLE, 0, 101, "place apple into top drawer"),
    ],
)
def test_instructions(task, init, steps, text):
    assert protocol.instruction(protocol.setup(Episode("fractal", task, init)), steps) == text


def test_labels_to_average_by():
    labels = protocol.describe(Episode("fractal", PICK, 75 + 30))
    assert labels == {
        "task": "pick coke can",
        "group": "tabletop 1",
        "recolour": "tabletop 1",
        "orientation": "standing",
    }
    variant = protocol.describe(Episode("fractal_variants", OPEN, 27 * 5))
    assert variant["group"] == variant["variant"] == "cabinet: 2"
    for task in range(5):
        groups = [
            protocol.describe(Episode("fractal_variants", task, init))["group"]
            for init in range(protocol.count(task, "fractal_variants"))
        ]
        assert {groups.count(group) for group in groups} == {len(layouts(task, "fractal_variants"))}


def test_fresh_placements_follow_from_the_identity_and_are_none_of_the_published():
    for task in range(5):
        one, same = (protocol.setup(Episode("fractal", task, FRESH, 1)) for _ in range(2))
        other = protocol.setup(Episode("fractal", task, FRESH, 2))
        assert one == same and one != other
        assert one.layout not in layouts(task)


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: SimplerConfig("fractl"), "fractal_variants"),
        (lambda: SimplerConfig("fractal", shading="ray"), "traced"),
        (lambda: SimplerConfig("fractal", success="first"), "any"),
        (lambda: SimplerConfig("fractal", success_steps=3), "success=any"),
        (lambda: SimplerConfig("fractal").episodes([5]), "tasks 0 to 4"),
        (lambda: SimplerConfig("fractal").episodes([NEAR], [240]), "0 to 239"),
        (lambda: SimplerConfig("fractal").episodes([NEAR, NEAR], 1), "twice"),
        (lambda: protocol.setup(Episode("fractal", PICK, 300)), "0 to 299"),
    ],
)
def test_refusals_say_what_there_is(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_contract_names_what_departs_from_the_published_protocol():
    contract = SimplerConfig("fractal", shading="fast").contract()
    assert contract.protocol == "visual matching, shading=fast"
    assert str(contract.success) == "the goal holds at the last step, as SimplerEnv's evaluator judges"
    other = SimplerConfig("fractal_variants", shading="traced", horizon=9, success="any").contract()
    assert other.protocol == "variant aggregation, shading=traced, success=any, horizon=9"
    assert contract.control_hz == 3.0 and contract.cameras == {"overhead_camera": (512, 640)}


def test_missing_files_are_named(tmp_path, monkeypatch):
    monkeypatch.setenv("MS_ASSET_DIR", str(tmp_path))
    chosen = protocol.setup(Episode("fractal_variants", PICK, 75))
    urdf = looks.file_of("robot", chosen.look.recolour)
    urdf.parent.mkdir(parents=True)
    urdf.touch()
    with pytest.raises(FileNotFoundError, match=r"'background: 1' needs .*alt_background\.glb"):
        looks.require_files(chosen.look, chosen.layout)


def test_motion_keeps_its_limits_and_arrives():
    start, goal = np.array([0.0, 0.3]), np.array([0.5, 0.2])
    path = plan(start, np.zeros(2), goal, LIMITS, 513 * 2)
    assert np.allclose(path.positions[0], start) and np.allclose(path.positions[-1], goal, atol=1e-6)
    assert np.abs(path.velocities).max() <= 1.5 + 1e-9
    acceleration = np.diff(path.velocities, axis=0) * 513
    assert np.abs(acceleration).max() <= 2.0 + 1e-6
    assert np.abs(np.diff(acceleration, axis=0)).max() * 513 <= 50.0 + 1e-3


def test_motion_goes_on_from_a_moving_start():
    first = plan(np.zeros(1), np.zeros(1), np.ones(1), LIMITS)
    second = plan(first.positions[-1], first.velocities[-1], np.ones(1), LIMITS)
    assert first.positions.shape == first.velocities.shape == (172, 1)
    assert second.velocities[0] == pytest.approx(first.velocities[-1]) and second.velocities[0] > 0.3


def test_photographs_are_enlarged_between_pixel_middles():
    image = np.zeros((2, 2, 3), np.float32)
    image[:, 1] = 1.0
    assert resize(image, 4, 4)[0, :, 0] == pytest.approx([0.0, 0.25, 0.75, 1.0])
    assert np.array_equal(resize(image, 2, 2), image)
