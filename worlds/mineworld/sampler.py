"""How MineWorld's tokens are drawn, and under which rules."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, fields, replace

from playloop.core.kinds import kind
from playloop.worlds.decode import SamplerConfig
from playloop.worlds.mineworld.schedule import FrameSchedule

CLEAN, OFFLINE, DEMO = "clean", "offline", "demo"
PLACEHOLDERS = {OFFLINE: "first", DEMO: "above"}
"""Which token the release's two programs feed for the row above's last one."""


@kind("mineworld-order")
@dataclass(frozen=True)
class Order:
    """In which order a frame's tokens come, and what is seen meanwhile; a model is trained for one.

    The defaults are the clean diagonal one, in which published models and new ones are played.

    Args:
        window: see `Schedule`.
        placeholder: see `MineWorldSampler`.
        causal: see `FrameSchedule`.
    """

    window: int = 1
    placeholder: str = "before"
    causal: bool = False


DIAGONAL = Order()


@kind("mineworld-sampler")
@dataclass(frozen=True)
class MineWorldSampler(SamplerConfig):
    """A `SamplerConfig` with MineWorld's choices; any window can be decoded, and there is one level.

    Window, placeholder and causal are the model's own where they are None: those that it was trained for, or
    `DIAGONAL` of a published one. `resolved` names them.

    Args:
        top_p: as released.
        window: see `Schedule`; 1 is diagonal, as many as the grid has columns is raster.
        rules: "clean"; or as the release's "offline" program or its "demo" decodes, whose defects change the
            frames: see `FrameSchedule`. The demo feeds a frame's last token in a pass of its own; here it
            goes into the next frame's first one, which computes the same.
        placeholder: under clean rules, the token that a start query holds where none are trained: "before" is
            what the frame before has at that place, "above" the row above's token that let this row begin.
        causal: see `FrameSchedule`.
        keep: frames that stay when the context is full, fewer than it holds; the others are forgotten.
    """

    top_p: float = 0.8
    window: int | None = None  # type: ignore[assignment]  # a plain sampler's has to be one of its model's
    rules: str = CLEAN
    placeholder: str | None = None
    causal: bool | None = None
    keep: int = 8

    @classmethod
    def of(cls, sampler: SamplerConfig) -> MineWorldSampler:
        """The sampler itself, or one with MineWorld's defaults where a plain one says nothing."""
        if isinstance(sampler, cls):
            return sampler
        return cls(**{field.name: getattr(sampler, field.name) for field in fields(SamplerConfig)})

    def order(self, own: Order = DIAGONAL) -> Order:
        """The order that is named; what is not named is `own`."""
        named = {field.name: getattr(self, field.name) for field in fields(Order)}
        return replace(own, **{name: value for name, value in named.items() if value is not None})

    def resolved(self, own: Order) -> MineWorldSampler:
        """The sampler with every part of its order named."""
        return replace(self, **vars(self.order(own)))

    @property
    def source(self) -> str:
        """Where placeholders come from: "before", "above" or "first", the context's first frame."""
        return PLACEHOLDERS.get(self.rules, self.order().placeholder)

    def schedule(self, rows: int, columns: int, actions: int) -> FrameSchedule:
        """The steps of a frame on such a grid."""
        compat, order = self.rules != CLEAN, self.order()
        return FrameSchedule(rows, columns, order.window, actions, compat, order.causal and not compat)

    def check_choices(self, columns: int) -> None:
        """Refuse what cannot be done.

        Raises:
            ValueError: a setting is out of range; says which.
        """
        self.check_draws()
        order = self.order()
        if not 1 <= order.window <= columns:
            raise ValueError(f"window={order.window} must lie between 1 (diagonal) and {columns} (raster)")
        if self.level != 0:
            raise ValueError(f"level={self.level}: MineWorld knows no levels of corruption, leave it 0")
        if self.rules not in (CLEAN, OFFLINE, DEMO):
            raise ValueError(f"rules={self.rules} must be clean, offline or demo")
        if order.placeholder not in ("before", "above"):
            raise ValueError(f"placeholder={order.placeholder} must be before or above")
        if self.keep < 1:
            raise ValueError(f"keep={self.keep}: at least one frame must stay to go on from")

    def compare(self, trained: Order | None) -> None:
        """Warn where the model was trained for another order or for other rules; None: it is not known."""
        if trained is None:
            return
        own = {"rules": CLEAN, **vars(trained)}
        used = {"rules": self.rules, **vars(self.order())}
        if others := [name for name, value in used.items() if value != own[name]]:
            here, there = (", ".join(f"{name}={of[name]}" for name in others) for of in (used, own))
            message = f"{here}, but the model was trained for {there}; leave it out to use what was trained"
            warnings.warn(message, stacklevel=3)  # Python shows a sentence once
