"""Completion in real shells, on a terminal of their own."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import sys
import time
from pathlib import Path

import pytest

from playloop.cli import complete
from playloop.cli.bench import BENCHES
from playloop.cli.completable import choices
from playloop.cli.main import main

SHELLS = {
    "bash": ["bash", "--norc", "--noprofile", "-i"],
    "zsh": ["zsh", "-f", "-i"],
    "fish": ["fish", "--no-config", "-i"],
}
BEGIN = {
    "bash": 'PS1="> "; bind "set enable-bracketed-paste off"; eval "$(playloop completion bash)"',
    "zsh": 'PS1="> "; autoload -Uz compinit; compinit -u; eval "$(playloop completion zsh)"',
    "fish": "playloop completion fish | source",
}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with `playloop` for the PATH, and a cache in which toy and LIBERO are worked out."""
    folder = tmp_path_factory.mktemp("completion")
    script = folder / "bin/playloop"
    script.parent.mkdir()
    script.write_text(
        f"#!{sys.executable}\nimport sys\nfrom playloop.cli.entry import main\nsys.exit(main())\n"
    )
    script.chmod(0o755)
    (folder / "runs/my run").mkdir(parents=True)
    return folder


@pytest.fixture(scope="module", autouse=True)
def cached(home):
    """As after the first Tab of a user: what that began has ended."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(home / "cache"))
        for words in (["eval"], ["eval", "env=toy"], ["eval", "env=libero"]):
            first = complete.candidates(words, "")
            assert "agent=" in first and "seed=" not in first, "of files alone, at once"
        end = time.monotonic() + 120
        while list((home / "cache").rglob("*.busy")):
            assert time.monotonic() < end
            time.sleep(0.2)
        yield


class Terminal:
    """A shell on a pseudo-terminal."""

    def __init__(self, shell: str, home: Path):
        environment = os.environ | {
            "PATH": f"{home}/bin:{os.environ['PATH']}",
            "TERM": "dumb",
            "HOME": str(home),
        }
        environment |= {"XDG_CACHE_HOME": f"{home}/cache", "COLUMNS": "200", "LINES": "50"}
        self.pid, self.file = pty.fork()
        if not self.pid:
            os.chdir(home)
            os.execvpe(SHELLS[shell][0], SHELLS[shell], environment)
        self.type(BEGIN[shell] + "\n")
        self.type("echo read''y\n", until="ready")

    def type(self, text: str, until: str | None = None, seconds: float = 20.0) -> str:
        """What the shell answers; until something is in it, or else nothing more comes."""
        os.write(self.file, text.encode())
        said, end = "", time.monotonic() + (seconds if until else 1.0)
        while time.monotonic() < end and not (until and until in said):
            if select.select([self.file], [], [], 0.1)[0]:
                said += os.read(self.file, 65536).decode(errors="replace")
        said = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|[\x07\x00]", "", said)
        assert until is None or until in said, said
        return said

    def close(self) -> None:
        os.close(self.file)
        os.waitpid(self.pid, 0)


@pytest.fixture(params=SHELLS)
def terminal(request, home):
    if shutil.which(SHELLS[request.param][0]) is None:
        pytest.skip(f"{request.param} is not installed")
    found = Terminal(request.param, home)
    yield found
    found.close()


def test_verbs_groups_options_and_values_are_completed_at_tab(terminal):
    """Each word is written as far as it is unambiguous; the shell must write the rest."""
    terminal.type("echo playloop ; playloop ev\t", until="eval ")
    terminal.type("env=lib\t", until="ero ")
    terminal.type("suite=libero_sp\t", until="atial ")
    terminal.type("vid\t", until="eos=")
    terminal.type("none out=runs/my\t", until="run/")


def test_a_line_is_read_as_the_shell_reads_it():
    assert complete.words_of("FOO=1 playloop eval env=li") == ["eval", "env=li"]
    assert complete.words_of("playloop eval ") == ["eval", ""]
    assert complete.words_of("playloop eval 'task=open the dr") == ["eval", "task=open the dr"]
    assert complete.words_of("/venv/bin/playloop") == []


def test_bash_is_given_what_follows_the_last_word_break(capsys):
    line = "playloop eval env=libero suite=libero_s"
    assert complete.complete(["bash", line, " \t\n=:"]) == 0
    assert capsys.readouterr().out == "libero_spatial \n"
    assert complete.complete(["bash", line, " \t\n"]) == 0
    assert capsys.readouterr().out == "suite=libero_spatial \n"


def test_settings_are_those_of_the_parts_that_are_chosen():
    assert "horizon=" in complete.candidates(["eval", "env=toy"], "")
    assert {"env.tasks=", "env.cost_ms="} & set(complete.candidates(["eval", "env=toy"], "env."))
    given = complete.candidates(["eval", "env=toy", "seed=3"], "")
    assert "seed=" not in given and "inits=" in given
    assert set(complete.candidates(["eval", "env=libero"], "protocol=")) == {
        "protocol=standard",
        "protocol=lerobot",
    }
    assert {"checkpoint=libero", "checkpoint=craft"} <= set(complete.candidates(["eval"], "checkpoint="))
    assert {"--debug", "--config-dir"} <= set(complete.candidates(["eval"], "--"))


def test_the_benches_are_those_of_the_verb():
    assert list(BENCHES) == list(complete.BENCHES)
    assert choices(bool) == ["true", "false"] and choices(int | None) == []


def test_another_installation_is_another_cache(monkeypatch, tmp_path):
    before = complete.cache_folder()
    assert complete.cache_folder() == before
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / "site-packages")])
    (tmp_path / "site-packages").mkdir()
    assert complete.cache_folder() != before


def test_the_script_of_a_shell_is_printed(capsys):
    assert main(["completion", "bash"]) == 0
    assert "complete -o nospace -F _playloop playloop" in capsys.readouterr().out
    assert main(["completion", "bsh"]) == 2
    assert 'did you mean "bash"?' in capsys.readouterr().err


def test_nothing_large_is_imported_at_tab(home):
    code = (
        "import sys; sys.argv[1:] = ['__complete', 'fish', 'eval', 'env=li'];"
        "from playloop.cli.entry import main; main();"
        "print(sorted({'torch', 'numpy', 'hydra', 'omegaconf', 'pydantic'} & set(sys.modules)))"
    )
    said = os.popen(f'{sys.executable} -c "{code}"').read().splitlines()
    assert said[0].startswith("env=libero\tLIBERO") and said[-1] == "[]"
