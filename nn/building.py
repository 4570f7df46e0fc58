"""A network from a configuration and its weights, whose sizes are compared before either takes memory."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from playloop.nn.folder import WEIGHTS
from playloop.nn.shards import Entry, read_header, read_tensors

Network = TypeVar("Network", bound=nn.Module)

SLACK = 4
"""How many times the tensors and numbers of a file a network may have before its building is stopped; a
network that is only a little larger is built, without memory, to name the tensors that differ."""

FEW = 1000
"""Tensors, and numbers of a kilobyte each, that any network may have."""


class Sizes(ABC, Generic[Network]):
    """Base of a network's configuration: a dataclass whose sizes are checked before anything is built."""

    def check(self) -> None:
        """Refuse sizes, each within its range, that do not fit together, with a ValueError."""

    @abstractmethod
    def build(self) -> Network:
        """The network, its weights drawn from the global generator."""

    def make(self, seed: int = 0) -> Network:
        """The network with new weights.

        Raises:
            ValueError: the sizes are out of range or do not fit together.
        """
        self.check()
        return make_seeded(self.build, seed)


def check_squares(height: int, width: int, side: int) -> None:
    """Refuse a frame that cannot be divided into squares of so many pixels a side."""
    if height % side or width % side:
        raise ValueError(f"{height} x {width} pixels cannot be divided into squares of {side}; use multiples")


def check_heads(width: int, heads: int, groups: int, even: bool = False) -> None:
    """Refuse an attention whose heads do not divide its width, evenly if so, or groups not its heads."""
    if width % (heads * (1 + even)) or heads % groups:
        raise ValueError(
            f"width={width} must be {'an even' if even else 'a'} multiple of heads={heads}, and they a "
            f"multiple of groups={groups}"
        )


def make_seeded(make: Callable[[], Network], seed: int) -> Network:
    """A network with new weights from a seed; the global generator, of which modules draw, is left alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make()


def load_model(make: Callable[[], Network], folder: str | Path) -> Network:
    """A network with the weights of a folder, in float32 on the CPU, set to evaluation.

    Args:
        make: builds it from what the folder's `config.json` says.
        folder: with `model.safetensors`.

    Raises:
        ValueError: configuration and weights do not fit each other, or the configuration is none; nothing
            large was built or read.
    """
    folder = Path(folder)
    entries = read_header(folder / WEIGHTS)
    _check_sizes(build_outline(make, entries, folder), entries, folder)
    network = make()
    network.load_state_dict({name: value.float() for name, value in read_tensors(entries, entries)})
    return network.eval()


def _check_sizes(outline: nn.Module, entries: Mapping[str, Entry], folder: Path) -> None:
    """Refuse weights that are not a network's; name the first of them."""
    wanted = {name: tuple(value.shape) for name, value in outline.state_dict().items()}
    found = {name: entry.shape for name, entry in entries.items()}
    wrong = sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))
    if wrong:
        listed = "; ".join(f"{n}: file {found.get(n)}, configuration {wanted.get(n)}" for n in wrong[:3])
        raise ValueError(
            f"{folder}: weights do not fit the configuration ({len(wrong)} tensors: {listed}); "
            "all files must come from one training run"
        )


def build_outline(make: Callable[[], Network], entries: Mapping[str, Entry], folder: Path) -> Network:
    """A network on the meta device: shapes without memory.

    Raises:
        ValueError: it would have far more weights than the files (`entries`), or the configuration is none.
    """
    try:
        with torch.device("meta"), bounded(entries):
            return make()
    except (ValueError, TypeError, ArithmeticError, RuntimeError, LookupError, AttributeError) as error:
        raise ValueError(
            f"{folder / 'config.json'} does not describe {WEIGHTS}: {first_line(error)}"
        ) from error


@contextmanager
def bounded(entries: Mapping[str, Entry]) -> Iterator[None]:
    """Inside the block no network is built that has far more weights than the files hold.

    A configuration of ten million layers is ten million Python objects, even without memory for weights.
    """
    count, numbers = len(entries), sum(entry.elements for entry in entries.values())
    left = [SLACK * count + FEW, SLACK * numbers + 1000 * FEW]
    thread = threading.get_ident()

    def spend(module: nn.Module, name: str, parameter: nn.Parameter | Tensor | None) -> None:
        if parameter is None or threading.get_ident() != thread:
            return
        left[0] -= 1
        left[1] -= parameter.numel()
        if min(left) < 0:
            raise ValueError(
                f"it describes a far larger network than the {count} tensors with {numbers:,} numbers "
                "that are there; all files must come from one training run"
            )

    hook: Any = register_module_parameter_registration_hook(spend)
    try:
        yield
    finally:
        hook.remove()


def first_line(error: Exception) -> str:
    """What an error says, in one line: torch goes on with a trace of its own."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
