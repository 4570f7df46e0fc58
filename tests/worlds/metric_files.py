"""Files in the layout of the published weights, with random or simple content: they test reading and
arithmetic, not the metrics' judgement."""

from __future__ import annotations

from pathlib import Path

import torch

ALEXNET = {0: (64, 3, 11), 3: (192, 64, 5), 6: (384, 192, 3), 8: (256, 384, 3), 10: (256, 256, 3)}
"""torchvision's number of a layer → channels out, channels in, side."""
VGG16 = {0: (64, 3), 2: (64, 64), 5: (128, 64), 7: (128, 128), 10: (256, 128), 12: (256, 256), 14: (256, 256)}
VGG16 |= {17: (512, 256), 19: (512, 512), 21: (512, 512), 24: (512, 512), 26: (512, 512), 28: (512, 512)}
WIDTHS = {"alex": (64, 192, 384, 256, 256), "vgg": (64, 128, 256, 512, 512)}


def network_state(kind: str) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    sizes = ALEXNET if kind == "alex" else {number: (*size, 3) for number, size in VGG16.items()}
    state = {}
    for number, (size_out, size_in, side) in sizes.items():
        scale = (size_in * side**2 / 2) ** -0.5
        weight = torch.randn(size_out, size_in, side, side, generator=generator) * scale
        state |= {f"features.{number}.weight": weight, f"features.{number}.bias": torch.zeros(size_out)}
    return state | {"classifier.6.weight": torch.zeros(10, 20), "classifier.6.bias": torch.zeros(10)}


def linear_state(kind: str) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {
        f"lin{number}.model.1.weight": torch.rand(1, width, 1, 1, generator=generator)
        for number, width in enumerate(WIDTHS[kind])
    }


def write_lpips(folder: Path, kind: str) -> dict[str, str]:
    """Both files; arguments of `LPIPS`."""
    folder.mkdir(exist_ok=True)
    torch.save(network_state(kind), folder / "network.pth")
    torch.save(linear_state(kind), folder / "linear.pth")
    return {"network": str(folder / "network.pth"), "linear": str(folder / "linear.pth"), "kind": kind}


class Pooled(torch.nn.Module):
    """Called as I3D is; features are means over quarters of the picture and halves of the time."""

    def forward(self, x: torch.Tensor, rescale: bool, resize: bool, return_features: bool) -> torch.Tensor:
        assert not rescale and not resize and return_features
        assert x.shape[1] == 3 and x.shape[3] == 224 and x.shape[4] == 224
        return torch.nn.functional.adaptive_avg_pool3d(x, [2, 2, 2]).flatten(1)


def write_i3d(path: Path) -> Path:
    torch.jit.script(Pooled()).save(str(path))
    return path
