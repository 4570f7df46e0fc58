"""An episode of LIBERO by the shipped policy, and a plot of it; half a minute: python examples/notebook.py"""

import playloop

policy = playloop.load_policy("libero")
episode = playloop.run_episode("libero", policy, suite="libero_object", task=3)
print(episode)  # its identity, the task in words, and whether it succeeded
episode.plot().savefig("episode.png")
