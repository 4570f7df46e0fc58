"""playloop train: train a policy, a frame tokenizer or a world model on recorded demonstrations.

Usage: playloop train [tokenizer=… | world=… | inverse=… | mineworld=… | openvla=DIR] data=DIR out=DIR [key=…]

Without one of the five a policy is trained. With openvla=DIR a checkpoint of OpenVLA's family is fine-tuned
by adapters, for objective=diffusion, block, distill, parallel or l1. With mineworld=DIR a MineWorld is
fine-tuned; mineworld=300M_16f and the like are trained from nothing, around a given tokenizer. Writes
metrics.jsonl, metrics.png and out/checkpoint, which `playloop eval` and `playloop play` take. Repeat a killed
command with the same `out` and it continues with the same losses. On several GPUs the same command runs under
torchrun.

Examples:
  playloop train data=data/object out=runs/policy
  playloop train data=[data/object,data/spatial] out=runs/both training=cpu steps=8000
  playloop train tokenizer=craft data=data/explore out=runs/t training=cpu
  playloop train world=craft data=data/explore tokenizer=runs/t/checkpoint out=runs/w training=cpu
  playloop train openvla=openvla-7b data=data/object out=runs/openvla objective=diffusion
  playloop train mineworld=checkpoints/700M data=data/vpt out=runs/mineworld start_queries=true
  playloop train mineworld=300M_16f tokenizer=w/700M data=data/vpt out=new training=mineworld_new
  torchrun --nproc-per-node 4 -m playloop.cli.main train data=data/object out=runs/policy
  torchrun --nproc-per-node 8 -m playloop.cli.main train openvla=DIR data=DIR out=DIR shard=true"""

from __future__ import annotations

import os
from pathlib import Path

from omegaconf import DictConfig

from playloop.cli.arguments import Arguments
from playloop.configs.checkpoints import find_checkpoint
from playloop.configs.words import literal
from playloop.core.cores import wait_briefly


def run(arguments: Arguments, config: DictConfig) -> int:
    """Train; returns the exit status."""
    find_models(config.training.task)
    fit_warmup(config.training.trainer, arguments.words)
    wait_briefly()
    from playloop.training.distributed import StoppedWithFirst
    from playloop.training.run import train

    out = arguments.choose_out(config.out)
    config.command = literal(arguments.command)
    try:
        finished = train(config)
    except StoppedWithFirst:  # which says why
        return 2
    if int(os.environ.get("RANK", "0")) == 0:  # torchrun starts this once for every GPU
        print(
            f"Checkpoint: {out / 'checkpoint'}" if finished else f"To continue: {arguments.resume_command()}"
        )
    return 0


def fit_warmup(trainer: DictConfig, words: list[str]) -> None:
    """Shorten a preset's warm-up, which is for the preset's steps, where a trial has few; says so."""
    given = any(word.partition("=")[0].rpartition(".")[2] == "warmup" for word in words)
    if not given and trainer.warmup > trainer.steps:
        preset, trainer.warmup = trainer.warmup, max(1, trainer.steps // 10)
        if int(os.environ.get("RANK", "0")) == 0:
            print(f"Only {trainer.steps} steps: warmup={trainer.warmup} instead of the preset's {preset}")


def find_models(task: DictConfig) -> None:
    """Replace the trained models that a task's settings name by their folders, in place."""
    for name in ("start", "generated", "tokenizer"):
        if isinstance(task.get(name), str) and not _is_preset(task, name):
            folder = find_checkpoint(task[name])
            inner = folder / "tokenizer"  # a world model brings its own
            task[name] = literal(str(inner if name == "tokenizer" and inner.is_dir() else folder))


def _is_preset(task: DictConfig, name: str) -> bool:
    """Whether a MineWorld is to begin with published sizes: none is shipped, and training knows the names."""
    mineworld = name == "start" and task._target_.endswith(".MineWorldTaskConfig")
    return mineworld and not Path(task.start).exists()
