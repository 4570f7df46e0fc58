"""A policy acts under another contract of the same robot: what is declared is done, and nothing else."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from playloop.agents.fit import Fit, View
from playloop.agents.fitted import FittedAgent
from playloop.agents.random import RandomAgentConfig
from playloop.agents.translation import Grip, state_of
from playloop.cli.main import main
from playloop.core.robots import arm_contract, bridge_contract, fractal_contract
from playloop.envs.toy import ToyReachConfig
from playloop.policies.resize import pad

LIBERO = arm_contract("libero", 256, "always", "standard")
BRIDGE = bridge_contract("always", "standard")
OPENPI = {
    "image": View("agentview", (224, 224)),
    "wrist": View("robot0_eye_in_hand", (224, 224), rotate=180),
}


def act(fit, actions, contract=LIBERO, grip=None):
    return fit.actions(contract, grip or Grip(), np.asarray(actions, np.float32))[1]


@pytest.mark.parametrize(
    ("shape", "size", "digest"),
    [
        ((256, 256), (224, 224), "a1ce26690e92ac09"),
        ((480, 640), (224, 224), "65768bbabf171649"),
        ((100, 37), (64, 96), "995c9168d8288e94"),
    ],
)
def test_padded_pictures_are_those_of_openpi_s_client(shape, size, digest):
    """Digests of `openpi_client.image_tools.resize_with_pad`, version 0.1.2, on the same pictures."""
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    assert hashlib.sha256(pad(image, size).tobytes()).hexdigest()[:16] == digest


def test_what_the_policy_is_told_is_a_contract():
    fit = Fit(cameras={"image": OPENPI["image"]}, state=("x", "roll", "zero"), gripper="opening", hz=10)
    told = fit.target(LIBERO)
    assert told.cameras == {"image": (224, 224)} and told.state_names == ("x", "roll", "zero")
    assert told.gripper.id == "opening" and told.action_names[-1] == "opening" and told.control_hz == 10
    assert told.image == LIBERO.image
    resized = replace(fit, tells_resize=True).target(LIBERO).image
    assert resized.parameters == {"rotated": 180, "resized": "pad"}
    assert Fit().target(LIBERO) == LIBERO and Fit().described(LIBERO) == []
    upright = Fit(cameras={"image": View("agentview", rotate=180)}).target(LIBERO)
    assert upright.image.parameters == {} and upright.cameras == {"image": (256, 256)}
    assert "wrist 180° pad" in str(Fit(cameras=OPENPI).target(LIBERO).image)
    assert [label for label, _ in fit.described(LIBERO)] == ["picture image", "state", "gripper", "rate"]


def test_pictures_state_and_sentence_are_as_declared():
    rng = np.random.default_rng(0)
    images = {name: rng.integers(0, 256, (256, 256, 3), np.uint8) for name in LIBERO.cameras}
    vector = np.array([0.3, 1.8, -0.4])
    state = np.array([0.1, 0.2, 0.3, *vector, 0.04, -0.04], np.float32)
    names = ("quaternion_w", "quaternion_x", "roll", "pitch", "yaw", "zero", "finger_left", "x")
    fit = Fit(cameras=OPENPI, state=names, prompt="What should the robot do to {lower}?")
    before = {"images": images, "state": state, "instruction": "Open it", "privileged": 1}
    shown = fit.observation(before, LIBERO)
    assert (shown["images"]["image"] == pad(images["agentview"], (224, 224))).all()
    assert (shown["images"]["wrist"] == pad(images["robot0_eye_in_hand"][::-1, ::-1], (224, 224))).all()
    rotation = Rotation.from_rotvec(state[3:6])
    wanted = [rotation.as_quat()[3], rotation.as_quat()[0], *rotation.as_euler("xyz"), 0.0, 0.04, 0.1]
    np.testing.assert_allclose(shown["state"], wanted, atol=1e-6)
    assert shown["instruction"] == "What should the robot do to open it?" and shown["privileged"] == 1
    assert before["images"] is images and before["instruction"] == "Open it"  # untouched


def test_of_two_quaternions_of_one_rotation_it_is_always_the_same():
    for angle in (3.0, 3.3):  # on both sides of half a turn
        state = np.array([angle, 0, 0])
        names = ("axis_angle_x", "axis_angle_y", "axis_angle_z")
        assert state_of(state, names, ("quaternion_w",))[0] >= 0


@pytest.mark.parametrize(
    ("fit", "said", "meant"),
    [
        (Fit(gripper="opening"), [0.0, 0.25, 1.0], [1.0, 0.5, -1.0]),
        (Fit(gripper="opening", binary=True), [0.0, 0.25, 0.75], [1.0, 1.0, -1.0]),
        (Fit(gripper="opens-positive"), [-1.0, 0.5, 1.0], [1.0, -0.5, -1.0]),
        (Fit(binary=True), [-0.2, 0.2, 1.0], [-1.0, 1.0, 1.0]),
        (Fit(), [-0.2, 0.2, 1.0], [-0.2, 0.2, 1.0]),
    ],
)
def test_grippers_are_translated(fit, said, meant):
    actions = np.full((3, 7), 0.125, np.float32)
    actions[:, 6] = said
    found = act(fit, actions)
    np.testing.assert_allclose(found[:, 6], meant, atol=1e-6)
    assert (found[:, :6] == 0.125).all()


def test_fingers_are_one_number_where_the_policy_wants_one():
    names, wanted = LIBERO.state_names, ("finger_mean", "finger_opening", "zero")
    for reach, opening in ((0.04, 1.0), (0.01, 0.25), (-0.001, 0.0)):
        state = np.array([0] * 6 + [reach, -reach])
        np.testing.assert_allclose(state_of(state, names, wanted), [reach, opening, 0], atol=1e-7)
    own = ("finger_opening", "roll")  # what the environment tells itself is not made anew
    assert state_of(np.array([0.7, 0.2]), own, own).tolist() == pytest.approx([0.7, 0.2])
    contract = replace(LIBERO, state_names=own)
    assert Fit(state=own).target(contract).state_names == own


def test_metres_become_the_controller_s_numbers_and_back():
    said = np.array([[0.05, -0.025, 0, 0.3, -0.2, 0.5, 1]], np.float32)
    fit = Fit(scale=(1, 1), orientation="euler-xyz")
    told = fit.target(LIBERO).action
    assert told.id == "ee-delta-pose" and told.parameters == {"orientation": "euler-xyz"}
    turn = Rotation.from_euler("xyz", said[0, 3:6]).as_rotvec()
    np.testing.assert_allclose(act(fit, said), [[1, -0.5, 0, *turn / 0.5, 1]], atol=1e-6)
    back = Fit(scale=(0.05, 0.5))
    assert back.target(BRIDGE).action == LIBERO.action and back.target(LIBERO) == LIBERO
    found = act(back, [[1, -0.5, 0, 0.2, 0, 0, 1]], BRIDGE)
    np.testing.assert_allclose(found, [[0.05, -0.025, 0, 0.1, 0, 0, 1]], atol=1e-7)


def test_actions_too_few_for_one_step_are_an_error_and_no_empty_plan():
    with pytest.raises(ValueError, match="2 actions of the policy make one step, and its chunk has only 1"):
        act(Fit(hz=40), np.zeros((1, 7)))


@pytest.mark.parametrize(
    ("contract", "relative", "digest"),
    [
        (BRIDGE, False, "c0626f5bda86f64f"),
        (fractal_contract("always", "standard"), True, "7ad4c029b54731dd"),
    ],
)
def test_bridge_and_fractal_keep_the_bits_that_results_were_made_with(contract, relative, digest):
    """Digests of `agents.dialect.translate` as it was before there were fits."""
    fit = Fit(orientation="euler-xyz", gripper="opening", binary=not relative)
    grip, rng, total = Grip(), np.random.default_rng(0), hashlib.sha256()
    for _ in range(200):
        actions = rng.uniform(-1.6, 1.6, (5, 7)).astype(np.float32)
        actions[:, 6] = rng.choice([0, 0.25, 0.5, 0.51, 0.75, 1], 5)
        grip, found = fit.actions(contract, grip, actions)
        total.update(found.tobytes())
    assert total.hexdigest()[:16] == digest


def test_the_order_of_an_action_is_declared():
    order = ("gripper", "x", "y", "z", "roll", "pitch", "yaw")
    assert act(Fit(order=order), np.arange(7)[None]).tolist() == [[1, 2, 3, 4, 5, 6, 0]]


def test_a_slower_policy_s_movements_are_spread_and_a_faster_one_s_added_up():
    actions = np.array([[0.4, 0, 0, 0, 0, 0.2, 1], [0.8, 0, 0, 0, 0, 0, -1]], np.float32)
    spread = act(Fit(hz=10), actions)
    np.testing.assert_allclose(spread[:, [0, 5, 6]], [[0.2, 0.1, 1]] * 2 + [[0.4, 0, -1]] * 2, atol=1e-7)
    np.testing.assert_allclose(act(Fit(hz=40), actions)[:, [0, 5, 6]], [[1.2, 0.2, -1]], atol=1e-6)
    toy = ToyReachConfig().contract()  # a velocity is held
    held = act(Fit(hz=toy.control_hz / 2), np.array([[0.5, -1.0]]), toy)
    assert held.tolist() == [[0.5, -1.0]] * 2


@pytest.mark.parametrize(
    ("fit", "contract", "told"),
    [
        (Fit(cameras={"image": View("front")}), LIBERO, "camera 'front'; the environment has agentview"),
        (Fit(cameras={"i": View("agentview", (300, 300), "area")}), LIBERO, "only shrinks"),
        (Fit(state=("opening",)), LIBERO, "state 'opening' needs 'opening'; the environment tells x"),
        (Fit(orientation="euler-xyz"), LIBERO, "orientation=euler-xyz: the environment's action means OSC"),
        (Fit(gripper="opening"), ToyReachConfig().contract(), "the environment's gripper is none"),
        (Fit(gripper="relative-closes-positive"), BRIDGE, "is not translated"),
        (Fit(order=("x", "y")), LIBERO, "name each of x, y, z, roll, pitch, yaw, gripper once"),
        (Fit(hz=40, execute=5), LIBERO, "use a multiple of 2"),
        (Fit(scale=(1, 1)), ToyReachConfig().contract(), r"scale=.*velocity"),
        (Fit(hz=15), LIBERO, "takes 20 actions a second"),
        (Fit(robot="libero"), BRIDGE, "drive libero, the environment has simpler_widowx"),
    ],
)
def test_what_does_not_fit_is_said_before_the_first_step(fit, contract, told):
    with pytest.raises(ValueError, match=told):
        FittedAgent(RandomAgentConfig().make(), fit).prepare(contract)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"prompt": "{task}"}, "{task} is unknown"),
        ({"prompt": "{"}, "write {{ for a brace"),
        ({"gripper": "closed"}, "use one of closes-positive"),
    ],
)
def test_a_fit_that_is_none_is_refused(settings, told):
    with pytest.raises(ValueError, match=told):
        Fit(**settings)


def test_the_google_robot_s_gripper_goes_on():
    fit, contract = Fit(orientation="euler-xyz", gripper="opening"), fractal_contract("always", "standard")
    chunk = np.zeros((3, 7), np.float32)
    chunk[0, 6] = 1.0
    grip, found = fit.actions(contract, Grip(), chunk)
    assert found[:, 6].tolist() == [0.0, 1.0, 1.0] and grip.left == 13


def test_the_shipped_policy_acts_on_larger_pictures(tmp_path, capsys):
    """Drawn at 512 and shrunk: the command prints the fit before the run and keeps it with the result."""
    pytest.importorskip("libero")
    words = ["eval", "suite=libero_object", "task=0", "inits=1", "env.horizon=4", "env.size=512", "workers=0"]
    fitted = ["agent=fitted", "agent.policy.checkpoint=libero", "agent.fit.prompt={lower}"]
    views = [
        f"agent.fit.cameras.{name}={{camera: {name}, size: [256, 256], resize: area}}"
        for name in ("agentview", "robot0_eye_in_hand")
    ]
    assert main([*words, *fitted, *views, f"out={tmp_path}"]) == 0, capsys.readouterr().err
    shown = "".join(capsys.readouterr())
    assert "picture agentview: agentview, 256 x 256 by area" in shown and "asked: {lower}" in shown
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["run"]["agent_provenance"]["fit"]["prompt"] == "{lower}"
    assert summary["result"]["overall"]["errors"] == 0 and "fitted" in summary["run"]["agent"]
    wrong = [*words, *fitted, views[0], f"out={tmp_path / 'other'}"]
    assert main(wrong) == 2
    assert "robot0_eye_in_hand" in capsys.readouterr().err
