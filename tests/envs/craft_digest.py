"""A hash of everything that is seen in an episode of random play: `python craft_digest.py`."""

import hashlib

from playloop.agents.explorer import ExplorerConfig
from playloop.envs.craft.env import CraftConfig

STEPS = 200


def digest():
    """The digest of states and frames after each of 200 actions, as 16 hexadecimal digits."""
    env, agent = CraftConfig().make(), ExplorerConfig(chunk=STEPS).make()
    episode = CraftConfig().episodes([0], [3])[0]
    env.begin(episode)
    _, [plan] = agent.act([agent.begin(episode)], [{}], [episode.rng("decision", 0)])
    seen = hashlib.sha256()
    for action in plan.actions:
        env.advance(action)
        observation = env.observe()
        seen.update(observation["state"].tobytes() + observation["images"]["pov"].tobytes())
    return seen.hexdigest()[:16]


if __name__ == "__main__":
    print(digest())
