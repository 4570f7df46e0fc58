"""Weights of published networks, from files that the user names."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from playloop.nn.pickles import read_pickle


def read_state(path: str | Path) -> dict[str, Tensor]:
    """A state dictionary that `torch.save` wrote; nothing but tensors is read from it, and nothing is run.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged, or no state dictionary.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; name the file with the weights.")
    try:
        return read_pickle(path)
    except ValueError as error:
        reason = str(error).removeprefix(f"{path} ")
        raise ValueError(f"{path} is no file of weights, no state dictionary: it {reason}") from error


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
