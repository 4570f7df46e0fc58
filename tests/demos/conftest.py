"""Lets the tests of this folder import the helpers in `tests/demos`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "demos"))
