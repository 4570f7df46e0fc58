"""`check_task` passes tasks that keep the contract, and names what is wrong with others."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from openvla_demos import settings, write_base, write_demos
from policy_demos import task_config
from policy_demos import write_demos as write_policy_demos
from regression_task import Regression
from safetensors.torch import load_file
from tiny_world import TOKENIZER, WORLD

from playloop.testing import check_task
from playloop.training.inverse import InverseTaskConfig
from playloop.training.task import Share
from playloop.training.tokenizer import TokenizerTaskConfig
from playloop.training.world import WorldTaskConfig
from playloop.worlds.inverse import InverseConfig


def own_tasks(chain, folder: Path):
    """Every task of Playloop that trains from recordings alone, all tiny, with what opens what it saves."""
    craft = {"data": [str(chain["data"])], "validation": 0.25, "processes": 1}
    inverse = InverseConfig(32, 64, before=0, after=0, features=4, reach=1, channels=(8, 8), hidden=16)
    write_policy_demos(folder / "policy", 3, 8)
    write_demos(folder / "data")
    write_base(folder / "base")
    return {
        "policy": task_config(folder / "policy", validation=0.34),
        "tokenizer": TokenizerTaskConfig(model=TOKENIZER, **craft),
        "decoder": TokenizerTaskConfig(model=TOKENIZER, generated=str(chain["world"]), **craft),
        "world": WorldTaskConfig(
            tokenizer=str(chain["tokenizer"]), model=WORLD, clip=4, foresight=2, **craft
        ),
        "inverse": InverseTaskConfig(model=inverse, **craft),
        "openvla": settings(folder),
    }


def test_our_own_tasks_pass(chain, tmp_path):
    for name, config in own_tasks(chain, tmp_path).items():
        print(name)
        check_task(config)


def opens(folder: Path):
    return load_file(folder / "model.safetensors")


class Line(Regression):
    """The regression of the trainer's tests, of which every broken task below is one."""

    def __init__(self):
        @dataclass
        class Whole:
            die_at: int | None = None

        super().__init__(Whole())


def config_of(task, **described):
    """The settings of such a task."""

    class LineConfig:
        def settings(self):
            return described

        def make(self):
            return task()

    return LineConfig()


def test_a_whole_task_passes():
    check_task(config_of(Line, name="regression"), opens)
    check_task(config_of(Line), opens, size=9, ranks=3)


class Shared(Line):
    """Every process learns from the first rows."""

    def batch(self, split, step, generator, share):
        whole = super().batch(split, step, generator, Share(share.size))
        return {key: value[: share.size // share.ranks] for key, value in whole.items()}


class Unshared(Line):
    """Every process learns from the whole batch."""

    def batch(self, split, step, generator, share):
        return super().batch(split, step, generator, Share(share.size))


class Counting(Line):
    """Its batches are numbered by its own calls, not by the step."""

    def __init__(self):
        super().__init__()
        self.calls = itertools.count()

    def batch(self, split, step, generator, share):
        generator.manual_seed(next(self.calls))
        return super().batch(split, step, generator, share)


class Ordered(Line):
    """A batch is what came next when it was first asked for; later it is the same."""

    def __init__(self):
        super().__init__()
        self.order = {}

    def batch(self, split, step, generator, share):
        place = self.order.setdefault((split, step), len(self.order))
        return super().batch(split, step, generator.manual_seed(place), share)


class Constant(Line):
    """It gives the same batch in every step."""

    def batch(self, split, step, generator, share):
        return super().batch(split, step, generator.manual_seed(1), share)


class Short(Line):
    """One of its tensors lacks a row."""

    def batch(self, split, step, generator, share):
        found = super().batch(split, step, generator, share)
        return {**found, "outputs": found["outputs"][1:]}


class Infinite(Line):
    def loss(self, batch, generator):
        loss, metrics = super().loss(batch, generator)
        return loss / 0, metrics


class Rows(Line):
    """It gives a loss for every row."""

    def loss(self, batch, generator):
        loss, metrics = super().loss(batch, generator)
        return loss.expand(3), metrics


class Detached(Line):
    def loss(self, batch, generator):
        loss, metrics = super().loss(batch, generator)
        return loss.detach(), metrics


class Noisy(Line):
    """Its noise is drawn from PyTorch's own generator."""

    def loss(self, batch, generator):
        return super().loss(batch, torch.Generator().manual_seed(int(torch.randint(2**40, ()))))


class Heavy(Line):
    """A metric that keeps the graph."""

    def loss(self, batch, generator):
        loss, metrics = super().loss(batch, generator)
        return loss, {**metrics, "copy": loss * 2}


class Frozen(Line):
    def __init__(self):
        super().__init__()
        self.model.requires_grad_(False)


class Half(Line):
    def __init__(self):
        super().__init__()
        self.model.append(torch.nn.Linear(3, 3, dtype=torch.bfloat16))


class Warming(Line):
    """Its loss is another one for a while after the task is made."""

    losses = 0

    def loss(self, batch, generator):
        self.losses += 1
        loss, metrics = super().loss(batch, generator)
        decay = sum(p.abs().sum() for p in self.model.parameters())
        return loss + (decay if self.losses > 2 else 0), metrics  # `check_loss` calls it twice


class Forgetful(Line):
    def save(self, folder, state, record):
        pass


class Damaged(Line):
    def save(self, folder, state, record):
        super().save(folder, state, record)
        (folder / "model.safetensors").write_bytes(b"nothing")


class Nameless(Line):
    """Another description each time, as of a task that names the time."""

    numbers = itertools.count()

    def describe(self):
        return {"name": "regression", "number": next(self.numbers)}


class Unwritable(Line):
    def describe(self):
        return {"name": Path("regression")}


@pytest.mark.parametrize(
    ("broken", "complaint"),
    [
        (Shared, '2 processes do not share batch 0 of "train" of Shared without overlap'),
        (Unshared, 'a share of batch 0 of "train" of Unshared has 8 rows instead of 4'),
        (Counting, 'batch 0 of "train" of Counting is another one the second time'),
        (Ordered, 'batch 0 of "train" of Ordered is another one if the task has not given'),
        (Constant, "Constant learns from the same batch in every step"),
        (Short, 'outputs in batch 0 of "train" of Short has 7 rows instead of 8'),
        (Infinite, "the loss of Infinite is inf, no finite number"),
        (Rows, r"the loss of Rows is \[.*\], no finite number"),
        (Detached, "the loss of Detached has no gradient"),
        (Noisy, "with the same weights, batch and seed: take all randomness from `generator`"),
        (Heavy, "the metric copy of Heavy is not one detached number"),
        (Frozen, "the model of Frozen has no parameter that requires a gradient"),
        (Half, "the model of Half trains 4.weight in torch.bfloat16"),
        (Warming, "stopped at step 2 and went on ends with another 0.weight"),
        (Forgetful, "has saved nothing in the folder"),
        (Damaged, "what the task of LineConfig saves cannot be opened"),
        (Nameless, r"Nameless.describe\(\) is another one for a task of the same settings, in number"),
        (Unwritable, r"Unwritable.describe\(\) cannot be written as JSON"),
    ],
)
def test_a_broken_task_is_named(broken, complaint):
    with pytest.raises(AssertionError, match=complaint):
        check_task(config_of(broken), opens)


def test_settings_that_are_not_described_are_named():
    with pytest.raises(AssertionError, match=r"settings\(\) says rate=2, Line.describe\(\) says None"):
        check_task(config_of(Line, rate=2), opens)


def test_what_is_saved_must_be_of_a_known_kind():
    with pytest.raises(AssertionError, match="of the kind None, which Playloop does not open: give opens="):
        check_task(config_of(Line))
