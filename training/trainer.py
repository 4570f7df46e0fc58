"""Train a task: one loop for all models, exact to the bit across interruptions."""

from __future__ import annotations

import hashlib
import json
import math
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge, Lt
from torch import Tensor

from playloop.core.annotations import Count, Fraction, Limit, Magnitude, Natural
from playloop.core.checked import checked
from playloop.core.files import write_atomic
from playloop.core.formats import FORMAT
from playloop.core.kinds import kind
from playloop.training.data import prefetch
from playloop.training.distributed import ProcessGroup, deferred_interrupt, keep_threads
from playloop.training.metrics import (
    Averages,
    Show,
    append_metrics,
    progress_bar,
    read_metrics,
    truncate_metrics,
)
from playloop.training.optimizer import (
    MovingAverage,
    averaged,
    collect,
    distribute,
    learning_rate,
    make_optimizer,
)
from playloop.training.plot import plot_metrics
from playloop.training.sharding import recompute_blocks, shard_model, whole
from playloop.training.states import Scalars, claimed, load_state, refuse_other_run, save_state
from playloop.training.task import Share, TrainingTask

CHANGEABLE = {"max_minutes", "checkpoint_every", "progress"}
"""Settings that may differ between a run and its continuation: they do not change any result."""

EXPORTED = "exported.txt"
"""Says after which step the export was made."""
INTERRUPTED = "interrupted"

Decay = Annotated[float, Ge(0), Lt(1)]
"""Share that a mean of moments keeps."""


@kind("trainer")
@checked
class TrainerConfig:
    """How a task is trained.

    Args:
        steps: optimizer steps of the whole run.
        batch: rows a step, over all processes.
        rate: peak learning rate.
        warmup: steps of linear warm-up.
        floor: share of the peak at which the cosine ends.
        drop: step from which the rate is a tenth of the peak, instead of the cosine; None: the cosine.
        decay: weight decay of matrices; vectors have none.
        betas: AdamW's.
        clip: largest norm of the gradient; infinity (`.inf`) for any.
        average: decay of the moving average of the weights, which is what gets exported; 0 for none.
        precision: "bf16" or "fp32", what the model computes in; trained parameters are always float32.
        shard: spread weights, gradients and moments over the processes, see `training.sharding`.
        recompute: keep no activations inside blocks, compute them again on the way back.
        seed: of the order of the data and all noise.
        log_every: steps between lines of metrics.
        validate_every: steps between validations.
        checkpoint_every: steps between states on disk.
        max_minutes: stop after so long, with a state to continue from and an export.
        progress: show a live bar.
    """

    steps: Count = 20_000
    batch: Count = 256
    rate: Magnitude = 3e-4
    warmup: Natural = 500
    floor: Fraction = 0.02
    drop: Natural | None = None
    decay: Magnitude = 0.05
    betas: tuple[Decay, Decay] = (0.9, 0.98)
    clip: Limit = 1.0
    average: Fraction = 0.999
    precision: Literal["bf16", "fp32"] = "bf16"
    shard: bool = False
    recompute: bool = False
    seed: int = 0
    log_every: Count = 20
    validate_every: Count = 500
    checkpoint_every: Count = 1000
    max_minutes: Magnitude | None = None
    progress: bool = True

    def make(self, group: ProcessGroup) -> Trainer:
        """The trainer.

        Raises:
            ValueError: a setting is out of range, two contradict each other, or the batch cannot be divided.
        """
        if self.drop is not None and self.drop < self.warmup:
            raise ValueError(
                f"trainer.drop={self.drop} comes before the warm-up ends, at trainer.warmup={self.warmup}; "
                "raise drop, or lower warmup."
            )
        if self.batch % group.ranks:
            raise ValueError(
                f"batch={self.batch} cannot be divided among {group.ranks} processes; choose a multiple."
            )
        return Trainer(self, group)


class Trainer:
    """Runs a task to its end in a group of processes, or goes on with a run that was stopped."""

    def __init__(self, config: TrainerConfig, group: ProcessGroup):
        self.config, self.group = config, group
        self.sharded = config.shard and group.ranks > 1
        self._claimed: Path | None = None

    @contextmanager
    def claim(self, folder: str | Path, task: dict[str, Any] | None = None) -> Iterator[None]:
        """Hold a run's folder alone, from before the first write to after the last; `run` does if nobody did.

        `task` are those of the task's settings that are known before data is read. Raises as `claimed`.
        """
        folder = Path(folder)
        if self._claimed == folder:
            yield
            return
        with claimed(folder, self.group, self._settings(task or {})):
            self._claimed = folder
            try:
                yield
            finally:
                self._claimed = None

    def run(self, task: TrainingTask, folder: str | Path) -> bool:
        """Train, continuing what is in `folder`; True when all steps are done.

        Writes `folder/state`, `metrics.jsonl`, `metrics.png`, and at the end the export `folder/checkpoint`;
        `exported.txt` says after how many steps.

        Raises:
            BlockingIOError: another process trains in `folder`.
            ValueError: if `folder` holds a run with other settings.
            FloatingPointError: if the loss is no longer a number.
            KeyboardInterrupt: after Ctrl-C, when the state of the present step is stored.
            OSError: the disk is full; says from where the run goes on.
        """
        folder = Path(folder)
        with self.claim(folder):
            self._say_odd(task)
            self._begin(task, folder)
            if self.step == self.config.steps and self.group.broadcast(self._exported()):
                return True
            if self.step < self.config.steps:
                self._train()
            self._finish()
        return self.step == self.config.steps

    def _begin(self, task: TrainingTask, folder: Path) -> None:
        config = self.config
        self.task, self.folder, self.step = task, folder, 0
        task.prepare(self.group.device, {"bf16": torch.bfloat16, "fp32": torch.float32}[config.precision])
        self.group.broadcast_weights(task.model)
        if config.recompute:
            recompute_blocks(task.model)
        if self.sharded:
            shard_model(task.model, self.group)
        self.parameters = [p for p in task.model.parameters() if p.requires_grad]
        self.optimizer = make_optimizer(self.parameters, config.rate, config.betas, config.decay)
        self.average = MovingAverage(task.model, config.average)
        self.averages, self.log, self.seconds = Averages(), folder / "metrics.jsonl", 0.0
        self._resume()
        self.group.on_first(lambda: truncate_metrics(self.log, self.step))

    # -------------------------------------------------------------------------------------------- state

    def _settings(self, task: dict[str, Any]) -> dict[str, Any]:
        settings = {k: v for k, v in asdict(self.config).items() if k not in CHANGEABLE}
        settings |= {"format": FORMAT, "ranks": self.group.ranks, "task": task}
        return json.loads(json.dumps(settings))

    def _resume(self) -> None:
        state = load_state(self.folder / "state", self._say)
        step = 0 if state is None else state[1].step
        if (first := self.group.broadcast(step)) != step:
            raise ValueError(f"{self.folder} is at step {first} in the first process, at {step} in another")
        if state is None:
            return
        tensors, scalars = state
        refuse_other_run(scalars.settings, self._settings(self.task.describe()), self.folder)
        sums = {n[5:]: tensors.pop(n) for n in list(tensors) if n.startswith("sums/")}
        distribute(tensors, self.task.model, self.average, self.optimizer)
        self.averages.sums = {name: value.to(self.group.device) for name, value in sums.items()}
        self.averages.count, self.step, self.seconds = scalars.count, step, scalars.seconds
        if self.group.device.type == "cpu" and (sentence := keep_threads(scalars.threads)):
            self._say(sentence)

    def _save(self) -> None:
        self._check_finite(self.averages.means())  # or the last good state would be lost
        tensors = collect(self.task.model, self.average, self.optimizer)

        def write() -> None:
            tensors.update({f"sums/{name}": value for name, value in self.averages.sums.items()})
            settings, threads = self._settings(self.task.describe()), torch.get_num_threads()
            scalars = Scalars(self.step, self.averages.count, self.seconds, settings, threads)
            save_state(self.folder / "state", tensors, scalars)

        self.group.on_first(write)

    def _say(self, text: str) -> None:
        if self.group.first:
            print(text, file=sys.stderr, flush=True)

    def _say_odd(self, task: TrainingTask) -> None:
        """Name settings that are allowed and hardly meant."""
        config, rows = self.config, task.training_rows()
        if config.warmup > config.steps:
            self._say(
                f"warmup={config.warmup} is longer than the run of {config.steps} steps: the rate only rises "
                f"to {config.steps / config.warmup:.0%} of {config.rate:g}"
            )
        if config.batch > rows:
            self._say(
                f"batch={config.batch} is more than the {rows} rows to train on: some come several times"
            )

    def _check_finite(self, means: dict[str, float]) -> None:
        if not math.isfinite(means.get("loss", 0.0)):
            raise FloatingPointError(
                f"The loss at step {self.step} is {means['loss']}: begin anew in another out, with a "
                "lower rate or precision=fp32."
            )

    # --------------------------------------------------------------------------------------------- loop

    def _train(self) -> None:
        config, began, before = self.config, time.monotonic(), self.seconds
        steps = range(self.step, config.steps)
        batches = prefetch(lambda step: self._batch("train", step), steps)
        self._logged = (self.seconds, self.step)
        bar = progress_bar(self.step, config.steps, config.progress and self.group.first)
        with closing(batches), bar as show, deferred_interrupt() as interrupted:
            for batch in batches:
                self._update(batch)
                self.seconds = before + time.monotonic() - began
                late = config.max_minutes is not None and time.monotonic() - began > 60 * config.max_minutes
                self._report(show)
                stop = self._stops(late, interrupted.is_set())
                if stop or self.step % config.checkpoint_every == 0 or self.step == config.steps:
                    self._save()
                if stop == INTERRUPTED:
                    raise KeyboardInterrupt
                if stop:
                    return

    def _stops(self, late: bool, interrupted: bool) -> str:
        """Why the run stops after this step, the same in all processes; "" if it does not."""
        why = INTERRUPTED if interrupted else "late" if late else ""
        if self.step % self.config.log_every == 0:
            return self.group.broadcast(why)
        return why if interrupted and self.group.ranks == 1 else ""

    def _update(self, batch: dict[str, Tensor]) -> None:
        config, group, model = self.config, self.group, self.task.model
        rate = learning_rate(self.step, config.steps, config.rate, config.warmup, config.floor, config.drop)
        for settings in self.optimizer.param_groups:
            settings["lr"] = rate
        model.train()
        self.optimizer.zero_grad(set_to_none=True)
        noise = self._generator("noise", self.step, group.rank, device=group.device)
        loss, metrics = self.task.loss(self._move(batch), noise)
        loss.backward()
        if not self.sharded:  # whose gradients are averaged on their way back
            group.average_gradients(self.parameters)
        norm = whole(torch.nn.utils.clip_grad_norm_(self.parameters, config.clip, foreach=True))
        self.optimizer.step()
        self.average.update(model, self.step)
        self.averages.add(group.average({"loss": loss.detach(), **metrics}) | {"gradient_norm": norm})
        self.step += 1

    def _report(self, show: Show) -> None:
        config, record = self.config, {}
        if self.step % config.log_every == 0 or self.step == config.steps:
            record = self.averages.take()
            self._check_finite(record)
            record["rate"] = self.optimizer.param_groups[0]["lr"]
            record["rows_per_second"] = self._speed()
            show(self.step, record["loss"], record["rows_per_second"])
        if self.step % config.validate_every == 0 or self.step == config.steps:
            record |= self._validate()
        if record and self.group.first:
            append_metrics(self.log, {"step": self.step, "seconds": round(self.seconds, 3), **record})

    def _speed(self) -> float:
        seconds, step = self._logged
        self._logged = (self.seconds, self.step)
        return round(self.config.batch * (self.step - step) / max(self.seconds - seconds, 1e-9), 1)

    @torch.no_grad()
    def _validate(self) -> dict[str, float]:
        means, group = Averages(), self.group
        with self.average.applied(self.task.model):
            self.task.model.eval()
            for number in range(self.task.validation_batches(self.config.batch)):
                batch = self._move(self._batch("validation", number))
                noise = self._generator("validation noise", number, group.rank, device=group.device)
                loss, metrics = self.task.loss(batch, noise)
                means.add(group.average({"loss": loss, **metrics}))
        return {f"validation/{name}": value for name, value in means.take().items()}

    def _finish(self) -> None:
        state = averaged(self.task.model, self.average)

        def write() -> None:
            with self.group.all_cores():
                self.task.save(self.folder / "checkpoint", state, self._record())
            write_atomic(self.folder / EXPORTED, str(self.step))
            plot_metrics(self.log, self.folder / "metrics.png")

        self.group.on_first(write)

    def _exported(self) -> bool:
        """Whether the export is that of the last step, not of an earlier stop."""
        note = self.folder / EXPORTED
        if not (self.folder / "checkpoint").exists() or not note.is_file():
            return False
        return note.read_text(errors="replace") == str(self.step)

    def _record(self) -> dict[str, Any]:
        measured = [line for line in read_metrics(self.log) if "validation/loss" in line]
        return {
            "steps": self.step,
            "seconds": round(self.seconds, 1),
            "device": str(self.group.device),
            "processes": self.group.ranks,
            "trainer": asdict(self.config),
            "validation": measured[-1] if measured else None,
        }

    # ---------------------------------------------------------------------------------------------- bits

    def _batch(self, split: str, step: int) -> dict[str, Tensor]:
        share = Share(self.config.batch, self.group.rank, self.group.ranks)
        batch = self.task.batch(split, step, self._generator(split, step), share)
        if self.group.device.type == "cuda":
            batch = {n: x.pin_memory() if x.device.type == "cpu" else x for n, x in batch.items()}
        return batch

    def _move(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        return {name: value.to(self.group.device, non_blocking=True) for name, value in batch.items()}

    def _generator(self, *purpose: object, device: torch.device | str = "cpu") -> torch.Generator:
        text = "/".join(map(str, (self.config.seed, *purpose)))
        seed = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=7).digest(), "big")
        return torch.Generator(device).manual_seed(seed)
