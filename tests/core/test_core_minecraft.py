import numpy as np
import pytest
from minerl_space import dictionary_space

from playloop.core.minecraft import (
    ACTION_NAMES,
    BUTTONS,
    action_dictionary,
    action_space,
    action_vector,
)


def test_keys_are_those_of_minerl():
    assert len(BUTTONS) == 23 and list(BUTTONS) == sorted(BUTTONS)
    assert {"ESC", "hotbar.9", "pickItem", "swapHands", "use"} < set(BUTTONS)
    assert ACTION_NAMES[-2:] == ("camera.pitch", "camera.yaw")


def test_dictionary_and_vector_are_inverses():
    space = dictionary_space()
    space.seed(0)
    for _ in range(20):
        action = space.sample()
        vector = action_vector(action)
        assert action_space().contains(vector)
        again = action_dictionary(vector)
        assert all(again[name] == action[name] for name in BUTTONS)
        np.testing.assert_array_equal(again["camera"], action["camera"])


def test_keys_left_out_are_not_pressed():
    vector = action_vector({"attack": 1, "camera": (0.0, -1.5)})
    assert vector[list(ACTION_NAMES).index("attack")] == 1 and vector[-1] == -1.5
    assert np.count_nonzero(vector) == 2


def test_a_wrong_key_or_shape_is_named():
    with pytest.raises(KeyError, match="atack"):
        action_vector({"atack": 1})
    with pytest.raises(ValueError, match="24"):
        action_dictionary(np.zeros(24))
