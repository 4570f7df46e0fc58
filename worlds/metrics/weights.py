"""Weights of published networks, from files that the user names."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor


def read_state(path: str | Path) -> dict[str, Tensor]:
    """A state dictionary that `torch.save` wrote; nothing but tensors is read from it.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no state dictionary.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; name the file with the weights.")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError, OSError) as error:
        raise ValueError(f"{path} is no file of weights ({error}); download it again.") from error
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ValueError(f"{path} holds no state dictionary; it should map names to tensors.")
    return dict(state)


def check_shapes(path: str | Path, found: dict[str, Tensor], wanted: dict[str, tuple[int, ...]]) -> None:
    """Refuse weights whose names or shapes differ from what a network wants.

    Raises:
        ValueError: they differ; names the first few.
    """
    shapes = {name: tuple(value.shape) for name, value in found.items()}
    wrong = sorted(name for name in shapes.keys() | wanted.keys() if shapes.get(name) != wanted.get(name))
    if wrong:
        listed = "; ".join(f"{n}: file {shapes.get(n)}, network {wanted.get(n)}" for n in wrong[:3])
        raise ValueError(f"{path} holds the weights of another network ({len(wrong)} tensors: {listed}).")
