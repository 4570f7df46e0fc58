import shutil

import pytest
import torch
from openvla_tiny import write

# Tiny tensors gain nothing from a second thread, and lose much where the cores are shared.
torch.set_num_threads(1)


@pytest.fixture(scope="session")
def written_oft(tmp_path_factory):
    return write(tmp_path_factory.mktemp("openvla") / "oft")


@pytest.fixture
def oft(written_oft, tmp_path):
    """A published folder of OFT's, to damage."""
    return shutil.copytree(written_oft, tmp_path / "oft")
