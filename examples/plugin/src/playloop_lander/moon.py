"""The moon and the craft's motion: no pictures, no Playloop."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

WIDTH, HEIGHT = 40.0, 30.0
"""Metres of the sky that is seen."""
PADS = {"red": (232, 92, 74), "green": (96, 204, 128), "blue": (88, 156, 240)}
"""Name → colour of the three landing pads."""
PAD, LEGS = 4.0, 1.0
"""Width of a pad, and height of the craft's middle above its feet, metres."""
GRAVITY, ENGINE = 1.6, 4.0
"""Metres a second squared; the engine at its full throttle."""
TILT, EASE = 0.6, 0.08
"""Farthest tilt that is steered to, and the most that the tilt changes in a step, radians."""
GENTLE = (0.9, 1.6, 0.25)
"""Fastest sideways and downward speed of a landing, metres a second, and its widest tilt, radians."""


@dataclass(frozen=True)
class Ground:
    """The surface: corners of a line from left to right, metres [N], and the pads' middles by name."""

    x: np.ndarray
    y: np.ndarray
    pads: dict[str, np.ndarray]

    def height(self, x: float) -> float:
        """Of the surface below a place."""
        return float(np.interp(x, self.x, self.y))

    def pad_at(self, x: float) -> str | None:
        """Which pad a place is on, feet and all."""
        near = [name for name, pad in self.pads.items() if abs(x - pad[0]) <= PAD / 2 - 0.4]
        return near[0] if near else None


def new_ground(rng: np.random.Generator) -> Ground:
    """Hills with three flat pads, whose colours come in any order."""
    x = np.linspace(-4.0, WIDTH + 4.0, 49)
    waves = [
        rng.uniform(0.4, 1.6) * np.sin(x * rng.uniform(0.15, 0.7) + rng.uniform(0, 6.3)) for _ in range(4)
    ]
    y = np.clip(5.0 + np.sum(waves, 0) + rng.uniform(-0.3, 0.3, len(x)), 1.5, 11.0)
    middles = np.array([7.0, 20.0, 33.0]) + rng.uniform(-2.5, 2.5, 3)
    pads = {}
    for name, middle in zip(rng.permutation(list(PADS)), middles, strict=True):
        level = float(np.interp(middle, x, y))
        y[np.abs(x - middle) <= PAD / 2 + 0.6] = level
        pads[str(name)] = np.array([middle, level])
    return Ground(x, y, {name: pads[name] for name in PADS})


@dataclass(frozen=True)
class Craft:
    """Where the craft is and how it moves: metres, seconds, radians (positive to the right).

    Args:
        x: to the right.
        y: upwards, of its middle.
        vx: speed to the right.
        vy: speed upwards.
        tilt: to the right.
        fuel: seconds of full throttle that are left.
        throttle: of the last step, 0 to 1.
        landed: what it stands on: "" for nothing, "ground", or a pad's name.
        safe: it touched a pad gently.
    """

    x: float
    y: float
    vx: float = 0.0
    vy: float = 0.0
    tilt: float = 0.0
    fuel: float = 15.0
    throttle: float = 0.0
    landed: str = ""
    safe: bool = False

    def after(self, action: np.ndarray, ground: Ground, gust: float, seconds: float) -> Craft:
        """One step later.

        Args:
            action: [steer, descend], -1 to 1: where to tilt, and -1 for full throttle, 0 or more for none.
            ground: what it may touch.
            gust: the wind's push to the right, metres a second squared.
            seconds: of the step.
        """
        steer, descend = np.clip(np.asarray(action, np.float64), -1.0, 1.0)
        throttle = min(max(-float(descend), 0.0), self.fuel / seconds)
        tilt = self.tilt + float(np.clip(TILT * steer - self.tilt, -EASE, EASE))
        push = ENGINE * throttle
        vx = self.vx + seconds * (push * np.sin(tilt) + gust)
        vy = self.vy + seconds * (push * np.cos(tilt) - GRAVITY)
        x = float(np.clip(self.x + seconds * vx, 1.0, WIDTH - 1.0))
        vx = 0.0 if x in (1.0, WIDTH - 1.0) else float(vx)
        y = min(self.y + seconds * float(vy), HEIGHT - 1.0)
        vy = min(float(vy), 0.0) if y == HEIGHT - 1.0 else float(vy)
        fuel = self.fuel - seconds * throttle
        moved = replace(self, x=x, y=y, vx=vx, vy=vy, tilt=tilt, fuel=fuel, throttle=throttle)
        return moved._touched(ground)

    def _touched(self, ground: Ground) -> Craft:
        floor = ground.height(self.x) + LEGS
        if self.y > floor:
            return self
        pad = ground.pad_at(self.x)
        limits = zip((abs(self.vx), -self.vy, abs(self.tilt)), GENTLE, strict=True)
        safe = pad is not None and all(value <= most for value, most in limits)
        return replace(self, y=floor, throttle=0.0, landed=pad or "ground", safe=safe)
