import pytest
import torch
from tiny import tiny_config, tiny_statistics

from playloop.benchmarks.train_step import random_batch
from playloop.policies.diffusion import draw_masks


def build(**changes):
    return tiny_config(**changes).make(tiny_statistics())


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def prompt_of(model, batch):
    images = {name: batch[f"images.{name}"] for name in model.cameras}
    return model.prompt(images, batch["state"], batch["instruction"], torch.float32)


def test_masks_follow_the_cosine():
    masks = draw_masks(20_000, 56, generator())
    counts = masks.sum(1)
    assert counts.min() == 1 and counts.max() == 56
    assert abs(counts.float().mean() / 56 - 2 / torch.pi) < 0.01
    assert (masks.float().mean(0) - 2 / torch.pi).abs().max() < 0.02


def test_cached_logits_equal_uncached():
    model = build().eval()
    batch = random_batch(model, 3, generator())
    tokens = torch.randint(0, 257, (3, 56), generator=generator(1))
    with torch.inference_mode():
        prompt = prompt_of(model, batch)
        cached, uncached = model.logits(prompt, tokens), model.logits_uncached(prompt, tokens)
        assert cached.shape == (3, 56, 256)
        assert torch.allclose(cached, uncached, atol=1e-5, rtol=1e-5)


def test_action_tokens_see_each_other_and_the_prefix():
    model = build().eval()
    batch = random_batch(model, 1, generator())
    with torch.inference_mode():
        prompt = prompt_of(model, batch)
        tokens = torch.full((1, 56), model.mask_id)
        base = model.logits(prompt, tokens)
        tokens[0, 55] = 7
        assert (model.logits(prompt, tokens)[0, 0] - base[0, 0]).abs().max() > 0
        batch["images.front"] = 255 - batch["images.front"]
        assert (model.logits(prompt_of(model, batch), tokens)[0, 0] - base[0, 0]).abs().max() > 0


@pytest.mark.parametrize("attention", ["prefix", "full"])
def test_loss_is_a_function_of_its_generator_and_reaches_every_weight(attention):
    model = build(attention=attention).train()
    batch = random_batch(model, 4, generator())
    (one, metrics), (two, _), (other, _) = (model.loss(batch, generator(s)) for s in (1, 1, 2))
    assert torch.equal(one, two) and not torch.equal(one, other)
    assert {"loss", "cross_entropy", "accuracy", "target_0_cm", "target_1_cm"} == set(metrics)
    one.backward()
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []


def test_without_targets_no_label_is_needed():
    model = build(target_size=0).train()
    batch = random_batch(model, 2, generator())
    del batch["target"]
    loss, metrics = model.loss(batch, generator())
    assert torch.isfinite(loss) and "target_0_cm" not in metrics


def test_a_few_steps_of_training_learn_what_the_state_tells():
    model = build(draws=1).train()
    batch = random_batch(model, 16, generator())
    batch["actions"] = batch["state"][:, None, :7].repeat(1, 8, 1).round()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    history = []
    for step in range(60):
        loss, metrics = model.loss(batch, generator(step), torch.float32)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        history.append((metrics["cross_entropy"].item(), metrics["target_0_cm"].item()))
    assert history[0][0] > 4 and sum(h[0] for h in history[-5:]) / 5 < 1.0
    assert history[-1][1] < 0.7 * history[0][1]


def test_same_seed_same_weights_and_the_global_generator_is_left_alone():
    before = torch.random.get_rng_state()
    one, two = build().state_dict(), build().state_dict()
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_bad_sizes_are_refused():
    with pytest.raises(ValueError, match="attention"):
        build(attention="causal")
    with pytest.raises(ValueError, match="target_size"):
        build(target_size=4)
