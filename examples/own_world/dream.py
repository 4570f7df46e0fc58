"""A world model of a game of your own: recorded, trained and dreamt.

An explorer presses the game's keys, a tokenizer learns its frames, a world model what keys do. Then game and
dream get the same keys, and every third frame goes into a picture, the game above the dream.

    python examples/own_world/dream.py [OUT]      # two minutes on two cores; OUT is runs/own_world

Trained longer (`steps`), on more episodes and with more of everything, it is sharper. It can be played:
`playloop play world=OUT/world/checkpoint`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image
from pond import SIDE, PondConfig

import playloop
from playloop.cli.main import main as run
from playloop.core.minecraft import action_vector
from playloop.worlds.open import load_playable

QUICK = [
    "training=cpu",
    "trainer.progress=false",
    "trainer.validate_every=200",
    "trainer.checkpoint_every=200",
]
TOKENIZER = [f"tokenizer.height={SIDE}", f"tokenizer.width={SIDE}", "tokenizer.levels=[8,5,5,5]"]
TOKENIZER += ["tokenizer.channels=[64]", "tokenizer.blocks=[1]"]
WORLD = ["world.rows=8", "world.columns=8", "world.width=96", "world.layers=3", "world.heads=4"]
WORLD += ["world.hidden=192", "world.context=3"]
KEYS = [*["right"] * 6, *["back"] * 6, *["left"] * 6, *["forward"] * 6]
"""Held for a step each: once around the pond."""


def train(what: str, data: Path, out: Path, steps: int, *words: str) -> Path:
    """`playloop train`; returns the checkpoint."""
    given = [f"{what}=craft", f"data={data}", f"out={out}", f"trainer.steps={steps}", *QUICK, *words]
    if run(["train", *given]) != 0:
        raise SystemExit(f"training the {what} failed")
    return out / "checkpoint"


def dream(checkpoint: Path) -> np.ndarray:
    """Every third frame of the game and, below, of the dream: uint8 [2 SIDE, N SIDE, 3]."""
    imagined = playloop.make_env("world", checkpoint=checkpoint)
    game = PondConfig().make()
    game.begin(game.episodes()[0])
    imagined.begin(imagined.episodes()[0])
    rows: list[list[np.ndarray]] = [[], []]
    for number, key in enumerate(KEYS):
        for frames, env in zip(rows, (game, imagined), strict=True):
            if number % 3 == 0:
                frames.append(env.observe()["images"]["pov"])
            env.advance(action_vector({key: 1}))
    return np.concatenate([np.concatenate(frames, axis=1) for frames in rows])


def main(out: Path, episodes: int = 60, steps: int = 300) -> Path:
    """Record, train, dream; returns the picture."""
    data = playloop.record(PondConfig(), "explorer", out=out / "data", episodes=episodes)
    tokenizer = train(
        "tokenizer", data, out / "tokenizer", steps, "trainer.batch=32", "trainer.rate=2e-3", *TOKENIZER
    )
    words = [f"tokenizer={tokenizer}", "trainer.batch=16", "trainer.rate=1.5e-3", *WORLD]
    world = train("world", data, out / "world", steps, *words)
    print(f"{load_playable(world).name} knows the pond")
    picture = Image.fromarray(dream(world))
    picture.resize((picture.width * 4, picture.height * 4), Image.Resampling.NEAREST).save(out / "dream.png")
    return out / "dream.png"


if __name__ == "__main__":
    print(main(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/own_world")))
