"""How MineWorld's tokens are drawn, and under which rules."""

from __future__ import annotations

from dataclasses import dataclass, fields

from playloop.worlds.decode import SamplerConfig
from playloop.worlds.mineworld.schedule import FrameSchedule

CLEAN, OFFLINE, DEMO = "clean", "offline", "demo"
PLACEHOLDERS = {OFFLINE: "first", DEMO: "above"}
"""Which token the release's two programs feed for the row above's last one."""


@dataclass(frozen=True)
class MineWorldSampler(SamplerConfig):
    """A `SamplerConfig` with MineWorld's choices; any window can be decoded, and there is one level.

    Args:
        top_p: as released.
        rules: "clean"; or as the release's "offline" program or its "demo" decodes, whose defects change the
            frames: see `FrameSchedule`. The demo feeds a frame's last token in a pass of its own; here it
            goes into the next frame's first one, which computes the same.
        placeholder: under clean rules, the token that a start query holds where none are trained: "before" is
            what the frame before has at that place, "above" the row above's token that let this row begin.
        causal: see `FrameSchedule`.
        keep: frames that stay when the context is full, fewer than it holds; the others are forgotten.
    """

    top_p: float = 0.8
    rules: str = CLEAN
    placeholder: str = "before"
    causal: bool = False
    keep: int = 8

    @classmethod
    def of(cls, sampler: SamplerConfig) -> MineWorldSampler:
        """The sampler itself, or one with MineWorld's defaults where a plain one says nothing."""
        if isinstance(sampler, cls):
            return sampler
        return cls(**{field.name: getattr(sampler, field.name) for field in fields(SamplerConfig)})

    @property
    def source(self) -> str:
        """Where placeholders come from: "before", "above" or "first", the context's first frame."""
        return PLACEHOLDERS.get(self.rules, self.placeholder)

    def schedule(self, rows: int, columns: int, actions: int) -> FrameSchedule:
        """The steps of a frame on such a grid."""
        compat = self.rules != CLEAN
        return FrameSchedule(rows, columns, self.window, actions, compat, self.causal and not compat)

    def check_choices(self, columns: int) -> None:
        """Refuse what cannot be done.

        Raises:
            ValueError: a setting is out of range; says which.
        """
        self.check_draws()
        if not 1 <= self.window <= columns:
            raise ValueError(f"window={self.window} must lie between 1 (diagonal) and {columns} (raster)")
        if self.level != 0:
            raise ValueError(f"level={self.level}: MineWorld knows no levels of corruption, leave it 0")
        if self.rules not in (CLEAN, OFFLINE, DEMO):
            raise ValueError(f"rules={self.rules} must be clean, offline or demo")
        if self.placeholder not in ("before", "above"):
            raise ValueError(f"placeholder={self.placeholder} must be before or above")
        if self.keep < 1:
            raise ValueError(f"keep={self.keep}: at least one frame must stay to go on from")
