"""Inverse dynamics: from the frames around a step, the action that was taken in it."""

from __future__ import annotations

from dataclasses import field
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from playloop.core.annotations import Count, Counts, Fraction, Natural
from playloop.core.checked import checked
from playloop.core.images import resize
from playloop.core.kinds import kind
from playloop.core.minecraft import MAX_TURN
from playloop.nn.building import Sizes, check_squares
from playloop.nn.layers import Conv2d, Linear, Residual
from playloop.tokenizers.camera import FINE, CameraBins
from playloop.tokenizers.frames import Side
from playloop.tokenizers.minecraft import GROUPS, CompactActions


@kind("inverse-dynamics")
@checked
class InverseConfig(Sizes["InverseModel"]):
    """Sizes of an inverse-dynamics model.

    Args:
        height: of a frame, in pixels.
        width: of a frame.
        before: frames that are seen before the step's first.
        after: frames that are seen behind the step's second.
        features: of a frame at a quarter of the resolution, which are compared with the next frame's.
        reach: how far they are compared, in steps of four pixels.
        channels: behind that, at an eighth of the resolution, a sixteenth, ….
        hidden: width behind the convolutions.
        dropout: share of what the last two layers read that training hides from them.
        camera: bins of both angles.
    """

    height: Side = 64
    width: Side = 64
    before: Natural = 1
    after: Natural = 1
    features: Count = 16
    reach: Natural = 4
    channels: Counts = (96, 128)
    hidden: Count = 256
    dropout: Fraction = 0.0
    camera: CameraBins = field(default_factory=lambda: FINE)

    @property
    def frames(self) -> int:
        """Frames that the model sees."""
        return self.before + 2 + self.after

    @property
    def side(self) -> int:
        """Pixels that a cell of the last convolution covers, in each direction."""
        return 2 ** (len(self.channels) + 2)

    @property
    def cells(self) -> int:
        """Cells of the last convolution's output."""
        return self.height // self.side * (self.width // self.side)

    def check(self) -> None:
        check_squares(self.height, self.width, self.side)

    def build(self) -> InverseModel:
        return InverseModel(self)


class InverseModel(nn.Module):
    """Frames t - before … t + 1 + after → the action that led from frame t to frame t + 1.

    Features of every frame are correlated with the next frame's around the same point: how a picture moved is
    given to the network, not left for it to discover. The keys are classes (`CompactActions`). An angle is a
    distribution over the camera's bins whose mean, in degrees, is the answer: it is trained on the two bins
    around the truth, and so is finer than they are.
    """

    def __init__(self, config: InverseConfig):
        super().__init__()
        self.config, self.actions = config, CompactActions(config.camera)
        self.eye = nn.Sequential(
            Conv2d(3, config.features, 5, stride=2, padding=2),
            nn.ReLU(),
            Conv2d(config.features, config.features, 3, stride=2, padding=1),
        )
        width, compared = config.channels[0], (config.frames - 1) * (2 * config.reach + 1) ** 2
        self.seen = Conv2d(config.frames * config.features, width, 3, stride=2, padding=1)
        self.moved = Conv2d(compared, width, 1)
        layers: list[nn.Module] = [Residual(width, _normalise)]
        for size_in, size_out in pairwise(config.channels):
            layers += [
                nn.ReLU(),
                Conv2d(size_in, size_out, 3, stride=2, padding=1),
                Residual(size_out, _normalise),
            ]
        self.tower = nn.Sequential(*layers, nn.ReLU())
        self.inner = Linear(config.channels[-1] * config.cells, config.hidden)
        self.outer = Linear(config.hidden, sum(self.actions.sizes))

    def _drop(self, x: Tensor, generator: torch.Generator | None) -> Tensor:
        share = self.config.dropout
        if generator is None or not share:
            return x
        kept = torch.rand(x.shape, generator=generator, device=x.device) >= share
        return x * kept / (1 - share)

    @property
    def centers(self) -> Tensor:
        """Degrees of the camera's bins, float32 [bins]; never rounded with the weights."""
        centers = torch.from_numpy(self.config.camera.centers)
        return centers.to(self.outer.weight.device, torch.float32)

    def forward(
        self, frames: Tensor, dtype: torch.dtype = torch.float32, generator: torch.Generator | None = None
    ) -> tuple[Tensor, ...]:
        """Frames uint8 [B, K, H, W, 3] → logits [B, classes], float32, for each part of an action.

        With a generator, which is that of the dropout, as in training.
        """
        b, k = frames.shape[:2]
        pixels = frames.flatten(0, 1).permute(0, 3, 1, 2)  # channels last
        x = _normalise(self.eye(pixels.to(dtype) * (1 / 64) - 2)).unflatten(0, (b, k))  # [B, K, F, H/4, W/4]
        moved = correlate(x[:, :-1].flatten(0, 1), x[:, 1:].flatten(0, 1), self.config.reach, stride=2)
        x = self.tower(self.seen(x.flatten(1, 2)) + self.moved(moved.unflatten(0, (b, k - 1)).flatten(1, 2)))
        x = F.relu(self.inner(self._drop(x.flatten(1), generator)))
        return self.outer(self._drop(x, generator)).float().split(self.actions.sizes, -1)

    def degrees(self, logits: tuple[Tensor, ...]) -> Tensor:
        """Mean pitch and yaw, [B, 2]."""
        centers = self.centers
        return torch.stack([part.softmax(-1) @ centers for part in logits[-2:]], -1)

    def loss(
        self,
        batch: dict[str, Tensor],
        dtype: torch.dtype = torch.float32,
        generator: torch.Generator | None = None,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Cross-entropy, summed over the parts of an action.

        Args:
            batch: "frames" uint8 [B, K, H, W, 3], "keys" int64 [B, 7], "turn" float32 [B, 2] in degrees.
            dtype: to compute in.
            generator: of the dropout; None for none.

        Returns:
            The loss; metrics: share of right keys, of actions whose keys are all right, and the mean error of
            an angle in degrees.
        """
        logits = self(batch["frames"], dtype, generator)
        keys, turn = batch["keys"], batch["turn"]
        losses = [F.cross_entropy(part, keys[:, index]) for index, part in enumerate(logits[:-2])]
        losses += [F.cross_entropy(part, self.around(turn[:, i])) for i, part in enumerate(logits[-2:])]
        right = torch.stack([part.argmax(-1) for part in logits[:-2]], -1) == keys
        error = (self.degrees(logits) - turn).abs()
        metrics = {
            "keys_accuracy": right.float().mean(),
            "action_accuracy": right.all(-1).float().mean(),
            "camera_degrees": error.mean(),
        }
        return torch.stack(losses).sum(), {name: value.detach() for name, value in metrics.items()}

    def around(self, degrees: Tensor) -> Tensor:
        """The distribution over the two bins around each angle [B] whose mean is the angle, [B, bins]."""
        centers = self.centers
        degrees = degrees.clamp(centers[0], centers[-1])
        upper = torch.bucketize(degrees, centers).clamp_min(1)
        low, high = centers[upper - 1], centers[upper]
        share = (degrees - low) / (high - low)
        target = torch.zeros(*degrees.shape, len(centers), device=degrees.device)
        target.scatter_(-1, upper[..., None] - 1, 1 - share[..., None])
        return target.scatter_(-1, upper[..., None], share[..., None])

    @torch.inference_mode()
    def infer(self, video: np.ndarray, batch: int = 256) -> np.ndarray:
        """Frames uint8 [T, H, W, 3] of any size, at least two → action vectors, float32 [T - 1, 25]."""
        config, size = self.config, (self.config.height, self.config.width)
        if len(video) < 2:
            raise ValueError(f"{len(video)} frame: an action lies between two")
        video = np.stack([resize(image, size) for image in video]) if video.shape[1:3] != size else video
        seen = windows(config, np.arange(len(video) - 1), np.array(0), np.array(len(video)))
        device, pieces = self.outer.weight.device, []
        for start in range(0, len(seen), batch):
            frames = torch.from_numpy(video[seen[start : start + batch]]).to(device)
            logits = self(frames, self.outer.weight.dtype)
            pieces.append(self.vectors(logits))
        return np.concatenate(pieces)

    def vectors(self, logits: tuple[Tensor, ...]) -> np.ndarray:
        classes = torch.stack([part.argmax(-1) for part in logits], -1).cpu().numpy()
        vectors = self.actions.decode(classes)
        vectors[:, -2:] = self.degrees(logits).clamp(-MAX_TURN, MAX_TURN).cpu().numpy()
        return vectors


def windows(config: InverseConfig, rows: np.ndarray, first: np.ndarray, end: np.ndarray) -> np.ndarray:
    """The frames that the model sees of the steps from `rows` [n], int64 [n, K].

    Where an episode begins (`first` [n] or []) or ends (before `end`), its first or last frame is repeated.
    """
    wanted = rows[:, None] + np.arange(-config.before, 2 + config.after)
    return np.clip(wanted, np.asarray(first)[..., None], np.asarray(end)[..., None] - 1)


def _normalise(x: Tensor) -> Tensor:
    """Features [B, C, H, W] with mean 0 and variance 1 at every point."""
    return F.layer_norm(x.permute(0, 2, 3, 1), x.shape[1:2]).permute(0, 3, 1, 2)


def key_classes(actions: CompactActions, vectors: np.ndarray) -> np.ndarray:
    """The keys of action vectors [n, 25] as classes, int64 [n, 7]."""
    return actions.encode(vectors)[:, : len(GROUPS)]


def correlate(a: Tensor, b: Tensor, reach: int, stride: int = 1) -> Tensor:
    """Products of the features at positions of `a` with those of `b` up to `reach` positions away.

    Args:
        a: [B, C, H, W].
        b: [B, C, H, W].
        reach: rows and columns in each direction.
        stride: every so many rows and columns of `a` are compared, with all of `b`.

    Returns:
        [B, (2 * reach + 1)², H / stride, W / stride], divided by the square root of C; entry (i, j) in raster
        order is of b at (row + i - reach, column + j - reach), 0 where that lies outside.
    """
    a = a[:, :, ::stride, ::stride] * a.shape[1] ** -0.5
    batch, _, rows, columns = a.shape
    side = 2 * reach + 1
    padded = F.pad(b, (reach,) * 4)
    area, wide = padded.shape[2] * padded.shape[3], padded.shape[3]
    # One product of matrices compares all positions with all; a view then picks the near ones of each.
    every = a.flatten(2).transpose(1, 2) @ padded.flatten(2)  # [B, rows * columns, area]
    down, right = columns * area + stride * wide, area + stride
    shape = (batch, side, side, rows, columns)
    return every.as_strided(shape, (rows * columns * area, wide, 1, down, right)).flatten(1, 2)
