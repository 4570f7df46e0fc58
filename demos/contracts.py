"""The conventions that a data set was recorded under, against the columns that it has."""

from __future__ import annotations

from typing import Any

from playloop.core.contract import Contract
from playloop.core.typed import read_typed
from playloop.demos.lerobot.columns import Feature


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
