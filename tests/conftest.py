"""For every test: without a GPU, Triton's kernels are run by its interpreter, said before it loads."""

import os

import torch

if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")
