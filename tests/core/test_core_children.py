"""Children end with their parent: killed by force, in every state of theirs."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from playloop.core.children import CONTEXT, end_with_parent, pool_of_children

HERE = Path(__file__)
SCRIPT = """
import sys, time
sys.path.insert(0, sys.argv[1])
import test_core_children as here
if __name__ == "__main__":
    here.parent(sys.argv[2], sys.argv[3])
    time.sleep(600)
"""


def parent(state: str, folder: str) -> None:
    """Start a child that gets into a state and leaves its process id, then sleep."""
    if state == "pool":
        parent.pool = ProcessPoolExecutor(1, CONTEXT)  # type: ignore[attr-defined]
        parent.pool.submit(hold, "waits", folder)  # type: ignore[attr-defined]
        return
    if state == "foreign":  # started by another library, which forks
        if os.fork() == 0:
            end_with_parent()
            hold("hangs", folder)
        return
    child = CONTEXT.Process(target=hold, args=(state, folder), daemon=True)
    child.grace = 30.0 if state == "closes" else 0.0
    child.start()
    if state == "starts":
        leave(folder, child.pid)


def hold(state: str, folder: str) -> None:
    leave(folder, os.getpid())
    if state == "hangs":
        ctypes.PyDLL(None).sleep(600)  # in C, and Python does not get a turn
    elif state == "closes":
        while os.getppid() == PARENT:
            time.sleep(0.01)
        Path(folder, "closed").touch()
    else:
        time.sleep(600)


PARENT = os.getppid()


def leave(folder: str, pid: int) -> None:
    """Whoever sees the file sees the whole number in it."""
    path = Path(folder, f"unfinished-{pid}")
    path.write_text(str(pid))
    path.rename(Path(folder, "pid"))


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return True


def wait_until(true, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("state", "number"),
    [
        *((state, signal.SIGKILL) for state in ("starts", "waits", "hangs", "pool", "foreign", "closes")),
        *((state, signal.SIGTERM) for state in ("starts", "hangs")),
    ],
)
def test_a_child_ends_with_its_parent_whatever_it_is_doing(tmp_path, state, number):
    words = [sys.executable, "-c", SCRIPT, str(HERE.parent), state, str(tmp_path)]
    process = subprocess.Popen(words, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: (tmp_path / "pid").exists())
        pid = int((tmp_path / "pid").read_text())
        assert not gone(pid)
    finally:
        process.send_signal(number)  # nobody reaps it yet: it is a zombie, and still its children must go
    wait_until(lambda: gone(pid))
    process.wait()
    assert (tmp_path / "closed").exists() == (state == "closes")


def leave_guard(folder: str) -> None:
    Path(folder, "pid").write_text(Path(f"/proc/self/task/{os.getpid()}/children").read_text().strip())


def test_a_child_that_ends_leaves_no_guard_behind(tmp_path):
    child = CONTEXT.Process(target=leave_guard, args=(str(tmp_path),))
    child.start()
    child.join(60)
    assert child.exitcode == 0
    guard = int((tmp_path / "pid").read_text())
    wait_until(lambda: gone(guard))
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


def test_results_come_back_from_a_pool_and_an_error_drops_what_is_in_progress(tmp_path):
    with pool_of_children(1) as pool:
        assert pool.submit(abs, -3).result() == 3
    with pytest.raises(KeyboardInterrupt), pool_of_children(1) as pool:
        jobs = [pool.submit(hold, "waits", str(tmp_path)) for _ in range(3)]
        wait_until(lambda: (tmp_path / "pid").exists())
        raise KeyboardInterrupt
    assert gone(int((tmp_path / "pid").read_text())) and all(job.done() for job in jobs)


def test_no_child_hears_ctrl_c_while_it_starts_the_first_of_a_process_neither():
    script = (
        "import time; from playloop.core.children import CONTEXT\n"
        "for _ in range(2):\n"
        "    child = CONTEXT.Process(target=time.sleep, args=(60,)); child.start()\n"
        "    print(*[line.split()[1] for line in open(f'/proc/{child.pid}/status') if 'SigBlk' in line])\n"
        "    child.kill(); child.join()\n"
    )
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    blocked = [int(line, 16) >> (signal.SIGINT - 1) & 1 for line in said.split()]
    assert blocked == [1, 1]


SMALL_SCRIPT = """
from dataclasses import dataclass
from playloop.core.children import pool_of_children

@dataclass
class Mine:
    number: int = 7

print("runs")
with pool_of_children(1, print, ({argument},)) as pool:
    print("finds", pool.submit(abs, -5).result())
"""


def run_script(path: Path | None, argument: str) -> subprocess.CompletedProcess[str]:
    """Run the script from a file, or typed in."""
    text, words = SMALL_SCRIPT.format(argument=argument), [sys.executable, "-"]
    if path is not None:
        path.write_text(text)
        words = [sys.executable, str(path)]
    return subprocess.run(words, input=text, capture_output=True, text=True, timeout=120)


def test_a_script_needs_no_guard_and_runs_once(tmp_path):
    done = run_script(tmp_path / "script.py", "1")
    assert done.returncode == 0 and done.stdout.count("runs") == 1 and "finds 5" in done.stdout


def test_a_class_of_the_script_is_answered_with_what_to_do(tmp_path):
    done = run_script(tmp_path / "script.py", "Mine()")
    assert done.returncode != 0 and "is defined in the script itself" in done.stderr
    typed = run_script(None, "Mine()")
    assert typed.returncode != 0 and "is defined in this notebook or prompt" in typed.stderr


def test_a_script_that_would_run_again_is_told_so_once_and_nothing_is_begun(tmp_path):
    script = tmp_path / "mine.py"
    script.write_text(
        "import playloop\n"
        "from playloop.envs.toy import ToyReachConfig\n"
        "class Mine(ToyReachConfig): pass\n"
        f"playloop.evaluate(Mine(horizon=5), 'random', inits=1, out={str(tmp_path / 'out')!r})\n"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and done.stderr.count("the script itself") == 1
    assert "doctor" not in done.stderr and "BlockingIOError" not in done.stderr
