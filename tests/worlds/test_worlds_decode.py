import pytest
import torch

from playloop.nn.llama import GroupedAttention
from playloop.worlds.decode import decode_frame
from playloop.worlds.model import WorldConfig
from playloop.worlds.ring import RingCache, RingPasses, write_frame
from playloop.worlds.sampler import SamplerConfig, sample

FRAMES, CONTEXT, CODES, TOKENS = 7, 3, 11, 12
SIZES = {"width": 32, "layers": 3, "heads": 4, "groups": 2, "hidden": 48}
CONFIG = WorldConfig(3, 4, CODES, (3, 2), context=CONTEXT, windows=(1, 2, 4), **SIZES)


@pytest.fixture(scope="module")
def model():
    model = CONFIG.make(seed=1).eval()
    for parameter in model.parameters():  # a fresh network hardly reacts; this one does
        parameter.data.mul_(4.0 if parameter.ndim == 2 else 1.0)
    return model


@pytest.fixture(scope="module")
def play():
    generator = torch.Generator().manual_seed(3)
    tokens = torch.randint(CODES, (2, 2, TOKENS), generator=generator)
    actions = torch.stack([torch.randint(n, (2, FRAMES - 1), generator=generator) for n in (3, 2)], -1)
    return tokens, actions, torch.rand(2, FRAMES, TOKENS, generator=generator)


def imagine(model, play, sampler, cache=None):
    """Two given frames, then five imagined ones: more than the ring holds."""
    given, actions, uniform = play
    cache = cache or RingCache.for_model(model, len(given))
    frames = list(given.unbind(1))
    for t, frame in enumerate(frames):
        known = torch.full((len(given),), t > 0)
        write_frame(model, cache, frame, actions[:, max(t - 1, 0)], known, sampler)
    for t in range(len(frames), FRAMES):
        frames.append(decode_frame(model, cache, actions[:, t - 1], uniform[:, t], sampler))
    return torch.stack(frames, 1), cache


@pytest.mark.parametrize("window", [1, 2, 4])
def test_decoding_equals_teacher_forcing(model, play, window, monkeypatch):
    sampler = SamplerConfig(window=window, level=1, top_p=0.7)
    tokens, cache = imagine(model, play, sampler)
    keep, split = [], GroupedAttention.split
    monkeypatch.setattr(GroupedAttention, "split", lambda *a: keep.append(split(*a)[1:]) or split(*a))
    with torch.inference_mode():
        logits = model(tokens, play[1], window, torch.ones(2, dtype=torch.int64))
    for t in range(2, FRAMES):
        assert torch.equal(sample(logits[:, t], play[2][:, t], sampler), tokens[:, t])
    for t in range(FRAMES - CONTEXT, FRAMES):
        count = cache.slots - (t == FRAMES - 1)  # the newest frame's last token is still to be fed
        place = t % cache.blocks * cache.slots
        for layer, (keys, values) in enumerate(keep):
            for buffers, whole in ((cache.keys, keys), (cache.values, values)):
                mine = buffers[layer][:, :, place : place + count]
                truth = whole.unflatten(2, (FRAMES, -1))[:, :, t, :count]
                assert torch.allclose(mine, truth, atol=2e-4, rtol=1e-4)


def test_the_widest_window_equals_raster_decoding_without_a_cache(model, play):
    sampler = SamplerConfig(window=4, level=0, top_p=0.7)
    decoded, _ = imagine(model, play, sampler)
    tokens = torch.cat([play[0], torch.zeros(2, FRAMES - 2, TOKENS, dtype=torch.int64)], 1)
    with torch.inference_mode():
        for t in range(2, FRAMES):
            for n in range(TOKENS):
                logits = model(tokens[:, : t + 1], play[1][:, :t], 4, torch.zeros(2, dtype=torch.int64))
                tokens[:, t, n] = sample(logits[:, t, n : n + 1], play[2][:, t, n : n + 1], sampler)[:, 0]
    assert torch.equal(tokens, decoded)


@pytest.mark.parametrize("window", [1, 4])
def test_nobody_reads_what_was_not_written(model, play, window):
    clean, dirty = (
        imagine(model, play, SamplerConfig(window=window, level=1))[1],
        RingCache.for_model(model, 2),
    )
    for buffer in (*dirty.keys, *dirty.values):
        buffer.fill_(1e4)
    _, dirty = imagine(model, play, SamplerConfig(window=window, level=1), dirty)
    written = dirty.keys[0] != 1e4
    for mine, other in zip(dirty.keys + dirty.values, clean.keys + clean.values, strict=True):
        assert torch.equal(mine[written], other[written])


@pytest.mark.parametrize(("window", "passes"), [(1, 6), (2, 8), (4, 12)])
def test_passes_a_frame(model, play, window, passes, monkeypatch):
    calls = []
    run = RingPasses._run
    monkeypatch.setattr(RingPasses, "_run", lambda *a: calls.append(len(a[1][0])) or run(*a))
    imagine(model, play, SamplerConfig(window=window, level=1))
    assert len(calls) == 2 + passes * (FRAMES - 2)


def test_a_session_that_begins_anew_knows_nothing_of_the_old_one(model, play):
    sampler = SamplerConfig(temperature=0)
    _, cache = imagine(model, play, sampler)
    cache.forget()
    again, _ = imagine(model, play, sampler, cache)
    assert torch.equal(again, imagine(model, play, sampler)[0])


def test_rows_do_not_mix(model, play):
    sampler = SamplerConfig()
    both, _ = imagine(model, play, sampler)
    alone, _ = imagine(model, tuple(part[1:] for part in play), sampler)
    assert torch.equal(alone[0], both[1])


def test_an_action_changes_the_frame_after_it_and_none_before(model, play):
    tokens, _ = imagine(model, play, SamplerConfig())
    other = play[1].clone()
    other[:, 2, 0] = (other[:, 2, 0] + 1) % 3  # a_2 stands between x_2 and x_3
    level = torch.zeros(2, dtype=torch.int64)
    with torch.inference_mode():
        changed = (model(tokens, play[1], 1, level) != model(tokens, other, 1, level)).flatten(2).any(2)
    assert not changed[:, :3].any()
    assert changed[:, 3].all()
