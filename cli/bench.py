"""playloop bench: measure our speed against the plain way, both sides in one run on this machine.

Usage: playloop bench NAME [key=value …]

  rollout   equal-length episodes with a fixed chunk policy, everything included (construction,
            resets, images): ours against a plain loop that renders every step in one process
  decode    one chunk decoded with the cached prefix and without; with openvla.model=… an
            OpenVLA's, as released, exactly and block-causal, beside the machine's floor
  decoder   success and cost of the decoder's variants (rounds, order, re-masking) on the same
            episodes
  world     a world model's frame in raster order and diagonally, beside the memory's floor; with
            mineworld.model=… a MineWorld's, as released and by our schedule, with
            mineworld.players=N for several players in a batch, too
  craft     the voxel world: frames a second with numba and without, steps a second, on one core
  simpler   SimplerEnv's Bridge: a picture at every step against one a chunk, and ManiSkill's step
  play      real-time play end to end: a server, a headless Chromium with keys held, and what the
            page measures
  serve     requests a second of playloop serve: 8 clients gathered into batches against one at a
            time; with serve.hostile=N so many malformed frames among them
  train     a training step of the policy's network on noise
  instructions
            the share of paraphrases that an encoder places nearest to their own instruction

With record=DIR a run is added to the records there: its figures, command, commit, machine and date. The page
on records shows those of benchmarks/records over time.

Examples:
  playloop bench rollout suite=libero_object episodes=6 steps=160
  playloop bench decode decode.repeats=50
  playloop bench craft record=benchmarks/records
  playloop bench decode openvla.model=small
  playloop bench serve serve.hostile=100000
  playloop bench decode openvla.model=7b openvla.device=cuda openvla.weights=fp8
  playloop bench world mineworld.model=300M_16f mineworld.device=cuda mineworld.precision=fp16
  playloop bench decoder suite=libero_object decoder.inits=3
  playloop bench world world.model.rows=16 world.model.columns=16 world.model.windows=[1,16]"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from playloop.cli.arguments import Arguments
from playloop.configs.checkpoints import find_checkpoint
from playloop.configs.folders import check_folder
from playloop.configs.words import literal
from playloop.core.fields import make
from playloop.core.files import write_json
from playloop.core.words import nearest


def run(arguments: Arguments, config: DictConfig) -> int:
    """Measure; returns the exit status."""
    names = arguments.names
    if len(names) != 1 or names[0] not in BENCHES:
        choice = nearest(names[0], BENCHES) if names else f", {', '.join(BENCHES)}"
        raise ValueError(f"say what to measure{choice}: playloop bench rollout.")
    out = place_of_result(config.out) if config.out else None
    if config.record:
        check_folder(Path(config.record), config.record, "record")
    load = os.getloadavg()[0]  # before ours
    result = BENCHES[names[0]](config)
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        write_json(out, {"bench": names[0], "command": arguments.command, "result": result})
    if config.record:
        from playloop.benchmarks.records import add_record

        print(f"Record: {add_record(Path(config.record), names[0], arguments.command, result, load)}")
    return 0


def place_of_result(out: str) -> Path:
    """The JSON file to write, tried before minutes of measuring."""
    path = Path(out)
    if path.is_dir():
        raise IsADirectoryError(f"out={path} is a folder; name a file for the result: out={path}/bench.json")
    check_folder(path.parent, out)
    return path


def bench_rollout(config: DictConfig) -> dict[str, Any]:
    """Time both ways of rolling out; prints while it runs."""
    from playloop.benchmarks.rollout import bench_rollout

    return bench_rollout(config)


def bench_decode(config: DictConfig) -> dict[str, Any]:
    """Time both ways of decoding, then print the table."""
    if config.openvla.model is not None:
        return _show("openvla", config)
    config.decode.checkpoint = literal(str(find_checkpoint(config.decode.checkpoint)))
    return _show("decode", config)


def bench_decoder(config: DictConfig) -> list[dict[str, Any]]:
    """Evaluate the decoder's variants; prints while it runs."""
    from playloop.benchmarks.decoder import bench_decoder

    config.decoder.checkpoint = literal(str(find_checkpoint(config.decoder.checkpoint)))
    return bench_decoder(config)


def bench_world(config: DictConfig) -> dict[str, Any]:
    """Time a frame of a world model in every decoding order, then print the table."""
    if config.mineworld.model is not None:
        return _show("mineworld", config)
    if config.world.checkpoint is not None:
        config.world.checkpoint = literal(str(find_checkpoint(config.world.checkpoint)))
    return _show("world", config)


def _show(name: str, config: DictConfig) -> dict[str, Any]:
    """Run the bench that these settings are and print its table."""
    from playloop.rollouts.progress import announced, new_console

    bench = make(config[name])
    with announced(f"bench {name}"):
        report: dict[str, Any] = bench.run()
    new_console(stderr=False).print(bench.table(report))
    return report


BENCHES: dict[str, Callable[[DictConfig], Any]] = {
    "rollout": bench_rollout,
    "decode": bench_decode,
    "decoder": bench_decoder,
    "world": bench_world,
    **{name: partial(_show, name) for name in ("craft", "simpler", "play", "serve", "train", "instructions")},
}
