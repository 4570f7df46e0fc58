"""Cheap changes to training images."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from playloop.core.annotations import Fraction, Magnitude, Natural
from playloop.core.kinds import kind


@kind("augmentation")
@dataclass
class Augmentation:
    """Brightness, contrast and shift, drawn for every image.

    Shifts move in whole 4-pixel patches and default to 0: with fixed cameras where an object is in the
    image is what the policy must read, and a shift makes that label wrong by centimetres.

    Args:
        brightness: largest offset, as a share of the full range.
        contrast: largest relative change.
        shift: largest shift in patches, the edge repeated.
    """

    brightness: Fraction = 0.1
    contrast: Magnitude = 0.15
    shift: Natural = 0

    def __call__(self, patches: Tensor, generator: torch.Generator) -> Tensor:
        """Patches [B, C, h, w], in a range 4 wide around zero."""
        shape = (len(patches), 1, 1, 1)

        def uniform(limit: float) -> Tensor:
            numbers = torch.rand(shape, generator=generator, device=patches.device)
            return (limit * (2 * numbers - 1)).to(patches.dtype)

        if self.brightness or self.contrast:
            patches = torch.addcmul(uniform(4 * self.brightness), patches, 1 + uniform(self.contrast))
        return self._shift(patches, generator) if self.shift else patches

    def _shift(self, patches: Tensor, generator: torch.Generator) -> Tensor:
        rows, _, height, width = patches.shape
        shape, device = (2, rows, 1), patches.device
        offset = torch.randint(-self.shift, self.shift + 1, shape, generator=generator, device=device)
        down = (torch.arange(height, device=device) + offset[0]).clamp(0, height - 1)  # [B, h]
        right = (torch.arange(width, device=device) + offset[1]).clamp(0, width - 1)
        index = torch.arange(rows, device=device)[:, None, None]
        moved = patches.permute(0, 2, 3, 1)[index, down[:, :, None], right[:, None, :]]
        return moved.permute(0, 3, 1, 2)
