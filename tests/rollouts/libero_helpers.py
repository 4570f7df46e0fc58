"""The real simulator in small, and a small real policy, for the tests of the loop."""

import os
import signal
from dataclasses import replace

import numpy as np
from tiny import tiny_config, tiny_statistics
from toy_helpers import Memory

from playloop.agents.base import Plan
from playloop.agents.policy import PolicyAgent
from playloop.envs.libero import LiberoConfig
from playloop.policies.diffusion import DecoderConfig
from playloop.policies.vla import CameraConfig
from playloop.policies.vla_policy import VLAPolicy
from playloop.tokenizers.instructions import NGramsConfig

CAMERAS = ("agentview", "robot0_eye_in_hand")


def small(**changes):
    """libero_object with small pictures and short episodes."""
    return LiberoConfig("libero_object", **{"size": 64, "horizon": 20, **changes})


def tiny_policy_agent(contract, batch=2):
    """An untrained policy of the real kind, sampling in three rounds: every pixel and every draw matters."""
    cameras = {name: CameraConfig((8, 16), (1, 1), keypoints=4) for name in CAMERAS}
    model = replace(tiny_config(), cameras=cameras).make(tiny_statistics(), 0)
    decoder = DecoderConfig(rounds=3, sample="multinomial", temperature=1.0)
    return PolicyAgent(VLAPolicy(model, contract, NGramsConfig(size=24).make(), decoder, batch))


class Swing:
    """Swings the arm for eight steps, with noise from its generator and a bias from the pictures."""

    reads = frozenset({"images"})
    rows = 4

    def prepare(self, contract):
        assert contract.family == "libero"

    def begin(self, episode):
        return 0

    def act(self, carries, observations, rngs):
        plans = [self._plan(seen["images"], rng) for seen, rng in zip(observations, rngs, strict=True)]
        return [carry + 1 for carry in carries], plans

    def _plan(self, images, rng):
        bias = np.array([image.mean() / 255 - 0.5 for image in images.values()])
        actions = rng.uniform(-1, 1, (8, 7))
        actions[:, :2] += bias
        return Plan(np.clip(actions, -1, 1).astype(np.float32))


class Assassin(Memory):
    """Kills the only worker once, at the end of the second decision."""

    def __init__(self):
        super().__init__(trace=True)
        self.victims = []

    def on_segment(self, episode, segment):
        super().on_segment(episode, segment)
        if len(self.segments[episode]) == 2 and not self.victims:
            self.victims += [child.pid for child in workers()]
            for pid in self.victims:
                os.kill(pid, signal.SIGKILL)


def workers():
    import multiprocessing

    return multiprocessing.active_children()
