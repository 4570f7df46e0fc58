"""`playloop record` on the real simulator: whole, from fresh placements only, and the same after any kill."""

import json
import os
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from playloop.configs.compose import load
from playloop.core.episode import FRESH
from playloop.core.results import EpisodeResult
from playloop.demos.lerobot.check import check_dataset
from playloop.demos.lerobot.dataset import Demonstrations
from playloop.envs.libero import LiberoConfig
from playloop.rollouts.recording.record import record
from playloop.rollouts.store import EpisodeStore

HERE = Path(__file__).parent
SIZE, STRIDE = 64, 8
WORDS = [
    "suite=libero_object",
    "tasks=[1]",
    "episodes=2",
    f"stride={STRIDE}",
    f"env.size={SIZE}",
    "env.success_steps=10",
    "env.horizon=220",
    "agent._target_=clumsy_expert.ClumsyConfig",
    "workers=1",
]

pytestmark = pytest.mark.skipif(
    find_spec("libero") is None, reason="LIBERO is not installed: pip install 'playloop[libero]'"
)


class Run:
    """`playloop record`, in a session of its own, so that whoever outlives it can be found."""

    def __init__(self, out):
        self.out = Path(out)
        paths = os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])
        environment = {**os.environ, "PYTHONPATH": paths, "LP_NUM_THREADS": "1", "COLUMNS": "100"}
        command = [sys.executable, "-m", "playloop.cli.main", "record", *WORDS, f"out={out}"]
        self.log = open(f"{out}.log", "a+")  # noqa: SIM115 (closed with the run)
        self.process = subprocess.Popen(
            command, env=environment, start_new_session=True, stdout=self.log, stderr=subprocess.STDOUT
        )

    def finish(self):
        assert self.process.wait(200) == 0, self.text()
        self.log.close()

    def kill_when(self, condition, reason):
        """SIGKILL to the command alone, as soon as the condition holds."""
        deadline = time.monotonic() + 150
        while not condition():
            assert self.process.poll() is None, f"it ended before {reason}: {self.text()}"
            assert time.monotonic() < deadline, f"never {reason}: {self.text()}"
            time.sleep(0.01)
        self.process.kill()
        self.process.wait()
        assert not (self.out / "meta" / "info.json").exists(), f"it was killed too late, after {reason}"

    def survivors(self, patience):
        """Processes that the command left behind, after `patience` seconds to end by themselves."""
        deadline = time.monotonic() + patience
        while (left := session_members(self.process.pid)) and time.monotonic() < deadline:
            time.sleep(0.1)
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        return left

    def text(self):
        self.log.seek(0)
        return self.log.read()


def session_members(session):
    """Processes of a session, from /proc; zombies do not count."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session and fields[0] != "Z":
            found.append(int(path.parent.name))
    return found


def recorded(out):
    """Traces of successful episodes that are in the ledger; a kill just before may leave one that is not."""
    ledger = out / "episodes.jsonl"
    lines = ledger.read_text().split("\n")[:-1] if ledger.exists() else []  # the last may be half written
    seeds = [result["seed"] for result in map(json.loads, lines) if result["success"]]
    return [path for seed in seeds for path in out.glob(f"traces/*-seed{seed}.npz")]


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """An unbroken recording, and one killed while states are recorded and again while images are drawn."""
    folder = tmp_path_factory.mktemp("record")
    whole = Run(folder / "whole")
    out = folder / "broken"
    first = Run(out)
    first.kill_when(lambda: recorded(out), "the first recorded episode")
    traces = {path.name: path.stat().st_mtime_ns for path in recorded(out)}
    survivors = {"states": first.survivors(60)}
    second = Run(out)
    second.kill_when(lambda: any(out.glob("frames/*.mp4")), "the first frames")
    kept = {name: (out / "traces" / name).stat().st_mtime_ns for name in traces}
    survivors["drawing"] = second.survivors(20)
    third = Run(out)
    third.finish()
    whole.finish()
    return {"whole": whole.out, "broken": out, "survivors": survivors, "traces": (traces, kept)}


def provenance(root):
    return json.loads((root / "meta" / "playloop.json").read_text())


def results(root):
    return [json.loads(line) for line in (root / "episodes.jsonl").read_text().splitlines()]


def test_the_data_set_is_sound(recordings):
    root = recordings["whole"]
    assert check_dataset(root) == []
    data = Demonstrations(root)
    assert len(data.episodes) == 2 and data.fps == 20 / STRIDE
    assert data.tasks == {0: LiberoConfig("libero_object").task(1).instruction}
    for row in (0, data.length - 1):
        for camera in data.cameras:
            frame = data.frame(camera, row)
            assert frame.shape == (SIZE, SIZE, 3) and frame.std() > 10
    assert not (root / "traces").exists() and not (root / "frames").exists()


def test_rows_are_every_eighth_step_with_the_actions_that_follow(recordings):
    root = recordings["whole"]
    data = Demonstrations(root)
    steps = {r["seed"]: r["steps"] for r in results(root) if r["success"]}
    assert [episode["length"] for episode in data.episodes] == [-(-n // STRIDE) for n in steps.values()]
    chunk, action = data.column("action_chunk"), data.column("action")
    assert chunk.shape[1:] == (8, 7) and np.array_equal(chunk[:, 0], action)
    assert set(data.column("expert").ravel().tolist()) == {1}
    target = data.column("observation.target")
    last = np.cumsum([episode["length"] for episode in data.episodes]) - 1
    assert (np.abs(target[last, :2] - target[last, 3:5]) < 0.1).all(), "it ends in the basket"


def test_stored_initial_states_are_never_recorded_from(recordings):
    for name in ("whole", "broken"):
        root = recordings[name]
        assert {episode["init"] for episode in provenance(root)["episodes"]} == {FRESH}
        assert {result["init"] for result in results(root)} == {FRESH}


def test_failures_are_dropped_and_counted(recordings):
    root = recordings["whole"]
    assert [(r["seed"], r["success"]) for r in results(root)] == [(0, True), (1, False), (2, True)]
    assert provenance(root)["counts"] == {"kept": 2, "tried": 3, "failed": 1}
    assert [episode["seed"] for episode in provenance(root)["episodes"]] == [0, 2]


def test_a_killed_recording_continues_to_the_same_data_set(recordings):
    whole, broken = recordings["whole"], recordings["broken"]
    assert check_dataset(broken) == []
    tables = sorted(path.relative_to(whole) for path in whole.glob("data/**/*.parquet"))
    assert tables == sorted(path.relative_to(broken) for path in broken.glob("data/**/*.parquet"))
    for path in tables:
        assert pq.read_table(whole / path).equals(pq.read_table(broken / path))
        assert (whole / path).read_bytes() == (broken / path).read_bytes()
    one, other = Demonstrations(whole), Demonstrations(broken)
    assert one.length == other.length
    for camera in one.cameras:
        for row in range(one.length):
            assert np.array_equal(one.frame(camera, row), other.frame(camera, row)), (camera, row)
    for key in ("counts", "episodes", "contract", "seed", "stride"):
        assert provenance(whole)[key] == provenance(broken)[key], key


def test_what_was_recorded_before_the_kill_is_not_recorded_again(recordings):
    before, after = recordings["traces"]
    assert before and after == before
    seeds = [result["seed"] for result in results(recordings["broken"])]
    assert sorted(seeds) == sorted(set(seeds))


@pytest.mark.parametrize("phase", ["states", "drawing"])
def test_nobody_outlives_a_killed_recording(recordings, phase):
    assert recordings["survivors"][phase] == []


@pytest.fixture
def begun(tmp_path, monkeypatch):
    """A folder in which a recording was begun and ended before its first episode."""
    monkeypatch.syspath_prepend(str(HERE))
    monkeypatch.setattr("playloop.rollouts.recording.record.Driver", Interrupted)
    with pytest.raises(Stopped):
        record(load("record", [*WORDS, f"out={tmp_path}"]))
    return tmp_path


class Stopped(Exception):
    """The moment at which simulators would be started."""


class Interrupted:
    """In place of the driver: the recording ends when its first episode has failed."""

    def __init__(self, env, workers, callbacks, step_timeout):
        self.callbacks = list(callbacks)

    def run(self, agent, episodes, done=0):
        for store in self.callbacks:
            if isinstance(store, EpisodeStore):
                store.on_end(EpisodeResult(episodes[0], False, 0, 0.0, error="stopped"))
        raise Stopped


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("seed=1", "seed"),
        ("env.size=128", "env.size"),
        ("agent.hover=0.2", "agent.hover"),
        ("env.success_steps=1", "success_steps"),
        ("stride=4", "stride"),
    ],
)
def test_other_settings_in_the_same_folder_are_refused(begun, change, named):
    with pytest.raises(ValueError, match=named) as refusal:
        record(load("record", [*WORDS, change, f"out={begun}"]))
    assert "another configuration" in str(refusal.value)


def test_more_episodes_in_the_same_folder_are_welcome(begun):
    with pytest.raises(Stopped):
        record(load("record", [*WORDS, "episodes=3", "workers=2", f"out={begun}"]))


def test_a_finished_data_set_is_left_alone(recordings):
    with pytest.raises(FileExistsError, match="whole data set"):
        record(
            load(
                "record",
                [
                    *WORDS,
                    "agent._target_=playloop.agents.panda.PandaExpertConfig",
                    f"out={recordings['whole']}",
                ],
            )
        )


@pytest.mark.parametrize("change", ["episodes=0", "stride=0", "tasks=[10]", "agent=nobody"])
def test_bad_settings_are_refused_before_anything_is_built(tmp_path, change):
    with pytest.raises(ValueError):
        record(
            load("record", [*(w for w in WORDS if "_target_" not in w), change, f"out={tmp_path / 'new'}"])
        )
    assert not (tmp_path / "new").exists()
