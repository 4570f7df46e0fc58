"""For every test: without a GPU, Triton's kernels are run by its interpreter, said before it loads.

The dearest files are run first: with a file for each worker (`--dist loadfile`) all workers end together.
One tiny chain up to a world model is shared by the tests of a process.
"""

import os

import pytest
import torch

if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")


DEAREST = (
    "test_envs_conformance",
    "test_pages",
    "test_rollouts_libero",
    "test_policies_mutated",
    "test_policies_openvla_engine",
    "test_envs_luanti",
    "test_envs_libero",
    "test_envs_doctor",
    "test_rollouts_play_browser",
    "test_rollouts_recording",
    "test_rollouts_judging_run",
    "test_training_run",
    "test_envs_config",
    "test_agents_panda",
    "test_training_inverse",
    "test_training_sharding",
    "test_rollouts_play_mineworld",
    "test_rollouts_play_recording",
)


def pytest_configure(config):
    if hasattr(config.option, "loadscopereorder"):  # xdist's own order: by the number of tests in a file
        config.option.loadscopereorder = False


def pytest_collection_modifyitems(items):
    ranks = {name: rank for rank, name in enumerate(DEAREST)}
    items.sort(key=lambda item: ranks.get(item.path.stem, len(ranks)))


@pytest.fixture(scope="session")
def chain(tmp_path_factory):
    """Folders of a recording, a tokenizer and a world model, made by the commands that a user gives."""
    from tiny_world import record_explorer, train_tokenizer, train_world

    root = tmp_path_factory.mktemp("chain")
    data = record_explorer(root / "data")
    tokenizer = train_tokenizer(root, data)
    return {"data": data, "tokenizer": tokenizer, "world": train_world(root, data, tokenizer)}
