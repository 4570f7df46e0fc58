"""For every test: without a GPU, Triton's kernels are run by its interpreter, said before it loads.

One tiny chain up to a world model is shared by the tests of a process.
"""

import os

import pytest
import torch

if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")


@pytest.fixture(scope="session")
def chain(tmp_path_factory):
    """Folders of a recording, a tokenizer and a world model, made by the commands that a user gives."""
    from tiny_world import record_explorer, train_tokenizer, train_world

    root = tmp_path_factory.mktemp("chain")
    data = record_explorer(root / "data")
    tokenizer = train_tokenizer(root, data)
    return {"data": data, "tokenizer": tokenizer, "world": train_world(root, data, tokenizer)}
