"""Split attention against plain attention, on a GPU or by Triton's interpreter (TRITON_INTERPRET=1)."""

import os

import pytest
import torch

pytest.importorskip("triton", reason="Triton is not installed; it comes with PyTorch's CUDA builds")
if not torch.cuda.is_available() and os.environ.get("TRITON_INTERPRET") != "1":
    pytest.skip("no GPU; TRITON_INTERPRET=1 runs the kernels on the CPU", allow_module_level=True)

from playloop.nn.split_attention import attend_split

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def plain(queries, keys, values, bias):
    times = queries.shape[1] // keys.shape[1]
    scores = queries @ keys.repeat_interleave(times, 1).transpose(-1, -2) * queries.shape[-1] ** -0.5
    if bias is not None:
        scores = scores + bias
    return scores.softmax(-1) @ values.repeat_interleave(times, 1)


@pytest.mark.parametrize("hidden", ["none", "shared", "rows"])
@pytest.mark.parametrize(
    ("heads", "groups", "asked", "places"), [(16, 4, 14, 333), (4, 4, 1, 64), (8, 2, 5, 700)]
)
def test_equals_plain_attention(hidden, heads, groups, asked, places):
    generator = torch.Generator(DEVICE).manual_seed(0)

    def draw(*shape):
        return torch.randn(shape, generator=generator, device=DEVICE)

    batch, size = 2, 32
    queries = draw(batch, heads, asked, size)
    keys, values = draw(batch, groups, places, size), draw(batch, groups, places, size)
    bias = None
    if hidden != "none":
        shape = (asked, places) if hidden == "shared" else (batch, 1, asked, places)
        seen = draw(*shape) > 1.0
        seen[..., :100] = False  # a whole range that nobody sees
        seen[..., -3:] = True
        bias = torch.zeros(shape, device=DEVICE).masked_fill(~seen, float("-inf"))
    found, wanted = attend_split(queries, keys, values, bias), plain(queries, keys, values, bias)
    torch.testing.assert_close(found, wanted, atol=2e-5, rtol=1e-4)
