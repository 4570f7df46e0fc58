"""Which parts of recordings a world model is judged on, and what lies in them."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np

from playloop.core.contract import Contract
from playloop.core.images import resize
from playloop.demos.lerobot.integrity import whole_identity
from playloop.demos.open import open_demonstrations
from playloop.demos.splits import check_steps, held_out


@dataclass(frozen=True, order=True)
class Clip:
    """Frames in a row, named completely: what is drawn for a clip follows from its name."""

    source: str  # identity of the data set
    episode: int  # number among the data set's episodes
    start: int  # first frame in the episode
    frames: int  # two clips that differ in this alone draw the same numbers

    @property
    def key(self) -> str:
        return f"{self.source}-{self.episode:05d}-{self.start:06d}"

    @property
    def label(self) -> str:
        return f"episode {self.episode} of {self.source}, from frame {self.start}"

    def rng(self, *purpose: object) -> np.random.Generator:
        """A generator that depends on this clip and the purpose, and on nothing else."""
        text = "/".join(map(str, (self.key, *purpose)))
        return np.random.default_rng(
            int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")
        )


def _check_skipped(trained: Iterable[str], datasets: Mapping[str, Any]) -> None:
    """Refuse recordings of which other episodes are left out than in training: who is held out is counted."""
    before = {whole_identity(name): name for name in trained}
    for name, dataset in datasets.items():
        other = before.get(whole_identity(name))
        if other is not None and other not in datasets and other != name:
            raise ValueError(
                f"{dataset.root}: the model was trained on these recordings with other episodes left out "
                f"({other}, here {name}), so which ones were held out cannot be told; restore the damaged "
                "files, or use on_corrupt as in training"
            )


class Recordings:
    """Data sets from which clips are taken.

    Args:
        paths: their folders.
        size: height and width of the frames that are wanted.
        camera: "" for every data set's first.
        on_corrupt: see `demos.open`.
        trained: what the model's `training.json` says: episodes that it was trained on are left out.
        resized: makes a frame of any other size one of that size; None for `core.images.resize`.

    Raises:
        ValueError: a data set does not have MineRL's actions, or no video.
    """

    def __init__(
        self,
        paths: Sequence[str],
        size: tuple[int, int],
        camera: str = "",
        on_corrupt: Literal["refuse", "skip"] = "refuse",
        trained: dict[str, Any] | None = None,
        resized: Callable[[np.ndarray], np.ndarray] | None = None,
    ):
        opened = [open_demonstrations(path, on_corrupt) for path in paths]
        self.datasets = {dataset.identity: dataset for dataset in opened}
        self.size, self.camera = size, camera
        self._resized = resized or partial(resize, size=size)
        for dataset in opened:
            check_steps(dataset)
            if not dataset.cameras:
                raise ValueError(f"{dataset.root} has no video; there is nothing to compare with.")
        trained = trained or {}
        told = {data["identity"] for data in trained.get("data", [])}
        _check_skipped(told, self.datasets)
        self.trained_on = told & set(self.datasets)
        if self.trained_on and not trained.get("held_out"):
            raise ValueError(
                "the model was trained on these recordings, and none of their episodes was held out for it; "
                "name others with data=…"
            )
        self.allowed = {
            name: held_out(len(dataset.episodes), trained["held_out"], trained["seed"])
            if name in self.trained_on
            else np.ones(len(dataset.episodes), bool)
            for name, dataset in self.datasets.items()
        }

    @property
    def contract(self) -> Contract:
        """That of the first data set."""
        contract = next(iter(self.datasets.values())).contract
        assert contract is not None  # checked when opened
        return contract

    def longest(self) -> int:
        """Frames of the longest episode that may be used; 0 if there is none."""
        lengths = [np.diff(d.starts)[self.allowed[name]] for name, d in self.datasets.items()]
        return int(max(np.concatenate(lengths), default=0))

    def choose(self, count: int, frames: int) -> list[Clip]:
        """Clips that do not overlap, spread over the episodes; fewer are the beginning of more.

        Raises:
            ValueError: no episode is long enough.
        """
        columns = []
        for name, dataset in self.datasets.items():
            for episode in np.flatnonzero(self.allowed[name]).tolist():
                length = int(dataset.starts[episode + 1] - dataset.starts[episode])
                places = Clip(name, episode, 0, 0).rng("places", frames).permutation(length // frames)
                columns.append([Clip(name, episode, int(place) * frames, frames) for place in places])
        columns = [column for column in columns if column]
        if not columns and count:
            others = " that the model was not trained on" if self.trained_on else ""
            raise ValueError(
                f"no episode{others} has {frames} frames, the longest {self.longest()}; name other "
                "recordings with data=…, or lower horizon or context"
            )
        columns.sort(key=lambda column: Clip(column[0].source, column[0].episode, 0, 0).rng("order").random())
        ranks = itertools.zip_longest(*columns)
        return [clip for rank in ranks for clip in rank if clip is not None][:count]

    def rows(self, clip: Clip) -> np.ndarray:
        """The clip's rows in its data set, int64 [T]."""
        return int(self.datasets[clip.source].starts[clip.episode]) + clip.start + np.arange(clip.frames)

    def frames(self, clip: Clip) -> np.ndarray:
        """uint8 [T, H, W, 3]."""
        dataset = self.datasets[clip.source]
        images = dataset.frames(self.camera or dataset.cameras[0], self.rows(clip))
        return images if images.shape[1:3] == self.size else np.stack([self.picture(one) for one in images])

    def picture(self, image: np.ndarray) -> np.ndarray:
        """A frame of the game, uint8 [H, W, 3], as the model's tokenizer is to see it."""
        return image if image.shape[:2] == self.size else self._resized(image)

    def actions(self, clip: Clip) -> np.ndarray:
        """Action vectors between the frames, float32 [T - 1, 25]; [t] leads from frame t to frame t + 1."""
        return self.datasets[clip.source].column("action")[self.rows(clip)[:-1]].astype(np.float32)
