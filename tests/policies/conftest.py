import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent))  # for `tiny`, which is shared here and with the agents' tests
# Tiny tensors gain nothing from a second thread, and lose much where the cores are shared.
torch.set_num_threads(1)
