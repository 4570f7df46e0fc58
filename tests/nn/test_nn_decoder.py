"""The LLaMA stack against Hugging Face's, its static cache, and the filling of slots."""

import pytest
import torch
from transformers import LlamaConfig, LlamaModel

from playloop.nn import llama
from playloop.nn.decoder import Llama, Recording, Rotary, StaticCache, put
from playloop.nn.llama import LlamaSizes, attend_grouped
from playloop.nn.slots import check_shapes, fill_slots, llama_slots, published

SIZES = LlamaSizes(width=48, layers=3, heads=6, groups=2, hidden=80, eps=1e-5, theta=10000.0)
PREFIX, BLOCK = 11, 5


@pytest.fixture(scope="module")
def theirs():
    torch.manual_seed(0)
    config = LlamaConfig(
        hidden_size=SIZES.width,
        intermediate_size=SIZES.hidden,
        num_hidden_layers=SIZES.layers,
        num_attention_heads=SIZES.heads,
        num_key_value_heads=SIZES.groups,
        rms_norm_eps=SIZES.eps,
        vocab_size=10,
        attn_implementation="eager",
    )
    return LlamaModel(config).eval()


@pytest.fixture(scope="module")
def slots():
    return llama_slots(SIZES, "", "")


@pytest.fixture(scope="module")
def ours(theirs, slots):
    model = Llama(SIZES).eval()
    fill_slots(model, slots, weights(theirs).items())
    return model


def weights(theirs):
    return {name: value for name, value in theirs.state_dict().items() if not name.startswith("embed")}


def bias_of(seen):
    return torch.zeros(seen.shape).masked_fill(~seen, float("-inf"))


def masks():
    causal = torch.ones(PREFIX + BLOCK, PREFIX + BLOCK, dtype=torch.bool).tril()
    blocks = torch.ones_like(causal)
    blocks[:PREFIX, PREFIX:] = False
    return {"causal": causal, "blocks": blocks, "full": torch.ones_like(causal)}


@pytest.mark.parametrize("kind", ["causal", "blocks", "full"])
def test_equals_hugging_face(theirs, ours, kind):
    x = torch.randn(2, PREFIX + BLOCK, SIZES.width, generator=torch.Generator().manual_seed(1))
    bias = bias_of(masks()[kind])
    with torch.inference_mode():
        wanted = theirs(inputs_embeds=x, attention_mask=bias[None, None].expand(2, 1, -1, -1))
        found = ours(x, Rotary(SIZES, 20, torch.float32, "cpu").at(torch.arange(PREFIX + BLOCK)), bias)
    torch.testing.assert_close(found, wanted.last_hidden_state, atol=2e-5, rtol=1e-5)
    with torch.inference_mode():
        few = ours(
            x, Rotary(SIZES, 20, torch.float32, "cpu").at(torch.arange(PREFIX + BLOCK)), bias, wanted=3
        )
    torch.testing.assert_close(few, found[:, -3:], atol=1e-5, rtol=1e-5)
    if kind == "full":
        with torch.inference_mode():
            free = ours(x, Rotary(SIZES, 20, torch.float32, "cpu").at(torch.arange(PREFIX + BLOCK)))
        torch.testing.assert_close(free, found)


def test_static_cache_gives_the_same(ours):
    """A prefix that sees itself, then blocks written over each other behind it."""
    x = torch.randn(1, PREFIX + BLOCK, SIZES.width, generator=torch.Generator().manual_seed(2))
    rotary, length = Rotary(SIZES, 20, torch.float32, "cpu"), PREFIX + BLOCK
    cache = StaticCache.empty(SIZES, 1, length, torch.float32, "cpu")
    before, behind = torch.arange(PREFIX), torch.arange(PREFIX, length)
    hidden = bias_of(masks()["blocks"])
    with torch.inference_mode():
        whole = ours(x, rotary.at(torch.arange(length)), hidden)
        ours(x[:, :PREFIX], rotary.at(before), hidden[:PREFIX], cache, before)
        ours(torch.randn(1, BLOCK, SIZES.width), rotary.at(behind), None, cache, behind)
        found = ours(x[:, PREFIX:], rotary.at(behind), None, cache, behind)
    torch.testing.assert_close(found, whole[:, PREFIX:], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("shape", [(3, 2, 7, 4), (3, 2, 7)])
def test_places_of_all_rows_or_of_each(shape):
    rng = torch.Generator().manual_seed(3)
    buffer, values = torch.randn(shape, generator=rng), torch.randn(3, 2, 3, *shape[3:], generator=rng)
    for places in (torch.tensor([4, 0, 6]), torch.tensor([[4, 0, 6], [1, 2, 3], [6, 5, 0]])):
        wanted, found = buffer.clone(), buffer.clone()
        for row in range(3):
            for number, there in enumerate(places.expand(3, 3)[row].tolist()):
                wanted[row, :, there] = values[row, :, number]
        put(found, places, values)
        assert torch.equal(found, wanted)
        few = buffer.clone()
        put(few, places, values[:, :1, :1].expand_as(values))  # values may be a view that repeats itself
        assert (few != buffer).sum() == (found != buffer).sum()


def test_rows_at_places_of_their_own(ours):
    """Rows with prefixes of several lengths, a block behind each, against each row alone."""
    rotary, length = Rotary(SIZES, 20, torch.float32, "cpu"), PREFIX + BLOCK
    cache = StaticCache.empty(SIZES, 3, length, torch.float32, "cpu")
    x = torch.randn(3, length, SIZES.width, generator=torch.Generator().manual_seed(4))
    lengths = [PREFIX, 4, 1]
    with torch.inference_mode():
        for row, before in enumerate(lengths):
            one = slice(row, row + 1)
            places = torch.arange(before)
            ours(x[one, :before], rotary.at(places), None, Recording(cache.rows(one)), places)
        places = torch.tensor(lengths)[:, None] + torch.arange(BLOCK)  # [3, BLOCK]
        seen = torch.arange(length) <= places[..., None]
        block = torch.stack([x[row, before : before + BLOCK] for row, before in enumerate(lengths)])
        found = ours(block, rotary.at(places), bias_of(seen)[:, None], cache, places)
        for row, before in enumerate(lengths):
            whole = torch.ones(before + BLOCK, before + BLOCK, dtype=torch.bool).tril()
            whole[:before, :before] = True
            alone = x[row : row + 1, : before + BLOCK]
            wanted = ours(alone, rotary.at(torch.arange(before + BLOCK)), bias_of(whole))
            torch.testing.assert_close(found[row], wanted[0, before:], atol=1e-5, rtol=1e-5)


def test_slots_are_inverted(ours, theirs, slots):
    found, wanted = published(ours, slots), weights(theirs)
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)


def test_wrong_tensors_are_named(theirs, slots):
    model, good = Llama(SIZES), weights(theirs)
    shapes = {name: tuple(value.shape) for name, value in good.items()}
    check_shapes(model, slots, shapes)
    name = "layers.1.mlp.up_proj.weight"
    with pytest.raises(ValueError, match=r"1 tensors are missing, layers\.1\.mlp\.up_proj"):
        check_shapes(model, slots, {n: s for n, s in shapes.items() if n != name})
    with pytest.raises(ValueError, match=r"1 are unknown, layers\.9"):
        check_shapes(model, slots, shapes | {"layers.9.weight": (1,)})
    with pytest.raises(ValueError, match=r"another shape, .*\(3, 48\), not \(80, 48\)"):
        check_shapes(model, slots, shapes | {name: (3, 48)})
    with pytest.raises(ValueError, match="comes twice"):
        fill_slots(model, slots, [*good.items(), (name, good[name])])
    with pytest.raises(ValueError, match="missing"):
        fill_slots(model, slots, [(n, v) for n, v in good.items() if n != name])
    with pytest.raises(ValueError, match="shape"):
        fill_slots(model, slots, [(n, v[:1] if n == name else v) for n, v in good.items()])


@pytest.mark.parametrize("hidden", [False, True])
def test_many_queries_are_attended_to_without_a_matrix_of_scores(monkeypatch, hidden):
    rng = torch.Generator().manual_seed(0)
    queries, keys, values = (torch.randn(2, heads, 70, 8, generator=rng) for heads in (4, 2, 2))
    seen = torch.rand(2, 1, 70, 70, generator=rng) > 0.5
    bias = torch.zeros(seen.shape).masked_fill(~seen, float("-inf")) if hidden else None
    plain = attend_grouped(queries, keys, values, bias)
    monkeypatch.setattr(llama, "MANY_QUERIES", 64)
    monkeypatch.setattr(torch.Tensor, "softmax", None, raising=False)
    torch.testing.assert_close(attend_grouped(queries, keys, values, bias), plain)
