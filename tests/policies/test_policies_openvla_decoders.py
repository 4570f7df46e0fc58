"""OpenVLA's four decoders against transformers' Llama and against passes without any cache."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from openvla_tiny import inputs_of, model_of
from transformers import LlamaConfig, LlamaForCausalLM

from playloop.nn.slots import llama_slots, published
from playloop.policies.diffusion import RELEASED, DecoderConfig, Noise, decode, draw_noise
from playloop.policies.openvla.decoders import DecodingConfig, block_pass, decode_chunk

NOTHING = Noise(torch.zeros(2, 1, 1), torch.zeros(2, 1, 1))
LENGTH = 56


def prepared(kind, **changes):
    model = model_of(kind, **changes)
    images, proprio, prompt = inputs_of(model.config)
    return model, model.prefix(model.see(images), proprio, prompt)


@torch.no_grad()
def reference(model):
    """transformers' causal language model with the same weights."""
    sizes = model.config.llama
    settings = LlamaConfig(
        hidden_size=sizes.width,
        num_hidden_layers=sizes.layers,
        num_attention_heads=sizes.heads,
        intermediate_size=sizes.hidden,
        rms_norm_eps=sizes.eps,
        vocab_size=model.config.vocabulary,
        attn_implementation="eager",
        eos_token_id=None,
        pad_token_id=None,
    )
    theirs = LlamaForCausalLM(settings).eval()
    state = published(model, llama_slots(sizes, "model.", "llama."))
    state |= {"model.embed_tokens.weight": model.table.weight, "lm_head.weight": model.head.weight}
    theirs.load_state_dict(state)
    return theirs


@torch.no_grad()
def their_logits(theirs, prefix, embedded):
    """Scores at the 56 places one before each action, everything seeing everything."""
    x = torch.cat([prefix, embedded], 1)
    mask = torch.zeros(len(x), 1, x.shape[1], x.shape[1])
    return theirs(inputs_embeds=x, attention_mask=mask).logits[:, -LENGTH - 2 : -2]


def test_token_by_token_is_transformers_greedy_generation():
    model, prefix = prepared("openvla")
    found = decode_chunk(model, prefix, DecodingConfig().of(model.config), NOTHING)
    wanted = reference(model).generate(
        inputs_embeds=prefix, max_new_tokens=7, do_sample=False, use_cache=True
    )
    assert found.tokens.tolist() == wanted.tolist() and found.evaluations == 7
    assert found.tokens.unique().numel() > 4, "the test could not tell tokens apart"


def test_one_pass_is_transformers_best_of_the_whole_table():
    model, prefix = prepared("parallel")
    found = decode_chunk(model, prefix, DecodingConfig().of(model.config), NOTHING)
    theirs = reference(model)
    end = theirs.model.embed_tokens(torch.full((2, 1), 2))
    logits = their_logits(theirs, prefix, torch.cat([torch.zeros(2, LENGTH, 32), end], 1))
    assert torch.equal(found.tokens, logits.argmax(-1))
    assert found.evaluations == 1 and found.values is None


def test_regression_is_the_head_on_the_same_places():
    model, prefix = prepared("oft")
    found = decode_chunk(model, prefix, DecodingConfig().of(model.config), NOTHING)
    theirs = reference(model)
    end = theirs.model.embed_tokens(torch.full((2, 1), 2))
    x = torch.cat([prefix, torch.zeros(2, LENGTH, 32), end], 1)
    with torch.no_grad():
        states = theirs.model(inputs_embeds=x, attention_mask=torch.zeros(2, 1, x.shape[1], x.shape[1]))
    wanted = model.act(states.last_hidden_state[:, -LENGTH - 2 : -2])
    assert found.tokens is None and found.values.shape == (2, 8, 7)
    assert torch.allclose(found.values, wanted, atol=1e-4)


@pytest.mark.parametrize("ids", ["words", "actions"])
def test_diffusion_is_the_loop_over_transformers_logits(ids):
    model, prefix = prepared("diffusion")
    theirs = reference(model)
    config = DecoderConfig(rounds=4, order="sampled", temperature=0.0, schedule="float32", ties="all")
    decoding = DecodingConfig(ids=ids, diffusion=config).of(model.config)
    first = 31744 if ids == "actions" else 0

    def logits(tokens):
        shown = torch.where(tokens == 40000, 32001, tokens + first)
        embedded = theirs.model.embed_tokens(F.pad(shown, (0, 1), value=2))
        return their_logits(theirs, prefix, embedded)[..., first:32000]

    noise = draw_noise([torch.Generator().manual_seed(row) for row in (0, 1)], config, LENGTH)
    found = decode_chunk(model, prefix, decoding, noise)
    wanted = decode(logits, LENGTH, config, noise, mask_id=40000).tokens + first
    assert torch.equal(found.tokens, wanted) and found.evaluations == 4
    assert found.tokens.min() >= first and found.tokens.max() < 32000


def test_the_released_decoder_draws_from_its_noise():
    model, prefix = prepared("diffusion")
    decoding = DecodingConfig(diffusion=RELEASED).of(model.config)
    assert decoding.ids == slice(0, 32000)
    noises = [draw_noise([torch.Generator().manual_seed(s)] * 2, RELEASED, LENGTH) for s in (0, 0, 1)]
    same, again, other = (decode_chunk(model, prefix, decoding, noise).tokens for noise in noises)
    assert torch.equal(same, again) and not torch.equal(same, other)


def test_a_block_causal_cache_gives_the_uncached_states():
    model, prefix = prepared("diffusion", attention="block")
    states = block_pass(model, prefix)
    layout = model.layout(prefix, LENGTH + 1)
    masked = torch.full((2, LENGTH), model.config.mask)
    drawn = [
        torch.randint(31744, 32000, (2, LENGTH), generator=torch.Generator().manual_seed(s)) for s in (0, 1)
    ]
    for ids in (masked, *drawn):
        joint = model(prefix, model.block(ids), layout)[:, :LENGTH]
        assert torch.allclose(states(ids), joint, atol=1e-4)


def test_what_a_checkpoint_was_not_trained_for_is_refused():
    config = model_of("oft").config
    with pytest.raises(ValueError, match="trained for l1"):
        DecodingConfig(decoder="diffusion").of(config)
    with pytest.raises(ValueError, match="ids='bins'"):
        DecodingConfig(ids="bins")
    assert DecodingConfig().of(config).decoder == "l1"
