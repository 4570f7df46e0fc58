"""The verbs, and what each is for. Nothing else is imported here: a shell asks for them at every Tab."""

VERBS = {
    "eval": "run an agent in an environment; table with intervals, videos, report page",
    "play": "play an environment or a world model in the browser, in real time",
    "serve": "give a policy to other harnesses, over the protocols of the field",
    "record": "record demonstrations of an agent as a LeRobot v3.0 data set",
    "train": "train a policy on recorded demonstrations",
    "convert": "make a folder that can be played of a published MineWorld checkpoint",
    "merge": "put the adapter of an OpenVLA-OFT run into the weights it was trained beside",
    "compare": "paired comparison of evaluations, as text and as a page",
    "join": "put the shards of an evaluation together",
    "agreement": "does SimplerEnv rank policies as the real robots did",
    "inspect": "what is in a checkpoint: sizes, files, statistics, conventions",
    "bench": "measure rollout and decoding speed against the plain way",
    "doctor": "check GL, versions and assets, and settle known initial states",
    "completion": "print the script with which bash, zsh or fish completes all this at Tab",
}

SHELLS = ("bash", "zsh", "fish")
FLAGS = {
    "--help": "explain the verb and its settings",
    "--config-dir": "take options from a folder of yours, too",
    "--print-config": "print the settings that the words lead to",
    "--debug": "show tracebacks",
}
"""Flags of every verb."""
