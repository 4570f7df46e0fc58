"""What every training task must keep, so that the trainer can stop, go on and share its work."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

from playloop.nn.contents import kind_in
from playloop.policies.checkpoint import load
from playloop.policies.openvla.open import open_policy
from playloop.training.distributed import ProcessGroup
from playloop.training.task import Share, TaskConfig, TrainingTask
from playloop.training.trainer import TrainerConfig
from playloop.worlds.checkpoint import load_inverse, load_tokenizer
from playloop.worlds.open import load_playable

Open = Callable[[Path], Any]
OPENERS: dict[str | None, Open] = {
    "vla": load,
    "openvla": open_policy,
    "fsq-frames": load_tokenizer,
    "inverse-dynamics": load_inverse,
    "fsq-world": load_playable,
    "mineworld": load_playable,
}
"""Kind of a folder → what opens it."""
CPU = torch.device("cpu")
STEPS, STOP = 4, 2
"""Length of a run, and the step at which it is stopped once."""


def check_task(config: TaskConfig, opens: Open | None = None, size: int = 8, ranks: int = 2) -> None:
    """A training task: its batches, its loss, a run that is stopped and goes on, and what it saves.

    Args:
        config: makes the task; it is made several times.
        opens: opens what `save` writes, and raises where it cannot; None for a kind that Playloop opens.
        size: rows of a batch.
        ranks: processes that share one; `size` is a multiple.

    Raises:
        AssertionError: says what is broken.
    """
    task = _made(config)
    check_description(config, task)
    check_batches(task, _made(config), size, ranks)
    check_loss(task, size)
    with TemporaryDirectory() as folder:
        check_run(config, Path(folder), opens, size)


def _made(config: TaskConfig) -> TrainingTask:
    task = config.make()
    task.prepare(CPU, torch.float32)
    return task


def check_description(config: TaskConfig, task: TrainingTask) -> None:
    """What makes another run is JSON, the same for an equal task, and holds the settings.

    Raises:
        AssertionError: says what is not so.
    """
    name, said = type(task).__name__, task.describe()
    try:
        written = json.loads(json.dumps(said))
    except (TypeError, ValueError) as error:
        raise AssertionError(f"{name}.describe() cannot be written as JSON: {error}") from error
    again = json.loads(json.dumps(config.make().describe()))
    assert written == again, (
        f"{name}.describe() is another one for a task of the same settings, {_differing(written, again)}: a "
        "stopped run would not go on"
    )
    settings = json.loads(json.dumps(config.settings()))
    wrong = [key for key, value in settings.items() if key not in written or written[key] != value]
    assert not wrong, (
        f"{type(config).__name__}.settings() says {wrong[0]}={settings[wrong[0]]!r}, {name}.describe() says "
        f"{written.get(wrong[0])!r}: a stopped run would not go on"
    )


def _differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    return "in " + ", ".join(key for key in {**one, **other} if one.get(key) != other.get(key))


def check_batches(task: TrainingTask, fresh: TrainingTask, size: int = 8, ranks: int = 2) -> None:
    """A batch follows from split, step and seed alone, and processes share its rows without overlap.

    Args:
        task: that has given no batch yet.
        fresh: another of the same settings: what a run that goes on has.
        size: rows of a batch.
        ranks: processes that share one.

    Raises:
        AssertionError: says which batch is wrong.
    """
    name = type(task).__name__
    assert task.training_rows() >= 1, f"{name} has no rows to train on"
    held_out = task.validation_batches(size)
    assert held_out >= 0, f"{name}.validation_batches({size}) is {held_out}"
    batches = [("train", 0), ("train", STOP), *[("validation", 0)] * (held_out > 0)]
    seen = {which: _batch(task, *which, Share(size)) for which in batches}
    fresh_ones = {which: _batch(fresh, *which, Share(size)) for which in reversed(batches)}
    for which, batch in seen.items():
        said = f'batch {which[1]} of "{which[0]}" of {name}'
        _check_rows(batch, size, said)
        assert _equal(batch, _batch(task, *which, Share(size))), f"{said} is another one the second time"
        assert _equal(batch, fresh_ones[which]), (
            f"{said} is another one if the task has not given others before: no stopped run could go on"
        )
        _check_shares(task, which, (batch, size, ranks), said)
    distinct = not _equal(seen["train", 0], seen["train", STOP])
    assert distinct or task.training_rows() == 1, (
        f"{name} learns from the same batch in every step: use `generator`, which every step seeds anew"
    )


def _check_rows(batch: dict[str, Tensor], size: int, said: str) -> None:
    assert batch, f"{said} is empty"
    for key, value in batch.items():
        assert isinstance(value, Tensor) and value.ndim >= 1, f"{key} in {said} is no tensor of rows"
        assert len(value) == size, f"{key} in {said} has {len(value)} rows instead of {size}"


def _check_shares(
    task: TrainingTask, which: tuple[str, int], whole: tuple[dict[str, Tensor], int, int], said: str
) -> None:
    batch, size, ranks = whole
    parts = [_batch(task, *which, Share(size, rank, ranks)) for rank in range(ranks)]
    for part in parts:
        _check_rows(part, size // ranks, f"a share of {said}")
    # what is padded to the longest of a process's rows has another width in each
    keys = [key for key in batch if all(part[key].shape[1:] == batch[key].shape[1:] for part in parts)]
    mine = [_rows(part, keys) for part in parts]
    wanted, together = _rows(batch, keys), sum(mine, Counter())
    if wanted == together:
        return
    twice = sum((together - wanted).values())
    raise AssertionError(
        f"{ranks} processes do not share {said} without overlap: {twice} of {size} rows are learned twice "
        "and others not at all; give `share.of(rows)`"
    )


def _rows(batch: dict[str, Tensor], keys: Iterable[str]) -> Counter[bytes]:
    """How often each row is in a batch."""
    arrays = [batch[key].contiguous().cpu() for key in keys]
    return Counter(
        hashlib.blake2b(b"".join(_bytes(array[row]) for array in arrays)).digest()
        for row in range(len(arrays[0]))
    )


def _bytes(value: Tensor) -> bytes:
    return value.contiguous().flatten().view(torch.uint8).numpy().tobytes()


def _batch(task: TrainingTask, split: str, step: int, share: Share) -> dict[str, Tensor]:
    seed = int.from_bytes(hashlib.blake2b(f"{split}/{step}".encode(), digest_size=7).digest(), "big")
    return task.batch(split, step, torch.Generator().manual_seed(seed), share)


def _equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def check_loss(task: TrainingTask, size: int = 8) -> None:
    """A finite number that follows from weights, batch and seed, with finite gradients of what is trained.

    Raises:
        AssertionError: says what is broken.
    """
    name, model = type(task).__name__, task.model
    trained = {key: p for key, p in model.named_parameters() if p.requires_grad}
    assert trained, f"the model of {name} has no parameter that requires a gradient"
    narrow = [key for key, p in trained.items() if p.dtype != torch.float32]
    assert not narrow, f"the model of {name} trains {narrow[0]} in {trained[narrow[0]].dtype}, not in float32"
    buffers = {key: value.clone() for key, value in model.state_dict().items()}
    model.train()
    loss = _loss(task, size)
    assert loss.requires_grad, f"the loss of {name} has no gradient"
    loss.backward()
    gradients = {key: p.grad for key, p in trained.items() if p.grad is not None}
    broken = [key for key, gradient in gradients.items() if not gradient.isfinite().all()]
    assert gradients and not broken, f"the gradient of {(broken or [*trained])[0]} in {name} is not finite"
    model.zero_grad(set_to_none=True)
    model.load_state_dict(buffers)
    again = _loss(task, size)
    assert torch.equal(loss, again), (
        f"the loss of {name} is {loss.item()} and then {again.item()} with the same weights, batch and "
        "seed: take all randomness from `generator`"
    )
    model.load_state_dict(buffers)


def _loss(task: TrainingTask, size: int) -> Tensor:
    name = type(task).__name__
    loss, metrics = task.loss(_batch(task, "train", 0, Share(size)), torch.Generator().manual_seed(1))
    assert loss.ndim == 0 and bool(loss.isfinite()), (
        f"the loss of {name} is {loss.tolist()}, no finite number"
    )
    for key, value in metrics.items():
        fine = isinstance(value, Tensor) and value.numel() == 1 and not value.requires_grad
        assert fine, f"the metric {key} of {name} is not one detached number in a tensor"
    return loss


def check_run(config: TaskConfig, folder: Path, opens: Open | None = None, size: int = 8) -> None:
    """A run that is stopped and goes on ends with the weights of one that was not, and both can be opened.

    Raises:
        AssertionError: says what is broken.
    """
    whole = _train(config, folder / "whole", size)
    with suppress(KeyboardInterrupt):
        _train(config, folder / "stopped", size, stop=STOP)
    broken, name = _train(config, folder / "stopped", size), type(config).__name__
    wrong = [key for key in whole if not torch.equal(whole[key], broken[key])]
    assert not wrong, (
        f"a run of {name} that was stopped at step {STOP} and went on ends with another {wrong[0]} than one "
        "that was not: nothing may depend on how often the task was called"
    )
    check_saved(folder / "whole" / "checkpoint", name, opens)


def _train(config: TaskConfig, folder: Path, size: int, stop: int | None = None) -> dict[str, Tensor]:
    """Train a new task to the end, or until it is asked for a batch; the weights that are saved."""
    task, kept = config.make(), {}
    batch, save = task.batch, task.save

    def batch_or_stop(split: str, step: int, *rest: Any) -> dict[str, Tensor]:
        if (split, step) == ("train", stop):
            raise KeyboardInterrupt
        return batch(split, step, *rest)

    def keep(where: Path, state: dict[str, Tensor], record: dict[str, Any]) -> None:
        kept.update({key: value.clone() for key, value in state.items()})
        save(where, state, record)

    options: dict[str, Any] = {"validate_every": STEPS, "checkpoint_every": 1, "progress": False}
    trainer = TrainerConfig(STEPS, size, warmup=1, precision="fp32", log_every=1, **options)
    with patch.object(task, "batch", batch_or_stop), patch.object(task, "save", keep):
        trainer.make(ProcessGroup(0, 1, CPU)).run(task, folder)
    return kept


def check_saved(folder: Path, name: str, opens: Open | None = None) -> None:
    """What a task has saved can be opened.

    Raises:
        AssertionError: it cannot; says why.
    """
    assert folder.is_dir(), f"the task of {name} has saved nothing in the folder that it was given"
    opener = opens or OPENERS.get(kind_in(folder))
    assert opener, (
        f"the task of {name} saves a folder of the kind {kind_in(folder)}, which Playloop does not open: "
        "give opens= what does"
    )
    try:
        opener(folder)
    except Exception as error:
        raise AssertionError(f"what the task of {name} saves cannot be opened: {error}") from error
