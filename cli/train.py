"""playloop train: train a policy on recorded demonstrations.

Usage: playloop train data=DIR out=DIR [key=value …]

Writes metrics.jsonl, metrics.png and out/checkpoint, which `playloop eval checkpoint=out/checkpoint`
takes. Repeat a killed command with the same `out` and it continues with the same losses. On several
GPUs the same command runs under torchrun.

Examples:
  playloop train data=data/object out=runs/policy
  playloop train data=[data/object,data/spatial] out=runs/both training=cpu steps=8000
  torchrun --nproc-per-node 4 -m playloop.cli.main train data=data/object out=runs/policy"""

from __future__ import annotations

import os

from playloop.cli.arguments import Arguments
from playloop.cli.config import configure


def run(arguments: Arguments) -> int:
    """Train; returns the exit status."""
    arguments.allow()
    config = configure("train", arguments.words, arguments)
    if config is None:
        return 0
    from playloop.training.run import train

    out = arguments.choose_out(config.out)
    config.command = arguments.command
    finished = train(config)
    if int(os.environ.get("RANK", "0")) == 0:  # torchrun starts this once for every GPU
        print(f"Policy: {out / 'checkpoint'}" if finished else f"To continue: {arguments.resume_command()}")
    return 0
