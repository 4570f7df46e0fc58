import numpy as np
import pytest
import torch
from tiny import CONTRACT, tiny_config, tiny_observation, tiny_statistics

from playloop.benchmarks.decode import bench_decode
from playloop.policies.diffusion import DecoderConfig
from playloop.policies.vla_policy import VLAPolicy
from playloop.tokenizers.instructions import NGramsConfig


def build(batch=1, decoder=None, **changes):
    model = tiny_config(**changes).make(tiny_statistics())
    encoder = NGramsConfig(size=24).make()
    return VLAPolicy(model, CONTRACT, encoder, decoder or DecoderConfig(6, sample="multinomial"), batch)


def ask(policy, rows):
    generators = [torch.Generator().manual_seed(100 + row) for row in rows]
    return policy(policy.initial(len(rows)), [tiny_observation(row) for row in rows], generators)


@pytest.mark.parametrize("batch", [1, 2, 4])
def test_a_row_alone_equals_the_row_in_company(batch):
    policy = build(batch)
    _, together, info = ask(policy, [0, 1, 2, 3, 4])
    assert together.shape == (5, 8, 7) and together.dtype == np.float32
    assert info["tokens"].shape == (5, 56) and info["evaluations"] == info["rounds"] == 6
    for row in range(5):
        carry, alone, _ = ask(policy, [row])
        assert np.array_equal(alone[0], together[row]) and carry == [None]
    assert np.array_equal(ask(policy, [3, 1])[1], together[[3, 1]])
    assert set(np.unique(together[..., 6])) <= {-1.0, 1.0}
    assert not np.array_equal(together[0], together[1])


@pytest.mark.parametrize("attention", ["prefix", "full"])
def test_deterministic_mode_ignores_generators(attention):
    policy = build(decoder=DecoderConfig(4, temperature=0), attention=attention)
    chunks = [policy([None], [tiny_observation(0)], [torch.Generator().manual_seed(s)])[1] for s in (1, 2)]
    assert np.array_equal(*chunks)


def test_missing_camera_is_named():
    observation = tiny_observation(0)
    del observation["images"]["hand"]
    with pytest.raises(ValueError, match="'hand'"):
        build()([None], [observation], [torch.Generator()])


def test_bench_decode_compares_equal_tokens():
    report = bench_decode(build(decoder=DecoderConfig(3, temperature=0)), [tiny_observation(0)], repeats=2)
    assert report["same_tokens"] and report["evaluations"] == 3
    assert report["cached_ms"] > 0 and report["ratio"] == pytest.approx(
        report["uncached_ms"] / report["cached_ms"]
    )
    assert 0 < report["floor_ms"] < report["cached_ms"]
