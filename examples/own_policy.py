"""Evaluate a policy of your own: a small PyTorch network, trained here, acts in an environment of Playloop.

It records the toy's expert, fits a network to its actions in a loop of its own, and wraps the network as a
`Policy`: a contract, `chunk`, `batch`, and a call that decides for several episodes. Then it checks that this
keeps what a policy must, and evaluates it beside random actions on episodes that were not recorded.

    python examples/own_policy.py [OUT]        # half a minute on two cores; OUT is runs/own_policy
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import playloop
from playloop.demos.dataset import Demonstrations
from playloop.testing import check_policy

COLORS = ("red", "green", "blue", "yellow")


class Network(nn.Module):
    """Goes to where the pixels' vectors agree with that of the colour which the instruction names."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(len(COLORS), 16)
        self.pixels = nn.Sequential(nn.Linear(3, 32), nn.ReLU(), nn.Linear(32, 16))
        self.act = nn.Sequential(nn.Linear(4, 64), nn.ReLU(), nn.Linear(64, 2), nn.Tanh())
        places = (torch.arange(16) + 0.4) / 16
        self.register_buffer(
            "places", torch.stack(torch.meshgrid(places, places, indexing="xy"), -1).flatten(0, 1)
        )

    def forward(self, images: Tensor, state: Tensor, color: Tensor) -> Tensor:
        """Actions [B, 2] from images uint8 [B, 64, 64, 3], states [B, 2] and numbers of colours [B]."""
        pixels = self.pixels(images[:, 1::4, 1::4].flatten(1, 2) / 255 - 0.5)  # [B, 256, 16]
        heat = (4 * pixels * self.words(color)[:, None]).sum(-1).softmax(-1)  # [B, 256]
        goal = heat @ self.places
        return self.act(torch.cat([10 * (goal - state), state], 1))


def train(data: Demonstrations, steps: int = 1200) -> Network:
    """A network that imitates a recording of the toy."""
    torch.manual_seed(0)
    rows = range(data.length)
    images = torch.from_numpy(np.stack([data.frame("observation.images.top", row) for row in rows]))
    states, actions = (torch.from_numpy(data.column(name)) for name in ("observation.state", "action"))
    words = torch.tensor([color_of(data.tasks[int(task)]) for task in data.column("task_index")])
    network = Network()
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for step in range(steps):
        chosen = torch.randint(data.length, (64,))
        loss = (network(images[chosen], states[chosen], words[chosen]) - actions[chosen]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 250 == 0:
            print(f"step {step}: loss {loss:.4f}")
    return network.eval()


def color_of(instruction: str) -> int:
    return next(number for number, color in enumerate(COLORS) if color in instruction)


class OwnPolicy:
    """What Playloop asks of a policy: see `playloop.policies.network.Policy`."""

    contract, chunk, batch = playloop.make_env("toy").contract, 1, 16

    def __init__(self, network: Network):
        self.network = network

    def initial(self, batch: int) -> list[None]:
        return [None] * batch  # it remembers nothing

    @torch.inference_mode()
    def __call__(
        self, carry: Any, observations: list[dict[str, Any]], generators: Any
    ) -> tuple[Any, np.ndarray, dict]:
        # One row a call: in larger batches the last bits of a row would depend on how many others there are.
        return carry, np.stack([self.decide(observation) for observation in observations]), {}

    def decide(self, observation: dict[str, Any]) -> np.ndarray:
        images, state = torch.from_numpy(observation["images"]["top"]), torch.from_numpy(observation["state"])
        color = torch.tensor([color_of(observation["instruction"])])
        return self.network(images[None], state[None], color).numpy()  # [1, 2]: a chunk of one action


def main(out: Path) -> playloop.Evaluation:
    data = Demonstrations(playloop.record("toy", out=out / "data", episodes=120, workers=0))
    policy = OwnPolicy(train(data))
    check_policy(lambda: policy)
    floor = playloop.evaluate("toy", "random", inits=5, workers=0, out=out / "random")
    mine = playloop.evaluate("toy", policy, inits=5, workers=0, out=out / "mine")
    print(playloop.compare(floor, mine))
    return mine


if __name__ == "__main__":
    print(main(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/own_policy")))
