"""The conventions that a data set was recorded under, against the columns that it has."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from playloop.core.typed import read_typed
from playloop.demos.columns import Feature
from playloop.envs.contract import Contract
from playloop.envs.minecraft import ACTION_NAMES

if TYPE_CHECKING:
    from playloop.demos.dataset import Demonstrations


def read_contract(record: Any, where: str) -> Contract | None:
    """A contract from a file; None if none was recorded.

    Raises:
        ValueError: a field is missing or of another type.
    """
    return None if record is None else read_typed(Contract, record, where)


def check_contract(contract: Contract, features: dict[str, Feature], where: str) -> None:
    """Refuse a contract that speaks of other actions, states or pictures than there are.

    Args:
        contract: of the environment.
        features: of the data set, cameras as [height, width, channels].
        where: the file with the contract.

    Raises:
        ValueError: names the first that differs.
    """
    sizes = {"action": len(contract.action_names), "observation.state": len(contract.state_names)}
    for name, size in sizes.items():
        shape = features[name]["shape"] if name in features else [size]
        if list(shape) != [size]:
            raise ValueError(
                f"{where}: it names {size} numbers of {name}, the data set's column has the shape {shape}; "
                "give the contract of the environment that was recorded"
            )
    for camera, sides in contract.cameras.items():
        feature = features.get(f"observation.images.{camera}")
        height, width = feature["shape"][:2] if feature is not None else sides
        if (height, width) != tuple(sides):
            raise ValueError(
                f"{where}: its camera {camera} is {sides[0]}×{sides[1]}, the data set's is {height}×{width}; "
                "give the contract of the environment that was recorded"
            )


def check_steps(dataset: Demonstrations) -> None:
    """Refuse a data set from which a model of frames cannot learn what Minecraft's keys do.

    Raises:
        ValueError: it has other actions, or between two of its rows lie actions that are not stored.
    """
    contract, fps = dataset.contract, dataset.fps
    if contract is None or contract.action_names != ACTION_NAMES:
        raise ValueError(
            f"{dataset.root} was not recorded with the actions of MineRL: what its keys do cannot be "
            "learned here. Record with env=craft, env=luanti or env=minerl, or take VPT's recordings."
        )
    if not math.isclose(fps, contract.control_hz, rel_tol=0.01):
        raise ValueError(
            f"{dataset.root} has {fps:g} rows a second and its environment {contract.control_hz:g} actions: "
            "those between two rows are not stored, so that none leads from a frame to the next. Record with "
            "stride=1."
        )
