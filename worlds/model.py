"""A transformer over interleaved actions and frame tokens that predicts the next frame's tokens."""

from __future__ import annotations

from typing import Annotated, cast

import torch
import torch.nn.functional as F
from annotated_types import MinLen
from torch import Tensor, nn

from playloop.core.annotations import Count, Counts, Fraction, Magnitude
from playloop.core.checked import checked
from playloop.core.kinds import kind
from playloop.nn.building import Sizes, check_heads
from playloop.nn.layers import Linear
from playloop.nn.llama import LlamaBlock, LlamaSizes, RMSNorm
from playloop.worlds.sampler import Order, SamplerConfig
from playloop.worlds.schedule import Schedule, clip_mask

TOP_P = 0.7
"""The share of the mass that is drawn from when a sampler names no share."""

MOST_POSITIONS = 65_536
"""The longest context, six times the largest published one: memory grows by it, and no weight bounds it."""


def check_positions(context: int, unit: int) -> None:
    """Refuse a context of so many frames, each of so many tokens, that memory would not hold it.

    Raises:
        ValueError: says how many frames are possible.
    """
    if context * unit > MOST_POSITIONS:
        raise ValueError(
            f"context={context} frames of {unit} tokens are more than {MOST_POSITIONS:,} positions; at most "
            f"{MOST_POSITIONS // unit} frames"
        )


class AxialPositions:
    """Rotary positions: of each head's pairs half turn with time, a quarter with the row, a quarter with
    the column.

    Time is relative, so frames keep their keys in a ring for ever; it is counted in float64, because a
    session's clock grows without bound.

    Args:
        schedule: gives the slots and start queries of a frame.
        size: of a head; a multiple of 8.
    """

    def __init__(self, schedule: Schedule, size: int):
        if size % 8:
            raise ValueError(f"a head of {size} cannot be divided between time, row and column; use 8 · n")
        self.quarter, tokens = size // 8, torch.arange(schedule.tokens)
        starts = torch.arange(1, schedule.rows)
        rows = torch.cat([torch.tensor([-1]), tokens // schedule.columns, starts])
        columns = torch.cat([torch.tensor([-1]), tokens % schedule.columns, torch.full_like(starts, -1)])
        octave = _frequencies(self.quarter, 32.0)
        self.grid = torch.cat([rows[:, None] * octave, columns[:, None] * octave], 1)  # [queries, E / 4]

    def of_frames(self, times: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Cosines and sines [T * queries, 1, E / 2] of frames at the times [T]."""
        clock = times.double()[:, None] * _frequencies(2 * self.quarter, 64.0).to(times.device)
        moments = clock[:, None].expand(-1, len(self.grid), -1)
        spots = self.grid.to(times.device).expand(len(times), -1, -1)
        angles = torch.cat([moments, spots], -1).flatten(0, 1)[:, None]
        return angles.cos().to(dtype), angles.sin().to(dtype)


def _frequencies(count: int, longest: float) -> Tensor:
    """Radians a unit, from one down to 1 / longest, float64 [count]."""
    # Named, because torch remembers which functions a device's context reaches, and transformers may have
    # replaced this one while it was the first to use such a context.
    device = torch.get_default_device()
    return longest ** -torch.linspace(0, 1, count, dtype=torch.float64, device=device)


@kind("fsq-world")
@checked
class WorldConfig(Sizes["WorldModel"]):
    """Sizes of a world model.

    Args:
        rows: h, of a frame's grid of tokens.
        columns: w.
        codes: size of the frame tokenizer's codebook.
        actions: number of classes in every group of a compact action.
        width: of the stream.
        layers: blocks.
        heads: of queries.
        groups: heads of keys and values.
        hidden: width inside the MLPs.
        context: frames that a frame sees, itself included; older ones leave the cache.
        windows: decoding windows that are trained, a random one a step; 1 is diagonal, `columns` is raster.
        shares: of the steps that each window gets; () for equal ones.
        corruption: shares of the input's tokens that are replaced, a random one a clip. The model knows
            which, so that it can distrust its own frames: `level` when decoding.
    """

    rows: Count = 8
    columns: Count = 8
    codes: Count = 1000
    actions: Counts = (2,)
    width: Count = 384
    layers: Count = 8
    heads: Count = 6
    groups: Count = 2
    hidden: Count = 1024
    context: Count = 12
    windows: Counts = (1, 8)
    shares: tuple[Magnitude, ...] = ()
    corruption: Annotated[tuple[Fraction, ...], MinLen(1)] = (0.0, 0.05, 0.1, 0.2, 0.3)

    @property
    def sizes(self) -> LlamaSizes:
        """Sizes of the blocks; their positions are `AxialPositions`."""
        return LlamaSizes(self.width, self.layers, self.heads, self.groups, self.hidden, eps=1e-5)

    def check(self) -> None:
        check_positions(self.context, 1 + self.rows * self.columns)
        if self.shares and (len(self.shares) != len(self.windows) or not sum(self.shares)):
            raise ValueError(
                f"world.shares={self.shares} wants one number for each of windows={self.windows}, not all 0"
            )
        check_heads(self.width, self.heads, self.groups)

    def build(self) -> WorldModel:
        return WorldModel(self)


class WorldModel(nn.Module):
    """Frame t + 1 from the frames up to t and the actions up to a_t, which stands between x_t and x_{t+1}.

    A frame takes 1 + h * w slots, the action that led to it and its tokens, and h - 1 start queries (see
    `Schedule`). An action is one vector, the sum of an embedding for each of its groups. It also enters every
    query of its frame, and so does the token that the frame before has at the slot that the query predicts:
    what a small model would spend its first layers on to find.
    """

    action_start: Tensor
    predicted: Tensor

    def __init__(self, config: WorldConfig):
        super().__init__()
        self.config = config
        self.schedules = {w: Schedule(config.rows, config.columns, w) for w in config.windows}
        frame, width = self.schedules[config.windows[0]], config.width
        self.token = nn.Embedding(config.codes, width)
        self.back = nn.Embedding(config.codes, width)
        self.action = nn.Embedding(sum(config.actions), width)
        self.place = nn.Parameter(torch.empty(frame.queries, width))
        self.first = nn.Parameter(torch.empty(width))
        self.window = nn.Embedding(len(config.windows), width)
        self.level = nn.Embedding(len(config.corruption), width)
        blocks = (LlamaBlock(width, config.heads, config.groups, config.hidden) for _ in range(config.layers))
        self.blocks = nn.ModuleList(blocks)
        self.norm = RMSNorm(width, eps=1e-5)
        self.head = Linear(width, config.codes, bias=False)
        self.positions = AxialPositions(frame, width // config.heads)
        starts = torch.tensor([0, *config.actions[:-1]]).cumsum(0)
        self.register_buffer("action_start", starts, persistent=False)
        self.register_buffer("predicted", frame.predicted, persistent=False)
        self._initialise()

    def _initialise(self) -> None:
        for parameter in self.parameters():
            if parameter.ndim == 2 or parameter is self.first:
                nn.init.normal_(parameter, std=0.02)
        for block in self.layers():  # what is added to the stream starts small, GPT-2's rule
            for linear in (block.attention.out, block.mlp.outer):
                nn.init.normal_(linear.weight, std=0.02 * (2 * self.config.layers) ** -0.5)

    def layers(self) -> list[LlamaBlock]:
        """The blocks, typed."""
        return cast(list[LlamaBlock], list(self.blocks))

    @property
    def dtype(self) -> torch.dtype:
        """What the weights are kept in."""
        return self.head.weight.dtype

    @property
    def action_size(self) -> int:
        """Numbers of an action, G."""
        return len(self.config.actions)

    def resolved(self, sampler: SamplerConfig) -> SamplerConfig:
        """The sampler with the most diagonal window and the share of the mass where it names none."""
        return sampler.resolved(Order(min(self.config.windows)), TOP_P)

    def schedule(self, sampler: SamplerConfig) -> Schedule:
        """The steps of a frame that is drawn so."""
        return self.schedules[sampler.order().window]

    # ---------------------------------------------------------------------------------------- embeddings

    def embed_action(self, actions: Tensor, known: Tensor) -> Tensor:
        """Compact actions int64 [..., G] → [..., D]; where `known` [...] is False, "no action yet"."""
        summed = self.action(actions.clamp_min(0) + self.action_start).sum(-2)
        return torch.where(known[..., None], summed, self.first)

    def embed_tokens(self, ids: Tensor, tokens: Tensor) -> Tensor:
        """Ids [..., n] of the tokens [n], by raster index → [..., n, D]."""
        return self.token(ids) + self.place[1 + tokens]

    def look_back(self, before: Tensor, known: Tensor) -> Tensor:
        """What the frame before, int64 [..., N], has where each query predicts, [..., queries, D].

        Zeros where it is not known, bool [...], and for queries that predict nothing.
        """
        found = self.back(before[..., self.predicted.clamp_min(0)])
        return found * (known[..., None] & (self.predicted >= 0))[..., None]

    def condition(self, window: int, level: Tensor) -> Tensor:
        """Added to every query: how the frame is decoded, and how far its context can be trusted, [B, D]."""
        number = torch.tensor(self.config.windows.index(window), device=level.device)
        return self.window(number) + self.level(level)

    def embed_clip(self, tokens: Tensor, actions: Tensor, window: int, level: Tensor) -> Tensor:
        """A clip as input.

        Args:
            tokens: int64 [B, T, N].
            actions: int64 [B, T - 1, G]; actions[:, t] was taken at frame t and leads to frame t + 1.
            window: of decoding.
            level: of corruption, int64 [B].

        Returns:
            [B, T, queries, D].
        """
        b, t, n = tokens.shape
        previous, before = F.pad(actions, (0, 0, 1, 0)), F.pad(tokens[:, :-1], (0, 0, 1, 0))
        known = torch.arange(t, device=tokens.device).expand(b, t) > 0
        action = self.embed_action(previous, known)[:, :, None]  # [B, T, 1, D]
        frame = self.embed_tokens(tokens, torch.arange(n, device=tokens.device))
        starts = self.place[1 + n :].expand(b, t, -1, -1)
        x = torch.cat([action + self.place[0], frame, starts], 2) + self.look_back(before, known)
        return x + action + self.condition(window, level)[:, None, None]

    # ---------------------------------------------------------------------------------- teacher forcing

    def forward(
        self,
        tokens: Tensor,
        actions: Tensor,
        window: int,
        level: Tensor,
        dtype: torch.dtype | None = None,
    ) -> Tensor:
        """Logits of every token given the truth before it, [B, T, N, codes], in one pass over a clip.

        The same masks hold as in decoding, so that this is what decoding computes step by step.
        """
        schedule, t = self.schedules[window], tokens.shape[1]
        x = self.embed_clip(tokens, actions, window, level).to(dtype or self.dtype)
        rotary = self.positions.of_frames(torch.arange(t, device=x.device), x.dtype)
        mask = clip_mask(schedule, t, self.config.context).to(x.device)
        bias = torch.zeros(mask.shape, dtype=x.dtype, device=x.device).masked_fill_(~mask, float("-inf"))

        def seen(keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:  # not those of start queries
            kept = [y.unflatten(2, (t, -1))[:, :, :, : schedule.slots].flatten(2, 3) for y in (keys, values)]
            return kept[0], kept[1]

        x = x.flatten(1, 2)
        for block in self.layers():
            x = block(x, rotary, bias, seen)
        readers = schedule.readers.to(x.device)
        return self.head(self.norm(x.unflatten(1, (t, -1))[:, :, readers]))

    def loss(
        self, batch: dict[str, Tensor], generator: torch.Generator, dtype: torch.dtype = torch.float32
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Cross-entropy of all frames but the first.

        Args:
            batch: "tokens" int64 [B, T, N] and "actions" int64 [B, T - 1, G].
            generator: of the window, the corruption's level and the corruption.
            dtype: to compute in.

        Returns:
            The loss; metrics: accuracy, and the accuracy of repeating the frame before ("persistence").
        """
        tokens, actions = batch["tokens"], batch["actions"]
        window, level, corrupted = self._corrupt(tokens, generator)
        logits = self(corrupted, actions, window, level, dtype)[:, 1:]
        return self._judge(logits, tokens[:, 1:], tokens[:, :-1])

    def loss_after(
        self, seen: Tensor, actions: Tensor, window: int, level: int, dtype: torch.dtype
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Cross-entropy of the last frame of `seen` [B, T, N] alone, after a context that need not be true.

        `level` is the number of the corruption that the model should expect of the context; see `loss`.
        """
        levels = torch.full((len(seen),), level, device=seen.device)
        logits = self(seen, actions, window, levels, dtype)[:, -1:]
        return self._judge(logits, seen[:, -1:], seen[:, -2:-1])

    def _judge(self, logits: Tensor, targets: Tensor, before: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        loss = F.cross_entropy(logits.flatten(0, 2).float(), targets.flatten())
        accuracy = (logits.detach().argmax(-1) == targets).float().mean()
        return loss, {"accuracy": accuracy, "persistence": (before == targets).float().mean()}

    def _corrupt(self, tokens: Tensor, generator: torch.Generator) -> tuple[int, Tensor, Tensor]:
        """A window, a level for each clip, and the tokens with that share replaced by random ids."""
        config, device = self.config, tokens.device
        shares = torch.tensor(config.shares or [1.0] * len(config.windows), device=device)
        drawn = torch.multinomial(shares, 1, generator=generator)
        level = torch.randint(len(config.corruption), tokens.shape[:1], generator=generator, device=device)
        share = torch.tensor(config.corruption, device=device)[level][:, None, None]
        replaced = torch.rand(tokens.shape, generator=generator, device=device) < share
        noise = torch.randint(config.codes, tokens.shape, generator=generator, device=device)
        return config.windows[int(drawn)], level, torch.where(replaced, noise, tokens)
