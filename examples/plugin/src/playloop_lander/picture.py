"""What the cameras see: the whole moon, and the surroundings of the craft."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from playloop_lander.moon import HEIGHT, LEGS, PAD, PADS, WIDTH, Craft, Ground

CAMERAS = {"moon": ((120, 160), WIDTH), "close": ((64, 64), 12.0)}
"""Name → (height, width) in pixels and the width that is seen, metres."""
SHIFT = 4
"""Binary digits of a pixel's fraction in coordinates: edges move smoothly."""


class Sky:
    """Stars and a planet, drawn from the episode: places in metres."""

    def __init__(self, rng: np.random.Generator):
        self.stars = rng.uniform((0, 6), (WIDTH, HEIGHT), (70, 2))
        self.shine = rng.uniform(60, 255, 70)
        self.planet = rng.uniform((6, 19), (WIDTH - 6, 25)), rng.uniform(2.0, 3.6)
        self.hills = 7.5 + np.cumsum(rng.uniform(-0.9, 0.9, 23))


@dataclass(frozen=True)
class Window:
    """A part of the moon and the picture that shows it; all places are given in metres.

    Args:
        image: uint8 [H, W, 3].
        left: edge of what is seen.
        top: edge of what is seen.
        scale: pixels a metre.
    """

    image: np.ndarray
    left: float
    top: float
    scale: float

    def pixels(self, places: np.ndarray) -> np.ndarray:
        """Places [..., 2] as OpenCV takes them."""
        points = (np.asarray(places) - (self.left, self.top)) * (self.scale, -self.scale) - 0.5
        return np.round(points * 2**SHIFT).astype(np.int32)

    def fill(self, places: np.ndarray, color: tuple[int, ...]) -> None:
        """A polygon [N, 2]."""
        cv2.fillPoly(self.image, [self.pixels(places)], color, cv2.LINE_AA, SHIFT)

    def line(self, places: np.ndarray, color: tuple[int, ...], width: float) -> None:
        """An open line [N, 2], its width in metres."""
        thickness = max(1, round(width * self.scale))
        cv2.polylines(self.image, [self.pixels(places)], False, color, thickness, cv2.LINE_AA, SHIFT)

    def disc(self, place: np.ndarray, radius: float, color: tuple[int, ...]) -> None:
        """A filled circle, its radius in metres."""
        size = max(1, round(radius * self.scale * 2**SHIFT))
        x, y = self.pixels(place).tolist()
        cv2.circle(self.image, (x, y), size, color, -1, cv2.LINE_AA, SHIFT)


def draw(craft: Craft, ground: Ground, sky: Sky, steps: int, camera: str) -> np.ndarray:
    """What a camera sees, uint8 [H, W, 3]."""
    (height, width), metres = CAMERAS[camera]
    scale = width / metres
    left, top = 0.0, HEIGHT
    if camera == "close":
        left = float(np.clip(craft.x - metres / 2, 0, WIDTH - metres))
        top = float(np.clip(craft.y + metres / 2, metres - 1, HEIGHT))
    window = Window(np.empty((height, width, 3), np.uint8), left, top, scale)
    _draw_sky(window, sky)
    _draw_ground(window, ground, steps)
    _draw_craft(window, craft, steps)
    if camera == "moon":
        _draw_fuel(window, craft)
    return window.image


def _draw_sky(window: Window, sky: Sky) -> None:
    rows = window.top - (np.arange(len(window.image)) + 0.5) / window.scale
    share = np.clip(rows / HEIGHT, 0, 1)[:, None]
    window.image[:] = (np.array([70, 44, 84]) * (1 - share) + np.array([10, 12, 34]) * share)[:, None].astype(
        np.uint8
    )
    for place, shine in zip(sky.stars, sky.shine, strict=True):
        window.disc(place, 0.07, (int(shine),) * 3)
    place, radius = sky.planet
    window.disc(place, radius, (206, 150, 108))
    window.disc(place + radius * np.array([0.22, 0.12]), 0.9 * radius, (228, 180, 132))
    window.line(place + radius * np.array([[-1.6, -0.5], [0.0, -0.12], [1.6, 0.42]]), (240, 214, 176), 0.18)
    edge = np.stack([np.linspace(0, WIDTH, len(sky.hills)), sky.hills], 1)
    window.fill(np.array([*edge, (WIDTH, -2), (0, -2)]), (58, 46, 78))


def _draw_ground(window: Window, ground: Ground, steps: int) -> None:
    edge = np.stack([ground.x, ground.y], 1)
    below = np.array([(ground.x[-1], -4), (ground.x[0], -4)])
    for depth, color in ((0.0, (112, 104, 122)), (0.7, (92, 84, 104)), (2.0, (74, 66, 88))):
        window.fill(np.concatenate([edge - (0, depth), below]), color)
    window.line(edge, (168, 160, 174), 0.22)
    for number, (name, (x, y)) in enumerate(ground.pads.items()):
        half, color = PAD / 2, PADS[name]
        window.fill(np.array([(x - half, y), (x + half, y), (x + half, y - 0.6), (x - half, y - 0.6)]), color)
        lit = (steps // 10 + number) % 3 == 0
        for side in (-half, half):
            window.line(np.array([(x + side, y), (x + side, y + 0.9)]), (150, 146, 160), 0.12)
            window.disc(np.array([x + side, y + 1.0]), 0.25, color if lit else (90, 84, 96))


HULL = np.array([(-0.55, -0.35), (-0.75, 0.25), (-0.4, 0.85), (0.4, 0.85), (0.75, 0.25), (0.55, -0.35)])
FEET = np.array([[(-0.5, -0.3), (-0.95, -LEGS), (-1.2, -LEGS)], [(0.5, -0.3), (0.95, -LEGS), (1.2, -LEGS)]])


def _draw_craft(window: Window, craft: Craft, steps: int) -> None:
    sine, cosine = np.sin(craft.tilt), np.cos(craft.tilt)
    turn, middle = np.array([[cosine, -sine], [sine, cosine]]), np.array([craft.x, craft.y])
    if craft.landed and not craft.safe:
        for radius, color in ((2.0, (150, 60, 40)), (1.4, (240, 140, 50)), (0.7, (255, 236, 170))):
            window.disc(middle - (0, 0.5), radius, color)
        return
    if craft.throttle > 0.02:
        length = 0.5 + craft.throttle * (1.3 + 0.5 * (steps % 3))
        for share, color in ((1.0, (244, 120, 48)), (0.6, (255, 208, 96)), (0.3, (255, 250, 220))):
            flame = np.array(
                [(-0.36 * share - 0.08, -0.4), (0.0, -0.4 - share * length), (0.36 * share + 0.08, -0.4)]
            )
            window.fill(middle + flame @ turn, color)
    for foot in FEET:
        window.line(middle + foot @ turn, (196, 196, 206), 0.18)
    window.fill(middle + HULL @ turn, (228, 226, 232))
    window.fill(middle + (HULL * (0.5, 1.0) + (0.24, 0)) @ turn, (176, 174, 190))
    window.disc(middle + np.array([-0.05, 0.35]) @ turn, 0.27, (84, 178, 214))


def _draw_fuel(window: Window, craft: Craft) -> None:
    full = round(30 * min(craft.fuel / 15.0, 1.0))
    window.image[4:8, 4:36] = (40, 40, 58)
    window.image[5:7, 5 : 5 + full] = (240, 196, 84) if craft.fuel > 3 else (232, 92, 74)
