"""Dispatch: help, exit statuses, and errors that are one sentence."""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf

from playloop.cli.arguments import Arguments
from playloop.cli.main import VERBS, main
from playloop.configs.folders import new_folder
from playloop.core.episode import Episode
from playloop.core.provenance import git_commit
from playloop.core.results import EpisodeResult
from playloop.rollouts.store import EpisodeStore

TOY = ["env=toy", "agent=random"]
STRANGE = """实验 (1) it's $HOME ${x} `id` [a],b=c: "q" * \\ & ; # ~é"""
"""A folder's name."""


def test_help_names_every_verb(capsys):
    assert main([]) == 0
    text = capsys.readouterr().out
    assert main(["--help"]) == 0
    assert capsys.readouterr().out == text
    assert all(f"\n  {verb} " in text for verb in VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself_with_an_example(verb, capsys):
    assert main([verb, "--help"]) == 0
    text = capsys.readouterr().out
    assert (text.startswith(f"playloop {verb}: ") and f"\n  playloop {verb}" in text) or verb == "doctor"
    assert "Usage: playloop" in text and "--debug" in text and max(map(len, text.splitlines())) <= 100


def test_help_shows_settings_and_options(capsys):
    assert main(["eval", "--help"]) == 0
    text = capsys.readouterr().out
    assert "  inits=2     " in text and "  agent.checkpoint=auto" in text and "\nenv:\n  craft     " in text


def test_printed_settings_are_yaml_and_run_nothing(capsys, tmp_path):
    assert main(["eval", *TOY, "seed=3", f"out={tmp_path}/x", "--print-config"]) == 0
    printed = OmegaConf.create(capsys.readouterr().out)
    assert (printed.seed, printed.env.horizon) == (3, 40)
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["evaluate"], "there is no verb 'evaluate' (did you mean \"eval\"?)"),
        (["eval", *TOY, "sed=1"], '(did you mean "seed"?)'),
        (["eval", *TOY, "--sed=1"], "settings are key=value, without dashes"),
        (["eval", *TOY, "inits=0"], "inits=0: use a number of at least 1"),
        (["eval", *TOY, "task=9"], "choose from 0 to 3"),
        (["eval", *TOY, "task=1", "tasks=[2]"], "keep one"),
        (["eval", *TOY, "task=reach the blu square"], '(did you mean "reach the blue square"?)'),
        (["eval", *TOY, "seed=[1"], "seed=[1"),
        (["train"], "data=…"),
        (["compare", "a"], "two folders"),
        (["compare", "a", "b"], "a has no episodes.jsonl"),
        (["bench"], "rollout, decode, decoder, world, craft, simpler, play, serve, train, instructions"),
        (["bench", "rolout"], '(did you mean "rollout"?)'),
        (["doctor", "seed=1"], "takes no settings"),
        (["eval", *TOY, "+seed=${nothere}"], "seed=${nothere}: there is no setting 'nothere' to take"),
        (["bench", "world", "world.backends=[]"], "world.backends=[]: use a list of at least 1"),
        (["bench", "craft", "craft.sizes=[]"], "craft.sizes=[]: use a list of at least 1"),
        (["bench", "decode", "openvla.model=small", "openvla.rounds=[]"], "openvla.rounds is empty"),
        (["eval", "env=luanti", "agent=expert"], "only for env=libero, env=simpler, env=craft, env=toy;"),
    ],
)
def test_bad_input_is_one_sentence_and_status_2(words, complaint, capsys):
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert complaint in err and "Traceback" not in err and not out and err.count("\n") == 1
    assert err.startswith(f"playloop {words[0]}: ")


@pytest.mark.parametrize(
    "words",
    [
        ["eval", *TOY],
        ["record", *TOY, "task=0", "episodes=1"],
        ["bench", "craft"],
        ["convert", "any.ckpt"],
        ["merge", "a", "b"],
    ],
)
def test_a_file_in_the_place_of_a_folder_is_told_before_any_work(tmp_path, capsys, words):
    (tmp_path / "notes").write_text("mine")
    assert main([*words, f"out={tmp_path}/notes/new/x"]) == 2
    assert f"{tmp_path}/notes is a file; name a new folder" in capsys.readouterr().err
    assert (tmp_path / "notes").read_text() == "mine"
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    assert main([*words, f"out={tmp_path}/link/x"]) == 2
    assert f"{tmp_path}/link is a link to {tmp_path}/nowhere, which is not there" in capsys.readouterr().err


def test_a_bench_is_not_lost_for_its_file(tmp_path, capsys):
    quick = ["bench", "craft", "craft.views=1", "craft.steps=1", "craft.sizes=[[64,64]]"]
    assert main([*quick, f"out={tmp_path}"]) == 2
    out, err = capsys.readouterr()
    assert "is a folder; name a file" in err and not out
    assert main([*quick, f"out={tmp_path}/new/result.json"]) == 0
    assert (tmp_path / "new/result.json").is_file()


def test_the_version_says_what_results_depend_on(capsys):
    assert main(["--version"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"playloop {metadata.version('playloop')}"
    assert lines[1] == f"Python {platform.python_version()}" and lines[2].startswith("torch ")
    commit = git_commit()
    assert (lines[-1] == f"commit {commit}") == (commit is not None)


@dataclass
class Broken:
    def make(self):
        raise RuntimeError("no kernel\nfor this device")


def test_what_fails_on_the_way_keeps_its_lines_and_says_how_to_see_more(tmp_path, capsys):
    words = ["eval", "env=toy", "agent._target_=test_cli_main.Broken", f"out={tmp_path}/run"]
    assert main(words) == 2
    wanted = "playloop eval: no kernel\nfor this device (--debug shows where)\n"
    assert capsys.readouterr().err.endswith(wanted)
    with pytest.raises(RuntimeError):
        main([*words, "--debug"])


@pytest.mark.skipif(find_spec("minerl") is not None, reason="MineRL is installed")
@pytest.mark.parametrize("verb", ["eval", "record"])
def test_what_is_not_installed_is_a_sentence_and_leaves_no_folder(tmp_path, capsys, verb):
    assert main([verb, "env=minerl", "agent=random", f"out={tmp_path}/runs/new"]) == 2
    said = capsys.readouterr().err
    assert "cannot be built: MineRL 1.0 is not installed. It needs Java 8" in said and "--debug" not in said
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_use_is_one_sentence(tmp_path, capsys):
    store = EpisodeStore(tmp_path, {})
    assert main(["eval", *TOY, f"out={tmp_path}"]) == 2
    store.close()
    error = capsys.readouterr().err
    assert "is being written by" in error and "Traceback" not in error and error.count("\n") == 1


def test_debug_shows_the_traceback():
    with pytest.raises(ValueError, match="did you mean"):
        main(["eval", *TOY, "sed=1", "--debug"])


def test_the_resume_command_names_the_folder(monkeypatch):
    arguments = Arguments.parse(["eval", "seed=1", "task=a b", "+out=", "--debug"])
    out = arguments.choose_out(None)
    assert str(out).startswith("runs/eval-")
    assert arguments.resume_command() == f"playloop eval seed=1 'task=a b' out={out}"
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    launcher = "torchrun --nproc-per-node 4 -m playloop.cli.main eval seed=1"
    assert arguments.resume_command().startswith(launcher)


def test_runs_that_begin_in_one_second_get_folders_of_their_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for ahead in range(5):
        Path("runs", f"eval-{datetime.now() + timedelta(seconds=ahead):%Y%m%d-%H%M%S}").mkdir(parents=True)
    first = new_folder("eval")
    first.mkdir()
    assert first.name.endswith("-2") and new_folder("eval").name.endswith(("-2", "-3"))
    assert new_folder("eval") != first
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")  # the processes of torchrun share one
    assert new_folder("eval").name.count("-") == 2


def test_the_printed_resume_command_can_be_pasted(tmp_path, monkeypatch, capsys):
    """Through a real shell, for a folder whose name needs every kind of quoting."""
    monkeypatch.chdir(tmp_path)
    shell = {**os.environ, "PATH": f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}"}
    assert main(["eval", *TOY, "tasks=[0]", "inits=1", "workers=0", "videos=none", f"out={STRANGE}"]) == 0
    out, _ = capsys.readouterr()
    command = out.partition("(to continue or repeat: ")[2].strip().removesuffix(")")
    again = subprocess.run(["bash", "-c", command], capture_output=True, text=True, env=shell, check=True)
    assert again.stdout == out
    assert [path.name for path in tmp_path.iterdir()] == [STRANGE]
    assert len((tmp_path / STRANGE / "episodes.jsonl").read_text().splitlines()) == 1


@pytest.mark.parametrize(("inits", "status"), [("inits=1", 1), ("inits=2", 0)])
def test_the_status_says_whether_anything_was_judged(tmp_path, capsys, inits, status):
    recorded = Episode("toy_reach", 0, 1)
    np.savez(tmp_path / f"{recorded.key}.npz", actions=np.zeros((40, 2), np.float32))
    words = ["env=toy", "agent=replay", f"folder={tmp_path}", "tasks=[0]", inits, "workers=0", "videos=none"]
    assert main(["eval", *words, f"out={tmp_path}/run"]) == status
    out, err = capsys.readouterr()
    said = err.splitlines()[-1]
    assert f"Results: {tmp_path}/run" in out
    assert "toy_reach-task00-init000-seed0: the agent failed: ValueError: no actions are recorded" in said
    assert ("every episode was an error, so there is no success rate" in said) == (status == 1)
    assert ("1 of 2 episodes were an error, so the rates are of the others" in said) == (status == 0)


def test_a_recording_of_nothing_but_errors_is_told_and_has_a_status(tmp_path, capsys):
    words = ["env=toy", "agent=replay", f"folder={tmp_path}", "task=0", "episodes=1", "workers=0"]
    assert main(["record", *words, f"out={tmp_path}/data"]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert "has 0 of 1 successful episodes after 3 tries: 0 failed, 3 ended in an error" in last
    assert "no actions are recorded" in last


@pytest.mark.parametrize("words", ["eval --help", "--help", "evla"])
def test_the_reader_may_leave_early(words):
    """At once, before a word is said: what is held back until the end has no reader, either."""
    command = f"{sys.executable} -m playloop.cli.main {words} | true"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert "BrokenPipe" not in done.stderr


def test_an_interrupt_says_how_to_continue(tmp_path):
    out = tmp_path / "run"
    words = ["eval", *TOY, "step_seconds=0.2", "videos=none", f"out={out}"]
    command = [sys.executable, "-m", "playloop.cli.main", *words]
    process = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        # A shell starts background jobs, and all that they start, with interrupts ignored: CI may be one.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    wait_for(lambda: out.exists(), process)
    time.sleep(1.0)
    os.kill(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.strip().endswith(f"Interrupted. Continue with: playloop {' '.join(words)}")
    assert "Traceback" not in err


def wait_for(condition, process, seconds=60.0):
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < end, "the run does not start"
        time.sleep(0.05)


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"


@pytest.mark.parametrize("name", ["config.json", "episodes.jsonl"])
@pytest.mark.parametrize("content", [b"", LFS, b'{"contract": ', b"\xff\xfe\n", b"[1]\n", b"{}\n", None])
def test_damaged_results_are_named_with_what_to_do(tmp_path, capsys, name, content):
    folder = tmp_path / "run"
    store = EpisodeStore(folder, {"contract": {"protocol": "standard"}})
    store.append(EpisodeResult(Episode("bridge", 0, 0), True, 3, 1.0))
    store.close()
    (folder / name).unlink() if content is None else (folder / name).write_bytes(content)
    for words in (["compare", str(folder), str(folder)], ["agreement", f"rt-1-x={folder}"]):
        assert main(words) == 2
        _, err = capsys.readouterr()
        assert str(folder) in err and err.count("\n") == 1
        assert any(
            fix in err
            for fix in (
                "give ",
                "git lfs pull",
                "put it back",
                "delete that line",
                "evaluate each",
                "use env",
            )
        )
