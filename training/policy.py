"""Train a vision-language-action policy on recorded demonstrations."""

from __future__ import annotations

from dataclasses import field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from playloop.core.checked import checked
from playloop.core.contract import Contract
from playloop.core.kinds import kind
from playloop.demos.frames import FrameCache
from playloop.demos.lerobot.dataset import Demonstrations
from playloop.nn.record import to_record
from playloop.policies import checkpoint
from playloop.policies.diffusion import DecoderConfig
from playloop.policies.vla import VLA, VLAConfig
from playloop.tokenizers.instructions import MiniLMConfig
from playloop.tokenizers.normalizer import compute_statistics
from playloop.training.data import DataTask, DataTaskConfig, Stacked
from playloop.training.rows import common_contract, instructions, split_rows
from playloop.training.start import check_embeddings, open_start, take_over
from playloop.training.task import Share


@kind("train-policy")
@checked(kw_only=True)
class PolicyTaskConfig(DataTaskConfig):
    """What a policy learns from: data sets recorded under one contract.

    Args:
        model: the policy's network.
        decoder: how the exported policy decodes unless its agent's settings say otherwise.
        instructions: the encoder of instructions, an `InstructionEncoder` config.
        start: checkpoint folder whose weights and statistics training begins with; None for new ones.
        resident: keep all images on the device: no copy a step, if they fit.
    """

    model: VLAConfig = field(default_factory=VLAConfig)
    decoder: DecoderConfig = field(default_factory=DecoderConfig)
    instructions: Any = field(default_factory=MiniLMConfig)
    start: str | None = None
    resident: bool = False

    def settings(self) -> dict[str, Any]:
        made = {"model": to_record(self.model), "instructions": to_record(self.instructions)}
        return super().settings() | {"start": self.start} | made

    def make(self) -> PolicyTask:
        """The task; data sets are opened and image caches made if missing."""
        return PolicyTask(self)


class PolicyTask(DataTask):
    """A `TrainingTask`: the network of a discrete-diffusion policy, and rows of demonstrations.

    Only rows that the expert chose itself (`expert` = 1) are imitated; disturbances are seen, not learned.

    Raises:
        ValueError: if data sets and model do not fit together.
    """

    config: PolicyTaskConfig
    model: VLA

    def __init__(self, config: PolicyTaskConfig):
        self.config = config
        self.datasets = [Demonstrations(path, config.on_corrupt) for path in config.data]
        self.contract = common_contract(self.datasets)
        _check_fit(config.model, self.datasets, self.contract)
        begun = config.start and open_start(config.start, self.contract, self.datasets[0].root)
        self._read_columns()
        if begun:
            check_embeddings(str(config.start), begun, self.encoder)
        self.rows = split_rows(self.datasets, config.validation, config.seed)
        chunks, states = (self.columns[name][self.rows["train"]] for name in ("actions", "state"))
        actions = chunks.reshape(-1, chunks.shape[-1])
        fresh = compute_statistics(actions, states, self.contract.action_names)
        self.statistics = begun.model.statistics if begun else fresh
        self.model = config.model.make(self.statistics, config.seed)
        if begun:
            take_over(self.model, begun.model, str(config.start))
        self.images = self._open_images()
        self._resident: dict[str, Tensor] = {}

    def _read_columns(self) -> None:
        names = {"state": "observation.state", "actions": "action_chunk"}
        if self.config.model.target_size:
            names["target"] = "observation.target"
        self.columns = {
            key: np.concatenate([dataset.column(name) for dataset in self.datasets]).astype(np.float32)
            for key, name in names.items()
        }
        self.texts, self.text = instructions(self.datasets)
        self.encoder = self.config.instructions.make()
        self.embeddings = self.encoder.encode(self.texts)  # [tasks, E]

    def _open_images(self) -> dict[str, Stacked]:
        size = self.config.model.image_sides
        options: dict[str, Any] = {"processes": self.config.processes, "folder": self.config.cache}
        return {
            name: Stacked(
                [FrameCache(d, f"observation.images.{name}", size, **options).array for d in self.datasets]
            )
            for name in self.config.model.cameras
        }

    # --------------------------------------------------------------------------------------------- task

    def prepare(self, device: torch.device, dtype: torch.dtype) -> None:
        super().prepare(device, dtype)
        if self.config.resident:
            self._resident = {name: images.resident(device) for name, images in self.images.items()}

    def batch(self, split: str, step: int, generator: torch.Generator, share: Share) -> dict[str, Tensor]:
        """Keys: "images.<camera>", "state", "instruction", "actions" and, if it is learned, "target"."""
        return self.gather(self.choose(split, step, generator, share))

    def gather(self, rows: np.ndarray) -> dict[str, Tensor]:
        """The rows with these numbers over all data sets."""
        batch = {f"images.{name}": self._gather_images(name, rows) for name in self.images}
        batch |= {name: torch.from_numpy(values[rows]) for name, values in self.columns.items()}
        return batch | {"instruction": torch.from_numpy(self.embeddings[self.text[rows]])}

    def _gather_images(self, name: str, rows: np.ndarray) -> Tensor:
        if name in self._resident:
            images = self._resident[name]
            return images[torch.from_numpy(rows).to(images.device)]
        return torch.from_numpy(self.images[name].gather(rows))  # [B, h, w, 3]

    def loss(self, batch: dict[str, Tensor], generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        return self.model.loss(batch, generator, self.dtype)

    def save(self, folder: Path, state: dict[str, Tensor], record: dict[str, Any]) -> None:
        checkpoint.save(
            folder,
            self.model,
            contract=self.contract,
            encoder=self.encoder,
            decoder=self.config.decoder,
            training=self.provenance() | record,
            state_dict=state,
            observation=self._observation(int(self.rows["train"][0])),
        )

    def _observation(self, row: int) -> dict[str, Any]:
        images = {name: stacked.gather(np.array([row]))[0] for name, stacked in self.images.items()}
        text = self.texts[self.text[row]]
        return {"images": images, "state": self.columns["state"][row], "instruction": text}


def _check_fit(model: VLAConfig, datasets: list[Demonstrations], contract: Contract) -> None:
    for dataset in datasets:
        wanted = ["observation.state", "action_chunk"]
        wanted += [f"observation.images.{name}" for name in model.cameras]
        wanted += ["observation.target"] if model.target_size else []
        if missing := [name for name in wanted if name not in dataset.features]:
            raise ValueError(
                f"{dataset.root} lacks {missing} that the model learns from; it has {list(dataset.features)}."
            )
        chunk, *actions = dataset.features["action_chunk"]["shape"]
        if chunk != model.chunk:
            raise ValueError(
                f"{dataset.root} has chunks of {chunk}, the model of {model.chunk}; set its chunk."
            )
        if actions != [len(contract.action_names)]:
            raise ValueError(
                f"{dataset.root}: action_chunk has the shape {[chunk, *actions]}, the contract in "
                f"meta/playloop.json {len(contract.action_names)} actions; give the one of the recording."
            )
        if absent := sorted(model.cameras.keys() - contract.cameras.keys()):
            raise ValueError(
                f"{dataset.root}: the model reads the cameras {absent}, the contract in meta/playloop.json "
                f"names {sorted(contract.cameras)}; give the one of the recording."
            )
