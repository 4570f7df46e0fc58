"""playloop convert: make a folder that can be played of a published MineWorld checkpoint.

Usage: playloop convert SOURCE [key=value …]

SOURCE is a NAME.ckpt file of MineWorld, or the folder that holds it. Its tensors are checked by name and
shape and counted; nothing that the file holds is run. The frame tokenizer is taken from the same file, or
from vae/vae.ckpt beside it; the sizes from NAME.yaml there or under configs/, else the published ones that
fit.

Examples:
  playloop convert checkpoints/300M_16f.ckpt out=runs/mineworld starts=scene.mp4
  playloop play env=mineworld checkpoint=runs/mineworld"""

from __future__ import annotations

import shlex
from pathlib import Path

from omegaconf import DictConfig

from playloop.cli.arguments import Arguments
from playloop.core.fields import make_all_but


def run(arguments: Arguments, config: DictConfig) -> int:
    """Convert; returns the exit status."""
    sources = arguments.names
    if len(sources) != 1:
        raise ValueError(f"give one checkpoint, not {len(sources)}: playloop convert NAME.ckpt out=DIR.")
    settings = make_all_but(config, "out")
    out = arguments.choose_out(config.out)

    from playloop.nn.folder import check_target
    from playloop.rollouts.play.uploads import read_starts
    from playloop.rollouts.progress import announced
    from playloop.worlds.mineworld.convert import convert

    check_target(out, "training.json", "convert", Path(sources[0]))
    with announced("converting"):
        published = convert(sources[0], out, settings, read_starts, arguments.command)
    sizes = published.config
    parts = {"transformer": published.weights, "tokenizer": published.tokenizer_weights}
    for name, weights in parts.items():
        count = sum(value.numel() for value in weights.values())
        print(
            f"{name}: {count / 1e6:.1f} M" if count >= 1e6 else f"{name}: {count:,}",
            f"in {len(weights)} tensors",
        )
    print(f"context: {sizes.context} frames of {sizes.rows} x {sizes.columns} tokens")
    print(f"Folder: {out}  (to play: playloop play env=mineworld {shlex.quote(f'checkpoint={out}')})")
    return 0
