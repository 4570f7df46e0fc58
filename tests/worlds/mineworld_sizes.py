"""A small MineWorld whose frames really depend on what came before."""

from __future__ import annotations

import torch

from playloop.worlds.mineworld.decode import DecodeState, FrameTables, prefill
from playloop.worlds.mineworld.model import MineWorldConfig
from playloop.worlds.mineworld.sampler import MineWorldSampler

CONFIG = MineWorldConfig(
    rows=3, columns=4, codes=20, vocabulary=90, width=32, layers=2, heads=4, groups=2, hidden=48, context=5
)


def model(seed=0, **changes):
    """In float64, with weights that are far from a fresh network's."""
    made = MineWorldConfig(**{**vars(CONFIG), **changes}).make(seed).double()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.mul_(8.0 if parameter.ndim == 2 else 1.0)
        if made.start is not None:
            made.start.normal_(generator=torch.Generator().manual_seed(9))
    return made.eval()


def clip(frames, batch=2, seed=0):
    """Tokens [B, T, N] and actions [B, T + 3, 11] of noise."""
    rng = torch.Generator().manual_seed(seed)
    tokens = torch.randint(0, CONFIG.codes, (batch, frames, CONFIG.tokens), generator=rng)
    return tokens, torch.randint(CONFIG.codes, 88, (batch, frames + 3, 11), generator=rng)


def draws(batch=2, seed=0):
    """Uniform numbers of a frame."""
    return torch.rand(batch, CONFIG.tokens, generator=torch.Generator().manual_seed(100 + seed))


def begun(made, tokens, actions, sampler: MineWorldSampler):
    """A state that holds a clip, and the tables of the sampler's schedule."""
    schedule = sampler.schedule(made.config.rows, made.config.columns, 11)
    state = DecodeState.empty(made, len(tokens))
    prefill(made, state, tokens, actions[:, : tokens.shape[1] - 1], schedule)
    return state, FrameTables.of(schedule, state)
