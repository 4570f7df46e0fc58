"""A player alone in a world model."""


class Session:
    """The one row of its players."""

    def __init__(self, world, sampler, backend="auto"):
        self.players = world.players(sampler, 1, backend)

    def begin(self):
        self.players.begin(0)

    def write(self, tokens, action):
        self.players.write(0, tokens, action)

    def step(self, action, uniform):
        return self.players.step({0: action}, {0: uniform})[0]

    @property
    def frames(self):
        return self.players.contexts[0].frames
