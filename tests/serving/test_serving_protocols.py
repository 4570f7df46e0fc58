"""One server, asked in every protocol: the same actions as in this process, to the bit."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import urllib.request
from importlib import resources

import numpy as np
import pytest
import zmq
from websockets.sync.client import connect

from playloop.agents.policy import PolicyAgentConfig
from playloop.agents.remote.agent import RemoteAgentConfig
from playloop.cli.main import main
from playloop.core.episode import Episode
from playloop.core.robots import arm_contract
from playloop.core.wire import GROOT, JSON, OPENPI, VLA_EVAL

CHECKPOINT = str(resources.files("playloop") / "policies" / "checkpoints" / "libero")
LIBERO = arm_contract("libero", 256, "always", "standard")
EPISODES = [Episode("libero_object", task, 0, seed=3) for task in range(3)]
PROTOCOLS = ("openpi", "vla-eval", "oft", "groot")


def observation(episode):
    rng = np.random.default_rng(episode.task)
    images = {camera: rng.integers(0, 256, (256, 256, 3), np.uint8) for camera in LIBERO.cameras}
    state = rng.normal(size=8).astype(np.float32)
    return {"images": images, "state": state, "instruction": f"pick up the box {episode.task}"}


def act(agent, decisions=2):
    """Two decisions in each of three episodes: actions of each."""
    agent.prepare(LIBERO)
    carries, found = [agent.begin(episode) for episode in EPISODES], []
    for number in range(decisions):
        rngs = [episode.rng("decision", number) for episode in EPISODES]
        carries, plans = agent.act(carries, [observation(episode) for episode in EPISODES], rngs)
        assert [plan.error for plan in plans] == [None] * len(plans)
        found.append([plan.actions for plan in plans])
    return found


@pytest.fixture(scope="module")
def server():
    """Addresses of the shipped LIBERO policy: of WebSockets and HTTP, and of ZeroMQ."""
    words = [sys.executable, "-m", "playloop.cli.main", "serve", f"checkpoint={CHECKPOINT}"]
    with subprocess.Popen([*words, "port=0", "zmq_port=0"], stdout=subprocess.PIPE, text=True) as process:
        said = ""
        while "Serving" not in said:
            said += process.stdout.readline()
        yield re.search(r"ws://(\S+)", said)[1], re.search(r"tcp://(\S+)", said)[1]
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0  # told to stop it ends in order


@pytest.fixture(scope="module")
def inside():
    return act(PolicyAgentConfig(CHECKPOINT, batch=4).make())


def address(server, protocol):
    scheme = {"oft": "http", "groot": "tcp"}.get(protocol, "ws")
    return f"{scheme}://{server[scheme == 'tcp']}"


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_actions_are_those_of_this_process(server, inside, protocol):
    agent = RemoteAgentConfig(address(server, protocol), protocol, patience=0.0).make()
    assert agent.repeatable
    found = act(agent)
    for here, there in zip(inside, found, strict=True):
        for mine, theirs in zip(here, there, strict=True):
            assert theirs.dtype == np.float32
            assert (theirs == mine[: len(theirs)]).all()
            assert len(theirs) == (1 if protocol == "vla-eval" else len(mine))
        if protocol == "vla-eval":
            break  # its second answer is the same plan's second action


def test_auto_finds_openpi(server):
    assert RemoteAgentConfig(f"ws://{server[0]}").make().name.startswith("openpi")


def test_clients_that_know_nothing_of_us_get_their_own_convention(server, inside):
    """OFT's and GR00T's clients turn LIBERO's gripper round themselves."""
    seen = observation(EPISODES[0])
    names = ("full_image", "wrist_image")
    pictures = dict(zip(names, seen["images"].values(), strict=True))
    body = JSON.pack({**pictures, "state": seen["state"], "instruction": seen["instruction"]})
    plain = JSON.unpack(urllib.request.urlopen(f"http://{server[0]}/act", body, timeout=60).read())
    wrapped = json.dumps({"encoded": body.decode()}).encode()
    with urllib.request.urlopen(f"http://{server[0]}/act", wrapped, timeout=60) as answer:
        again = JSON.unpack(json.loads(answer.read()).encode())
    assert (plain == again).all() and plain[:, 6].min() >= 0 and plain[:, 6].max() <= 1
    socket = zmq.Context.instance().socket(zmq.REQ)
    socket.setsockopt(zmq.LINGER, 0)
    socket.connect(f"tcp://{server[1]}")
    state = dict(zip(["x", "y", "z", "roll", "pitch", "yaw"], seen["state"][:6, None], strict=True))
    state["gripper"] = seen["state"][6:]
    nested = {
        "video": {
            "image": pictures["full_image"][None, None],
            "wrist_image": pictures["wrist_image"][None, None],
        },
        "state": {name: value[None, None] for name, value in state.items()},
        "language": {"annotation.human.action.task_description": [[seen["instruction"]]]},
    }
    socket.send(GROOT.pack({"endpoint": "get_action", "data": {"observation": nested}}))
    assert socket.poll(60_000)
    actions, _ = GROOT.unpack(socket.recv())
    assert list(actions) == ["x", "y", "z", "roll", "pitch", "yaw", "gripper"]
    assert (np.concatenate(list(actions.values()), -1)[0] == plain).all()
    socket.send(GROOT.pack({"endpoint": "kill"}))
    assert socket.poll(10_000) and "not served" in GROOT.unpack(socket.recv())["error"]
    socket.close()


def test_vla_eval_s_client_is_told_what_libero_wants(server):
    with connect(f"ws://{server[0]}") as socket:
        message = {"type": "hello", "payload": {"protocol_version": 1}, "seq": 7, "timestamp": 0.0}
        socket.send(VLA_EVAL.pack(message))
        found = VLA_EVAL.unpack(socket.recv(10))
        assert found["type"] == "hello" and found["seq"] == 7
        assert found["payload"]["observation_params"]["send_wrist_image"] is True
        assert found["payload"]["action_spec"]["gripper"]["format"] == "binary_close_positive"
        socket.send(VLA_EVAL.pack({**message, "type": "observation", "seq": 8}))
        found = VLA_EVAL.unpack(socket.recv(10))
        assert found["type"] == "error" and found["seq"] == 8 and "send it as" in found["payload"]["error"]


def test_roboarena_says_six_things_and_is_asked_by_endpoint(server):
    with connect(f"ws://{server[0]}/roboarena") as socket:
        assert len(OPENPI.unpack(socket.recv(10))) == 6
        socket.send(OPENPI.pack({"endpoint": "reset"}))
        assert socket.recv(10) == "reset successful"
        seen = observation(EPISODES[0])
        socket.send(OPENPI.pack({"endpoint": "infer", **seen}))
        assert OPENPI.unpack(socket.recv(60))["actions"].shape[1] == 7
        socket.send(OPENPI.pack(seen))
        assert "infer or reset" in socket.recv(10)


def test_an_expert_acts_for_the_toy(tmp_path, capsys):
    """It reads the ground truth, which travels, too; its memory is the episode's, wherever it is asked."""
    words = [sys.executable, "-m", "playloop.cli.main", "serve", "env=toy", "agent=expert", "port=0"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        url = re.search(r"ws://(\S+)", process.stdout.readline())[1]
        for protocol in ("openpi", "vla-eval"):
            run = ["eval", "env=toy", "inits=2", "agent=remote", f"agent.url=ws://{url}"]
            out = tmp_path / protocol
            assert main([*run, f"agent.protocol={protocol}", f"out={out}"]) == 0, capsys.readouterr().err
            result = json.loads((out / "summary.json").read_text())["result"]
            assert result["overall"]["rate"] == 1.0 and result["overall"]["errors"] == 0
        refused = ["eval", "env=toy", "inits=1", "agent=remote", f"agent.url=http://{url}"]
        assert main([*refused, f"out={tmp_path / 'oft'}"]) == 1
        assert "/act tells of none" in capsys.readouterr().err
        process.terminate()
