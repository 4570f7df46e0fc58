"""The environments that OpenVLA's published checkpoints act in, each with its declared conventions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from playloop.envs.arm import CAMERAS, arm_contract
from playloop.envs.contract import Contract
from playloop.envs.libero import IMAGE_SIZE
from playloop.envs.simpler.bridge import bridge_contract
from playloop.envs.simpler.fractal.env import fractal_contract
from playloop.policies.openvla.images import SIZE, EvaluationImages

ANY = "any: what a policy is told does not depend on it"
"""Success rule and protocol of a contract that only a policy holds."""


@dataclass(frozen=True)
class Family:
    """One family of environments as its checkpoints know it.

    Args:
        name: as settings name it.
        keys: how the names of its data sets begin.
        contract: pictures of an observation → the environment's conventions with so many cameras.
        gripper: name in `vocabulary.GRIPPERS`.
        images: how a camera's picture reaches the network.
        state: whether it is known how a checkpoint is given the robot's state.
    """

    name: str
    keys: tuple[str, ...]
    contract: Callable[[int], Contract]
    gripper: str
    images: EvaluationImages
    state: bool


def libero_contract(images: int) -> Contract:
    """The third-person camera, then the wrist's."""
    if images > len(CAMERAS):
        raise ValueError(f"LIBERO has {len(CAMERAS)} cameras, the checkpoint reads {images} pictures")
    return arm_contract("libero", IMAGE_SIZE, ANY, ANY, CAMERAS[:images])


def _translated(dialect: str, robot: Callable[[str, str], Contract]) -> Callable[[int], Contract]:
    def contract(images: int) -> Contract:
        from playloop.agents.dialect import DIALECTS, dialect_contract  # agents build on policies

        if images != 1:
            raise ValueError(f"SimplerEnv has one camera, the checkpoint reads {images} pictures")
        return dialect_contract(DIALECTS[dialect], robot(ANY, ANY), (SIZE, SIZE), "lanczos")

    return contract


SIMPLER_IMAGES = EvaluationImages(jpeg=False, crop=None)
"""`agents.dialect` has resized the picture; SimplerEnv's evaluators take no further step."""

FAMILIES = {
    family.name: family
    for family in (
        Family("libero", ("libero",), libero_contract, "robosuite", EvaluationImages(), True),
        Family(
            "bridge", ("bridge",), _translated("bridge", bridge_contract), "opening", SIMPLER_IMAGES, False
        ),
        Family(
            "fractal",
            ("fractal",),
            _translated("fractal", fractal_contract),
            "opening",
            SIMPLER_IMAGES,
            False,
        ),
    )
}


def family_of(key: str) -> Family:
    """The family of a data set.

    Raises:
        ValueError: there is none here.
    """
    for family in FAMILIES.values():
        if key.startswith(family.keys):
            return family
    raise ValueError(
        f"data set {key!r} belongs to no environment that is known here; give family= if it follows the "
        f"conventions of {' or '.join(FAMILIES)}"
    )


def choose_family(name: str | None, keys: list[str], wanted: str | None) -> tuple[Family | None, str | None]:
    """Family and data set from what is stated; what stays open is None.

    Args:
        name: of the family, None if it is not stated.
        keys: the checkpoint's data sets.
        wanted: data set, None if it is not stated. Of a stated family's, the only one is taken.

    Raises:
        ValueError: there is no such family.
    """
    if name is None:
        return None, wanted
    if name not in FAMILIES:
        raise ValueError(f"family={name!r}: choose from {', '.join(FAMILIES)}")
    family = FAMILIES[name]
    own = [key for key in keys if key.startswith(family.keys)]
    return family, own[0] if wanted is None and len(own) == 1 else wanted
