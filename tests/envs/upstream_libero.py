"""Upstream LIBERO, in a process of its own: `python upstream_libero.py SUITE TASK INIT STEPS OUT.npz`.

Plays random actions as published evaluation scripts do, rendering every step, and stores all that was seen.
A second GL context in the test's process would break ours, so this never runs there.
"""

import sys

import numpy as np

from playloop.core.episode import FRESH, Episode
from playloop.envs.gl import choose_backend
from playloop.envs.libero import ARM_NOISE, LiberoConfig, load_states

CAMERAS = ("agentview", "robot0_eye_in_hand")
SETTLE = [0.0] * 6 + [-1.0]


def random_actions(steps):
    """The same on both sides: free motion at first downwards, so that something is touched."""
    actions = np.random.default_rng(0).uniform(-1, 1, (steps, 7))
    actions[: steps // 2, 2] = -1
    return actions


def record(simulator, episode, states, actions):
    """States, proprioception and both images after every action, from a stored or a fresh placement."""
    # LIBERO appends to this list at every reset and never empties it: in tasks with an open drawer the same
    # seed then draws another placement each time. Emptied, upstream's reset follows from the seed too.
    simulator.env.object_property_initializers.clear()
    np.random.seed(episode.derive("reset"))
    simulator.reset()
    if episode.init != FRESH:
        simulator.set_init_state(states[episode.init])
    else:  # our fresh placements begin with the arm a little off its rest pose, as the stored states do
        joints = simulator.robots[0]._ref_joint_pos_indexes
        simulator.sim.data.qpos[joints] += episode.rng("arm").normal(0.0, ARM_NOISE, 7)
        simulator.sim.forward()
    for _ in range(10):
        simulator.step(SETTLE)
    found = {"states": [], "eef_pos": [], "eef_quat": [], "fingers": [], **{name: [] for name in CAMERAS}}
    for action in actions:
        seen = simulator.step(action)[0]
        found["states"].append(simulator.get_sim_state())
        found["eef_pos"].append(seen["robot0_eef_pos"])
        found["eef_quat"].append(seen["robot0_eef_quat"])
        found["fingers"].append(seen["robot0_gripper_qpos"])
        for name in CAMERAS:
            found[name].append(seen[f"{name}_image"][::-1, ::-1])
    return {name: np.stack(values) for name, values in found.items()}


def main(suite, task, init, steps, out):
    choose_backend()
    from libero.libero.envs import OffScreenRenderEnv
    from robosuite.utils.transform_utils import quat2axisangle

    description = LiberoConfig(suite).task(int(task))
    simulator = OffScreenRenderEnv(
        bddl_file_name=str(description.scene), camera_heights=256, camera_widths=256
    )
    states = load_states(description)
    stored = record(simulator, Episode(suite, int(task), int(init), 0), states, random_actions(int(steps)))
    fresh = record(simulator, Episode(suite, int(task), FRESH, 7), states, random_actions(2))
    stored["axis_angle"] = np.stack([quat2axisangle(row.copy()) for row in stored.pop("eef_quat")])
    np.savez(out, fresh_states=fresh["states"], allow_pickle=False, **stored)
    simulator.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
