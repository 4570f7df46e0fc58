"""How a frame's tokens are drawn, in which order they come, and what is seen meanwhile."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Literal

import torch
from torch import Tensor

from playloop.core.annotations import Count, Magnitude, Portion
from playloop.core.checked import checked
from playloop.core.kinds import kind
from playloop.nn.sampling import COLDEST, inverse_cdf, likeliest, nucleus

CLEAN = "clean"
Placeholder = Literal["before", "above"]
PLACEHOLDERS = {"offline": "first", "demo": "above"}
"""Which token the release's two programs feed for the row above's last one."""


@kind("mineworld-order")
@checked(frozen=True)
class Order:
    """In which order a frame's tokens come; a model is trained for one.

    The defaults are the clean diagonal one, in which published models and new ones are played.

    Args:
        window: see `Schedule`.
        placeholder: see `SamplerConfig`.
        causal: see `Schedule`.
    """

    window: int = 1
    placeholder: Placeholder = "before"
    causal: bool = False


DIAGONAL = Order()


@kind("world-sampler")
@checked(frozen=True)
class SamplerConfig:
    """How a frame is drawn. What is None is the model's own; `resolved` names it.

    Args:
        temperature: divides the logits; 0 takes the likeliest.
        top_p: share of the mass that the likeliest tokens must hold to be drawn from; None is 0.7 for a model
            of Playloop's own and 0.8 for a MineWorld, as released.
        window: of the schedule: 1 is diagonal, as many as the grid has columns is raster; of a model of
            Playloop's own one that it was trained with. None is the one that the model was trained for.
        level: which of the model's corruption levels its context is said to have; a MineWorld has none.
        top_k: how many of the likeliest tokens are drawn from, and those that are as likely as the last of
            them; None for no such limit. Only beside a `top_p` of 1.
        rules: "clean"; or of a MineWorld, as the release's "offline" program or its "demo" decodes, whose
            defects change the frames: see `Schedule`. The demo feeds a frame's last token in a pass of its
            own; here it goes into the next frame's first one, which computes the same.
        placeholder: of a MineWorld under clean rules, the token that a start query holds where none are
            trained: "before" is what the frame before has in that slot, "above" the row above's token that
            let this row begin.
        causal: of a MineWorld, see `Schedule`.
        keep: of a MineWorld, frames that stay when the context is full, fewer than it holds; the others are
            forgotten.
    """

    temperature: Magnitude = 1.0
    top_p: Portion | None = None
    window: int | None = None
    level: int = 0
    top_k: Count | None = None
    rules: Literal["clean", "offline", "demo"] = "clean"
    placeholder: Placeholder | None = None
    causal: bool | None = None
    keep: Count = 8

    def order(self, own: Order = DIAGONAL) -> Order:
        """The order that is named; what is not named is `own`."""
        named = {field.name: getattr(self, field.name) for field in fields(Order)}
        return replace(own, **{name: value for name, value in named.items() if value is not None})

    def resolved(self, own: Order, top_p: float) -> SamplerConfig:
        """The sampler with everything named that is None: its order and the share of the mass."""
        return replace(self, top_p=top_p if self.top_p is None else self.top_p, **vars(self.order(own)))

    @property
    def source(self) -> str:
        """Where placeholders come from: "before", "above" or "first", the context's first frame."""
        return PLACEHOLDERS.get(self.rules, self.order().placeholder)

    def check_draws(self) -> None:
        """Refuse what no model can do.

        Raises:
            ValueError: two values exclude each other.
        """
        if self.top_k is not None and self.top_p is not None and self.top_p < 1:
            raise ValueError(
                f"top_k={self.top_k} and top_p={self.top_p} exclude each other, as in MineWorld's release: "
                "set top_p=1 to draw from the top_k likeliest"
            )

    def check_trained(self, windows: Sequence[int], levels: int) -> None:
        """Refuse what a model of Playloop's own cannot do.

        Args:
            windows: that it was trained with.
            levels: of corruption that it knows.

        Raises:
            ValueError: a setting is out of range; says which.
        """
        self.check_draws()
        if self.window is not None and self.window not in windows:
            raise ValueError(f"window={self.window} was not trained; this model has {list(windows)}")
        if not 0 <= self.level < levels:
            raise ValueError(f"level={self.level} must be 0 or more and lie below {levels}")
        plain = {"rules": CLEAN, "placeholder": DIAGONAL.placeholder, "causal": DIAGONAL.causal}
        for name, value in plain.items():
            if getattr(self, name) not in (None, value):
                raise ValueError(f"{name}={getattr(self, name)} is for a MineWorld; leave it out")

    def check_any_window(self, columns: int) -> None:
        """Refuse what a MineWorld whose grid has so many columns cannot do.

        Raises:
            ValueError: a setting is out of range; says which.
        """
        self.check_draws()
        window = self.order().window
        if not 1 <= window <= columns:
            raise ValueError(f"window={window} must lie between 1 (diagonal) and {columns} (raster)")
        if self.level != 0:
            raise ValueError(f"level={self.level}: MineWorld knows no levels of corruption, leave it 0")

    def compare(self, trained: Order | None) -> None:
        """Warn where the model was trained for another order or for other rules; None: it is not known."""
        if trained is None:
            return
        own = {"rules": CLEAN, **vars(trained)}
        used = {"rules": self.rules, **vars(self.order(trained))}
        if others := [name for name, value in used.items() if value != own[name]]:
            here, there = (", ".join(f"{name}={of[name]}" for name in others) for of in (used, own))
            message = f"{here}, but the model was trained for {there}; leave it out to use what was trained"
            warnings.warn(message, stacklevel=3)  # Python shows a sentence once


def sample(logits: Tensor, uniform: Tensor, config: SamplerConfig, fused: bool = False) -> Tensor:
    """Ids [B, n] from logits [B, n, V] with one uniform number [B, n] each; fused: by one kernel of a GPU."""
    if config.temperature <= 0:
        return logits.argmax(-1)
    if fused:
        from playloop.nn.fused.draw import draw_tokens

        return draw_tokens(logits, uniform, config.temperature, share(config), config.top_k)
    if logits.device.type == "cpu":
        return _sample_compiled(logits, uniform, config)
    return inverse_cdf(kept(logits, config), uniform)


def share(config: SamplerConfig) -> float:
    """The share of the mass that is drawn from; it has been named by now."""
    assert config.top_p is not None
    return config.top_p


def kept(logits: Tensor, config: SamplerConfig) -> Tensor:
    """Probabilities of what may be drawn, not normalised, and zeros: logits [..., V] → float32 [..., V]."""
    below = logits.float() - logits.float().amax(-1, keepdim=True)  # first: a small temperature overflows
    probabilities = (below / max(config.temperature, COLDEST)).softmax(-1)
    if config.top_k is not None:
        return likeliest(probabilities, config.top_k)
    return nucleus(probabilities, share(config))


def _sample_compiled(logits: Tensor, uniform: Tensor, config: SamplerConfig) -> Tensor:
    """The same rule in one compiled pass a row: what PyTorch needs a hundred small operations for."""
    from playloop.nn.kernels import draw_rows

    rows = logits.detach().to(torch.float32, copy=True).flatten(0, -2).contiguous()
    ids = torch.empty(len(rows), dtype=torch.int64)
    numbers = uniform.to(torch.float64).flatten().contiguous()
    drawn = config.temperature, share(config), config.top_k or 0
    draw_rows(rows.numpy(), numbers.numpy(), *drawn, ids.numpy())
    return ids.view(uniform.shape)
