"""FVD, the Fréchet distance of two sets of videos in a video network's features (Unterthiner et al. 2018).

The network is the I3D that papers since StyleGAN-V compare with, `i3d_torchscript.pt`, a file that the user
names. It is TorchScript, a program: load it only from its authors. Without it there is no FVD.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from playloop.core.files import check_pointer

SIDE = 224
"""Pixels of the square that I3D sees."""
SHORTEST = 10
"""Frames that I3D wants at least."""


class I3D:
    """Videos → features.

    Args:
        path: `i3d_torchscript.pt`.
        device: to run on.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no TorchScript.
    """

    def __init__(self, path: str | Path, device: str | torch.device = "cpu"):
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(f"{path} does not exist; name the file i3d_torchscript.pt.")
        check_pointer(path)
        self.path, self.device = path, torch.device(device)
        try:
            self.network = torch.jit.load(str(path), map_location=self.device).eval()
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[0]
            raise ValueError(f"{path} is no TorchScript ({reason}); download it again.") from error

    @torch.inference_mode()
    def features(self, videos: np.ndarray | Tensor, batch: int = 8) -> np.ndarray:
        """Videos uint8 [N, T, H, W, 3], T at least 10 → float64 [N, features]."""
        if str(videos.dtype).removeprefix("torch.") != "uint8" or videos.ndim != 5 or videos.shape[-1] != 3:
            raise ValueError(f"videos are {videos.dtype} {tuple(videos.shape)}; pass uint8 [N, T, H, W, 3]")
        if videos.shape[1] < SHORTEST:
            raise ValueError(f"videos of {videos.shape[1]} frames; I3D wants at least {SHORTEST}")
        found = [self._features(videos[n : n + batch]) for n in range(0, len(videos), batch)]
        return np.concatenate(found)

    def _features(self, videos: np.ndarray | Tensor) -> np.ndarray:
        x = torch.stack([prepare(torch.as_tensor(video).to(self.device)) for video in videos])
        found = self.network(x, rescale=False, resize=False, return_features=True)
        if found.ndim != 2 or len(found) != len(x):
            raise ValueError(f"{self.path} gives {tuple(found.shape)}, not features [{len(x)}, n]")
        return found.double().cpu().numpy()


def prepare(video: Tensor) -> Tensor:
    """Frames uint8 [T, H, W, 3] → [3, T, 224, 224] in [-1, 1]: the middle square, after bilinear scaling."""
    x = video.permute(0, 3, 1, 2).float() / 255
    height, width = x.shape[2:]
    scale = SIDE / min(height, width)
    size = (SIDE, math.ceil(width * scale)) if height < width else (math.ceil(height * scale), SIDE)
    x = F.interpolate(x, size=size, mode="bilinear", align_corners=False)
    top, left = (size[0] - SIDE) // 2, (size[1] - SIDE) // 2
    return (x[:, :, top : top + SIDE, left : left + SIDE] * 2 - 1).transpose(0, 1)


def frechet_distance(a: np.ndarray, b: np.ndarray) -> float:
    """The squared Wasserstein-2 distance of the normal distributions that fit two sets [N, d] and [M, d].

    The trace of the root of a product of covariances is a sum of singular values of the centred features
    themselves: no matrix root has to converge, and fewer samples than features are no trouble.

    Raises:
        ValueError: there are fewer than two samples, or not as many features.
    """
    if min(len(a), len(b)) < 2 or a.shape[1:] != b.shape[1:]:
        raise ValueError(f"features {a.shape} and {b.shape}: at least two samples each, of equally many")
    means, spreads = zip(*(_moments(np.asarray(x, np.float64)) for x in (a, b)), strict=True)
    apart = ((means[0] - means[1]) ** 2).sum()
    together = np.linalg.svd(spreads[0] @ spreads[1].T, compute_uv=False).sum()
    found = apart + (spreads[0] ** 2).sum() + (spreads[1] ** 2).sum() - 2 * together
    return float(max(found, 0.0))


def _moments(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mean [d], and R [min(N, d), d] whose RᵀR is the covariance."""
    mean = x.mean(0)
    centred = (x - mean) / math.sqrt(len(x) - 1)
    return mean, np.asarray(np.linalg.qr(centred, mode="r")) if len(x) > x.shape[1] else centred
