"""Lets the tests of this folder import its helpers, and shares one tiny chain up to a world model."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def chain(tmp_path_factory):
    """Folders of a recording, a tokenizer and a world model, made by the commands that a user gives."""
    from tiny_world import record_explorer, train_tokenizer, train_world

    root = tmp_path_factory.mktemp("chain")
    data = record_explorer(root / "data")
    tokenizer = train_tokenizer(root, data)
    return {"data": data, "tokenizer": tokenizer, "world": train_world(root, data, tokenizer)}
