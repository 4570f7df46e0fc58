"""Settings that are made in Python are checked like those of a command line."""

from __future__ import annotations

import dataclasses
import pickle

import pytest

from playloop.agents.random import RandomAgentConfig
from playloop.core.annotations import Count
from playloop.core.checked import checked
from playloop.envs.libero import LiberoConfig
from playloop.envs.toy import ToyReachConfig


@checked(frozen=True)
class Sizes:
    """Of a picture."""

    size: tuple[Count, Count] = (1, 2)
    names: list[str] = dataclasses.field(default_factory=list)

    def __post_init__(self) -> None:
        if self.size[0] > self.size[1]:
            raise ValueError(f"size={self.size}: upright")


@pytest.mark.parametrize(
    ("make", "wanted"),
    [
        (lambda: LiberoConfig(size="x"), "^LiberoConfig.size: .* valid integer, .*, not 'x'$"),
        (lambda: ToyReachConfig(tasks=0), "^ToyReachConfig.tasks: .*greater than or equal to 1, not 0$"),
        (lambda: RandomAgentConfig(low="a"), "^RandomAgentConfig.low: .* valid number"),
        (lambda: Sizes(size=[0, 3]), r"^Sizes.size.0: .*, not 0$"),
        (lambda: Sizes(size=(3, 2)), r"^size=\(3, 2\): upright$"),
        (lambda: dataclasses.replace(Sizes(), names=3), "^Sizes.names: .* valid list, not 3$"),
    ],
)
def test_a_wrong_value_is_one_sentence(make, wanted):
    with pytest.raises(ValueError, match=wanted) as error:
        make()
    assert type(error.value) is ValueError


def test_it_is_a_dataclass_like_any_other():
    made = Sizes([3, 4], ["a"])
    assert made == Sizes(size=(3, 4), names=["a"]) == pickle.loads(pickle.dumps(made))
    assert dataclasses.asdict(made) == {"size": (3, 4), "names": ["a"]}
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.names = []
    with pytest.raises(TypeError, match="colour"):
        Sizes(colour=3)
