"""Two processes that share one model's weights train what one holds whole, and go on exactly."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from adapted_task import AdaptedConfig
from openvla_demos import write_base, write_demos
from safetensors.torch import load_file
from test_training_trainer import ALONE, equal_exports, lines

from playloop.training.openvla.model import AdapterConfig
from playloop.training.openvla.objectives import ObjectiveConfig
from playloop.training.openvla.task import OpenVLATask, OpenVLATaskConfig
from playloop.training.optimizer import MovingAverage, collect, distribute
from playloop.training.sharding import blocks_of, recompute_blocks
from playloop.training.trainer import TrainerConfig

CONFIG = TrainerConfig(
    steps=12,
    batch=8,
    rate=0.02,
    warmup=2,
    average=0.9,
    clip=0.5,
    precision="fp32",
    log_every=3,
    validate_every=6,
    checkpoint_every=4,
    progress=False,
)

DISTILLED = ("distilled", "distilled_sharded")

SCRIPT = """
import sys
from dataclasses import replace
from pathlib import Path
sys.path.insert(0, {tests!r})
import torch
torch.set_num_threads(1)
from adapted_task import AdaptedConfig
from regression_task import RegressionConfig
from test_training_sharding import CONFIG, distillation
from test_training_trainer import CONFIG as REGRESSION
from playloop.training.distributed import join_group, leave_group
folder = Path(sys.argv[1])
world = join_group("cpu")
task = RegressionConfig().make()
save, threads = task.save, folder / "threads"
task.save = lambda *arguments: (threads.write_text(str(torch.get_num_threads())), save(*arguments))
assert REGRESSION.make(world).run(task, folder / "regression")
assert torch.get_num_threads() == 1
torch.save(task.model.state_dict(), folder / f"weights{{world.rank}}.pt")
sharded = replace(CONFIG, shard=True, recompute=True)
assert CONFIG.make(world).run(AdaptedConfig().make(), folder / "whole")
task = AdaptedConfig().make()
assert sharded.make(world).run(task, folder / "sharded")
slices = sum(value.to_local().numel() for value in task.model.parameters())
(folder / f"slices{{world.rank}}").write_text(str(slices))
assert not replace(sharded, max_minutes=0.0).make(world).run(AdaptedConfig().make(), folder / "stopped")
assert sharded.make(world).run(AdaptedConfig().make(), folder / "stopped")
for name, config in (("distilled", CONFIG), ("distilled_sharded", sharded)):
    config = replace(config, steps=2, batch=2, log_every=1)
    assert config.make(world).run(distillation(folder), folder / name)
leave_group()
"""


def distillation(folder: Path) -> OpenVLATask:
    """OpenVLA as a block-causal student of itself."""
    data, base = str(folder / "data"), str(folder / "base")
    options = {"adapter": AdapterConfig(rank=4), "objective": ObjectiveConfig("distill", "block")}
    return OpenVLATaskConfig(data=[data], openvla=base, validation=0.0, processes=1, **options).make()


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    """The same run in two processes: whole, sharded, and sharded with an interruption after three steps."""
    folder = tmp_path_factory.mktemp("sharding")
    write_demos(folder / "data", episodes=2)
    write_base(folder / "base")
    port = 31500 + os.getpid() % 2000
    variables = os.environ | {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    words = [sys.executable, "-c", SCRIPT.format(tests=os.path.dirname(__file__)), str(folder)]
    started = [
        subprocess.Popen(words, env=variables | {"RANK": str(rank), "LOCAL_RANK": str(rank)})
        for rank in range(2)
    ]
    assert [process.wait(timeout=240) for process in started] == [0, 0]
    return folder


def test_two_processes_share_a_batch(runs):
    assert (runs / "threads").read_text() == str(len(os.sched_getaffinity(0)))  # the other one waits
    weights = [torch.load(runs / f"weights{rank}.pt", weights_only=True) for rank in range(2)]
    trained = [name for name in weights[0] if "running" not in name]  # statistics of each process's own rows
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in trained)
    assert all(value.isfinite().all() for value in weights[0].values())
    logged = lines(runs / "regression")
    assert [line["step"] for line in logged] == list(range(4, 61, 4))
    assert logged[-1]["loss"] < 0.3 * logged[0]["loss"]


def test_sharded_equals_whole_to_rounding(runs):
    for one, two in zip(lines(runs / "whole"), lines(runs / "sharded"), strict=True):
        assert one.keys() == two.keys()
        for name, value in one.items():
            assert two[name] == pytest.approx(value, rel=1e-5, abs=1e-7), name
    whole, sharded = (
        load_file(runs / name / "checkpoint/model.safetensors") for name in ("whole", "sharded")
    )
    assert whole.keys() == sharded.keys()
    assert all(torch.allclose(whole[name], sharded[name], rtol=1e-4, atol=1e-6) for name in whole)
    assert lines(runs / "whole")[-1]["loss"] < 0.7 * lines(runs / "whole")[0]["loss"]


def test_a_sharded_student_follows_its_own_checkpoint_as_a_whole_one_does(runs):
    """A teacher that shares the student's weights, two kinds of blocks, and weights of two types."""
    one, two = lines(runs / "distilled"), lines(runs / "distilled_sharded")
    assert len(one) == len(two) == 2
    for whole, sharded in zip(one, two, strict=True):
        for name in ("loss", "divergence", "truth", "gradient_norm"):
            assert whole[name] > 0 and sharded[name] == pytest.approx(whole[name], rel=1e-4), name
    files = [runs / name / "checkpoint/lora_adapter/adapter_model.safetensors" for name in DISTILLED]
    whole, sharded = (load_file(path) for path in files)
    assert whole.keys() == sharded.keys()
    moved = [name for name in whole if "lora_B" in name and whole[name].abs().max() > 0]
    assert len(moved) == len([name for name in whole if "lora_B" in name])
    for name in whole:  # Adam's first steps have the size of the rate, whatever the gradient's
        assert (whole[name] - sharded[name]).abs().mean() < 0.02 * CONFIG.rate, name


def test_each_process_holds_a_part_of_every_weight(runs):
    slices = [int((runs / f"slices{rank}").read_text()) for rank in range(2)]
    assert sum(slices) == sum(value.numel() for value in AdaptedConfig().make().model.parameters())
    assert max(slices) < 0.6 * sum(slices)


def test_interrupted_sharded_run_equals_unbroken(runs):
    assert [line["step"] for line in lines(runs / "stopped")] == [3, 6, 9, 12]
    assert lines(runs / "stopped") == lines(runs / "sharded") and equal_exports(
        runs / "stopped", runs / "sharded"
    )


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("adapted")
    assert CONFIG.make(ALONE).run(AdaptedConfig().make(), folder)
    return folder


def test_frozen_weights_are_neither_averaged_nor_stored(unbroken):
    names = set(load_file(unbroken / "checkpoint/model.safetensors"))
    parameters = dict(AdaptedConfig().make().model.named_parameters())
    assert names == {name for name, value in parameters.items() if value.requires_grad}
    assert "head.weight" in names and "blocks.0.norm.weight" not in names
    state = load_file(unbroken / "state/step_00000012/tensors.safetensors")
    assert {name.removeprefix("model/") for name in state if name.startswith("model/")} == names
    assert {name.removeprefix("average/") for name in state if name.startswith("average/")} == names


def test_a_state_is_put_back_and_another_model_s_is_refused():
    model = AdaptedConfig().make().model
    optimizer = torch.optim.AdamW([value for value in model.parameters() if value.requires_grad])
    average = MovingAverage(model, 0.9)
    tensors = {name: value.clone() for name, value in collect(model, average, optimizer).items()}
    tensors["model/head.bias"] += 1
    tensors["average/head.bias"] += 2
    before = model.get_parameter("blocks.0.norm.weight").clone()
    distribute(tensors, model, average, optimizer)
    assert torch.equal(model.get_parameter("head.bias"), tensors["model/head.bias"])
    assert torch.equal(average.state["head.bias"], tensors["average/head.bias"])
    assert torch.equal(model.get_parameter("blocks.0.norm.weight"), before)
    for wrong in (
        tensors | {"model/other": torch.zeros(1)},
        {n: v for n, v in tensors.items() if "head.bias" not in n},
    ):
        with pytest.raises(ValueError, match=r"differ in (other|head\.bias)"):
            distribute(wrong, model, average, optimizer)


def test_interrupted_run_of_adapters_equals_unbroken(unbroken, tmp_path):
    for stop in (5, 9):
        with pytest.raises(KeyboardInterrupt):
            CONFIG.make(ALONE).run(AdaptedConfig(die_at=stop).make(), tmp_path)
    assert CONFIG.make(ALONE).run(AdaptedConfig().make(), tmp_path)
    assert lines(tmp_path) == lines(unbroken) and equal_exports(tmp_path, unbroken)


def test_recomputed_activations_change_nothing_and_are_not_kept(unbroken, tmp_path):
    assert replace(CONFIG, recompute=True).make(ALONE).run(AdaptedConfig().make(), tmp_path)
    assert lines(tmp_path) == lines(unbroken) and equal_exports(tmp_path, unbroken)

    def kept(model) -> int:
        sizes: list[int] = []
        x = torch.ones(1000, 7)
        with torch.autograd.graph.saved_tensors_hooks(lambda t: sizes.append(t.numel()) or t, lambda t: t):
            model(x)
        return sum(sizes)

    plain, lean = AdaptedConfig().make().model, AdaptedConfig().make().model
    recompute_blocks(lean)
    assert len(blocks_of(lean)) == 3 and kept(lean) < 0.2 * kept(plain)
    with pytest.raises(ValueError, match="no stack of blocks"):
        recompute_blocks(torch.nn.Linear(2, 2))


def test_rate_that_drops(tmp_path):
    config = replace(CONFIG, drop=9, warmup=0, average=0.0)
    assert config.make(ALONE).run(AdaptedConfig().make(), tmp_path)
    assert [line["rate"] for line in lines(tmp_path)] == [0.02, 0.02, 0.02, 0.002]
    state = load_file(tmp_path / "state/step_00000012/tensors.safetensors")
    averages = [name for name in state if name.startswith("average/")]  # without one: the weights themselves
    assert averages and all(torch.equal(state[n], state[n.replace("average/", "model/")]) for n in averages)
    with pytest.raises(ValueError, match=r"drop: it was 9, now it is None"):
        replace(config, drop=None).make(ALONE).run(AdaptedConfig().make(), tmp_path)
