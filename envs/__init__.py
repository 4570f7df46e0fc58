"""Where agents act: simulators, games and world models, all behind `playloop.envs.base`."""

from playloop.envs.texts import read_text_when_looked_at

read_text_when_looked_at()
