"""A recording of the voxel world, a tokenizer and a world model, all tiny, made in seconds."""

import numpy as np

from playloop.configs.compose import load
from playloop.envs.craft.env import CraftConfig
from playloop.rollouts.recording.record import record
from playloop.tokenizers.frames import FrameTokenizerConfig
from playloop.tokenizers.minecraft import CompactActions
from playloop.training.run import train as run_training
from playloop.worlds.checkpoint import save_part, save_world
from playloop.worlds.model import WorldConfig

TOKENIZER = FrameTokenizerConfig(32, 64, channels=(12, 16, 16), blocks=(0, 0, 0), levels=(4, 3))
WORLD = WorldConfig(
    rows=2,
    columns=4,
    codes=12,
    actions=CompactActions().sizes,
    width=32,
    layers=2,
    heads=2,
    groups=1,
    hidden=48,
    context=3,
    windows=(1, 4),
    corruption=(0.0, 0.1),
)
SIZE, HELD_OUT = (32, 64), 0.25


def write_lively(root):
    """The folder of a world model without training whose frames depend on all that is done."""
    save_part(root / "t", TOKENIZER, TOKENIZER.make(1).state_dict(), {})
    model, rng = WORLD.make(1), np.random.default_rng(0)
    for parameter in model.parameters():  # a fresh network hardly reacts; this one does
        parameter.data.mul_(4.0 if parameter.ndim == 2 else 1.0)
    starts = rng.integers(0, 12, (6, 3, 8)), np.zeros((6, 2, 9), np.int64)
    contract = CraftConfig(size=SIZE).contract()
    return save_world(root / "w", WORLD, model.state_dict(), root / "t", contract, starts, {})


def record_explorer(folder, episodes=4, steps=24, seed=3):
    """A data set of an explorer's play."""
    words = ["env=craft", "agent=explorer", "task=explore", "workers=0", f"seed={seed}", f"out={folder}"]
    words += [f"env.size=[{SIZE[0]},{SIZE[1]}]", f"env.horizon={steps}", f"episodes={episodes}"]
    return record(load("record", words))


def train(kind, out, data, *words):
    """`playloop train`, for a few steps."""
    quick = ["training=cpu", "trainer.steps=12", "trainer.batch=8", "trainer.warmup=2", "trainer.log_every=4"]
    quick += ["trainer.validate_every=6", "trainer.checkpoint_every=6", "trainer.progress=false"]
    quick += ["processes=1"]
    words = [*words, *quick, f"data={data}", f"out={out}", f"task.validation={HELD_OUT}"]
    assert run_training(load(f"train_{kind}", words))
    return out / "checkpoint"


def train_tokenizer(root, data, *words):
    sizes = [f"tokenizer.{name}={_word(getattr(TOKENIZER, name))}" for name in TOKENIZER_SIZES]
    return train("tokenizer", root / "tokenizer", data, *sizes, *words)


def train_world(root, data, tokenizer, *words):
    sizes = [f"world.{name}={_word(getattr(WORLD, name))}" for name in WORLD_SIZES]
    return train("world", root / "world", data, f"tokenizer={tokenizer}", *sizes, *words)


TOKENIZER_SIZES = ("height", "width", "channels", "blocks", "levels")
WORLD_SIZES = ("rows", "columns", "codes", "width", "layers", "heads", "groups", "hidden", "context")
WORLD_SIZES += ("windows", "corruption")


def _word(value):
    return "[" + ",".join(map(str, value)) + "]" if isinstance(value, tuple) else value
