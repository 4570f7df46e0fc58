"""`playloop VERB …`: find the verb, run it, and turn what goes wrong into a sentence."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from typing import Any

from hydra.errors import HydraException
from omegaconf.errors import InterpolationKeyError, OmegaConfBaseException

from playloop.cli.arguments import Arguments
from playloop.cli.verbs import VERBS
from playloop.configs.compose import configure, in_yaml
from playloop.configs.plugins import use_folder
from playloop.configs.settings import settings_name
from playloop.core.provenance import git_commit, versions
from playloop.core.words import Sentence, nearest, speak_any_language

NAMING = ("bench", "convert", "merge")
"""Verbs with settings that take other words, too."""

USAGE = f"""\
playloop: evaluate, record and train embodied agents in simulators.

Usage: playloop VERB [key=value …] [--help] [--debug] [--config-dir DIR]

{chr(10).join(f"  {verb:<12}{purpose}" for verb, purpose in VERBS.items())}

Examples:
  playloop eval                                     the shipped policy, 20 episodes of libero_object
  playloop eval suite=libero_spatial inits=10 out=runs/spatial
  playloop record suite=libero_object agent=expert episodes=100 out=data/object
  playloop train data=data/object out=runs/policy
  playloop compare runs/a runs/b

`playloop VERB --help` explains a verb's settings; with env=NAME agent=NAME, theirs too."""

EXPECTED = (
    ValueError,
    OSError,
    ImportError,
    RuntimeError,
    FloatingPointError,
    HydraException,
    OmegaConfBaseException,
)
"""Errors that name their own fix: shown as a sentence, with the traceback only under --debug."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line; returns 0 (good), 1 (a check failed), 2 (bad input) or 130 (interrupted)."""
    try:
        status = answer(list(sys.argv[1:] if argv is None else argv))
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        # The reader (`| head`) has gone; stdout goes elsewhere so that the interpreter's last flush is quiet.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def answer(words: list[str]) -> int:
    """Run one command line, expected errors said as sentences; returns the exit status."""
    speak_any_language()
    if not words or words[0] in ("--help", "-h", "help"):
        print(USAGE)
        return 0
    if words[0] == "--version":
        print(version())
        return 0
    arguments = Arguments(words[0], words[1:])  # until they are taken apart
    try:
        arguments = Arguments.parse(words)
        return dispatch(arguments)
    except KeyboardInterrupt:
        say("Interrupted." + (f" Continue with: {arguments.resume_command()}" if arguments.out else ""))
        return 130
    except BrokenPipeError:
        raise
    except EXPECTED as error:
        if "--debug" in arguments.flags:
            raise
        hidden = isinstance(error, RuntimeError) and not isinstance(error, Sentence)
        hint = " (--debug shows where)" if hidden else ""
        say(f"playloop {arguments.verb}: {sentence(error)}{hint}")
        return 2


def version() -> str:
    """Of the package and, below it, of what most results depend on; of a checkout its commit, too."""
    found = versions()
    lines = [f"playloop {found['playloop']}", f"Python {found['python']}"]
    lines += [f"{name} {found[name]}" for name in ("torch", "mujoco") if name in found]
    if commit := git_commit():
        lines.append(f"commit {commit}")
    return "\n".join(lines)


def dispatch(arguments: Arguments) -> int:
    """Run the verb, or show its help; returns the exit status."""
    if arguments.verb not in VERBS:
        raise ValueError(
            f"there is no verb {arguments.verb!r}{nearest(arguments.verb, VERBS)}; see playloop --help."
        )
    use_folder(arguments.config_dir)
    module: Any = importlib.import_module(f"playloop.cli.{arguments.verb}")
    if "--help" in arguments.flags:
        from playloop.cli.help import show_help  # reads the settings' classes, which a run need not

        show_help(arguments.verb, module.__doc__ or "", arguments.settings)
        return 0
    arguments.allow(*getattr(module, "FLAGS", ()))
    name = settings_name(arguments.verb, arguments.words)
    if name is None:
        return module.run(arguments)
    words = arguments.settings if arguments.verb in NAMING else arguments.words
    words = getattr(module, "adapted", list)(words)
    if "--print-config" in arguments.flags:
        print(in_yaml(name, words), end="")
        return 0
    return module.run(arguments, configure(name, words))


def sentence(error: BaseException) -> str:
    """The error's own message, line by line; where Hydra wraps another error, that one says more."""
    while (
        isinstance(error, HydraException) and error.__cause__ is not None and str(error.__cause__) != "None"
    ):
        error = error.__cause__
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    if isinstance(error, InterpolationKeyError):  # in three lines, of which none says what to write
        name = str(error.msg).split("'")[1]
        return f"{error.full_key}=${{{name}}}: there is no setting {name!r} to take the value of."
    if isinstance(error, OmegaConfBaseException) and error.full_key:
        return f"{error.full_key}: {str(error).splitlines()[0]}"
    lines = [line.rstrip() for line in str(error).splitlines() if line.strip()]
    return "\n".join(lines) or type(error).__name__


def say(text: str) -> None:
    """Print to stderr, after what stdout still holds back."""
    sys.stdout.flush()
    print(text, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
