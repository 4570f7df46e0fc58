"""The configurations that a policy's checkpoint may hold."""

from __future__ import annotations

from typing import Any

from playloop.nn import record
from playloop.nn.record import to_record
from playloop.policies.augment import Augmentation
from playloop.policies.diffusion import DecoderConfig
from playloop.policies.vla import CameraConfig, VLAConfig
from playloop.tokenizers.instructions import MiniLMConfig, NGramsConfig

__all__ = ["CLASSES", "from_record", "read_part", "to_record"]

CLASSES = (VLAConfig, CameraConfig, Augmentation, DecoderConfig, MiniLMConfig, NGramsConfig)


def from_record(stored: Any) -> Any:
    """See `nn.record.from_record`."""
    return record.from_record(stored, CLASSES)


def read_part(stored: Any, name: str, kinds: tuple[type, ...]) -> Any:
    """See `nn.record.read_part`."""
    return record.read_part(stored, name, kinds, CLASSES)
