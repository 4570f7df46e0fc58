"""LPIPS, the distance of two frames in the features of an image network (Zhang et al. 2018), version 0.1.

The weights are the published ones, from two files that the user names: the network's, as torchvision offers
them, and the linear layers', `alex.pth` or `vgg.pth` of the authors' `lpips` package. Without them there is
no LPIPS: features of another network would be another measure.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from playloop.nn.pickles import read_pickle
from playloop.worlds.metrics.frames import Frames, as_pair

SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
"""What the channels of a frame in [-1, 1] are normalised by."""
EPSILON = 1e-10


def alexnet() -> tuple[nn.Sequential, tuple[int, ...]]:
    """The convolutions of torchvision's AlexNet, and after which layers features are compared."""
    layers: list[nn.Module] = [nn.Conv2d(3, 64, 11, 4, 2), nn.ReLU(), nn.MaxPool2d(3, 2)]
    layers += [nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)]
    for size_in, size_out in ((192, 384), (384, 256), (256, 256)):
        layers += [nn.Conv2d(size_in, size_out, 3, padding=1), nn.ReLU()]
    return nn.Sequential(*layers), (1, 4, 7, 9, 11)


def vgg16() -> tuple[nn.Sequential, tuple[int, ...]]:
    """The convolutions of torchvision's VGG16, and after which layers features are compared."""
    layers: list[nn.Module] = []
    ends, size_in = [], 3
    for width, count in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        layers += [nn.MaxPool2d(2, 2)] if layers else []
        for _ in range(count):
            layers += [nn.Conv2d(size_in, width, 3, padding=1), nn.ReLU()]
            size_in = width
        ends.append(len(layers) - 1)
    return nn.Sequential(*layers), tuple(ends)


NETWORKS = {"alex": alexnet, "vgg": vgg16}


class LPIPS:
    """The distance of frames, 0 for equal ones.

    Args:
        network: file of torchvision's state dictionary of AlexNet or VGG16.
        linear: file of the linear layers' state dictionary.
        kind: "alex", which is what most papers report, or "vgg".
        device: to run on.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file holds other weights.
    """

    def __init__(self, network: str, linear: str, kind: Literal["alex", "vgg"] = "alex", device: str = "cpu"):
        self.device = torch.device(device)
        self.layers, self.ends = NETWORKS[kind]()
        _load_network(self.layers, Path(network))
        widths = [module.out_channels for module in self.layers if isinstance(module, nn.Conv2d)]
        convolutions = [number for number, module in enumerate(self.layers) if isinstance(module, nn.Conv2d)]
        sizes = [widths[convolutions.index(end - 1)] for end in self.ends]
        self.layers.to(self.device).eval().requires_grad_(False)
        self.linear = [weight.to(self.device) for weight in _read_linear(Path(linear), sizes)]

    @torch.inference_mode()
    def __call__(self, a: Frames, b: Frames, batch: int = 32) -> np.ndarray:
        """Frames uint8 [..., H, W, 3] → distances, float64 [...]."""
        first, second = as_pair(a, b)
        pairs = zip(first.split(batch), second.split(batch), strict=True)
        return np.concatenate([self._distance(*pair) for pair in pairs]).reshape(a.shape[:-3])

    def _distance(self, a: Tensor, b: Tensor) -> np.ndarray:
        total = torch.zeros(len(a), device=self.device)
        for weight, one, two in zip(self.linear, self._features(a), self._features(b), strict=True):
            total += F.conv2d((one - two).square(), weight).mean((1, 2, 3))
        return total.double().cpu().numpy()

    def _features(self, frames: Tensor) -> list[Tensor]:
        """Features of unit length at every point, from each of the five depths."""
        x = frames.to(self.device).permute(0, 3, 1, 2).float() / 127.5 - 1
        shift, scale = (torch.tensor(v, device=self.device).view(3, 1, 1) for v in (SHIFT, SCALE))
        x, found = (x - shift) / scale, []
        for number, layer in enumerate(self.layers):
            x = layer(x)
            if number in self.ends:
                found.append(x / (x.norm(dim=1, keepdim=True) + EPSILON))
        return found


def _load_network(layers: nn.Sequential, path: Path) -> None:
    state = _read_state(path)
    # The classifier behind the convolutions is in torchvision's file too, and is not needed.
    features = {name: value for name, value in state.items() if not name.startswith("classifier.")}
    wanted = {f"features.{name}": tuple(value.shape) for name, value in layers.state_dict().items()}
    _check_shapes(path, features, wanted)
    layers.load_state_dict({name.removeprefix("features."): value for name, value in features.items()})


def _read_linear(path: Path, sizes: list[int]) -> list[Tensor]:
    state = _read_state(path)
    names = [f"lin{number}.model.1.weight" for number in range(len(sizes))]
    _check_shapes(path, state, {name: (1, size, 1, 1) for name, size in zip(names, sizes, strict=True)})
    return [state[name].float() for name in names]


def _read_state(path: Path) -> dict[str, Tensor]:
    """A state dictionary that `torch.save` wrote; nothing but tensors is read from it, and nothing is run.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged, or no state dictionary.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; name the file with the weights.")
    try:
        return read_pickle(path)
    except ValueError as error:
        reason = str(error).removeprefix(f"{path} ")
        raise ValueError(f"{path} is no file of weights, no state dictionary: it {reason}") from error


def _check_shapes(path: Path, found: dict[str, Tensor], wanted: dict[str, tuple[int, ...]]) -> None:
    """Refuse weights whose names or shapes differ from what a network wants.

    Raises:
        ValueError: they differ; names the first few.
    """
    shapes = {name: tuple(value.shape) for name, value in found.items()}
    wrong = sorted(name for name in shapes.keys() | wanted.keys() if shapes.get(name) != wanted.get(name))
    if wrong:
        listed = "; ".join(f"{n}: file {shapes.get(n)}, network {wanted.get(n)}" for n in wrong[:3])
        raise ValueError(f"{path} holds the weights of another network ({len(wrong)} tensors: {listed}).")
