"""MineWorld's transformer: against transformers' Llama, against its own decoding, and its sizes."""

from __future__ import annotations

import math

import pytest
import torch
from mineworld_sizes import CONFIG, begun, clip, draws, model, unit_of
from transformers import LlamaConfig, LlamaForCausalLM

from playloop.nn.slots import check_shapes, fill_slots
from playloop.worlds.decode import decode_frame
from playloop.worlds.mineworld.clip import ClipSchedule, clip_schedule
from playloop.worlds.mineworld.model import PRESETS, MineWorld, MineWorldConfig
from playloop.worlds.sampler import SamplerConfig
from playloop.worlds.schedule import step_indices

CHOICES = [
    {"window": 1},
    {"window": 2, "placeholder": "above"},
    {"window": 3, "causal": True},
    {"window": 4},
]


@pytest.mark.parametrize(
    ("name", "millions", "positions"),
    [
        ("300M_16f", 321.0, 5552),
        ("700M_16f", 726.0, 5552),
        ("700M_32f", 726.0, 11104),
        ("1200M_16f", 1229.3, 5552),
        ("1200M_32f", 1229.3, 11104),
    ],
)
def test_the_published_sizes(name, millions, positions):
    with torch.device("meta"):
        made = MineWorld(PRESETS[name])
    assert round(sum(value.numel() for value in made.parameters()) / 1e6, 1) == millions
    assert PRESETS[name].positions == positions and PRESETS[name].actions.ids == range(8192, 8260)


@pytest.mark.parametrize("window", [4, 2])
def test_raster_order_is_transformers_llama(window):
    """The clip as one causal sequence; a diagonal mask must not give the same."""
    sizes = LlamaConfig(
        vocab_size=90,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        rms_norm_eps=1e-5,
        tie_word_embeddings=False,
        max_position_embeddings=128,
        attn_implementation="eager",
    )
    torch.manual_seed(0)
    theirs = LlamaForCausalLM(sizes).double().eval()
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.mul_(6.0 if parameter.ndim == 2 else 1.0)
    ours = MineWorld(CONFIG).double()
    state = {f"transformer.{name}": value for name, value in theirs.state_dict().items()}
    check_shapes(ours, ours.slots(), {name: tuple(value.shape) for name, value in state.items()})
    fill_slots(ours, ours.slots(), state.items())
    tokens, actions = clip(3)
    ids = torch.cat([tokens[:, 0], actions[:, 0], tokens[:, 1], actions[:, 1], tokens[:, 2]], 1)
    with torch.no_grad():
        found = ours(tokens, actions[:, :2], unit_of(3, 4, window))
        wanted = theirs(ids).logits[:, :-1]
    assert wanted.std() > 0.3
    assert torch.allclose(found, wanted, atol=1e-5) == (window == 4)


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("starts", [False, True])
def test_training_sees_what_decoding_sees(choice, starts, monkeypatch):
    """Logits of every token of two decoded frames, computed at once and step by step."""
    made, sampler = model(start_queries=starts), SamplerConfig(**choice)
    tokens, actions = clip(1)
    state = begun(made, tokens, actions, sampler)
    stepwise, visual = [], made.visual
    monkeypatch.setattr(made, "visual", lambda hidden: stepwise.append(visual(hidden)) or stepwise[-1])
    decoded = [decode_frame(made, state, actions[:, k], draws(seed=k), sampler) for k in range(2)]
    whole = torch.cat([tokens, torch.stack(decoded, 1)], 1)
    schedule = made.config.schedule(sampler)
    with torch.no_grad():
        at_once = made(whole, actions[:, :2], schedule, sampler.source)
    steps = step_indices(schedule, torch.device("cpu"))
    passes = [step.targets for step in steps] * 2
    for number, (targets, logits) in enumerate(zip(passes, stepwise, strict=True)):
        unit = 1 + number // len(steps)
        found = at_once[:, unit * 23 + targets - 1, : CONFIG.codes]
        torch.testing.assert_close(logits, found, rtol=0, atol=1e-9)
    assert torch.cat(stepwise, 1).std() > 0.3


@pytest.mark.parametrize("choice", CHOICES)
def test_no_counted_prediction_sees_its_target(choice):
    made, sampler = model(), SamplerConfig(**choice)
    schedule, (tokens, actions) = made.config.schedule(sampler), clip(2, batch=1)
    counted = ClipSchedule(schedule, 2, asks=True).counted
    with torch.no_grad():
        before = made(tokens, actions[:, :1], schedule, sampler.source)
        for target in [*range(1, 12), *range(23, 35)]:
            changed = tokens.clone()
            place_in_frame = target if target < 12 else target - 23
            changed[0, target // 23, place_in_frame] = (tokens[0, target // 23, place_in_frame] + 1) % 20
            after = made(changed, actions[:, :1], schedule, sampler.source)
            assert torch.equal(before[:, target - 1], after[:, target - 1]) == bool(counted[target - 1])


def test_the_loss_counts_frames_and_actions():
    made = model(start_queries=True).train()
    tokens, actions = clip(3)
    batch = {"tokens": tokens, "actions": actions[:, :2]}
    schedule = unit_of(3, 4, 1)
    clip_schedule.cache_clear()
    with torch.inference_mode():  # what it leaves in memory must serve training too
        made(tokens, actions[:, :2], schedule)
    loss, metrics = made.loss(batch, schedule, dtype=torch.float64)
    loss.backward()
    assert made.start.grad.abs().sum(1).min() > 0
    assert made.head.weight.grad[CONFIG.codes :].abs().sum() > 0, "actions are learnt too"
    assert set(metrics) == {"accuracy", "accuracy_actions"}
    logits = made(tokens, actions[:, :2], schedule)
    sequence = made.sequence(tokens, actions[:, :2])
    picked = torch.log_softmax(logits, -1).gather(-1, sequence[:, 1:, None])[..., 0]
    kept = torch.ones(picked.shape[1], dtype=torch.bool)
    kept[[3, 7]] = False  # rows of the first frame, which nobody asks for
    assert math.isclose(loss.item(), -picked[:, kept].mean().item(), rel_tol=1e-6)


def test_sizes_that_do_not_fit():
    with pytest.raises(ValueError, match="vocabulary=80"):
        MineWorldConfig(codes=20, vocabulary=80).make()
    with pytest.raises(ValueError, match="context=1"):
        MineWorldConfig(context=1).make()
    with pytest.raises(ValueError, match="placeholder=x"):
        tokens, actions = clip(2)
        model()(tokens, actions[:, :1], unit_of(3, 4, 1), "x")
