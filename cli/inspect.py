"""playloop inspect: what is in a checkpoint or a data set, before anything is loaded.

Usage: playloop inspect PATH

PATH is a folder, a file or the name of a checkpoint that ships with the package: a published OpenVLA,
OpenVLA-OFT or Discrete Diffusion VLA, a MineWorld, or a policy or world model of playloop. Prints sizes,
types, files, statistics, tokens and conventions, and checks names, shapes and lengths on the way. Reads
headers and JSON only, never the weights, and runs nothing that a file contains. A data set (LeRobot's, VPT's)
is read through: every file against its writer's hashes, every value, the frames at the episodes' ends.

Examples:
  playloop inspect libero
  playloop inspect checkpoints/openvla-7b-oft-finetuned-libero-object
  playloop inspect data/object"""

from __future__ import annotations

import importlib
from pathlib import Path

from playloop.cli.arguments import Arguments
from playloop.configs.checkpoints import find_checkpoint

FORMATS = (
    "playloop.policies.openvla.describe",
    "playloop.worlds.describe",
    "playloop.policies.checkpoint",
    "playloop.demos.open",
)
"""Modules with `describe(path) -> list[tuple[str, str]] | None`; None: the path is of another format."""


def run(arguments: Arguments) -> int:
    """Print what is there; returns the exit status."""
    if len(arguments.words) != 1:
        raise ValueError(f"give one checkpoint, not {len(arguments.words)}: playloop inspect PATH.")
    word = arguments.words[0]
    # An empty word is the working folder to Path, and nothing to a user.
    lines = describe(Path(word) if word and Path(word).exists() else find_checkpoint(word))
    width = max(len(label) for label, _ in lines)
    print("\n".join(f"{label:<{width}}  {value}" for label, value in lines))
    return 0


def describe(path: Path) -> list[tuple[str, str]]:
    """Lines of a label and a value, from the first format that knows the path; a ValueError if none does."""
    for name in FORMATS:
        lines = importlib.import_module(name).describe(path)
        if lines is not None:
            return lines
    from playloop.nn.contents import contents

    if path.is_dir() and any(path.iterdir()) and (found := contents(path)):
        raise ValueError(f"{path} is no checkpoint{found}.")
    raise ValueError(
        f"{path} is no checkpoint that is known here: OpenVLA's is a folder with config.json and safetensors "
        "files, MineWorld's a .ckpt or .bin file, playloop's a folder that playloop train wrote."
    )
