"""MineWorld's transformer: the next token of frames and actions that take turns (arXiv 2504.08388)."""

from __future__ import annotations

from typing import Annotated

import torch
import torch.nn.functional as F
from annotated_types import Ge, Gt, Le, Lt
from torch import Tensor, nn

from playloop.core.annotations import Count
from playloop.core.checked import checked
from playloop.core.kinds import kind
from playloop.nn.building import Sizes, check_heads
from playloop.nn.decoder import Cache, Llama, Recording, Rotary
from playloop.nn.layers import Linear
from playloop.nn.llama import LlamaSizes
from playloop.nn.slots import Slot, llama_slots
from playloop.tokenizers.camera import MINEWORLD, MINEWORLD_COMPAT
from playloop.tokenizers.minecraft import MineWorldActions
from playloop.worlds.mineworld.clip import ClipSchedule, clip_schedule, mask_on
from playloop.worlds.model import check_positions
from playloop.worlds.sampler import CLEAN, DIAGONAL, Order, SamplerConfig
from playloop.worlds.schedule import Schedule, placeholder_tokens

PREFIX = "transformer."
"""The beginning of the transformer's published names."""
TOP_P = 0.8
"""The share of the mass that is drawn from when a sampler names no share: as released."""


@kind("mineworld")
@checked
class MineWorldConfig(Sizes["MineWorld"]):
    """Sizes of a MineWorld; the defaults are those of the 300M model.

    Args:
        rows: h, of a frame's grid of tokens.
        columns: w.
        codes: size of the frame tokenizer's codebook; the ids of actions follow them.
        vocabulary: all ids, and the two that the published models leave unused.
        width: of the stream.
        layers: blocks.
        heads: of queries.
        groups: heads of keys and values.
        hidden: width inside the MLPs.
        context: frames that positions were trained for, the new one included.
        eps: of the norms.
        theta: base of the rotary positions.
        start_queries: whether trained ones exist, see `Schedule`; published models have none.
        truncate: whether turns of the camera lose their fractions of a degree, and those under two degrees
            all, see `CameraBins`. Published models were trained so: they never saw another id for such turns.
    """

    rows: Count = 14
    columns: Count = 24
    codes: Count = 8192
    vocabulary: Count = 8262
    width: Count = 1024
    layers: Count = 20
    heads: Count = 16
    groups: Count = 4
    hidden: Count = 4096
    context: Annotated[int, Ge(2)] = 16
    eps: Annotated[float, Gt(0), Lt(1)] = 1e-5
    theta: Annotated[float, Ge(1), Le(1e10)] = 10000.0
    start_queries: bool = False
    truncate: bool = False

    @property
    def tokens(self) -> int:
        """Tokens of a frame."""
        return self.rows * self.columns

    @property
    def actions(self) -> MineWorldActions:
        """Action vectors ↔ tokens."""
        return MineWorldActions(self.codes, MINEWORLD_COMPAT if self.truncate else MINEWORLD)

    @property
    def positions(self) -> int:
        """Positions that the context takes: `max_position_embeddings` of the release."""
        return self.context * (self.tokens + MineWorldActions.length)

    @property
    def sizes(self) -> LlamaSizes:
        """Sizes of the stack."""
        return LlamaSizes(self.width, self.layers, self.heads, self.groups, self.hidden, self.eps, self.theta)

    def schedule(self, sampler: SamplerConfig) -> Schedule:
        """The steps of a frame that is drawn so."""
        released, order = sampler.rules != CLEAN, sampler.order()
        return Schedule(
            self.rows,
            self.columns,
            order.window,
            MineWorldActions.length,
            own_starts=False,
            released=released,
            causal=order.causal and not released,
        )

    def check(self) -> None:
        check_positions(self.context, self.tokens + MineWorldActions.length)
        needed = self.actions.ids.stop
        if self.vocabulary < needed:
            raise ValueError(
                f"vocabulary={self.vocabulary} does not hold {self.codes} codes and the actions: {needed}"
            )
        check_heads(self.width, self.heads, self.groups, even=True)

    def build(self) -> MineWorld:
        return MineWorld(self).initialise()


PRESETS = {
    "300M_16f": MineWorldConfig(),
    "700M_16f": MineWorldConfig(width=2048, heads=32),
    "700M_32f": MineWorldConfig(width=2048, heads=32, context=32),
    "1200M_16f": MineWorldConfig(width=2048, heads=32, hidden=8192),
    "1200M_32f": MineWorldConfig(width=2048, heads=32, hidden=8192, context=32),
}
"""The published models by the name of their files: 321.0, 726.0 and 1229.3 M parameters."""


class MineWorld(nn.Module):
    """Frame t + 1 from the frames up to t and the actions up to a_t, as one sequence v_1 a_1 v_2 a_2 …

    Every id has one embedding, frame or action; positions count through the sequence.
    """

    def __init__(self, config: MineWorldConfig):
        super().__init__()
        self.config = config
        self.token = nn.Embedding(config.vocabulary, config.width)
        self.llama = Llama(config.sizes)
        self.head = Linear(config.width, config.vocabulary, bias=False)
        self.start = (
            nn.Parameter(torch.zeros(config.rows - 1, config.width)) if config.start_queries else None
        )

    def initialise(self) -> MineWorld:
        """Draw new weights as LLaMA's; returns the model itself."""
        for parameter in self.parameters():
            if parameter.ndim == 2:
                nn.init.normal_(parameter, std=0.02)
        return self

    @property
    def dtype(self) -> torch.dtype:
        """What the weights are kept in, and what is computed in."""
        return self.head.weight.dtype

    @property
    def action_size(self) -> int:
        """Tokens of an action, A."""
        return MineWorldActions.length

    def resolved(self, sampler: SamplerConfig, trained: Order = DIAGONAL) -> SamplerConfig:
        """The sampler with the order that the model was trained for, and the released share of the mass,
        where it names none."""
        return sampler.resolved(trained, TOP_P)

    def slots(self) -> dict[str, Slot]:
        """The published names of all weights → their slots here."""
        own = {f"{PREFIX}model.embed_tokens.weight": Slot("token.weight")}
        own[f"{PREFIX}lm_head.weight"] = Slot("head.weight")
        own |= {"start_queries": Slot("start")} if self.start is not None else {}
        return own | llama_slots(self.config.sizes, f"{PREFIX}model.", "llama.")

    def visual(self, hidden: Tensor) -> Tensor:
        """Logits of the frame's ids alone, no others are computed: hidden [..., D] → [..., codes]."""
        return F.linear(hidden, self.head.weight[: self.config.codes].to(hidden.dtype))

    def ask(self, rows: Tensor, ids: Tensor) -> Tensor:
        """Start queries that open the rows [n], with placeholders of ids [B, n] → [B, n, D]."""
        if self.start is None:
            return self.token(ids)
        return self.start[rows - 1].expand(len(ids), -1, -1)

    def sequence(self, tokens: Tensor, actions: Tensor) -> Tensor:
        """Frames int64 [B, T, N] and the actions between them int64 [B, T - 1, A] → [B, length]."""
        units = torch.cat([tokens[:, :-1], actions], 2).flatten(1)
        return torch.cat([units, tokens[:, -1]], 1)

    def encode(
        self,
        x: Tensor,
        clip: ClipSchedule,
        cache: Cache | None = None,
        rotary: Rotary | None = None,
    ) -> Tensor:
        """All queries of a clip in one pass, the sequence and then the start queries: [B, queries, D] each.

        A cache takes the sequence's keys and values, from slot 0; what else it holds is not seen.
        """
        table = rotary or Rotary(self.config.sizes, clip.length, x.dtype, x.device)
        mask = mask_on(clip, x.device)
        if cache is None:
            mask = F.pad(mask, (0, len(mask) - clip.length))  # start queries are seen by nobody
        bias = torch.zeros(mask.shape, dtype=x.dtype, device=x.device).masked_fill_(~mask, float("-inf"))
        written = None if cache is None else torch.arange(clip.length, device=x.device)
        recording = None if cache is None else Recording(cache)
        return self.llama(x, table.at(clip.positions.to(x.device)), bias, recording, written)

    def forward(
        self,
        tokens: Tensor,
        actions: Tensor,
        schedule: Schedule,
        placeholder: str = "before",
        dtype: torch.dtype | None = None,
    ) -> Tensor:
        """Logits of every token of the sequence but the first, given the truth before it.

        The masks are those of decoding, so that this is what decoding computes step by step.

        Args:
            tokens: int64 [B, T, N].
            actions: int64 [B, T - 1, A]; actions[:, t] was taken at frame t and leads to frame t + 1.
            schedule: of every frame.
            placeholder: what start queries hold where none are trained, see `SamplerConfig`.
            dtype: to compute in, if not the weights' own type.

        Returns:
            [B, length - 1, vocabulary]; where `ClipSchedule.counted` is False they mean nothing.
        """
        clip = clip_schedule(schedule, tokens.shape[1], asks=True)
        x = self.token(self.sequence(tokens, actions))
        if clip.starting and clip.frames > 1:
            x = torch.cat([x, self._starts(tokens, clip, placeholder)], 1)
        hidden = self.encode(x.to(dtype or self.dtype), clip)
        return self.head(hidden[:, clip.readers.to(hidden.device)])

    def loss(
        self,
        batch: dict[str, Tensor],
        schedule: Schedule,
        placeholder: str = "before",
        dtype: torch.dtype = torch.float32,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Cross-entropy over the tokens of frames and actions alike, and the accuracy of either.

        The batch has "tokens" int64 [B, T, N] and "actions" int64 [B, T - 1, A]; see `forward`.
        """
        tokens, actions = batch["tokens"], batch["actions"]
        logits = self(tokens, actions, schedule, placeholder, dtype)
        targets = self.sequence(tokens, actions)[:, 1:]
        counted = clip_schedule(schedule, tokens.shape[1], asks=True).counted.to(targets.device)
        loss = F.cross_entropy(logits[:, counted].flatten(0, 1).float(), targets[:, counted].flatten())
        right, visual = logits.detach().argmax(-1) == targets, targets < self.config.codes
        return loss, {
            "accuracy": right[visual & counted].float().mean(),
            "accuracy_actions": right[~visual].float().mean(),
        }

    def _starts(self, tokens: Tensor, clip: ClipSchedule, placeholder: str) -> Tensor:
        """The start queries of all frames but the first, [B, (T - 1) * rows, D]."""
        if placeholder not in ("before", "above"):
            raise ValueError(f"placeholder={placeholder} must be before or above")
        rows = torch.tensor(clip.starting, device=tokens.device)
        ends, opened = placeholder_tokens(clip.unit, rows)
        ids = tokens[:, :-1, ends] if placeholder == "before" else tokens[:, 1:, opened]
        return self.ask(rows.repeat(clip.frames - 1), ids.flatten(1))
