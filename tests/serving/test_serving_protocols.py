"""One server, asked in every protocol: the same actions as in this process, to the bit."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from importlib import resources

import numpy as np
import pytest
import zmq
from served import served
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
    with served(f"checkpoint={CHECKPOINT}", "zmq_port=0") as (address, process):
        yield address, process.groot


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


def test_what_an_agent_needs_and_a_protocol_lacks_is_said_before_the_first_step(tmp_path, capsys):
    """An expert reads the ground truth and remembers its episode: websockets tell both."""
    with served("env=toy", "agent=expert", "zmq_port=0") as (address, process):
        run = ["eval", "env=toy", "inits=2", "agent=remote", "agent.patience=0"]
        words = [*run, f"agent.url=ws://{address}", "agent.protocol=vla-eval", f"out={tmp_path / 'vla'}"]
        assert main(words) == 0, capsys.readouterr().err
        result = json.loads((tmp_path / "vla" / "summary.json").read_text())["result"]
        assert result["overall"]["rate"] == 1.0 and result["overall"]["errors"] == 0
        for url in (f"http://{address}", f"tcp://{process.groot}"):
            assert main([*run, f"agent.url={url}", f"out={tmp_path / 'other'}"]) == 2
            assert "ask it by ws://" in capsys.readouterr().err
        told = urllib.request.Request(f"http://{address}/act", b"{}")
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(told, timeout=10)
        assert "/act tells of none" in refused.value.read().decode()
        with connect(f"ws://{address}") as socket:
            socket.recv(10)
            identity = {"episode": EPISODES[0].to_json(), "decision": 4}
            seen = {"state": np.zeros(2), "instruction": "reach the red square", "privileged": {}}
            socket.send(OPENPI.pack({**seen, "playloop": identity}))
            assert "begin it anew" in socket.recv(10)


@pytest.mark.parametrize(
    "body",
    [
        {"encoded": "\ud800"},
        {"instruction": "\ud800", "state": [0.0] * 8},
        {"instruction": "x", "state": [0.0] * 8, "playloop": {"episode": {"suite": "\ud800"}}},
        {"instruction": 7},
    ],
)
def test_odd_requests_to_act_are_one_sentence(server, body):
    asked = urllib.request.Request(f"http://{server[0]}/act", json.dumps(body).encode())
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(asked, timeout=10)
    said = refused.value.read().decode()
    assert refused.value.code == 422 and said and "Traceback" not in said


@pytest.mark.parametrize("key", [7, b"k", "state.x"])
def test_odd_requests_by_zeromq_are_answered(server, key):
    observation = {key: np.zeros(3), "t": ["x"]}
    socket = zmq.Context.instance().socket(zmq.REQ)
    socket.setsockopt(zmq.LINGER, 0)
    socket.connect(f"tcp://{server[1]}")
    socket.send(GROOT.pack({"endpoint": "get_action", "data": {"observation": observation}}))
    assert socket.poll(10_000) and "error" in GROOT.unpack(socket.recv())
    socket.close()
