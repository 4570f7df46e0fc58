"""playloop eval: run an agent in an environment and report how often it succeeds.

Usage: playloop eval [key=value …]

Without a setting: the shipped policy on libero_object, 10 tasks, 2 initial states each.
The folder `out` receives episodes.jsonl (one line an episode), summary.json (rates with Wilson 95 %
intervals, provenance), report.html and videos/. Repeat a killed command with the same `out` and it
continues; the result is that of an unbroken run.

Examples:
  playloop eval suite=libero_spatial inits=10 out=runs/spatial
  playloop eval suite=libero_object task=3 inits=[0,4] videos=all
  playloop eval env=robosuite task=Lift agent=random inits=5
  playloop eval checkpoint=runs/policy/checkpoint suite=libero_object out=runs/mine"""

from __future__ import annotations

from playloop.cli.arguments import Arguments
from playloop.cli.checkpoints import find_checkpoints
from playloop.cli.config import configure, make, plain
from playloop.cli.selection import select_episodes


def run(arguments: Arguments) -> int:
    """Evaluate; returns the exit status."""
    arguments.allow()
    config = configure("eval", arguments.words, arguments)
    if config is None:
        return 0
    settings = plain(config)
    find_checkpoints(config.agent)  # after `plain`: the record keeps the names, alike on every machine
    env, agent = make(config.env), make(config.agent)
    episodes = select_episodes(config, env)

    from playloop.rollouts.evaluate import evaluate

    out = arguments.choose_out(config.out)
    evaluate(env, agent, episodes, out, config.workers, config.videos, settings, arguments.command)
    print(f"Results: {out}  (to continue or repeat: {arguments.resume_command()})")
    return 0
