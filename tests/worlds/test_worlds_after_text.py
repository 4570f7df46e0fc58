"""A world model opens in a process that has embedded an instruction before."""

import subprocess
import sys

CODE = """
from pathlib import Path

import playloop.worlds
from playloop.tokenizers.instructions import MiniLMConfig
from playloop.worlds.checkpoint import World

MiniLMConfig().make().encode(["reach the red square"])
World.load(Path(playloop.worlds.__path__[0]) / "checkpoints" / "craft")
"""


def test_a_world_model_opens_after_the_sentence_encoder():
    """Transformers changes torch's functions while it loads, and torch remembers which were there first."""
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
