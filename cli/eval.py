"""playloop eval: run an agent in an environment and report how often it succeeds, or judge a world model.

Usage: playloop eval [key=value …]
       playloop eval world=NAME data=DIR [inverse=DIR] [key=value …]

Without a setting: the shipped policy on libero_object, 10 tasks, 2 initial states each.
The folder `out` receives episodes.jsonl (one line an episode), summary.json (rates with Wilson 95 %
intervals, provenance), report.html and videos/. Repeat a killed command with the same `out` and it
continues; the result is that of an unbroken run.

With world= a world model imagines clips of recordings that it was not trained on: distance to the true frames
beside that of repeating the last one, drift over long dreams, and whether actions are followed. Its settings:
`playloop eval world=NAME --help`. The folder may be a MineWorld that `playloop convert` made; VPT's
recordings will do as data.

Examples:
  playloop eval suite=libero_spatial inits=10 out=runs/spatial
  playloop eval suite=libero_object task=3 inits=[0,4] videos=all
  playloop eval env=robosuite task=Lift agent=random inits=5
  playloop eval checkpoint=runs/policy/checkpoint suite=libero_object out=runs/mine
  playloop eval world=runs/world/checkpoint data=data/explore_test inverse=runs/inverse/checkpoint
  playloop eval world=worlds/300M data=data/vpt_test sampler.rules=demo sampler.window=4 device=cuda"""

from __future__ import annotations

import sys
from typing import Any

from omegaconf import DictConfig

from playloop.cli.arguments import Arguments
from playloop.configs.checkpoints import find_checkpoint
from playloop.configs.objects import run_evaluation
from playloop.configs.words import literal
from playloop.core.episode import Episode
from playloop.core.fields import make, plain


def run(arguments: Arguments, config: DictConfig) -> int:
    """Evaluate; returns the exit status."""
    if "evaluation" in config:
        return judge_world(arguments, config)
    out = arguments.choose_out(config.out)
    summary = run_evaluation(config, out, arguments.command)
    print(f"Results: {out}  (to continue or repeat: {arguments.resume_command()})")
    return tell_errors(summary["result"])


def tell_errors(result: dict[str, Any]) -> int:
    """Say that episodes could not be judged; returns the exit status: 1 if none of them was."""
    lines = [line for line in result["episodes"] if line["error"] is not None]
    if not lines:
        return 0
    from playloop.core.results import BLAMED

    first, none_judged = lines[0], not result["overall"]["episodes"]
    count = "every episode was" if none_judged else f"{len(lines)} of {result['asked']} episodes were"
    meaning = "there is no success rate" if none_judged else "the rates are of the others"
    print(
        f"playloop eval: {count} an error, so {meaning}; the same command tries again. "
        f"{Episode.from_json(first).key}: {BLAMED[first['fault']]}{first['error']}",
        file=sys.stderr,
    )
    return int(none_judged)


def judge_world(arguments: Arguments, config: DictConfig) -> int:
    """Evaluate a world model; returns the exit status."""
    if config.evaluation.inverse is not None:
        config.evaluation.inverse = literal(str(find_checkpoint(str(config.evaluation.inverse))))
    world, evaluation = find_checkpoint(str(config.world)), make(config.evaluation)

    from playloop.rollouts.judging.run import evaluate_world

    out = arguments.choose_out(config.out)
    evaluate_world(world, plain(config)["data"], evaluation, out, arguments.command)
    print(f"Results: {out}  (to continue or repeat: {arguments.resume_command()})")
    return 0
