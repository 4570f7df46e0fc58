"""A process that draws and then leaves: `python leave.py libero|robosuite close|forget|error|again`."""

import sys

from playloop.core.episode import Episode
from playloop.envs.libero import LiberoConfig
from playloop.envs.robosuite import RobosuiteConfig

if __name__ == "__main__":
    family, manner = sys.argv[1:]
    config = LiberoConfig("libero_object", size=64) if family == "libero" else RobosuiteConfig(size=64)
    env = config.make()
    env.begin(Episode("libero_object" if family == "libero" else "robosuite", 0, 0))
    print(sorted(env.observe()["images"]))
    if manner == "close":
        env.close()
    if manner == "again":  # a second context, left open
        env.close()
        env.begin(Episode("robosuite", 1, 0))
        env.observe()
    if manner == "error":
        raise SystemExit("an error of the user's own")
