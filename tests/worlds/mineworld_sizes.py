"""A small MineWorld whose frames really depend on what came before."""

from __future__ import annotations

import torch

from playloop.worlds.mineworld.decode import ContextCache, prefill
from playloop.worlds.mineworld.model import MineWorldConfig
from playloop.worlds.sampler import SamplerConfig
from playloop.worlds.schedule import Schedule

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


def begun(made, tokens, actions, sampler: SamplerConfig):
    """A cache that holds a clip."""
    cache = ContextCache.for_model(made, len(tokens))
    schedule = made.config.schedule(sampler)
    prefill(made, cache, tokens, actions[:, : tokens.shape[1] - 1], schedule)
    return cache


def unit_of(rows=14, columns=24, window=1, actions=11, **rules):
    """A MineWorld's schedule; the defaults are the published grid."""
    return Schedule(rows, columns, window, actions, own_starts=False, **rules)
