"""Fine-tune a checkpoint of OpenVLA's family on recorded demonstrations."""

from __future__ import annotations

from dataclasses import field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from playloop.core.annotations import Count
from playloop.core.checked import checked
from playloop.core.kinds import kind
from playloop.demos.lerobot.dataset import Demonstrations
from playloop.nn.record import to_record
from playloop.policies.openvla.checkpoint import open_checkpoint
from playloop.policies.openvla.families import choose_family
from playloop.policies.openvla.files import read_openvla
from playloop.policies.openvla.model import OpenVLA
from playloop.policies.openvla.prompt import PromptEncoder
from playloop.policies.openvla.statistics import read_statistics, statistics_of
from playloop.tokenizers.actions import WORDS, UniformBins
from playloop.tokenizers.grippers import GRIPPERS
from playloop.training.data import DataTask, DataTaskConfig, Stacked
from playloop.training.openvla.checks import check_adapter, check_teacher, checkpoint_identity
from playloop.training.openvla.data import matching_family, pad_prompts, published_record, student_config
from playloop.training.openvla.images import prepared_frames
from playloop.training.openvla.model import AdapterConfig, export_student, load_student
from playloop.training.openvla.objectives import Objective, ObjectiveConfig
from playloop.training.rows import common_contract, instructions, split_rows
from playloop.training.task import Share

DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}


@kind("train-openvla")
@checked
class OpenVLATaskConfig(DataTaskConfig):
    """What is fine-tuned, on data sets recorded under one contract, and how.

    Args:
        openvla: Hugging Face folder of the checkpoint to begin with.
        objective: what is minimised.
        adapter: what is trained.
        teacher: checkpoint that is followed in "distill"; None: the first one without adapters.
        images: pictures of an observation, the family's first cameras; None: as many as the checkpoint reads,
            and all of them for one that acts token by token.
        state: whether the robot's state is read; None: as the checkpoint does, and for one that acts token by
            token if it is known how.
        film: whether the instruction modulates the vision transformers (FiLM); None: as the checkpoint does.
        statistics: data set of the checkpoint's whose statistics scale actions and state; None: those of the
            rows that are trained on, but in "distill" the teacher's, for its tokens mean nothing otherwise.
        key: name of the rows' own statistics in the export; it must begin with the family's. None: made of
            the data set's name.
        frozen: "bf16" or "fp32", type of the frozen weights; the export is bfloat16 either way.
    """

    openvla: str = field(kw_only=True)
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    adapter: AdapterConfig = field(default_factory=AdapterConfig)
    teacher: str | None = None
    images: Count | None = None
    state: bool | None = None
    film: bool | None = None
    statistics: str | None = None
    key: str | None = None
    frozen: Literal["bf16", "fp32"] = "bf16"

    def trained(self) -> AdapterConfig:
        """A student that follows its own checkpoint may not change what its teacher computes with."""
        follows = self.objective.name == "distill" and self.teacher is None
        return replace(self.adapter, heads=self.adapter.heads and not follows)

    def settings(self) -> dict[str, Any]:
        made = {"objective": to_record(self.objective), "adapter": to_record(self.trained())}
        return super().settings() | {"frozen": self.frozen} | made

    def make(self) -> OpenVLATask:
        """The task; pictures are prepared if they are missing."""
        return OpenVLATask(self)


class OpenVLATask(DataTask):
    """A `TrainingTask`: adapters beside a frozen OpenVLA, and rows of demonstrations."""

    config: OpenVLATaskConfig
    model: Objective

    def __init__(self, config: OpenVLATaskConfig):
        self.config = config
        if config.teacher is not None and config.objective.name != "distill":
            raise ValueError(f"teacher={config.teacher}: only objective=distill follows one; leave it out.")
        self.adapter = config.trained()
        self.datasets = [Demonstrations(path, config.on_corrupt) for path in config.data]
        self.family = matching_family(self.datasets)
        if config.key is not None and not config.key.startswith(self.family.keys):
            raise ValueError(
                f"key={config.key}: names of {self.family.name}'s data sets begin with "
                f"{' or '.join(self.family.keys)}, by which evaluation finds the environment"
            )
        self.rows = split_rows(self.datasets, config.validation, config.seed)
        base = open_checkpoint(config.openvla).config
        self.student = student_config(
            base, config.objective, self.family, self.datasets, config.images, config.state, config.film
        )
        check_adapter(config.openvla, base, self.student, self.adapter)
        if config.objective.name == "distill":
            teacher = config.teacher or config.openvla
            check_teacher(teacher, open_checkpoint(teacher).config, self.student, config.objective)
        folders = {"openvla": config.openvla, "teacher": config.teacher}
        self.made_of = {name: folder and checkpoint_identity(folder) for name, folder in folders.items()}
        contract = self.family.contract(self.student.images)
        if differences := contract.differences(common_contract(self.datasets)):
            raise ValueError(
                f"{self.datasets[0].root} was not recorded as {self.family.name}'s checkpoints act: "
                f"{'; '.join(differences)}"
            )
        self.cameras = tuple(contract.cameras)
        self._read_columns()
        self.images = self.family.images.with_moments_of(config.openvla).changed({"size": self.student.image})
        self.frames = self._open_frames()
        followed = None
        if config.teacher is not None:
            followed = read_openvla(config.teacher, "cpu", DTYPES[config.frozen])
        moments = self.images.means, self.images.stds
        self.model = Objective(self._student(), config.objective, followed, *moments)

    def _read_columns(self) -> None:
        def column(name: str) -> np.ndarray:
            return np.concatenate([dataset.column(name) for dataset in self.datasets])

        self.states = column("observation.state").astype(np.float64)  # [N, P]
        actions = torch.from_numpy(column("action_chunk").astype(np.float64))  # [N, chunk, A]
        actions[..., -1] = GRIPPERS[self.family.gripper].target(actions[..., -1])
        self.record = self._statistics(actions[:, 0].numpy())
        statistics = statistics_of(self.record, next(iter(self.record)), epsilon=True)
        values = statistics.action.normalize(actions)
        self.columns = {
            "values": values.float().numpy(),
            "ids": UniformBins(WORDS).encode(values).flatten(-2).numpy(),
        }
        if self.student.proprio is not None:
            if statistics.proprio is None:
                raise ValueError(f"{statistics.key} has no statistics of the state; set state=false")
            normalized = statistics.proprio.normalize(torch.from_numpy(self.states))
            self.columns["proprio"] = normalized.float().numpy()
        encoder = PromptEncoder(self.config.openvla)
        self.texts, self.text = instructions(self.datasets)
        self.prompts = [encoder(text) for text in self.texts]

    def _statistics(self, actions: np.ndarray) -> dict[str, Any]:
        """Name → record, of one data set: the rows' own or the checkpoint's. Actions [N, A]."""
        config = self.config
        if config.statistics is None and config.objective.name != "distill":
            learned, episodes = self.rows["train"], sum(len(dataset.episodes) for dataset in self.datasets)
            key = config.key or f"{self.family.keys[0]}_{self.datasets[0].root.name}"
            return {key: published_record(actions[learned], self.states[learned], episodes)}
        known = read_statistics(config.teacher or config.openvla)
        _, key = choose_family(known, self.family.name, config.statistics)
        return {key: known[key]}

    def _open_frames(self) -> dict[str, Stacked]:
        config = self.config
        read = partial(prepared_frames, images=self.images, processes=config.processes, folder=config.cache)
        return {
            name: Stacked([read(dataset, f"observation.images.{name}") for dataset in self.datasets])
            for name in self.cameras
        }

    def _student(self) -> OpenVLA:
        config = self.config
        return load_student(config.openvla, self.student, self.adapter, config.seed, DTYPES[config.frozen])

    # --------------------------------------------------------------------------------------------- task

    def describe(self) -> dict[str, Any]:
        made = {"student": to_record(self.student), "statistics": self.record}
        return super().describe() | made | {"images": self.images.describe()} | self.made_of

    def batch(self, split: str, step: int, generator: torch.Generator, share: Share) -> dict[str, Tensor]:
        """Keys: see `openvla_objectives.Batch`."""
        return self.gather(self.choose(split, step, generator, share))

    def gather(self, rows: np.ndarray) -> dict[str, Tensor]:
        """The rows with these numbers over all data sets."""
        pictures = np.stack([self.frames[name].gather(rows) for name in self.cameras], 1)
        batch = {name: torch.from_numpy(values[rows]) for name, values in self.columns.items()}
        prompts = [self.prompts[number] for number in self.text[rows]]
        batch["prompt"] = pad_prompts(prompts, self.student.padding)
        return batch | {"images": torch.from_numpy(pictures)}

    def loss(self, batch: dict[str, Tensor], generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        return self.model(batch, generator, self.dtype)

    def save(self, folder: Path, state: dict[str, Tensor], record: dict[str, Any]) -> None:
        """The checkpoint is read once more and the trained parts put in; what is sharded stays so."""
        export_student(
            folder,
            self._student(),
            {name.removeprefix("model."): value for name, value in state.items()},
            Path(self.config.openvla),
            self.record,
            self._observation(int(self.rows["train"][0])),
            self.family.name,
            self.provenance() | record,
        )

    def _observation(self, row: int) -> dict[str, Any]:
        starts = np.cumsum([0, *(dataset.length for dataset in self.datasets)])
        number = int(np.searchsorted(starts, row, side="right")) - 1
        dataset, inside = self.datasets[number], row - int(starts[number])
        return {
            "images": {name: dataset.frame(f"observation.images.{name}", inside) for name in self.cameras},
            "state": self.states[row].astype(np.float32),
            "instruction": self.texts[self.text[row]],
        }

    def provenance(self) -> dict[str, Any]:
        return super().provenance() | {
            "objective": to_record(self.config.objective),
            "adapter": to_record(self.adapter),
            "base": self.made_of["openvla"],
            "images": self.images.describe(),
        }
