"""playloop record: record an agent's successful episodes as a LeRobot v3.0 data set.

Usage: playloop record out=DIR [key=value …]

States are recorded first at full physics speed and images rendered afterwards. Placements are drawn
afresh from `seed`: the benchmark's stored initial states are its test set and are never recorded from.
Episodes are spread over the tasks; where they do not divide, the first tasks have one more, and fewer
episodes than tasks are one each of the first. Failed episodes are dropped and counted. Repeat a killed
command with the same `out` and it continues.

Examples:
  playloop record suite=libero_object episodes=500 out=data/object
  playloop record suite=libero_object agent=handover episodes=200 out=data/corrections
  playloop record env=libero suite=libero_spatial agent=expert tasks=[0,3] episodes=40 out=data/two"""

from __future__ import annotations

from omegaconf import DictConfig

from playloop.cli.arguments import Arguments
from playloop.configs.objects import made
from playloop.configs.words import literal


def run(arguments: Arguments, config: DictConfig) -> int:
    """Record; returns the exit status."""
    from playloop.rollouts.recording.record import record

    made(config)
    out = arguments.choose_out(config.out)
    config.out, config.command = literal(str(out)), literal(arguments.command)
    record(config)
    print(f"Data set: {out}")
    return 0
