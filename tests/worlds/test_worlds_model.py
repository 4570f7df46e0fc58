import torch

from playloop.worlds.decode import decode_frame
from playloop.worlds.model import WorldConfig
from playloop.worlds.ring import RingCache, write_frame
from playloop.worlds.sampler import SamplerConfig

SIDE, STEPS = 3, 300


def walk(batch, frames, generator):
    """A dot on a ring of SIDE² places that an action moves by -1, 0 or 1; tokens are 0 and, at the dot, 1."""
    actions = torch.randint(3, (batch, frames - 1, 1), generator=generator)
    start = torch.randint(SIDE**2, (batch, 1), generator=generator)
    place = torch.cat([start, start + (actions[..., 0] - 1).cumsum(1)], 1) % SIDE**2
    return torch.nn.functional.one_hot(place, SIDE**2), actions


def test_a_small_model_learns_to_follow_actions():
    torch.manual_seed(0)
    sizes = {"width": 48, "layers": 2, "heads": 2, "groups": 1, "hidden": 96}
    config = WorldConfig(SIDE, SIDE, 2, (3,), **sizes, context=2, windows=(1, SIDE), corruption=(0.0, 0.05))
    model, generator = config.make(), torch.Generator().manual_seed(5)
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, STEPS)
    for _ in range(STEPS):
        tokens, actions = walk(16, 5, generator)
        loss, metrics = model.loss({"tokens": tokens, "actions": actions}, generator)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    assert metrics["accuracy"] > metrics["persistence"]
    tokens, actions = walk(64, 4, generator)
    for window in (1, SIDE):
        assert follows(model.eval(), tokens, actions, SamplerConfig(0.0, window=window, level=0)) > 0.9


def follows(model, tokens, actions, sampler):
    """Share of imagined frames in which the dot is where its actions lead."""
    cache = RingCache.for_model(model, len(tokens))
    write_frame(
        model, cache, tokens[:, 0], actions[:, 0], torch.zeros(len(tokens), dtype=torch.bool), sampler
    )
    frame, right = tokens[:, 0], []
    for t in range(1, tokens.shape[1]):
        uniform = torch.rand(frame.shape, generator=torch.Generator().manual_seed(t))
        frame = decode_frame(model, cache, actions[:, t - 1], uniform, sampler)
        right.append((frame == tokens[:, t]).all(1).float().mean())
    return float(torch.stack(right).mean())
