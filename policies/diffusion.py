"""Discrete diffusion of tokens: masked at random to learn from, filled in a few rounds, the surest first."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import torch
import torch.nn.functional as F
from annotated_types import Ge, Le
from torch import Tensor

from playloop.core.annotations import Magnitude, Positive
from playloop.core.checked import checked
from playloop.core.kinds import kind
from playloop.nn.sampling import gumbel, inverse_cdf, lowest_argmax, rank_descending, restrict

Order = Literal["max", "gap", "sampled", "random"]
Schedule = Literal["cosine", "float32"]


LARGEST = 1000
"""Rounds, and bins of smoothing: more than a chunk's tokens and than four times all bins change nothing."""


@kind("diffusion-decoder")
@checked(frozen=True)
class DecoderConfig:
    """How a chunk is decoded.

    Args:
        rounds: T, at most one network evaluation each.
        order: what is committed first: the highest "max" probability, the largest "gap" between the best two,
            the highest probability of the "sampled" token, or "random" positions.
        temperature: of the Gumbel noise on the order, falling linearly to 0 in the last round.
        sample: the token of a position: "argmax" or "multinomial".
        token_temperature: of the multinomial.
        remask_threshold: a committed token whose probability now lies below `remask_threshold * (1 - t / T)`
            is masked again; 0 is off.
        remask_drop: a committed token whose probability fell by more than this since it was committed is
            masked again; None is off.
        smoothing: standard deviation, in bins, of the Gaussian that probabilities are smoothed with along
            the bins before anything is chosen; 0 is off, as published. Bins are neighbours: nine tenths of
            the mass spread over forty fine bins should win against a tenth in one (the saturated action ±1),
            and lose in a plain argmax.
        schedule: how many stay masked: the "cosine" itself, or the "float32" cosine of the released Discrete
            Diffusion VLA, which leaves 27 of 56 after round 8 of 12 where the formula says 28.
        ties: equally sure positions at the threshold: the lowest "index" is committed, exactly as many as the
            schedule says; or "all" of them, as released.
    """

    rounds: Annotated[int, Ge(1), Le(LARGEST)] = 12
    order: Order = "max"
    temperature: Magnitude = 1.0
    sample: Literal["argmax", "multinomial"] = "argmax"
    token_temperature: Positive = 1.0
    remask_threshold: float = 0.0
    remask_drop: float | None = None
    smoothing: Annotated[float, Ge(0), Le(LARGEST)] = 0.0
    schedule: Schedule = "cosine"
    ties: Literal["index", "all"] = "index"

    @property
    def remasks(self) -> bool:
        """Whether committed tokens may be masked again."""
        return self.remask_threshold > 0 or self.remask_drop is not None

    @property
    def deterministic(self) -> bool:
        """Whether the result follows from the logits alone; ties go to the lowest index."""
        return self.sample == "argmax" and self.temperature == 0 and self.order != "random"


RELEASED = DecoderConfig(order="sampled", sample="multinomial", schedule="float32", ties="all")
"""What the released Discrete Diffusion VLA does (`parallel_decode.py`, its defaults): every round draws each
token, the last one too; the drawn tokens' own probabilities with falling Gumbel noise say which stay; nothing
that is committed is masked again. It is given logits of all 32,000 words, not of the action ids alone."""

PAPER = DecoderConfig(order="max", remask_threshold=0.5)
"""What the paper describes (arXiv 2508.20072): the likeliest positions first, committed ones doubted again.
The threshold is one reading of two that contradict each other; the margin of the drop is nowhere quoted, so
that test is off."""


@dataclass(frozen=True)
class Noise:
    """All randomness of a decoding, uniform in [0, 1), drawn beforehand: float32 [B, T, L] each."""

    order: Tensor
    token: Tensor


@dataclass(frozen=True)
class Decoded:
    """A decoded chunk, whichever decoder made it.

    Args:
        tokens: int64 [B, L], nothing masked; None of a regression.
        remasked: int64 [B], how often a committed token was masked again.
        evaluations: passes through the network.
        confidence: of diffusion float32 [B, L], each token's probability when it was committed.
        values: of a regression the normalised actions, float32 [B, chunk, A].
    """

    tokens: Tensor | None
    remasked: Tensor
    evaluations: int
    confidence: Tensor | None = None
    values: Tensor | None = None


def draw_masks(rows: int, length: int, generator: torch.Generator) -> Tensor:
    """Which positions are masked in training, bool [rows, length], uniformly and at least one a row.

    Their share is cos(π u / 2) with u uniform: mostly masked more often than mostly known.
    """
    device = generator.device
    share = torch.cos(torch.pi / 2 * torch.rand(rows, 1, generator=generator, device=device))
    count = (length * share).round().clamp_min(1)
    return rank_descending(torch.rand(rows, length, generator=generator, device=device)) < count


def mask_schedule(rounds: int, length: int, kind: Schedule = "cosine") -> list[int]:
    """How many positions stay masked after each round: a falling cosine, 0 after the last.

    Exact integers, computed once on the host. The published code floors a float32 cosine, in which cos(π/3)
    is 0.49999997, so that it leaves 27 of 56 after round 8 of 12 where the formula says 28.
    """
    floor = _float32_floor if kind == "float32" else _floor
    if length <= 1:
        return [0] * rounds
    return [min(max(floor(length, step / rounds), 1), length - 1) for step in range(1, rounds)] + [0]


def _floor(length: int, ratio: float) -> int:
    # Within the ratios that occur the cosine is rational only at π/3; a hair keeps that floor exact.
    return math.floor(length * math.cos(math.pi / 2 * ratio) + 1e-9)


def _float32_floor(length: int, ratio: float) -> int:
    """Every step rounded to float32, the cosine from float64, which no processor computes differently."""
    angle = np.float32(ratio) * np.float32(math.pi / 2)
    return math.floor(np.float32(length) * np.float32(math.cos(float(angle))))


def active_rounds(config: DecoderConfig, length: int) -> list[tuple[int, int]]:
    """The rounds that need the network: (number, positions that stay masked after it).

    A round in which the schedule commits nothing could change nothing, unless committed tokens may be masked
    again; it is left out.
    """
    schedule = mask_schedule(config.rounds, length, config.schedule)
    before = [length, *schedule[:-1]]
    return [
        (step, remaining)
        for step, (remaining, previous) in enumerate(zip(schedule, before, strict=True))
        if remaining != previous or config.remasks
    ]


def draw_noise(
    generators: Sequence[torch.Generator],
    config: DecoderConfig,
    length: int,
    device: torch.device | str = "cpu",
) -> Noise:
    """Each row's randomness from its own generator, so that a row never depends on its neighbours."""
    shape = (2, config.rounds, length)
    if config.deterministic:
        rows = torch.zeros(len(generators), *shape, device=device)
    else:
        drawn = [torch.rand(shape, generator=g, device=g.device) for g in generators]
        rows = torch.stack(drawn).to(device)
    return Noise(rows[:, 0], rows[:, 1])


def smooth(probabilities: Tensor, width: float, legal: Tensor | None) -> Tensor:
    """Probabilities [B, L, V] blurred along neighbouring ids by a Gaussian, restricted, normalised again."""
    reach = math.ceil(3 * width)
    offsets = torch.arange(-reach, reach + 1, device=probabilities.device, dtype=probabilities.dtype)
    kernel = torch.exp(-0.5 * (offsets / width) ** 2)
    blurred = F.conv1d(probabilities.flatten(0, 1)[:, None], kernel[None, None], padding=reach)
    blurred = blurred[:, 0].unflatten(0, probabilities.shape[:2])
    if legal is not None:
        blurred = blurred * legal
    return blurred / blurred.sum(-1, keepdim=True)


def propose(probabilities: Tensor, uniform: Tensor, config: DecoderConfig) -> Tensor:
    """A token for every position: probabilities [B, L, V] → ids [B, L]."""
    if config.sample == "argmax":
        return lowest_argmax(probabilities)
    if config.token_temperature != 1:
        tiny = torch.finfo(probabilities.dtype).tiny
        # Legal ids keep a positive weight; illegal ones stay at exactly zero.
        weights = (probabilities.clamp_min(tiny).log() / config.token_temperature).softmax(-1)
        probabilities = weights * (probabilities > 0)
    return inverse_cdf(probabilities, uniform)


def confidence(kind: Order, probabilities: Tensor, tokens: Tensor) -> Tensor:
    """How sure the network is of each position: probabilities [B, L, V], tokens [B, L] → [B, L] in [0, 1]."""
    if kind == "max":
        return probabilities.amax(-1)
    if kind == "gap":
        best = probabilities.topk(2, dim=-1).values
        return best[..., 0] - best[..., 1]
    if kind == "sampled":
        return probability_of(probabilities, tokens)
    return torch.ones_like(tokens, dtype=probabilities.dtype)  # random: the noise alone decides


def probability_of(probabilities: Tensor, tokens: Tensor) -> Tensor:
    """probabilities [B, L, V], tokens [B, L] → [B, L]."""
    return probabilities.gather(-1, tokens[..., None]).squeeze(-1)


def choose(
    sureness: Tensor,
    masked: Tensor,
    uniform: Tensor,
    temperature: float,
    remaining: int,
    ties: Literal["index", "all"] = "index",
) -> Tensor:
    """Which positions [B, L] are known after the round: all that were, and the best of the masked ones.

    Gumbel noise on the logarithm makes it a draw without replacement; `remaining` stay masked, exactly so
    unless ties at the threshold are all committed.
    """
    score = sureness.clamp_min(torch.finfo(sureness.dtype).tiny).log()
    if temperature > 0:
        score = score + temperature * gumbel(uniform)
    score = score.masked_fill(~masked, float("inf"))
    if ties == "all" and remaining > 0:
        return score >= score.sort(dim=-1).values[:, remaining, None]
    return rank_descending(score) < score.shape[-1] - remaining


def doubtful(now: Tensor, then: Tensor, ratio: float, config: DecoderConfig) -> Tensor:
    """Which committed tokens [B, L] the network no longer believes: secondary re-masking's two tests."""
    flagged = now < config.remask_threshold * (1 - ratio)
    if config.remask_drop is not None:
        flagged = flagged | (then - now > config.remask_drop)
    return flagged


def decode(
    logits_fn: Callable[[Tensor], Tensor],
    length: int,
    config: DecoderConfig,
    noise: Noise,
    *,
    mask_id: int,
    legal: Tensor | None = None,
) -> Decoded:
    """Fill `length` masked positions in at most `config.rounds` rounds.

    Nothing in the loop waits for the device or has a shape that depends on data. Tokens that are masked again
    come on top of the schedule: the next round commits down to its own count, the last commits all.

    Args:
        logits_fn: ids [B, L], `mask_id` where unknown → logits [B, L, V]; those at p are of token p.
        length: L.
        config: the decoder's parameters.
        noise: from `draw_noise`.
        mask_id: the id of a masked position.
        legal: bool [L, V], the ids that each position may take; None for all.
    """
    batch, device = noise.order.shape[0], noise.order.device
    tokens = torch.full((batch, length), mask_id, dtype=torch.int64, device=device)
    sure = torch.zeros(batch, length, device=device)
    remasked = torch.zeros(batch, dtype=torch.int64, device=device)
    rounds = active_rounds(config, length)
    for step, remaining in rounds:
        ratio = (step + 1) / config.rounds
        masked = tokens == mask_id
        probabilities = restrict(logits_fn(tokens).float(), legal).softmax(-1)  # [B, L, V]
        if config.smoothing > 0:
            probabilities = smooth(probabilities, config.smoothing, legal)
        proposal = torch.where(masked, propose(probabilities, noise.token[:, step], config), tokens)
        now = probability_of(probabilities, proposal)
        order = confidence(config.order, probabilities, proposal)
        temperature = 1.0 if config.order == "random" else config.temperature * (1 - ratio)
        known = choose(order, masked, noise.order[:, step], temperature, remaining, config.ties)
        if config.remasks and remaining > 0:
            flagged = doubtful(now, sure, ratio, config) & ~masked
            known, remasked = known & ~flagged, remasked + flagged.sum(-1)
        tokens = torch.where(known, proposal, mask_id)
        sure = torch.where(known & masked, now, sure)
    return Decoded(tokens, remasked, len(rounds), sure)
