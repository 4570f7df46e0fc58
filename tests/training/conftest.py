"""Lets the tests of this folder import its helpers and those in `tests/demos`."""

import os
import sys
from pathlib import Path

import torch

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "demos")]

# One thread, here and in runs that are started and killed: two split their sums by the load of the machine.
os.environ["OMP_NUM_THREADS"] = "1"
torch.set_num_threads(1)
