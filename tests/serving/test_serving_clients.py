"""The field's own clients at our server: the actions of this process, to the bit."""

from __future__ import annotations

import subprocess
from importlib import resources

import numpy as np
import pytest
from client_environments import client_python
from served import served

from playloop.agents.policy import PolicyAgentConfig
from playloop.core.episode import Episode

CHECKPOINT = str(resources.files("playloop") / "policies" / "checkpoints" / "libero")
EPISODE = Episode("libero_object", 2, 1, seed=5)
CAMERAS = ("agentview", "robot0_eye_in_hand")

OPENPI = """
import sys
import numpy as np
from openpi_client.websocket_client_policy import WebsocketClientPolicy

port, seen, out = sys.argv[1:]
seen = dict(np.load(seen))
client = WebsocketClientPolicy("127.0.0.1", int(port))
assert client.get_server_metadata()["playloop"]["seeded"]
asked = {
    "observation/image": seen["agentview"], "observation/wrist_image": seen["robot0_eye_in_hand"],
    "observation/state": seen["state"], "prompt": "pick up the milk",
}
first, again = client.infer(asked)["actions"], client.infer(asked)["actions"]
assert (first == again).all()  # equal requests, equal answers
try:
    client.infer({"prompt": "pick up the milk"})
    raise SystemExit("an observation without a state was answered")
except RuntimeError as error:
    assert "there is no state" in str(error), error
episode = {"suite": "libero_object", "task": 2, "init": 1, "seed": 5}
named = [{**asked, "playloop": {"episode": episode, "decision": n}} for n in (0, 1)]
decided = [client.infer(request)["actions"] for request in named]
np.savez(out, actions=np.concatenate(decided))
"""
VLA_EVAL = """
import asyncio, sys
import numpy as np
from vla_eval.connection import Connection

port, seen, out = sys.argv[1:]
seen = dict(np.load(seen))
images = {"agentview": seen["agentview"], "wrist": seen["robot0_eye_in_hand"]}
asked = {"images": images, "states": seen["state"], "task_description": "pick up the milk"}

async def main():
    async with Connection(f"ws://127.0.0.1:{port}") as connection:
        told = connection.server_info
        assert told["observation_params"]["send_wrist_image"] and "action_spec" in told, told
        try:
            await connection.act({"task_description": "pick up the milk"})
            raise SystemExit("an observation without a state was answered")
        except RuntimeError as error:
            assert "there is no state" in str(error), error
        task = {"suite": "libero_object", "task_id": 2, "episode_idx": 1, "seed": 5, "name": "the milk"}
        await connection.start_episode({"task": task})
        found = [(await connection.act(asked))["actions"] for _ in range(16)]
        await connection.end_episode({"success": True})
        np.savez(out, actions=np.stack(found))

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def seen():
    rng = np.random.default_rng(0)
    images = {camera: rng.integers(0, 256, (256, 256, 3), np.uint8) for camera in CAMERAS}
    return images, rng.normal(size=8).astype(np.float32)


@pytest.fixture(scope="module")
def inside(seen):
    """The first two decisions of the episode, of which both see the same."""
    agent = PolicyAgentConfig(CHECKPOINT, batch=4).make()
    observation = {"images": seen[0], "state": seen[1], "instruction": "pick up the milk"}
    carries, found = [agent.begin(EPISODE)], []
    for number in range(2):
        carries, (plan,) = agent.act(carries, [observation], [EPISODE.rng("decision", number)])
        found.append(plan.actions)
    return np.concatenate(found)


@pytest.fixture(scope="module")
def server():
    with served(f"checkpoint={CHECKPOINT}") as (address, _):
        yield address


@pytest.mark.parametrize(
    ("package", "text"),
    [(("openpi-client", "0.1.2", "typing_extensions"), OPENPI), (("vla-eval", "0.8.0"), VLA_EVAL)],
)
def test_the_actions_are_those_of_this_process(server, seen, inside, tmp_path, package, text):
    python = client_python(*package)
    np.savez(tmp_path / "seen.npz", state=seen[1], **seen[0])
    command = [python, "-c", text, server.rpartition(":")[2], tmp_path / "seen.npz", tmp_path / "out.npz"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    with np.load(tmp_path / "out.npz") as found:
        assert found["actions"].dtype == np.float32
        assert (found["actions"] == inside).all()
