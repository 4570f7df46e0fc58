"""Fine-tuning: rows as published, losses by hand, a student that follows its teacher, a run that holds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from openvla_demos import CAMERAS, TEXTS, disturb, seeded, settings, task_of, write_base, write_demos
from policy_demos import write_demos as write_other_demos

from playloop.demos.lerobot.dataset import Demonstrations
from playloop.nn.decoder import Rotary
from playloop.nn.lora import LoRAConfig, adapt, factor_shapes, without_adapters
from playloop.policies.diffusion import RELEASED, decode, draw_masks, draw_noise
from playloop.policies.openvla.config import OPENVLA_7B
from playloop.policies.openvla.decoders import diffuse
from playloop.policies.openvla.images import EvaluationImages
from playloop.policies.openvla.model import OpenVLA
from playloop.policies.openvla.names import adapted_unused
from playloop.policies.openvla.open import open_policy
from playloop.policies.openvla.statistics import read_statistics
from playloop.training.openvla.model import TARGETS, AdapterConfig, adapted_slots
from playloop.training.task import Share


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("openvla")
    write_demos(folder / "data")
    write_base(folder / "base")
    return folder


SOME = 0
"""A seed that masks a good part of both rows of a batch, not all."""


def test_rows_are_the_data_as_published(home):
    task, dataset = task_of(home), Demonstrations(home / "data")
    rows = np.array([0, 4])  # of two tasks
    batch = task.gather(rows)
    chunk = dataset.column("action_chunk").astype(np.float64)
    chunk[..., -1] = np.where(chunk[..., -1] > 0, 0.0, 1.0)  # +1 closes: shut is 0
    learned = task.rows["train"]
    assert set(learned % 4) <= {0, 1, 2}  # row 3 is not the expert's
    low, high = np.quantile(chunk[learned, 0], [0.01, 0.99], axis=0)
    values = np.clip(2 * (chunk - low) / (high - low + 1e-8) - 1, -1, 1)
    values[..., -1] = chunk[..., -1]
    ids = 32000 - np.digitize(values, np.linspace(-1, 1, 256))
    assert np.array_equal(batch["ids"].numpy(), ids[rows].reshape(2, -1))
    assert set(batch["ids"][:, 6::7].flatten().tolist()) == {31744, 31872}
    assert np.allclose(batch["values"].numpy(), values[rows], atol=1e-6)
    states = dataset.column("observation.state").astype(np.float64)
    low, high = np.quantile(states[learned], [0.01, 0.99], axis=0)
    wanted = np.clip(2 * (states[rows] - low) / (high - low + 1e-8) - 1, -1, 1)
    assert np.allclose(batch["proprio"].numpy(), wanted, atol=1e-6)
    for number, row in enumerate(rows):
        for place, camera in enumerate(CAMERAS):
            shown = EvaluationImages(size=28, crop=None).pixels(
                dataset.frame(f"observation.images.{camera}", int(row))
            )
            assert np.array_equal(batch["images"][number, place].numpy(), shown)
        prompt = [token for token in batch["prompt"][number].tolist() if token != 32000]
        assert prompt == task.prompts[TEXTS.index(dataset.tasks[dataset.column("task_index")[row]])]
        assert batch["prompt"][number, 0] == 1 and batch["prompt"][number, -1] == 29871


def test_scales_of_the_checkpoint_can_be_kept(home):
    own, kept = task_of(home), task_of(home, statistics="libero_object")
    assert kept.record == read_statistics(home / "base") and own.record.keys() == {"libero_data"}
    low, high = (np.array(kept.record["libero_object_no_noops"]["action"][name]) for name in ("q01", "q99"))
    chunk = Demonstrations(home / "data").column("action_chunk").astype(np.float64)
    wanted = np.clip(2 * (chunk - low) / (high - low + 1e-8) - 1, -1, 1)[..., :-1]
    assert np.allclose(kept.columns["values"][..., :-1], wanted, atol=1e-6)
    with pytest.raises(ValueError, match="unnorm_key='libero_goal' is none"):
        task_of(home, statistics="libero_goal")


def test_batches_are_functions_of_the_generator(home):
    task = task_of(home)
    for split in ("train", "validation"):
        whole = task.batch(split, 0, seeded(7), Share(4))
        parts = [task.batch(split, 0, seeded(7), Share(4, rank, 2)) for rank in (0, 1)]
        for rank, part in enumerate(parts):
            for name in ("images", "ids", "values", "proprio"):
                assert torch.equal(whole[name][rank::2], part[name])


def by_hand(task, batch, given, attention) -> list[torch.Tensor]:
    """States that predict the block, of every row alone and without fillers."""
    model, found = task.model.model, []
    images = task.model.pictures(batch["images"], seeded())
    for row, prompt in enumerate(batch["prompt"]):
        prompt = prompt[prompt != 32000][None]
        seen = model.see(images[row : row + 1], prompt if model.config.film else None)
        prefix = model.prefix(seen, batch["proprio"][row : row + 1], prompt)
        x = torch.cat([prefix, given[row : row + 1]], 1)
        size, start = x.shape[1], prefix.shape[1] - 1
        bias = torch.zeros(size, size)
        if attention == "block":
            bias[:start, start:] = float("-inf")
        rotary = Rotary(model.config.llama, size, torch.float32, "cpu").at(torch.arange(size))
        found.append(model.llama(x, rotary, bias)[0, start:-1])
    return found


@pytest.mark.parametrize(
    ("name", "attention"),
    [("diffusion", "full"), ("diffusion", "block"), ("parallel", "full"), ("l1", "full")],
)
@pytest.mark.parametrize("film", [False, True])
def test_losses_by_hand(home, name, attention, film):
    task = task_of(home, name, attention, film=film)
    disturb(task.model)
    task.model.eval()
    batch, model = task.gather(np.array([0, 4])), task.model.model
    ids = batch["ids"]
    with torch.no_grad():
        loss, _ = task.loss(batch, seeded(SOME))
        table = model.table.weight
        masked = draw_masks(*ids.shape, seeded(SOME)) if name == "diffusion" else torch.ones_like(ids).bool()
        given = table[torch.where(masked, 32001, ids)] if name == "diffusion" else torch.zeros(2, 28, 32)
        given = torch.cat([given, table[2].expand(2, 1, -1)], 1)
        states = by_hand(task, batch, given, attention)
        if name == "l1":
            values = torch.stack([model.action_head(row[None, :28])[0] for row in states])
            wanted = (values - batch["values"]).abs().mean()
        else:
            total, count = torch.zeros(()), 0
            for row in range(2):
                scores = (states[row] @ model.head.merged().weight.T).log_softmax(-1)  # [29, 32064]
                for place in [*masked[row].nonzero().flatten().tolist(), 28]:
                    total -= scores[place, 2 if place == 28 else ids[row, place]]
                    count += 1
            wanted = total / count
            assert count == int(masked.sum()) + 2 and (name == "parallel" or 20 < count < 50)
    assert loss.item() == pytest.approx(wanted.item(), rel=1e-5)


def test_adapters_and_the_projector_of_the_state_alone_get_gradients(home):
    task = task_of(home)
    disturb(task.model)
    task.model.train()
    loss, _ = task.loss(task.gather(np.array([0, 1])), seeded())
    loss.backward()
    trained = {name for name, value in task.model.named_parameters() if value.requires_grad}
    assert all("lora_" in name or ".proprio." in name for name in trained)
    for name, value in task.model.named_parameters():
        assert (value.grad is not None and value.grad.abs().max() > 0) == (name in trained), name
        assert value.dtype == torch.float32
    layers = "towers.1.patches towers.0.blocks.0.project projector.third llama.blocks.1.mlp.outer head"
    for part in layers.split():
        assert any(f"model.{part}.lora_" in name for name in trained), part
    assert not any("table" in name for name in trained)


def test_adapters_of_rank_32_are_as_many_as_openvla_s_training_prints():
    """`trainable params: 110,828,288`: with the head, the patches' convolutions, and what nothing reads."""
    with torch.device("meta"):
        model = OpenVLA(OPENVLA_7B)
    adapt(model, adapted_slots(OPENVLA_7B, TARGETS), LoRAConfig(rank=32), seeded())
    count = sum(value.numel() for value in model.parameters() if value.requires_grad)
    unread = [shape for name, shape in adapted_unused(OPENVLA_7B).items() if name.endswith(".weight")]
    for shape in unread:
        count += sum(torch.Size(s).numel() for s in factor_shapes(shape, 32)) if len(shape) > 1 else 0
    assert count == 110_828_288


def test_distillation_brings_the_block_causal_student_near_its_teacher(home, tmp_path):
    task = task_of(home, "distill", "block")
    batch = task.gather(task.rows["train"])

    def divergence() -> float:
        task.model.eval()
        with torch.no_grad():
            return task.loss(batch, seeded(1))[1]["divergence"].item()

    def taught() -> torch.Tensor:
        images, masked = task.model.pictures(batch["images"], seeded()), torch.ones_like(batch["ids"]).bool()
        return task.model._taught(images, batch, task.model.model.block(batch["ids"]), masked)

    task.model.eval()
    before, teacher = divergence(), taught()
    trained = [value for value in task.model.parameters() if value.requires_grad]
    optimizer = torch.optim.AdamW(trained, 6e-3)
    task.model.config = replace(task.model.config, truth=0.0)
    for step in range(8):
        loss, _ = task.loss(batch, seeded(step))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert divergence() < 0.5 * before
    assert torch.equal(taught(), teacher)
    state = {name: value.detach() for name, value in task.model.named_parameters() if value.requires_grad}
    assert not any("proprio" in name for name in state)
    task.save(tmp_path / "checkpoint", state, {})
    policy = open_policy(tmp_path / "checkpoint", dtype=torch.float32)
    model = policy.model
    assert model.config.attention == "block" and policy.decoding.decoder == "diffusion"
    assert read_statistics(tmp_path / "checkpoint") == read_statistics(home / "base")  # the teacher's scales
    decided = check_cached_decoding(policy, task)
    with torch.no_grad():  # what is exported decides as what was trained
        images = task.model.pictures(batch["images"][:1], seeded())
        prefix = task.model.model.prefix(
            task.model.model.see(images), batch["proprio"][:1], batch["prompt"][:1]
        )
        layout = task.model.model.layout(prefix, 29)
        again = task.model.model(prefix, task.model.model.block(decided), layout)
        merged = model(prefix, model.block(decided), model.layout(prefix, 29))
        with without_adapters(task.model):
            plain = task.model.model(prefix, task.model.model.block(decided), layout)
    assert torch.allclose(again, merged, atol=0.03)  # the export is rounded to bfloat16
    assert (again - plain).abs().max() > 0.1


def check_cached_decoding(policy, task) -> torch.Tensor:
    """The policy's decoding over a cache, against one that computes the whole sequence in every round."""
    model, seen = policy.model, task._observation(0)
    with torch.inference_mode():
        prefix = policy.model.encode(*policy.inputs([seen]))
        config = replace(RELEASED, rounds=4)
        noise, ids = draw_noise([seeded(2)], config, 28), policy.decoding.ids
        cached = diffuse(model, prefix, replace(policy.decoding, diffusion=config), noise)

        def scores(tokens: torch.Tensor) -> torch.Tensor:
            block = model.block(torch.where(tokens == ids.stop, 32001, tokens))
            states = model(prefix, block, model.layout(prefix, 29, "block"))
            return states[:, :28] @ model.head.weight[ids].T

        whole = decode(scores, 28, config, noise, mask_id=ids.stop)
    assert torch.equal(cached.tokens, whole.tokens)
    assert torch.allclose(cached.confidence, whole.confidence, rtol=1e-3)
    return cached.tokens.clone()


def test_another_checkpoint_can_be_the_teacher(home):
    task = task_of(home, "distill", "block", teacher=str(home / "base"))
    names = {name for name, value in task.model.named_parameters() if value.requires_grad}
    assert any("proprio" in name for name in names) and not any("teacher" in name for name in names)
    loss, metrics = task.loss(task.gather(np.array([0])), seeded())
    assert loss.item() == pytest.approx((metrics["divergence"] + metrics["truth"]).item(), rel=1e-6)


def test_original_openvla_becomes_a_diffusion_policy(home, tmp_path):
    """One picture, one action and no state before; two pictures, a chunk and a state after."""
    write_base(tmp_path / "base", "openvla")
    task = replace(settings(home), openvla=str(tmp_path / "base"), images=1).make()
    assert (task.student.images, task.student.chunk, task.student.proprio) == (1, 4, 8)
    assert task.student.decoders == ("diffusion",) and task.student.attention == "full"
    again = replace(settings(home), openvla=str(tmp_path / "base"), images=1).make()
    one, two = task.model.state_dict(), again.model.state_dict()
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert replace(settings(home), openvla=str(tmp_path / "base")).make().student.images == 2


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"teacher": "x"}, "only objective=distill"),
        ({"frozen": "fp16"}, "frozen='fp16': choose from bf16, fp32"),
        ({"adapter": AdapterConfig(targets=["lm_head"])}, "'lm_head' is no part"),
        ({"images": 3}, "LIBERO has 2 cameras"),
        ({"data": []}, "data is empty"),
    ],
)
def test_what_does_not_fit_is_told_before_training(home, changes, sentence):
    with pytest.raises(ValueError, match=sentence):
        replace(settings(home), **changes).make()


def test_data_of_another_environment_is_refused(home, tmp_path):
    write_other_demos(tmp_path / "toy", episodes=2)
    with pytest.raises(ValueError, match="was recorded in toy"):
        replace(settings(home), data=[str(tmp_path / "toy")]).make()
