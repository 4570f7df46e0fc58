"""FiLM in fine-tuning: how it begins, what is trained, who sees the words, and what is exported."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from openvla_demos import CONTRACT, disturb, seeded, settings, task_of, write_base, write_demos
from safetensors.torch import load_file, save_file
from test_training_trainer import lines

from playloop.agents.policy import OpenVLAAgentConfig
from playloop.cli.arguments import Arguments
from playloop.cli.main import dispatch
from playloop.core.episode import Episode
from playloop.nn.adapter import write_adapter
from playloop.nn.lora import merge
from playloop.nn.manifest import MANIFEST, write_manifest
from playloop.policies.openvla.files import read_openvla
from playloop.policies.openvla.open import open_policy
from playloop.training.openvla.model import AdapterConfig
from playloop.training.openvla.objectives import predictors

FILE = "vision_backbone--latest_checkpoint.pt"


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """Data, and checkpoints "base" and "film", the latter with FiLM."""
    folder = tmp_path_factory.mktemp("film")
    write_demos(folder / "data")
    write_base(folder / "base")
    write_base(folder / "film", film=True)
    return folder


def trained(task) -> dict[str, torch.Tensor]:
    return {name: value for name, value in task.model.named_parameters() if value.requires_grad}


def filmed(home: Path, name: str = "diffusion", attention: str = "full", **changes):
    """A task that begins with the checkpoint that has FiLM."""
    return task_of(home, name, attention, openvla=str(home / "film"), **changes)


@torch.no_grad()
def test_new_layers_begin_as_linear_layers_do_and_at_zero_they_change_nothing(home):
    task, plain = task_of(home, film=True), task_of(home)
    width = task.student.llama.width
    for name, value in task.model.model.films.named_parameters():
        assert 0.8 * width**-0.5 < value.abs().max() <= width**-0.5, name
        assert -0.3 < value.mean() * width**0.5 < 0.3 and value.dtype == torch.float32 and value.requires_grad
    again = task_of(home, film=True)
    assert all(
        torch.equal(value, again.model.state_dict()[n]) for n, value in task.model.state_dict().items()
    )
    batch = task.gather(np.array([0, 4]))
    images = task.model.pictures(batch["images"], seeded())
    without, model = plain.model.model.see(images), task.model.model
    assert not torch.allclose(model.see(images, batch["prompt"]), without, atol=0.01)
    for value in model.films.parameters():
        value.zero_()
    assert torch.equal(model.see(images, batch["prompt"]), without)


@pytest.mark.parametrize("name", ["diffusion", "l1"])
def test_film_is_trained_whole_in_float32_beside_adapters(home, name):
    task = filmed(home, name, frozen="bf16")
    base = read_openvla(home / "film", dtype=torch.float32).films.state_dict()
    assert all(torch.equal(value, base[n]) for n, value in task.model.model.films.state_dict().items())
    disturb(task.model)
    task.model.train()
    loss, _ = task.loss(task.gather(np.array([0, 4])), seeded())
    loss.backward()
    films = {n: value for n, value in trained(task).items() if ".films." in n}
    assert len(films) == 2 * 2 * 2 and {value.dtype for value in trained(task).values()} == {torch.float32}
    assert all(value.grad.abs().max() > 0 for value in films.values())
    assert not any("lora" in n for n in films)
    assert any("towers.1.blocks.0.inner.lora" in n for n in trained(task))


def test_the_loss_falls_by_film_alone(home):
    task = task_of(home, film=True)
    for name, value in task.model.named_parameters():
        value.requires_grad_(".films." in name)
    task.model.eval()
    batch = task.gather(task.rows["train"])
    optimizer = torch.optim.AdamW(trained(task).values(), 0.02)
    losses = []
    for _ in range(12):
        loss, _ = task.loss(batch, seeded(3))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 0.02 and losses[-1] == min(losses)


@torch.no_grad()
def test_a_student_that_follows_itself_leaves_film_as_it_is(home):
    task = filmed(home, "distill", "block")
    assert trained(task) and all("lora" in name for name in trained(task))
    batch = task.gather(np.array([0, 4]))
    images, masked = task.model.pictures(batch["images"], seeded()), torch.ones_like(batch["ids"]).bool()
    block = task.model.model.block(batch["ids"])
    before = task.model._taught(images, batch, block, masked)
    disturb(task.model)
    assert torch.equal(task.model._taught(images, batch, block, masked), before)
    teacher = read_openvla(home / "film", dtype=torch.float32)
    states = predictors(teacher, images, batch, block, "full")
    assert torch.allclose(teacher.logits(states[:, :28][masked]), before, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize(("student", "teacher"), [("base", "film"), ("film", "base")])
def test_teacher_and_student_each_see_the_words_as_they_are_used_to(home, student, teacher):
    options = {"openvla": str(home / student), "teacher": str(home / teacher)}
    task = task_of(home, "distill", "block", **options)
    batch = task.gather(np.array([0, 4]))
    loss, metrics = task.loss(batch, seeded())
    assert loss.item() == pytest.approx((metrics["divergence"] + metrics["truth"]).item(), rel=1e-6)
    images, masked = task.model.pictures(batch["images"], seeded()), torch.ones_like(batch["ids"]).bool()
    block = task.model.model.block(batch["ids"])
    found = task.model._taught(images, batch, block, masked)
    alone = read_openvla(home / teacher, dtype=torch.float32)
    for row in range(2):  # without fillers
        prompt = batch["prompt"][row][batch["prompt"][row] != 32000][None]
        single = {"prompt": prompt, "proprio": batch["proprio"][row : row + 1]}
        states = predictors(alone, images[row : row + 1], single, block[row : row + 1], "full")
        wanted = alone.logits(states[0, :28])
        assert torch.allclose(found[28 * row : 28 * row + 28], wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("base", "name", "changes", "sentence"),
    [
        ("film", "diffusion", {"film": False}, "leave film out"),
        ("base", "distill", {"film": True}, "name a teacher"),
        ("base", "diffusion", {"film": True, "adapter": AdapterConfig(heads=False)}, "adapter.heads=true"),
        ("base", "diffusion", {"film": True, "adapter": AdapterConfig(start="x")}, "leave adapter.start out"),
    ],
)
def test_what_film_does_not_go_with_is_told(home, base, name, changes, sentence):
    with pytest.raises(ValueError, match=sentence):
        task_of(home, name, openvla=str(home / base), **changes)


# -- runs ----------------------------------------------------------------------------------------------


def words(home: Path, out: Path, *more: str) -> list[str]:
    fixed = "steps=4 batch=2 log_every=2 validate_every=4 checkpoint_every=2 processes=1 validation=0.3"
    where = [f"openvla={home / 'base'}", f"data={home / 'data'}", f"out={out}", "film=true"]
    return [*where, *fixed.split(), "rate=0.01", "device=cpu", "adapter.rank=4", "progress=false", *more]


@pytest.fixture(scope="module")
def exported(home) -> Path:
    assert dispatch(Arguments.parse(["train", *words(home, home / "run")])) == 0
    return home / "run/checkpoint"


def test_a_command_line_gives_a_checkpoint_with_film_that_acts(home, exported):
    policy = open_policy(exported)
    assert policy.model.config.film and policy.decoding.decoder == "diffusion"
    fresh = task_of(home, film=True).model.model.films.state_dict()
    for name, value in policy.model.films.state_dict().items():
        assert 1e-3 < (value.float() - fresh[name]).abs().max() < 0.1, name
    agent = OpenVLAAgentConfig(str(exported)).make()
    agent.prepare(CONTRACT)
    begun = agent.begin(Episode("libero_object", 0, 0))
    observation = settings(home).make()._observation(0)
    chunks = []
    for text in ("pick up the milk", "stack every plate"):
        seen = observation | {"instruction": text}
        _, (plan,) = agent.act([begun], [seen], [np.random.default_rng(0)])
        chunks.append(plan.actions)
    assert chunks[0].shape == (4, 7) and np.isfinite(chunks).all()


def test_an_export_is_what_was_trained_bit_for_bit(home, exported, tmp_path):
    task = filmed(home, "l1")
    disturb(task.model)
    with torch.no_grad():
        for value in task.model.model.films.parameters():
            value.mul_(1.5)
    task.save(tmp_path / "checkpoint", {n: value.detach() for n, value in trained(task).items()}, {})
    found = read_openvla(tmp_path / "checkpoint").state_dict()
    merge(task.model.model)
    wanted = task.model.model.to(torch.bfloat16).state_dict()
    assert found.keys() == wanted.keys() and all(torch.equal(found[n], wanted[n]) for n in wanted)
    open_policy(tmp_path / "checkpoint")  # verifies the golden decision
    merged = torch.load(exported / FILE, weights_only=True)
    adapter = load_file(exported / "lora_adapter/adapter_model.safetensors")
    layer = "vision_backbone.fused_featurizer.blocks.0"
    a, b = (
        adapter[f"base_model.model.vision_backbone.{layer}.block.mlp.fc1.lora_{part}.weight"].double()
        for part in "AB"
    )
    before = read_openvla(home / "base").towers[1].blocks[0].inner.weight.double()
    after = merged[f"{layer}.block.mlp.fc1.base_layer.weight"].double()
    assert b.abs().max() > 0 and (after - (before + b @ a)).abs().max() < 2**-8 * after.abs().max()
    assert merged[f"{layer}.block.mlp.fc1.lora_B.default.weight"].shape == (12, 4)


def test_a_stopped_run_goes_on_exactly(home, exported, tmp_path):
    stopped = words(home, tmp_path / "run")
    dispatch(Arguments.parse(["train", *stopped, "max_minutes=0.0"]))
    assert [line["step"] for line in lines(tmp_path / "run")] == [2]
    dispatch(Arguments.parse(["train", *stopped]))
    assert lines(tmp_path / "run") == lines(exported.parent)
    one, two = (torch.load(folder / FILE) for folder in (tmp_path / "run/checkpoint", exported))
    assert one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)
    state = load_file(tmp_path / "run/state/step_00000004/tensors.safetensors")
    assert any("films.1.shifts.0.weight" in name for name in state)


def test_a_changed_film_is_noticed(exported, tmp_path):
    shutil.copytree(exported, tmp_path / "copy")
    state = torch.load(exported / FILE, weights_only=True)
    state["vision_backbone.featurizer.blocks.0.shift.weight"].view(-1)[5] += 4
    torch.save(state, tmp_path / "copy" / FILE)
    write_manifest(tmp_path / "copy")
    with pytest.raises(ValueError, match="does not decide as it did when it was written"):
        open_policy(tmp_path / "copy")
    (tmp_path / "copy" / FILE).unlink()
    write_manifest(tmp_path / "copy")
    with pytest.raises(ValueError, match="does not decide as it did when it was written"):
        open_policy(tmp_path / "copy")


def test_an_adapter_of_wrapped_blocks_is_gone_on_from(home, tmp_path):
    """One that PEFT wrote also has the last blocks' layers; a plain run's has other names and is refused."""
    before = filmed(home)
    disturb(before.model)
    path = write_adapter(tmp_path / "adapter", before.model.model) / "adapter_model.safetensors"
    (path.parent / MANIFEST).unlink()  # PEFT writes none
    stored = load_file(path)
    inner = "base_model.model.vision_backbone.vision_backbone.featurizer.blocks"
    shapes = {"A": (4, 8), "B": (8, 4)}
    last = {f"{inner}.1.block.attn.proj.lora_{part}.weight": torch.ones(s) for part, s in shapes.items()}
    save_file(stored | last, path)
    task = filmed(home, adapter=AdapterConfig(start=str(tmp_path / "adapter")))
    layer = task.model.model.towers[0].blocks[0].out
    assert torch.equal(layer.lora_a, stored[f"{inner}.0.block.attn.proj.lora_A.weight"])
    with pytest.raises(ValueError, match=r"trained beside another checkpoint: language_model\.lm_head"):
        task_of(home, adapter=AdapterConfig(start=str(tmp_path / "adapter")))
    save_file({name: value for name, value in stored.items() if "base_layer" not in name}, path)
    with pytest.raises(ValueError, match="does not fit the model"):
        task_of(home, adapter=AdapterConfig(start=str(tmp_path / "adapter")))
    record = json.loads((tmp_path / "adapter/adapter_config.json").read_text())
    assert f"{inner}.0.block.attn.proj".removeprefix("base_model.model.") in record["target_modules"]


def test_film_belongs_to_the_run(home):
    one, two = (replace(settings(home), film=film).make().describe() for film in (True, None))
    assert one != two and one["student"]["film"] and not two["student"]["film"]


def test_the_original_openvla_gets_film(home, tmp_path):
    """As the runs on Bridge begin: one picture, no state, a chunk, and words in the vision transformers."""
    write_base(tmp_path / "base", "openvla")
    task = task_of(home, openvla=str(tmp_path / "base"), film=True, images=1, state=False)
    assert task.student.film and task.student.proprio is None and task.student.decoders == ("diffusion",)
    loss, _ = task.loss(task.gather(np.array([0, 4])), seeded())
    loss.backward()
    films = [value for name, value in trained(task).items() if ".films." in name]
    assert len(films) == 8 and all(value.grad.abs().max() > 0 for value in films)
