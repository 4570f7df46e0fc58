"""Cores that a process may use: by affinity and by the quotas of its control groups."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from playloop.core.cores import SPINS, usable_cores


@pytest.fixture
def sixteen(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(16)))


@pytest.mark.parametrize(
    ("files", "lines", "cores"),
    [
        ({}, "0::/\n", 16),
        ({"cpu.max": "max 100000"}, "0::/\n", 16),
        ({"cpu.max": "250000 100000"}, "0::/\n", 2),
        ({"cpu.max": "50000 100000"}, "0::/\n", 1),
        ({"pod/cpu.max": "400000 100000", "pod/job/cpu.max": "max 100000"}, "0::/pod/job\n", 4),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, "1:cpu,cpuacct:/\n", 16),
        ({"cpu/job/cpu.cfs_quota_us": "300000", "cpu/job/cpu.cfs_period_us": "100000"}, "1:cpu:/job\n", 3),
        ({"cpu.max": "torn"}, "torn\n", 16),
    ],
)
def test_the_smallest_limit_counts(tmp_path, sixteen, files, lines, cores):
    for name, content in files.items():
        (tmp_path / "groups" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "groups" / name).write_text(content + "\n")
    (tmp_path / "own").write_text(lines)
    assert usable_cores(tmp_path / "groups", tmp_path / "own") == cores


@pytest.mark.parametrize(
    ("variables", "said"),
    [({}, str(SPINS)), ({"OMP_WAIT_POLICY": "active"}, "None"), ({"GOMP_SPINCOUNT": "9"}, "9")],
)
def test_threads_spin_shortly_unless_asked_otherwise(variables, said):
    script = "import os, sys; from playloop.cli import train; assert 'torch' not in sys.modules; "
    script += "train.wait_briefly(); print(os.environ.get('GOMP_SPINCOUNT'))"
    plain = {
        name: value for name, value in os.environ.items() if name not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
    }
    ended = subprocess.run(
        [sys.executable, "-c", script], env=plain | variables, capture_output=True, text=True
    )
    assert ended.stdout.strip() == said, ended.stderr
