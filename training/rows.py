"""Which rows of demonstrations a policy learns from, and under which conventions they were recorded."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from playloop.core.contract import Contract
from playloop.demos.lerobot.dataset import Demonstrations
from playloop.demos.splits import held_out


def split_rows(datasets: Sequence[Demonstrations], validation: float, seed: int) -> dict[str, np.ndarray]:
    """Numbers of the rows of "train" and "validation" over all data sets one after the other, int64.

    A share of the episodes of every data set is held out. Only rows that the expert chose itself
    (`expert` = 1) are taken.

    Raises:
        ValueError: there is no row to train on.
    """
    held, learned = [], []
    for dataset in datasets:
        held.append(held_out(len(dataset.episodes), validation, seed)[dataset.episode_index])
        expert = "expert" in dataset.features
        learned.append(dataset.column("expert") == 1 if expert else np.ones(dataset.length, bool))
    apart, useful = np.concatenate(held), np.concatenate(learned)
    rows = {"train": np.flatnonzero(useful & ~apart), "validation": np.flatnonzero(useful & apart)}
    if not len(rows["train"]):
        raise ValueError("No row to train on: every row is marked expert = 0 or held out.")
    return rows


def instructions(datasets: Sequence[Demonstrations]) -> tuple[list[str], np.ndarray]:
    """The tasks of all data sets, each once, and for every row of theirs the index of its task, int64 [N].

    Tasks are found by number, which may have gaps.
    """
    texts: list[str] = []
    indices = []
    for dataset in datasets:
        numbers = np.array(sorted(dataset.tasks), np.int64)
        indices.append(np.searchsorted(numbers, dataset.column("task_index")) + len(texts))
        texts += [dataset.tasks[number] for number in numbers.tolist()]
    return texts, np.concatenate(indices)


def common_contract(datasets: Sequence[Demonstrations]) -> Contract:
    """The conventions under which all of the data sets were recorded.

    Raises:
        ValueError: one has none, or two differ.
    """
    contracts = []
    for dataset in datasets:
        if dataset.contract is None:
            raise ValueError(
                f"{dataset.root} has no meta/playloop.json with the environment's contract; a policy cannot "
                "know its conventions. Add one, or record with `playloop record`."
            )
        contracts.append(dataset.contract)
    for dataset, contract in zip(datasets, contracts, strict=True):
        differences = contracts[0].differences(contract)
        if differences:
            raise ValueError(
                f"{datasets[0].root} and {dataset.root} cannot be mixed: {'; '.join(differences)}."
            )
    return contracts[0]
