"""Rows of data sets for training: conventions that their values contradict are refused."""

import numpy as np
import pytest

from playloop.demos.lerobot.dataset import Demonstrations
from playloop.demos.lerobot.writer import DatasetWriter
from playloop.demos.splits import check_steps
from playloop.demos.vpt.dataset import vpt_contract
from playloop.envs.libero import LiberoConfig
from playloop.training.openvla.data import matching_family


@pytest.mark.parametrize(("shut", "opened", "good"), [(1, -1, True), (1, 0, False), (0.96, 0.02, False)])
def test_a_gripper_from_0_to_1_is_asked_about_instead_of_turned_around(tmp_path, shut, opened, good):
    chunk = np.zeros((6, 8, 7), np.float32)
    chunk[..., -1] = np.where(np.arange(6) < 3, opened, shut)[:, None]
    features = {
        "action": {"dtype": "float32", "shape": [7], "names": None},
        "observation.state": {"dtype": "float32", "shape": [8], "names": None},
    }
    private = {"action_chunk": {"dtype": "float32", "shape": [8, 7], "names": None}}
    with DatasetWriter(tmp_path, 20, features, private=private) as writer:
        state = np.zeros((6, 8), np.float32)
        writer.add_episode(
            {"action": chunk[:, 0], "observation.state": state, "action_chunk": chunk}, {}, "a"
        )
        writer.finalize({"contract": LiberoConfig("libero_object").contract().to_json()})
    if good:
        assert matching_family([Demonstrations(tmp_path)]).gripper == "robosuite"
        return
    with pytest.raises(ValueError, match=r"says that -1 opens .* store -1"):
        matching_family([Demonstrations(tmp_path)])


def test_a_model_of_frames_refuses_rows_between_which_actions_are_missing(tmp_path):
    """Recorded with a stride: the action of a row alone does not lead to the next."""
    features = {"action": {"dtype": "float32", "shape": [25], "names": None}}
    for rate in (20, 5):
        with DatasetWriter(tmp_path / str(rate), rate, features) as writer:
            writer.add_episode({"action": np.zeros((3, 25), np.float32)}, {}, "explore")
            writer.finalize({"contract": vpt_contract((64, 64)).to_json()})
    check_steps(Demonstrations(tmp_path / "20"))
    with pytest.raises(ValueError, match=r"5 rows a second and its environment 20 .* stride=1"):
        check_steps(Demonstrations(tmp_path / "5"))
