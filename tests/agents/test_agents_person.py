"""A person's hands as actions: Minecraft's keys, an arm, anything else."""

from __future__ import annotations

import numpy as np
import pytest

from playloop.agents.keymaps import Held
from playloop.agents.person import Person, PersonConfig
from playloop.core.minecraft import action_dictionary, index_of
from playloop.core.robots import bridge_contract
from playloop.envs.craft.env import CraftConfig
from playloop.envs.robosuite import RobosuiteConfig
from playloop.envs.toy import ToyReachConfig

MINECRAFT, ARM, TOY = CraftConfig().contract(), RobosuiteConfig().contract(), ToyReachConfig().contract()


class Hands:
    """Feeds a person and asks for the next action."""

    def __init__(self, contract, **config):
        self.person = PersonConfig(**config).make()
        self.person.prepare(contract)
        self.carry = self.person.begin(ToyReachConfig().episodes()[0])

    def act(self, *moves: Held) -> np.ndarray:
        for move in moves:
            self.person.update(move)
        [self.carry], [plan] = self.person.act([self.carry], [{}], [np.random.default_rng()])
        assert plan.actions.shape[0] == 1 and plan.actions.dtype == np.float32 and plan.info == {"expert": 1}
        return plan.actions[0]


def keys(*names: str, **rest) -> Held:
    return Held(frozenset(names), **rest)


def pressed(action: np.ndarray) -> set[str]:
    return {name for name, value in action_dictionary(action).items() if name != "camera" and value}


def test_minecraft_keys():
    hands = Hands(MINECRAFT)
    assert pressed(hands.act(keys("KeyW", "Space", "ControlLeft", "Mouse0"))) == {
        "forward",
        "jump",
        "sprint",
        "attack",
    }
    assert pressed(hands.act()) == {"forward", "jump", "sprint", "attack"}, "what is held stays held"
    expected = {
        "KeyS": "back",
        "KeyA": "left",
        "KeyD": "right",
        "ShiftLeft": "sneak",
        "KeyR": "sprint",
        "Mouse1": "pickItem",
        "Mouse2": "use",
        "KeyQ": "drop",
        "KeyE": "inventory",
        "KeyF": "swapHands",
    }
    for key, name in expected.items():
        assert pressed(hands.act(keys(key))) == {name}
    assert pressed(hands.act(keys("KeyX"))) == set()


def test_buttons_without_a_meaning_have_no_key():
    hands = Hands(MINECRAFT, without=["inventory", "swapHands"])
    shown = {key for binding in hands.person.layout()["bindings"] for key in binding["keys"]}
    assert not shown & {"KeyE", "KeyF"} and {"KeyQ", "KeyW", "Mouse0", "Digit9"} <= shown
    assert pressed(hands.act(keys("KeyE", "KeyF", "KeyW"))) == {"forward"}


def test_mouse_turns_between_two_actions_are_summed_and_then_forgotten():
    hands = Hands(MINECRAFT, degrees_per_pixel=0.15)
    action = hands.act(keys(turn=(10.0, -4.0)), keys(turn=(30.0, 0.0)))
    assert action[index_of("camera.yaw")] == pytest.approx(6.0)
    assert action[index_of("camera.pitch")] == pytest.approx(-0.6)
    assert not hands.act()[-2:].any()
    assert hands.act(keys(turn=(9999.0, 0.0)))[index_of("camera.yaw")] == 180.0


def test_a_tap_between_two_actions_counts_once():
    hands = Hands(MINECRAFT)
    assert pressed(hands.act(keys("KeyQ"), keys())) == {"drop"}
    assert pressed(hands.act()) == set()
    hands.act(keys("KeyW"))
    assert pressed(hands.act(keys())) == set(), "a key that was let go is not pressed once more"


def test_the_hotbar_follows_digits_and_the_wheel():
    hands = Hands(MINECRAFT)
    assert pressed(hands.act(keys("Digit3"))) == {"hotbar.3"}
    assert pressed(hands.act()) == set()
    assert pressed(hands.act(keys(wheel=1))) == {"hotbar.4"}
    assert pressed(hands.act(keys(wheel=-4))) == {"hotbar.9"}
    policy = np.zeros(25, np.float32)
    policy[index_of("hotbar.6")] = 1
    hands.carry = hands.person.resume(hands.carry, policy)
    assert pressed(hands.act(keys(wheel=1))) == {"hotbar.7"}


def test_an_arm_moves_at_part_of_its_speed_and_space_toggles_the_gripper():
    hands = Hands(ARM, arm_speed=0.5)
    assert np.allclose(hands.act(keys("KeyW", "KeyD", "KeyR")), [-0.5, 0.5, 0.5, 0, 0, 0, -1])
    assert np.allclose(hands.act(keys("KeyJ", "KeyK", "KeyO", "ShiftLeft")), [0, 0, 0, -1, 1, 1, -1])
    assert hands.act(keys("Space"))[-1] == 1
    assert hands.act()[-1] == 1, "held is not pressed again"
    assert hands.act(keys())[-1] == 1
    assert hands.act(keys("Space"), keys())[-1] == -1
    hands.carry = hands.person.resume(hands.carry, np.array([0, 0, 0, 0, 0, 0, 0.7], np.float32))
    assert hands.act()[-1] == 1, "the gripper stays as the policy left it"


def test_a_gripper_begins_open_whatever_its_sign():
    hands = Hands(bridge_contract("any", "standard"))  # +1 opens
    held = [keys(), keys("Space"), keys(), keys("Space")]
    assert [hands.act(move)[-1] for move in held] == [1, -1, -1, 1]
    hands.carry = hands.person.resume(hands.carry, np.array([0, 0, 0, 0, 0, 0, -0.7], np.float32))
    assert hands.act()[-1] == -1


def test_anything_else_has_a_pair_of_keys_a_dimension():
    hands = Hands(TOY)
    assert hands.act(keys("ArrowLeft", "KeyS")).tolist() == [-1, 1]
    assert hands.act(keys("KeyA", "KeyD")).tolist() == [0, 0]


@pytest.mark.parametrize("contract", [MINECRAFT, ARM, TOY], ids=lambda contract: contract.family)
def test_every_key_that_the_page_shows_does_something(contract):
    person = Person()
    person.prepare(contract)
    layout = person.layout()
    for binding in layout["bindings"]:
        for key in binding["keys"]:
            alone = {
                "Mouse": Held(turn=(5.0, 5.0)),
                "Wheel": Held(wheel=1),
                "Digit1": None,
                "ShiftLeft": None,
            }
            held = alone.get(key, keys(key))
            hands = Hands(contract)
            assert held is None or not np.array_equal(hands.act(held), Hands(contract).act()), key
    assert {key for binding in layout["bindings"] for key in binding["keys"]} >= set(layout["stick"])
