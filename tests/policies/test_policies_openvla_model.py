"""OpenVLA's sequence against transformers' LlamaModel under an explicit mask; its parts against formulas."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from openvla_tiny import generator, inputs_of, model_of
from torch import nn
from transformers import LlamaConfig, LlamaModel

from playloop.nn.slots import llama_slots, published


@torch.no_grad()
def reference(model):
    """transformers' model with the same weights, copied by their published names."""
    sizes = model.config.llama
    settings = LlamaConfig(
        hidden_size=sizes.width,
        num_hidden_layers=sizes.layers,
        num_attention_heads=sizes.heads,
        intermediate_size=sizes.hidden,
        rms_norm_eps=1e-6,
        vocab_size=8,
        attn_implementation="eager",
    )
    theirs = LlamaModel(settings).eval()
    state = published(model, llama_slots(sizes, "", "llama."))
    theirs.load_state_dict(state | {"embed_tokens.weight": theirs.embed_tokens.weight})
    return theirs


def mask_by_hand(mode, prefix, block):
    """Row by row, from the words of the definition."""
    total = prefix + block
    mask = torch.full((total, total), torch.finfo(torch.float32).min)
    for row in range(total):
        for key in range(total):
            seen = mode == "full" or key <= row if mode != "block" else row >= prefix - 1 or key < prefix - 1
            if seen:
                mask[row, key] = 0.0
    return mask[None, None]


def sequence(kind="diffusion", block=5, **changes):
    model = model_of(kind, **changes)
    images, proprio, prompt = inputs_of(model.config)
    words = prompt if model.config.film else None
    prefix = model.prefix(model.see(images, words), proprio, prompt)
    ids = torch.randint(31744, 32000, (2, block), generator=generator(3))
    return model, prefix, model.block(ids)


@pytest.mark.parametrize("mode", ["causal", "full", "block"])
def test_a_joint_pass_is_transformers_llama_under_the_mode_s_mask(mode):
    model, prefix, block = sequence()
    hidden = model(prefix, block, model.layout(prefix, block.shape[1], mode))
    mask = mask_by_hand(mode, prefix.shape[1], block.shape[1]).expand(2, -1, -1, -1)
    theirs = reference(model)(
        inputs_embeds=torch.cat([prefix, block], 1), attention_mask=mask, use_cache=False
    ).last_hidden_state
    assert hidden.shape == (2, block.shape[1] + 1, 32)
    torch.testing.assert_close(hidden, theirs[:, prefix.shape[1] - 1 :], rtol=1e-4, atol=1e-4)


def test_modes_differ():
    model, prefix, block = sequence()
    hidden = [model(prefix, block, model.layout(prefix, 6, mode)) for mode in ("causal", "full", "block")]
    assert all((a - b).abs().max() > 1e-2 for a, b in [hidden[:2], hidden[1:], hidden[::2]])


def test_full_attention_has_no_mask_and_is_the_default_of_released_checkpoints():
    model, prefix, block = sequence()
    layout = model.layout(prefix, 6)
    assert layout.mode == "full" and layout.bias is None
    changed = prefix.clone()
    changed[:, -2] += 1
    altered = block.clone()
    altered[:, -1] += 1  # </s>, the last of all, is seen by the first predictor
    first = model(prefix, block, layout)[:, 0]
    assert all(
        (first - model(*pair, layout)[:, 0]).abs().max() > 1e-3
        for pair in [(changed, block), (prefix, altered)]
    )


def test_a_sequence_of_another_form_than_the_layout_s_is_refused():
    model, prefix, block = sequence()
    full = model.layout(prefix, 6)
    with pytest.raises(ValueError, match="not that of the layout: block 5, not 6"):
        model(prefix, block[:, 1:], full)
    with pytest.raises(ValueError, match=r"type torch\.float64"):
        model(prefix.double(), block.double(), full)
    with pytest.raises(ValueError, match="choose from causal, full, block"):
        model.layout(prefix, 6, "bidirectional")


@pytest.mark.parametrize("length", [None, 40])
def test_causal_cache_gives_the_joint_pass_s_states(length):
    model, prefix, block = sequence("openvla")
    joint = model(prefix, block, model.layout(prefix, 6))
    layout = model.layout(prefix, 0, length=length or prefix.shape[1] + 6)
    hidden, cache = model.prefill(prefix, block[:, :0], layout)
    states = [hidden]
    for number in range(6):
        states.append(model.extend(block[:, number : number + 1], prefix.shape[1] + number, cache, layout))
    torch.testing.assert_close(torch.cat(states, 1), joint, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("length", [None, 40])
def test_block_causal_cache_gives_the_joint_pass_s_states_round_after_round(length):
    model, prefix, block = sequence(attention="block")
    layout = model.layout(prefix, 6, length=length)
    hidden, cache = model.prefill(prefix, block, layout)
    torch.testing.assert_close(hidden, model(prefix, block, layout), rtol=1e-4, atol=1e-5)
    for seed in range(3):
        again = model.block(torch.randint(31744, 32000, (2, 5), generator=generator(seed)))
        last = prefix[:, -1:]
        cached = model.extend(torch.cat([last, again], 1), prefix.shape[1] - 1, cache, layout)
        torch.testing.assert_close(cached, model(prefix, again, layout), rtol=1e-4, atol=1e-5)


def test_a_cache_is_refused_where_it_could_not_be_exact():
    model, prefix, block = sequence()
    with pytest.raises(ValueError, match="use forward"):
        model.prefill(prefix, block, model.layout(prefix, 6))
    layout = model.layout(prefix, 6, "block")
    _, cache = model.prefill(prefix, block, layout)
    with pytest.raises(ValueError, match=rf"a block has 7 from {prefix.shape[1] - 1}"):
        model.extend(block, prefix.shape[1], cache, layout)
    causal = model.layout(prefix, 6, "causal")
    with pytest.raises(ValueError, match="leave a cache"):
        model.extend(block, prefix.shape[1] + 1, cache, causal)


@pytest.mark.parametrize("mode", ["causal", "full", "block"])
@pytest.mark.parametrize("film", [False, True])
def test_rows_of_unequal_prompts_compute_what_they_do_alone(mode, film):
    model = model_of("diffusion", film=film)
    images, proprio, prompt = inputs_of(model.config, length=9)
    short = torch.cat([prompt[1:, :1], prompt[1:, 4:]], 1)
    both = prompt.clone()
    both[1, 1:4] = 32000  # fillers, just behind <s>
    block = model.block(torch.randint(31744, 32000, (2, 5), generator=generator(3)))

    def run(rows, ids):
        prefix = model.prefix(model.see(images[rows], ids if film else None), proprio[rows], ids)
        layout = model.layout(prefix, 6, mode, model.padding(ids), length=40)
        if mode == "full":
            return model(prefix, block[rows], layout)
        hidden, cache = model.prefill(prefix, block[rows], layout)
        start = prefix.shape[1] - 1
        again = model.extend(torch.cat([prefix[:, -1:], block[rows]], 1), start, cache, layout)
        torch.testing.assert_close(again, hidden, rtol=1e-4, atol=1e-4)
        return hidden

    together = run(slice(0, 2), both)
    assert model.padding(prompt) is None
    torch.testing.assert_close(together[:1], run(slice(0, 1), prompt[:1]), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(together[1:], run(slice(1, 2), short), rtol=1e-4, atol=1e-4)


def test_the_prefix_is_begin_patches_state_prompt():
    model = model_of("oft")
    images, proprio, prompt = inputs_of(model.config)
    patches = model.see(images)
    prefix = model.prefix(patches, proprio, prompt)
    assert patches.shape == (2, 8, 32) and prefix.shape == (2, 1 + 8 + 1 + 5, 32)
    table, state = model.table.weight, model.proprio
    torch.testing.assert_close(prefix[:, 0], table[[1, 1]])
    torch.testing.assert_close(prefix[:, 1:9], patches)
    hidden = F.gelu(proprio @ state.first.weight.T + state.first.bias)
    torch.testing.assert_close(prefix[:, 9], hidden @ state.second.weight.T + state.second.bias)
    torch.testing.assert_close(prefix[:, 10:], table[prompt[:, 1:]])
    assert torch.equal(prefix[:, -1], table[[29871, 29871]])


def test_patches_are_both_towers_side_by_side_picture_by_picture():
    model = model_of("oft")
    images, _, _ = inputs_of(model.config)
    third = model.projector
    for number in range(2):
        picture = images[:, number]
        features = torch.cat([model.towers[0](picture[:, :3]), model.towers[1](picture[:, 3:])], 2)
        x = F.gelu(F.linear(features, third.first.weight, third.first.bias))
        x = F.linear(
            F.gelu(F.linear(x, third.second.weight, third.second.bias)), third.third.weight, third.third.bias
        )
        torch.testing.assert_close(model.see(images)[:, 4 * number : 4 * number + 4], x)


def test_film_is_conditioned_on_the_mean_of_prompt_and_end():
    model = model_of("diffusion", film=True)
    images, _, prompt = inputs_of(model.config)
    table = model.table.weight
    mean = torch.stack([table[[*row, 2]].mean(0) for row in prompt.tolist()])
    torch.testing.assert_close(model.condition(prompt), mean)
    other = prompt.clone()
    other[:, 2] = 5
    assert (model.see(images, prompt) - model.see(images, other)).abs().max() > 1e-3
    tower = model.towers[1]
    features = tower(images[:, 1, 3:], model.films[1](mean))
    seen = torch.cat([model.towers[0](images[:, 1, :3], model.films[0](mean)), features], -1)
    torch.testing.assert_close(model.see(images, prompt)[:, 4:], model.projector(seen))


def test_the_head_scores_only_what_is_asked_for():
    model, prefix, block = sequence()
    hidden = model(prefix, block, model.layout(prefix, 6))
    everything = model.logits(hidden)
    torch.testing.assert_close(everything, hidden @ model.head.weight.T)
    torch.testing.assert_close(model.logits(hidden, slice(0, 32000)), everything[..., :32000])
    ids = torch.tensor([31999, 5, 32001])
    torch.testing.assert_close(model.logits(hidden, ids), everything[..., ids])
    assert model.logits(hidden.bfloat16(), ids).dtype == torch.float32


def test_the_action_head_is_oft_s():
    model = model_of("oft")
    hidden = torch.randn(2, 56, 32, generator=generator(2))
    head, weights = model.action_head, dict(model.action_head.named_parameters())
    published_form = nn.Sequential(
        nn.LayerNorm(7 * 32),
        nn.Linear(7 * 32, 32),
        nn.ReLU(),
    )
    blocks = [nn.Sequential(nn.LayerNorm(32), nn.Linear(32, 32), nn.ReLU()) for _ in range(2)]
    last = nn.Sequential(nn.LayerNorm(32), nn.Linear(32, 7))
    published_form[0].load_state_dict({n: weights[f"norm_in.{n}"] for n in ("weight", "bias")})
    published_form[1].load_state_dict({n: weights[f"first.{n}"] for n in ("weight", "bias")})
    for number, block in enumerate(blocks):
        block[0].load_state_dict({n: weights[f"blocks.{number}.norm.{n}"] for n in ("weight", "bias")})
        block[1].load_state_dict({n: weights[f"blocks.{number}.layer.{n}"] for n in ("weight", "bias")})
    last[0].load_state_dict({n: weights[f"norm_out.{n}"] for n in ("weight", "bias")})
    last[1].load_state_dict({n: weights[f"last.{n}"] for n in ("weight", "bias")})
    with torch.no_grad():
        x = published_form(hidden.reshape(2, 8, 7 * 32))
        for block in blocks:
            x = x + block(x)
        wanted = last(x)
    torch.testing.assert_close(model.act(hidden), wanted, rtol=1e-4, atol=1e-5)
    assert head(hidden).shape == (2, 8, 7)


def test_a_blank_block_is_zeros_and_the_end():
    model = model_of("oft")
    blank = model.blank(2)
    assert blank.shape == (2, 57, 32) and not blank[:, :56].any()
    assert torch.equal(blank[:, 56], model.table.weight[[2, 2]])
    ids = torch.full((2, 3), 31744)
    assert torch.equal(model.block(ids), model.table.weight[torch.tensor([[31744] * 3 + [2]] * 2)])


def test_wrong_inputs_are_named():
    model, plain = model_of("oft"), model_of("openvla")
    images, proprio, prompt = inputs_of(model.config)
    patches = model.see(images)
    for state in (None, proprio[:, :7]):
        with pytest.raises(ValueError, match="reads a state of 8 numbers"):
            model.prefix(patches, state, prompt)
    with pytest.raises(ValueError, match="give no state"):
        plain.prefix(patches[:, :4], proprio, prompt)
    with pytest.raises(ValueError, match=r"not \('B', 2, 6, 28, 28\)"):
        model.see(images[:, :1])
    with pytest.raises(ValueError, match="does not take words"):
        model.see(images, prompt)
    with pytest.raises(ValueError, match="needs words"):
        model_of("oft", film=True).see(images)
    with pytest.raises(ValueError, match="must begin with the id 1"):
        model.check_prompts(prompt[:, 1:])
    with pytest.raises(ValueError, match="has no action head"):
        plain.act(torch.zeros(1, 7, 32))
    with pytest.raises(ValueError, match="the head reads 56"):
        model.act(torch.zeros(1, 57, 32))
