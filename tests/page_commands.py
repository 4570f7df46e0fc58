"""How the commands of README and the pages are run by their test: small, all by one table."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

from mineworld_release import write_synthetic as write_mineworld
from openvla_demos import write_base

from playloop.cli.arguments import Arguments
from playloop.cli.main import main
from playloop.cli.play import adapted, session_config
from playloop.configs.compose import configure
from playloop.configs.settings import settings_name

VALID, SESSION = "valid", "session"
"""Instead of words: the settings are composed and checked, not run; or a session is made and not served."""

TRAIN = "training=cpu steps=2 batch=2 warmup=1 processes=1 progress=false validate_every=2 checkpoint_every=2"
TINY_TOKENIZER = (
    "tokenizer.height=32 tokenizer.width=64 tokenizer.channels=[12,16,16] tokenizer.blocks=[0,0,0] "
    "tokenizer.levels=[4,3]"
)
TINY_WORLD = (
    "world.rows=2 world.columns=4 world.codes=12 world.width=32 world.layers=2 world.heads=2 world.groups=1 "
    "world.hidden=48 world.context=3 world.windows=[1,4] world.corruption=[0,0.1]"
)
RELEASE = "config=release/configs/300M_16f.yaml"
CLIPS = "clips=2 horizon=3 drift_clips=0 branches=0 windows=[1] backend=torch"

SMALL = (
    # what a command matches (the first line counts), and words to set, or with "-" to leave out;
    # or the command that is run instead
    (r"=cuda|=fp8|=triton|^torchrun|training=gpu", VALID),  # a GPU's
    (r"^playloop bench", VALID),  # minutes, on a quiet machine: tests/benchmarks
    (r"^playloop doctor", VALID),  # tests/envs/test_envs_doctor.py
    (r"mineworld=\d+M_16f", VALID),  # 300 million parameters: tests/training/test_training_mineworld*.py
    (r"^playloop merge", VALID),  # tests/policies/test_policies_openvla_merge.py
    (r"env=simpler|agent=dialect", VALID),  # needs assets: tests/envs/test_envs_simpler_*.py
    (r"env=(luanti|minerl)", VALID),  # real games: tests/envs/test_envs_{luanti,minerl}.py
    (r"agent=remote", VALID),  # needs a server: tests/agents/test_agents_remote.py
    (r"agent=handover", VALID),  # tests/agents/test_agents_handover.py
    (r"^playloop serve", VALID),  # tests/serving
    (r"^playloop play", SESSION),  # tests/rollouts/test_rollouts_play_browser.py
    (r"^playloop compare .*out=", "playloop compare runs/toy runs/toy_again out=runs/comparison.html"),
    (r"^playloop compare", "playloop compare runs/toy runs/toy_again"),  # two that judge alike
    (r"^playloop (agreement|inspect|join)", ""),
    (
        r"^playloop convert",
        f"{RELEASE} rows=2 columns=4 frames=2 dtype=keep -starts",
    ),
    (r"^playloop eval .*world=\S*(300M|mineworld)", f"{CLIPS} -inverse"),
    (r"^playloop eval .*world=", f"{CLIPS} context=3 -inverse"),
    (r"^playloop record .*env=craft", "episodes=4 env.size=[32,64] env.horizon=24 workers=0"),
    (r"^playloop record .*env=toy", "episodes=8 workers=0"),
    (r"^playloop record .*env=(?!libero)", "episodes=2 tasks=[0] workers=0"),
    (r"^playloop record", "episodes=2 tasks=[0] env.success_steps=10 stride=16 workers=0 -env"),
    (r"^playloop train .*openvla=", f"{TRAIN} adapter.rank=4 device=cpu validation=0.5 -training"),
    (
        r"^playloop train .*mineworld=",
        f"{TRAIN} device=cpu precision=fp32 validation=0.5 dtype=keep -training",
    ),
    (r"^playloop train .*tokenizer=craft", f"{TRAIN} task.validation=0.25 {TINY_TOKENIZER}"),
    (r"^playloop train .*world=", f"{TRAIN} task.validation=0.25 {TINY_WORLD}"),
    (r"^playloop train .*inverse=", f"{TRAIN} task.validation=0.25 inverse.height=32 inverse.width=64"),
    (r"^playloop train", f"{TRAIN} validation=0.5"),
    (r"^playloop eval .*(env=toy|env\._target_|--config-dir)", "inits=1 workers=0"),
    (r"^playloop eval .*env=", "inits=1 tasks=[0] workers=0 env.horizon=2 videos=none"),
    (r"^playloop eval", "inits=1 tasks=[0] workers=0 env.horizon=2 videos=none"),
)


def release(path: Path) -> None:
    """A MineWorld of small sizes in its published files, with its tokenizer beside it."""
    file = write_mineworld(path.parent / "release", name=path.stem)
    for part in (file, file.parent / "vae"):
        part.rename(path.parent / part.name)


STAND_INS = (
    # a path that no command before has made, and what makes it: a command (small, too) or a function
    (r"data/(explore|vpt|craft)\w*", "playloop record env=craft agent=explorer task=explore out={}"),
    (r"data/\w+", "playloop record suite=libero_object agent=expert out={}"),
    (r"runs/tokenizer/checkpoint", "playloop train tokenizer=craft data=data/explore out=runs/tokenizer"),
    (
        r"runs/(world|decoder)/checkpoint",
        "playloop train world=craft data=data/explore tokenizer=runs/tokenizer/checkpoint out=runs/{1}",
    ),
    (r"runs/(policy)/checkpoint", "playloop train data=data/object out=runs/{1}"),
    (r"runs/\w+", "playloop eval env=toy agent=random out={}"),
    (r"300M_16f\.ckpt", release),
    (r"worlds/\w+", "playloop convert 300M_16f.ckpt out={}"),
    (r"DIR", lambda path: write_base(path, chunk=8)),
)

SHELL = (
    "source .venv/bin/activate",
    "export ",
    "pip install ",
    "python -m pip install ",
    "git clone ",
    "cd ",
)
"""Lines of a shell that are no command of ours."""

made: dict[str, str] = {}
"""Folder, or for want of one the command → the command, without its folder, that made it last."""


def small(command: str) -> tuple[str, list[str]]:
    """How a command is run (the table's word, or "run"), and its verb and words; a chosen task stays."""
    rule = next((words for pattern, words in SMALL if re.search(pattern, command)), None)
    assert rule is not None, f"no line of SMALL says how {command!r} is run"
    command = rule if rule.startswith("playloop ") else command
    verb, *words = shlex.split(re.sub(r"^(torchrun .* -m playloop\.cli\.main|playloop) ", "", command))
    if rule == command:
        return "run", [verb, *words]
    if rule in (VALID, SESSION):
        return rule, [verb, *words]
    one = any(word.startswith("task=") for word in words)
    for change in rule.split():
        if one and change.startswith("tasks="):
            continue
        name = change.removeprefix("-").partition("=")[0]
        words = [word for word in words if not same_setting(word, name)]
        words += [] if change.startswith("-") else [change]
    return "run", [verb, *words]


def same_setting(word: str, name: str) -> bool:
    """Whether a word sets this, by its short or its long name."""
    key = word.partition("=")[0]
    return "=" in word and (key == name or key.endswith(f".{name}"))


def run_command(command: str) -> None:
    """Run a command of a page in the working folder, small, with stand-ins for what is not there."""
    how, words = small(command)
    if how == VALID:
        named = settings_name(words[0], words[1:]) and words[1:]
        assert main([*words, "--print-config" if named else "--help"]) == 0, command
        return
    for word in words[1:]:
        key, _, value = word.rpartition("=")
        if key != "out" and not key.startswith("starts"):
            stand_in(value)
    if how == SESSION:
        arguments = Arguments.parse(words)
        session = session_config(configure("play", adapted(arguments.words)), arguments)
        assert session.parts, command
        return
    run_once(words, command)


def run_once(words: list[str], command: str) -> None:
    """Run it, unless it was: of commands that differ in `out=` alone the folder is copied."""
    out = next((word.removeprefix("out=") for word in words if word.startswith("out=")), "")
    text = shlex.join([words[0], *sorted(word for word in words[1:] if not word.startswith("out="))])
    if made.get(out or text) == text:
        return
    if out and out in made:  # another page's
        shutil.rmtree(out)
    twin = next((folder for folder, maker in made.items() if maker == text), None)
    if twin is None or not out or twin == text:
        assert main(words) == 0, f"{command}\nrun as: playloop {shlex.join(words)}"
    else:
        shutil.copytree(twin, out)
    made[out or text] = text


def stand_in(value: str) -> None:
    """Make what a word names, where no command before did."""
    for path in map(str.strip, value.strip("[]").split(",")):
        if Path(path).exists():
            continue
        for pattern, maker in STAND_INS:
            if found := re.fullmatch(pattern, path):
                Path(path).parent.mkdir(parents=True, exist_ok=True)
                run_command(maker.format(path, *found.groups())) if isinstance(maker, str) else maker(
                    Path(path)
                )
                break
