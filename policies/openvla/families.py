"""The environments that OpenVLA's published checkpoints act in, each with its declared conventions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from playloop.core.contract import Contract
from playloop.core.robots import PANDA_CAMERAS, PANDA_SIDE, arm_contract, bridge_contract, fractal_contract
from playloop.policies.dialects import DIALECTS, dialect_contract
from playloop.policies.openvla.config import OpenVLAConfig
from playloop.policies.openvla.images import SIZE, EvaluationImages
from playloop.policies.openvla.prompt import BARE, QUESTION
from playloop.policies.openvla.statistics import choose_key
from playloop.policies.resize import RESIZE

ANY = "any"
"""Success rule and protocol of a contract that only a policy holds: what it sees does not depend on them."""


@dataclass(frozen=True)
class Family:
    """One family of environments as its checkpoints know it.

    Args:
        name: as settings name it.
        keys: how the names of its data sets begin.
        conventions: pictures of an observation, and `resize` → the environment's contract.
        gripper: name in `grippers.GRIPPERS`.
        images: how a camera's picture reaches the network.
        state: whether it is known how a checkpoint is given the robot's state.
        prompt: how a checkpoint that acts token by token gets its instruction, name in `prompt.PROMPTS`.
        resize: name in `policies.resize.RESIZE`, of how pictures get their size before that; None: only
            `images` resizes.
    """

    name: str
    keys: tuple[str, ...]
    conventions: Callable[[int, str | None], Contract]
    gripper: str
    images: EvaluationImages
    state: bool
    prompt: str = QUESTION
    resize: str | None = None

    def contract(self, images: int) -> Contract:
        """The environment's conventions, of so many pictures an observation; refuses more than it has."""
        return self.conventions(images, self.resize)

    def prompt_of(self, config: OpenVLAConfig) -> str:
        """How this checkpoint gets its instruction, name in `prompt.PROMPTS`.

        Checkpoints that give chunks come from OpenVLA-OFT's code, which asks the question wherever it acts.
        """
        return self.prompt if config.single else QUESTION

    def resized(self, resize: str | None) -> Family:
        """The same with pictures resized otherwise; None changes nothing.

        Raises:
            ValueError: there is no such way, or nothing to choose.
        """
        if resize is None:
            return self
        if self.resize is None:
            raise ValueError(
                f"resize={resize!r}: {self.name}'s pictures are resized by `images` alone; leave it out"
            )
        if resize not in RESIZE:
            raise ValueError(f"resize={resize!r}: use one of {', '.join(RESIZE)}")
        return replace(self, resize=resize)


def libero_contract(images: int, resize: str | None = None) -> Contract:
    """The third-person camera, then the wrist's; nothing is resized before the checkpoint's own pipeline."""
    if images > len(PANDA_CAMERAS):
        raise ValueError(f"LIBERO has {len(PANDA_CAMERAS)} cameras, the checkpoint reads {images} pictures")
    return arm_contract("libero", PANDA_SIDE, ANY, ANY, PANDA_CAMERAS[:images])


def _simpler(name: str, robot: Callable[[str, str], Contract]) -> Family:
    """A robot of SimplerEnv, as the runner in DelinQu/SimplerEnv-OpenVLA shows it to OpenVLA.

    The picture is resized once, by `agents.dialect`; no crop, no JPEG, actions as they are un-normalised. No
    runner was found in the repositories of OpenVLA-OFT and Discrete Diffusion VLA: others' of OFT resize
    alike, crop nothing and ask the question.
    """

    def contract(images: int, resize: str | None) -> Contract:
        if images != 1:
            raise ValueError(f"SimplerEnv has one camera, the checkpoint reads {images} pictures")
        return dialect_contract(DIALECTS[name], robot(ANY, ANY), (SIZE, SIZE), resize or "area")

    images = EvaluationImages(jpeg=False, crop=None)
    return Family(name, (name,), contract, "opening", images, False, BARE, "area")


FAMILIES = {
    family.name: family
    for family in (
        Family("libero", ("libero",), libero_contract, "robosuite", EvaluationImages(), True),
        _simpler("bridge", bridge_contract),
        _simpler("fractal", fractal_contract),
    )
}


def family_of(key: str) -> Family:
    """The family of a data set; says where there is none here."""
    for family in FAMILIES.values():
        if key.startswith(family.keys):
            return family
    raise ValueError(
        f"data set {key!r} belongs to no environment that is known here; give family= if it follows the "
        f"conventions of {' or '.join(FAMILIES)}"
    )


def choose_family(
    known: dict[str, Any], name: str | None, wanted: str | None, resize: str | None = None
) -> tuple[Family, str]:
    """Family and data set, one from the other where only one is stated.

    Args:
        known: the checkpoint's statistics by data set.
        name: of the family, None if it is not stated. It is stated for data sets that are none's, too.
        wanted: data set, None if it is not stated: the only one, or a stated family's only one.
        resize: see `Family`; None as published.

    Raises:
        ValueError: there is no such family or data set, the data set belongs to another family, or several
            could be meant.
    """
    if name is None:
        key = choose_key(known, wanted)
        return family_of(key).resized(resize), key
    if name not in FAMILIES:
        raise ValueError(f"family={name!r}: choose from {', '.join(FAMILIES)}")
    family = FAMILIES[name]
    own = [key for key in known if key.startswith(family.keys)] or list(known)
    if wanted is None and len(own) == 1:
        wanted = own[0]
    theirs = [other for other, its in FAMILIES.items() if wanted and wanted.startswith(its.keys)]
    if theirs and theirs != [name]:
        raise ValueError(
            f"data set {wanted!r} is one of {theirs[0]}, not of {name}: another robot, another scale and "
            f"gripper; leave family= out, or give a checkpoint of {name}"
        )
    return family.resized(resize), choose_key(known, wanted)
