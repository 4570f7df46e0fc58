"""A command line taken apart, and help on the settings of a verb."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass, field
from pathlib import Path

from playloop.configs.folders import results_folder
from playloop.configs.words import Word, is_setting
from playloop.core.words import nearest

COMMON = ("--help", "--debug", "--print-config", "--config-dir")


@dataclass
class Arguments:
    """`playloop VERB words… --flags…`; words are `key=value` settings or, for some verbs, folders."""

    verb: str
    words: list[str]
    flags: list[str] = field(default_factory=list)
    config_dir: str | None = None
    out: Path | None = None

    @classmethod
    def parse(cls, argv: list[str]) -> Arguments:
        """Sort the words behind `playloop` into verb, words and flags.

        Raises:
            ValueError: `--config-dir` names no folder.
        """
        rest, config_dir = take_option(argv[1:], "--config-dir")
        flags = ["--help" if word == "-h" else word for word in rest if word.startswith("-")]
        return cls(argv[0], [word for word in rest if not word.startswith("-")], flags, config_dir)

    @property
    def names(self) -> list[str]:
        """The words that are no settings: folders and the like, `runs/epoch=9` among them."""
        return [word for word in self.words if not is_setting(word)]

    @property
    def settings(self) -> list[str]:
        """The words that are settings."""
        return [word for word in self.words if is_setting(word)]

    @property
    def command(self) -> str:
        """The command line as one would type it."""
        return shlex.join(["playloop", self.verb, *self.words, *self.flags, *self._folder_of_options()])

    def _folder_of_options(self) -> list[str]:
        return ["--config-dir", self.config_dir] if self.config_dir else []

    def allow(self, *flags: str) -> None:
        """Refuse flags that the verb does not have."""
        known = (*COMMON, *flags)
        for flag in self.flags:
            if flag not in known:
                hint = nearest(flag, known)
                raise ValueError(f"there is no option {flag}{hint}; settings are key=value, without dashes.")

    def choose_out(self, out: str | None) -> Path:
        """The run's folder: as given, or a new one under runs/. Remembered for `resume_command`.

        Raises:
            OSError: it can be no folder there.
        """
        self.out = results_folder(self.verb, out)
        return self.out

    def resume_command(self) -> str:
        """The command that continues this run, to be pasted into a shell: the same, in the same folder."""
        words = [word for word in self.words if not (is_setting(word) and Word.parse(word).key == "out")]
        if self.out is not None:
            words.append(f"out={self.out}")
        if processes := os.environ.get("LOCAL_WORLD_SIZE"):  # started by torchrun
            launcher = ["torchrun", "--nproc-per-node", processes, "-m", "playloop.cli.main"]
        else:
            launcher = ["playloop"]
        return shlex.join([*launcher, self.verb, *words, *self._folder_of_options()])


def take_option(words: list[str], name: str) -> tuple[list[str], str | None]:
    """The words without `name VALUE` or `name=VALUE`, and the value.

    Raises:
        ValueError: the value is missing.
    """
    for number, word in enumerate(words):
        if word.startswith(f"{name}="):
            return [*words[:number], *words[number + 1 :]], word.partition("=")[2]
        if word == name:
            if number + 1 == len(words):
                raise ValueError(f"{name} names no folder; write {name} DIR.")
            return [*words[:number], *words[number + 2 :]], words[number + 1]
    return words, None


def take_setting(words: list[str], name: str) -> tuple[list[str], str | None]:
    """The words without `name=VALUE`, and the value of the last; for verbs whose other words are folders."""
    mine = [word for word in words if word.startswith(f"{name}=")]
    given = mine[-1].partition("=")[2] if mine else None
    return [word for word in words if word not in mine], given
