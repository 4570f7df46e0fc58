"""An evaluation to be killed: `python eval_toy.py DIR WORKERS`."""

import sys

from toy_helpers import SeekAgent

from playloop.envs.toy import ToyReachConfig
from playloop.rollouts.evaluate import evaluate

if __name__ == "__main__":
    config = ToyReachConfig(tasks=3, inits=5, step_seconds=0.01)
    evaluate(
        config, SeekAgent(), config.episodes(), sys.argv[1], int(sys.argv[2]), 1, {"seed": 0}, "a command"
    )
