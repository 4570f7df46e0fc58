"""The Makefile's recipes of the shipped models are commands that this version takes."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from playloop.cli.main import main

ROOT = Path(__file__).parents[1]
TARGETS = ("train", "bridge", "world")
LINES = subprocess.run(
    ["make", "--dry-run", *TARGETS], cwd=ROOT, capture_output=True, text=True, check=True
).stdout.replace("\\\n", " ")
COMMANDS = [
    shlex.split(words) for words in re.findall(r"^(?:\w+=\S+ )?\.venv/bin/playloop (.*)$", LINES, re.M)
]


def test_they_record_and_train():
    assert {words[0] for words in COMMANDS} == {"record", "train"}


@pytest.mark.parametrize("words", [w for w in COMMANDS if w[0] == "record"], ids=" ".join)
def test_what_they_record_is_configured(words, capsys):
    assert main([*words, "--print-config"]) == 0, capsys.readouterr().err


@pytest.mark.parametrize("words", [w for w in COMMANDS if w[0] == "train"], ids=lambda w: w[-1])
def test_what_they_train_lacks_nothing_but_the_recordings(words, tmp_path, monkeypatch, capsys):
    """All settings are read and checked; only then the recordings are looked for, or a tokenizer."""
    monkeypatch.chdir(tmp_path)
    assert main([word for word in words if "task.start=" not in word]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    missing = r"(data|runs)/\w+\S* (is not a finished data set|is neither a|is no complete)"
    assert re.search(missing, said), said
