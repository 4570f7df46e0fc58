import pytest
import torch

from playloop.nn.transformer import Transformer, attend, prefix_mask

SLOTS = torch.arange(11, 18)


@pytest.fixture(scope="module")
def parts():
    torch.manual_seed(0)
    return Transformer(32, 3, 4, 2.0).eval(), torch.randn(2, 11, 32), torch.randn(2, 7, 32)


def test_cached_equals_joint(parts):
    network, prefix, block = parts
    with torch.inference_mode():
        joint = network.jointly(torch.cat([prefix, block], 1), prefix_mask(11, 7))
        hidden, cache = network.prefill(prefix, readout=2)
        assert torch.allclose(network.extend(block, cache, SLOTS), joint[:, 11:], atol=1e-5, rtol=1e-5)
        assert torch.allclose(hidden, joint[:, 9:11], atol=1e-5, rtol=1e-5)


def test_static_buffers_change_no_bit_and_can_be_used_again(parts):
    network, prefix, block = parts
    with torch.inference_mode():
        _, cache = network.prefill(prefix, readout=1)
        static = cache.reserve(7)
        first = network.extend(block, cache, SLOTS)
        assert torch.equal(network.extend(block, static, SLOTS), first)
        assert not torch.equal(network.extend(block + 1, static, SLOTS), first)
        assert torch.equal(network.extend(block, static, SLOTS), first)


def test_repeated_prefix_serves_several_blocks(parts):
    network, prefix, block = parts
    with torch.inference_mode():
        _, cache = network.prefill(prefix, readout=1)
        blocks = torch.stack([block, block + 1], 1).flatten(0, 1)  # [2 * 2, 7, 32]
        together = network.extend(blocks, cache.repeat(2), SLOTS).unflatten(0, (2, 2))
        assert torch.allclose(together[:, 0], network.extend(block, cache, SLOTS), atol=1e-5)
        assert torch.allclose(together[:, 1], network.extend(block + 1, cache, SLOTS), atol=1e-5)


def test_prefix_never_sees_the_block(parts):
    network, prefix, block = parts
    with torch.inference_mode():
        one, two = (
            network.jointly(torch.cat([prefix, b], 1), prefix_mask(11, 7)) for b in (block, block + 1)
        )
    assert torch.equal(one[:, :11], two[:, :11]) and not torch.equal(one[:, 11:], two[:, 11:])


def test_attend_equals_the_fused_kernel():
    torch.manual_seed(0)
    queries, keys, values = torch.randn(2, 3, 5, 8), torch.randn(2, 3, 9, 8), torch.randn(2, 3, 9, 8)
    mask = torch.rand(5, 9) > 0.3
    mask[:, 0] = True
    fused = torch.nn.functional.scaled_dot_product_attention(queries, keys, values, attn_mask=mask)
    assert torch.allclose(attend(queries, keys, values, mask), fused, atol=1e-6)
