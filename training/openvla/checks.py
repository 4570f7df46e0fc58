"""Whether the parts of a fine-tuning fit together, checked before pictures and weights are read."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from playloop.core.files import file_hash
from playloop.policies.golden import GOLDEN
from playloop.policies.openvla.checkpoint import CONFIG
from playloop.policies.openvla.config import OpenVLAConfig
from playloop.training.openvla.model import AdapterConfig, adapted_slots
from playloop.training.openvla.objectives import ObjectiveConfig

PIECES, PIECE = 64, 4096
"""How many pieces of a file of weights are looked at, and their bytes."""


def check_adapter(
    folder: str | Path, base: OpenVLAConfig, config: OpenVLAConfig, adapter: AdapterConfig
) -> None:
    """Refuse to drop FiLM's layers, new parts that stay untrained or that an adapter does not know, and
    adapters that cannot be made or lie in the weights already.

    Args:
        folder: of the checkpoint to begin with.
        base: the checkpoint's configuration.
        config: what it becomes.
        adapter: what is trained.

    Raises:
        FileNotFoundError: there is no adapter to go on from.
        ValueError: says what to change.
    """
    _check_parts(base, config, adapter)
    adapted_slots(config, adapter.targets)
    adapter.lora()
    if adapter.start and Path(adapter.start).resolve().is_relative_to(Path(folder).resolve()):
        raise ValueError(
            f"openvla={folder} holds the adapter {adapter.start} in its weights already: leave adapter.start "
            "out, or give the checkpoint that it was trained beside"
        )


def _check_parts(base: OpenVLAConfig, config: OpenVLAConfig, adapter: AdapterConfig) -> None:
    if base.film and not config.film:
        raise ValueError("film=false: this checkpoint's vision transformers need their FiLM; leave film out")
    made = {
        "film=true": config.film and not base.film,
        "state=true": config.proprio not in (None, base.proprio),
        "objective=l1": config.l1 and not base.l1,
    }
    new = [name for name, there in made.items() if there]
    if new and not adapter.heads:
        raise ValueError(
            f"{new[0]} makes new layers, which have to be trained: set adapter.heads=true; for "
            "objective=distill name a teacher, since a student that follows itself trains adapters alone"
        )
    if "film=true" in new and adapter.start is not None:
        raise ValueError(
            "film=true makes new layers, and an adapter goes on only beside those it was trained with: begin "
            "with the checkpoint that lies around it (openvla=…) and leave adapter.start out"
        )


def check_teacher(
    folder: str | Path, teacher: OpenVLAConfig, student: OpenVLAConfig, objective: ObjectiveConfig
) -> None:
    """Refuse a teacher, in that folder, whose scores are of something else than it has learned."""
    if "diffusion" not in teacher.decoders:
        raise ValueError(
            f"objective=distill follows a diffusion model, and {folder} decodes by "
            f"{' or '.join(teacher.decoders)}: give one as openvla=… or teacher=…, or choose objective=block"
        )
    if teacher.attention != objective.teacher_attention:
        raise ValueError(
            f"the teacher {folder} has {teacher.attention} attention: set "
            f"objective.teacher_attention={teacher.attention} instead of {objective.teacher_attention}"
        )
    for name in ("images", "chunk", "proprio", "vocabulary", "mask", "image"):
        if getattr(teacher, name) != getattr(student, name):
            raise ValueError(
                f"the teacher has {name}={getattr(teacher, name)}, the student {getattr(student, name)}; "
                "they must read and decide the same"
            )


def checkpoint_identity(folder: str | Path) -> Mapping[str, Any]:
    """What tells one checkpoint from another without reading all of its weights."""
    folder = Path(folder)
    weights = sorted([*folder.glob("*.safetensors"), *folder.glob("*_checkpoint.pt")])
    return {
        "name": folder.name,
        "config": file_hash(folder / CONFIG),
        "golden": file_hash(folder / GOLDEN) if (folder / GOLDEN).is_file() else None,
        "weights": {path.name: sampled_hash(path) for path in weights},
    }


def sampled_hash(path: Path) -> str:
    """A hash of a file's size and of evenly spread pieces; training changes nearly every number between.

    Small files are read whole.
    """
    size = path.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        for number in range(PIECES):
            file.seek(number * max(size - PIECE, 0) // (PIECES - 1))
            digest.update(file.read(PIECE))
    return digest.hexdigest()
