"""Inverse-dynamics models on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from playloop.nn.folder import load_weights, read_config, save_model
from playloop.nn.record import from_record, to_record
from playloop.tokenizers.camera import CameraBins
from playloop.worlds.inverse import InverseConfig, InverseModel

INVERSE = "inverse-dynamics model"


def save_inverse(
    folder: str | Path, config: InverseConfig, state: dict[str, Tensor], training: dict[str, Any]
) -> Path:
    """Write an inverse-dynamics model: weights, `config.json` and `training.json`."""
    return save_model(folder, state, {"kind": INVERSE, "model": to_record(config)}, training)


def load_inverse(
    folder: str | Path, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
) -> InverseModel:
    """Read an inverse-dynamics model.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is damaged or of something else.
    """
    config = read_config(folder, INVERSE)
    model = from_record(config["model"], (InverseConfig, CameraBins)).make()
    load_weights(model, Path(folder))
    return model.to(device, dtype, memory_format=torch.channels_last)
