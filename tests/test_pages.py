"""README and the pages keep their word: commands run, code runs, links lead somewhere, examples conform."""

from __future__ import annotations

import importlib.util
import re
import shlex
import sys
from pathlib import Path

import pytest
from page_commands import SHELL, run_command

from playloop.agents.person import PersonConfig
from playloop.agents.random import RandomAgentConfig
from playloop.cli.arguments import Arguments
from playloop.cli.main import main
from playloop.cli.play import adapted, session_config
from playloop.configs.compose import configure
from playloop.envs.toy import ToyReachConfig
from playloop.rollouts.driver import Driver
from playloop.testing import check_agent, check_env, check_env_config, check_policy

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
PAGES += sorted((ROOT / "docs").glob("*.md"))
MAKEFILE = (ROOT / "Makefile").read_text()
CONFIGURED = ("eval", "play", "record", "train", "bench")


def blocks(page: Path) -> list[tuple[str, str]]:
    """Language and text of every fenced block, those within lists or notes too."""
    found = re.findall(r"^( *)```(\w*)[^\n]*\n(.*?)^\1```", page.read_text(), re.M | re.S)
    return [(kind, re.sub(rf"^{indent}", "", text, flags=re.M)) for indent, kind, text in found]


def lines(text: str) -> list[str]:
    """Commands of a shell block, without comments; a line that ends in a backslash goes on."""
    joined = text.replace("\\\n", " ")
    return [line for raw in joined.splitlines() if (line := re.split(r"(?:^|\s)#", raw)[0].strip())]


def in_sentences(page: Path) -> list[str]:
    """Commands that a sentence or a table names."""
    prose = re.sub(r"^( *)```.*?^\1```", "", page.read_text(), flags=re.M | re.S)
    return re.findall(r"`((?:playloop|make) [^`…A-Z][^`…]*)`", prose)


def as_module(path: Path, name: str):
    """A file as a module that workers and `_target_` find under this name."""
    specification = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module
    specification.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One for all pages: what a page's command has made, another's may read."""
    return tmp_path_factory.mktemp("pages")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_s_blocks_run_in_their_order(page, folder, monkeypatch):
    """A block whose first line names a file becomes that file; of Playloop, where it is one of a room."""
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    names = {"__name__": "__main__"}
    for kind, text in blocks(page):
        named = re.match(r"# ([\w/.-]+\.(?:py|yaml|toml))\n", text)
        if named:
            path = folder / named[1]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        if kind == "bash":
            for line in lines(text):
                run_line(line)
        elif kind == "python" and named:
            module = "playloop." if (ROOT / named[1]).parent.is_dir() and "/" in named[1] else ""
            as_module(path, module + named[1].removesuffix(".py").replace("/", "."))
        elif kind == "python":
            exec(compile(text, f"{page.name}", "exec"), names)


def run_line(line: str) -> None:
    """A command of ours is run; `make` has the target; another is one of those that are known."""
    line = re.sub(r"^(?:\w+=\S+ )+", "", line)
    if line.startswith("make "):
        assert re.search(rf"^{line.split()[1]}:", MAKEFILE, re.M), line
    elif line.startswith(("playloop ", "torchrun ")):
        run_command(line)
    elif line.startswith("python ") and line.split()[1].endswith(".py"):
        assert (ROOT / line.split()[1]).is_file(), line  # tests/test_examples.py runs them
    else:
        assert line.startswith(SHELL), f"what is {line!r}?"


GENERATED = {"records.svg"}  # by the site's hook
COMMANDS = sorted({command for page in PAGES for command in in_sentences(page)})


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_within_a_sentence_is_valid(command):
    program, verb, *words = shlex.split(command)
    if program == "make":
        return run_line(command)
    words = [word for word in words if "playloop." not in word and "=NAME" not in word]  # not installed
    assert main([verb, *words, "--print-config" if verb in CONFIGURED and words else "--help"]) == 0


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#: ]+)", page.read_text()):
        assert target in GENERATED or (page.parent / target).exists(), target


def code(page: str, file: str, tmp_path: Path):
    """A page's Python block that names this file in its first line, as a module of the test's."""
    (text,) = [
        text
        for kind, text in blocks(ROOT / "docs" / page)
        if kind == "python" and text.startswith(f"# {file}\n")
    ]
    path = tmp_path / f"page_{Path(file).name}"
    path.write_text(text)
    return as_module(path, path.stem)


@pytest.fixture
def dial(tmp_path):
    yield code("environments.md", "envs/dial.py", tmp_path)
    del sys.modules["page_dial"]


@pytest.fixture
def seek(tmp_path):
    yield code("policies.md", "agents/seek.py", tmp_path)
    del sys.modules["page_seek"]


def run(env, agent, episodes):
    """Without processes: `workers=0` is this one."""
    return Driver(env, 0, []).run(agent, episodes)


def test_the_environment_conforms_and_runs(dial):
    config = dial.DialConfig()
    check_env_config(config)
    check_env(config.make)
    results = run(config, RandomAgentConfig().make(), config.episodes(inits=2))
    assert [(result.episode.init, result.error) for result in results] == [(0, None), (1, None)]


def test_every_verb_takes_the_environment(dial, tmp_path, capsys):
    """Evaluated and recorded to an end, and played with keys of its own."""
    env = f"env._target_={dial.__name__}.DialConfig"
    run = [env, "agent=random", "workers=0"]
    assert main(["eval", *run, "inits=1", f"out={tmp_path / 'eval'}"]) == 0, capsys.readouterr().err
    status = main(["record", *run, "task=0", "episodes=1", f"out={tmp_path / 'record'}"])
    said = capsys.readouterr().err
    assert status == 0 or "task 0 has 0 of 1 successful episodes after 3 tries" in said, said
    assert main(["record", env, "agent=expert", "task=0", f"out={tmp_path / 'expert'}"]) == 2
    assert "there is no expert for dial" in capsys.readouterr().err
    arguments = Arguments.parse(["play", env, f"out={tmp_path / 'play'}"])
    session = session_config(configure("play", adapted(arguments.words)), arguments)
    assert [part.title() for part in session.parts.values()] == ["dial"]
    person = PersonConfig().make()
    person.prepare(dial.DialConfig().contract())
    assert "turn" in str(person.layout())


def test_the_policy_conforms_and_succeeds(seek):
    toy = ToyReachConfig()
    check_policy(seek.Seek)
    check_agent(seek.SeekConfig().make, toy.make)
    results = run(toy, seek.SeekConfig().make(), toy.episodes())
    assert len(results) == 20 and all(result.success for result in results)


def test_the_architecture_names_every_room():
    rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", (ROOT / "docs/architecture.md").read_text(), re.M)
    rooms = {link.name for link in (ROOT / "src/playloop").iterdir() if link.is_dir()}
    assert set(re.findall(r"\w+", " ".join(rows))) == {room for room in rooms if room != "__pycache__"}
