"""The server in one file: without Playloop, in an old Python's syntax, asked by `agent=remote`."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import textwrap
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

import playloop
from playloop.cli.main import main
from playloop.core.wire import OPENPI

SOURCE = Path(playloop.__file__).parent / "serving" / "minimal.py"
POLICY = """
    import sys
    import numpy as np

    COLORS = {"red": (214, 64, 69), "green": (67, 150, 90), "blue": (58, 104, 196), "yellow": (228, 178, 50)}

    class Seek:
        metadata = {"who": "seek", "size": np.float32(64)}

        def __call__(self, seen):
            assert "playloop" not in sys.modules
            color = next(COLORS[name] for name in COLORS if name in seen["prompt"])
            rows, columns = np.nonzero((seen["view"] == color).all(-1))
            target = np.array([columns.mean(), rows.mean()]) / 64
            velocity = np.clip((target - seen["where"]) / 0.05 / 4, -1.0, 1.0)
            return {"actions": np.tile(velocity, (4, 1)), "seen": seen["view"]}

    make_policy = Seek
"""
FITTED = ["agent.pictures.view={camera: top}", "agent.states.where=[x, y]", "agent.instruction=prompt"]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("elsewhere")
    (folder / "minimal.py").write_text(SOURCE.read_text())
    (folder / "seek.py").write_text(textwrap.dedent(POLICY))
    words = [sys.executable, "-I", "minimal.py", "seek", "--port", "0"]
    with subprocess.Popen(words, cwd=folder, stdout=subprocess.PIPE, text=True) as process:
        yield process.stdout.readline().rpartition("ws://")[2].strip()
        process.terminate()


def test_it_is_short_and_old_pythons_read_it():
    text = SOURCE.read_text()
    assert len(text.splitlines()) < 150 and "playloop." not in text
    tree = ast.parse(text, feature_version=(3, 8))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert names - sys.stdlib_module_names == {"msgpack", "numpy", "websockets"}


def test_a_policy_elsewhere_is_judged(server, tmp_path, capsys):
    words = ["eval", "env=toy", "inits=2", "agent=remote", f"agent.url=ws://{server}", *FITTED]
    assert main([*words, f"out={tmp_path}"]) == 0, capsys.readouterr().err
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["result"]["overall"]["rate"] == 1.0
    assert summary["run"]["agent_provenance"]["server"]["who"] == "seek"


def test_it_tells_of_itself_and_says_why_it_cannot_decide(server):
    with urllib.request.urlopen(f"http://{server}/healthz", timeout=10) as answer:
        assert answer.status == 200 and answer.read() == b"OK\n"
    hostile = [b"\xc1", OPENPI.pack([1]), OPENPI.pack({"prompt": "red"}), b"\xdf\xff\xff\xff\xff"]
    for frame in hostile:
        with connect(f"ws://{server}") as socket:
            assert OPENPI.unpack(socket.recv(10)) == {"who": "seek", "size": 64.0}
            socket.send(frame)
            assert "Traceback" in socket.recv(10)
            with pytest.raises(ConnectionClosed) as closed:
                socket.recv(10)
            assert closed.value.rcvd.code == 1011
    with connect(f"ws://{server}") as socket:  # and it serves on
        socket.recv(10)
        picture = np.zeros((64, 64, 3), np.uint8)
        picture[10:20, 30:40] = (214, 64, 69)
        where = np.array([0.5, 0.5])
        socket.send(OPENPI.pack({"view": picture, "where": where, "prompt": "reach the red square"}))
        found = OPENPI.unpack(socket.recv(10))
        assert found["actions"].shape == (4, 2) and found["actions"].dtype == np.float32
        assert (found["seen"] == picture).all()
