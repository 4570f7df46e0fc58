"""What the settings of every verb may hold that stand at the top of its YAML; classes declare their own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from annotated_types import Ge, Gt, Le

from playloop.core.annotations import Count, Name, Natural, Positive

Section = dict[str, Any]
"""Settings of a part, which its own class declares."""
Folders = Name | list[Name]
Task = int | str | None
Tasks = list[int | str] | int | str | None


@dataclass
class EvalSettings:
    """Of `configs/eval.yaml`."""

    env: Section
    agent: Section
    task: Task
    tasks: Tasks
    inits: Count | list[Natural] | None
    episodes: Count | None
    seed: int
    workers: Natural
    step_timeout: Positive
    videos: Natural | list[str] | str | None
    out: str | None


@dataclass
class EvalWorldSettings:
    """Of `configs/eval_world.yaml`."""

    world: Name
    data: Folders
    out: str | None
    evaluation: Section


@dataclass
class RecordSettings:
    """Of `configs/record.yaml`."""

    env: Section
    agent: Section
    task: Task
    tasks: Tasks
    episodes: Count
    stride: Count
    seed: int
    workers: Natural
    step_timeout: Positive
    out: str | None


@dataclass
class TrainingSettings:
    """Of `configs/training/`."""

    device: str
    resident: bool
    processes: Natural
    trainer: Section
    task: Section


@dataclass
class TrainSettings:
    """Of every `configs/train….yaml`; what is trained adds its own."""

    data: Folders
    out: Name
    seed: int
    training: TrainingSettings


@dataclass
class TrainPolicySettings(TrainSettings):
    """Of `configs/train.yaml`."""

    policy: Section


@dataclass
class TrainTokenizerSettings(TrainSettings):
    """Of `configs/train_tokenizer.yaml`."""

    tokenizer: Section


@dataclass
class TrainWorldSettings(TrainSettings):
    """Of `configs/train_world.yaml`."""

    world: Section
    tokenizer: Name


@dataclass
class TrainInverseSettings(TrainSettings):
    """Of `configs/train_inverse.yaml`."""

    inverse: Section


@dataclass
class TrainMineWorldSettings(TrainSettings):
    """Of `configs/train_mineworld.yaml`."""

    mineworld: Name
    tokenizer: str | None


@dataclass
class TrainOpenVLASettings(TrainSettings):
    """Of `configs/train_openvla.yaml`."""

    openvla: Name
    objective: Section


@dataclass
class PlaySettings:
    """Of `configs/play.yaml`."""

    world: Name | None
    inverse: Name | None
    task: Task
    init: Natural | None
    seed: int
    horizon: Count | None
    fps: Annotated[float, Gt(0), Le(240)] | None
    host: str
    port: Annotated[int, Ge(0), Le(65535)]
    browser: bool
    sessions: Count
    upload_megabytes: Positive
    out: str | None
    person: Section
    env: Section | None = None
    agent: Section | None = None


@dataclass
class DecoderBenchSettings:
    """`decoder` in `configs/bench.yaml`."""

    checkpoint: Name
    tasks: list[Natural] | None
    inits: Count | list[Natural] | None
    folder: Name


@dataclass
class BenchSettings:
    """Of `configs/bench.yaml`."""

    env: Section
    out: str | None
    seed: int
    episodes: Count
    steps: Count
    workers: Natural
    decode: Section
    openvla: Section
    decoder: DecoderBenchSettings
    world: Section
    mineworld: Section
    craft: Section
    simpler: Section
    play: Section


@dataclass
class OutSettings:
    """Of `configs/convert.yaml` and `configs/merge.yaml`, beside their class's."""

    out: str | None


SETTINGS: dict[str, type] = {
    "eval": EvalSettings,
    "eval_world": EvalWorldSettings,
    "record": RecordSettings,
    "train": TrainPolicySettings,
    "train_tokenizer": TrainTokenizerSettings,
    "train_world": TrainWorldSettings,
    "train_inverse": TrainInverseSettings,
    "train_mineworld": TrainMineWorldSettings,
    "train_openvla": TrainOpenVLASettings,
    "play": PlaySettings,
    "bench": BenchSettings,
    "convert": OutSettings,
    "merge": OutSettings,
}
"""Name of a YAML file in configs/ → what its settings may hold."""
