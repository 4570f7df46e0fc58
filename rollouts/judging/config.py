"""What `playloop eval world=…` measures."""

from __future__ import annotations

from dataclasses import field, replace
from typing import Any, Literal

from playloop.core.annotations import Count, Natural
from playloop.core.checked import checked
from playloop.core.kinds import kind
from playloop.nn.quantize import Kind
from playloop.worlds.playable import Playable
from playloop.worlds.sampler import SamplerConfig


@kind("world-evaluation")
@checked
class WorldEvaluationConfig:
    """Settings of a world model's evaluation.

    Args:
        clips: how many are imagined and compared with what truly happened.
        horizon: frames of each behind the context.
        context: true frames before them; None for as many as the model sees.
        sampler: how frames are drawn; its window is the one that everything but the comparison of windows
            is measured with.
        windows: decoding windows that are compared on the same clips with the same draws; None for all that
            the model was trained with. A MineWorld has no others than the sampler's then.
        drift_clips: how many long dreams.
        drift_frames: frames of each; as many as the recordings allow.
        branches: states from which the game and the model branch into single actions (voxel world only).
        branch_frames: frames for which each action is held.
        inverse: folder of an inverse-dynamics model; None leaves out action following.
        lpips_network: file of torchvision's AlexNet or VGG16; None leaves LPIPS out.
        lpips_linear: file of LPIPS's own layers.
        lpips_kind: "alex" or "vgg".
        fvd: file of the standard I3D, `i3d_torchscript.pt`; None leaves FVD out.
        camera: of the recordings; "" is their first.
        on_corrupt: "refuse" or "skip".
        seed: of the draws.
        device: "cpu" or "cuda".
        backend: "kernels", "torch", "triton", or "auto" for the fastest there.
        weights: "int8" or "fp8": of a MineWorld in eight bits; None as they are.
        batch: clips at a time in PyTorch.
        threads: of PyTorch; 0 leaves them as they are.
        strips: clips that the report shows.
    """

    clips: Count = 64
    horizon: Count = 16
    context: Count | None = None
    sampler: SamplerConfig = field(default_factory=SamplerConfig)
    windows: list[Count] | None = None
    drift_clips: Natural = 16
    drift_frames: Count = 200
    branches: Natural = 16
    branch_frames: Count = 8
    inverse: str | None = None
    lpips_network: str | None = None
    lpips_linear: str | None = None
    lpips_kind: Literal["alex", "vgg"] = "alex"
    fvd: str | None = None
    camera: str = ""
    on_corrupt: Literal["refuse", "skip"] = "refuse"
    seed: int = 0
    device: str = "cpu"
    backend: str = "auto"
    weights: Kind | None = None
    batch: Count = 16
    threads: Natural = 1
    strips: Natural = 6

    def check(self, world: Playable[Any, Any]) -> None:
        """Refuse what cannot be measured on a world model.

        Raises:
            ValueError: a setting is out of range; says which.
        """
        if self.seen(world) > world.seen:  # of more, a MineWorld would forget half before it begins
            raise ValueError(
                f"context={self.context}: this model sees {world.seen} frames; use at most so many"
            )
        for window in self.compared(world):
            world.check(replace(self.sampler, window=window))

    def seen(self, world: Playable[Any, Any]) -> int:
        """True frames before what is imagined."""
        return world.seen if self.context is None else self.context

    def compared(self, world: Playable[Any, Any]) -> list[int]:
        """Windows that are compared, that of the sampler first."""
        others = world.windows if self.windows is None else self.windows
        return list(dict.fromkeys([world.resolved(self.sampler).order().window, *others]))
