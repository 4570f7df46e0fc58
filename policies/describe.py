"""What a folder with one of our own policies is, read from headers and JSON: no weights are read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from playloop.core.contract import Contract
from playloop.core.formats import check_format
from playloop.nn.folder import WEIGHTS, read_record
from playloop.nn.record import read_part
from playloop.nn.shards import read_header
from playloop.policies.checkpoint import FILES, read_statistics
from playloop.policies.diffusion import DecoderConfig
from playloop.policies.vla import CLASSES, VLAConfig


def describe(path: Path) -> list[tuple[str, str]] | None:
    """Lines of a label and a value; None for something else than a policy that `playloop train` wrote.

    Args:
        path: its folder.

    Raises:
        ValueError: it is one, and damaged.
        FileNotFoundError: it is one, and a file is missing.
    """
    if not (path / "config.json").is_file():
        return None
    record = read_record(path / "config.json")
    if not {"model", "decoder", "instructions"} <= record.keys():
        return None
    check_format(record, path / "config.json")
    missing = [name for name in FILES if not (path / name).is_file()]
    if missing:
        raise FileNotFoundError(
            f"{path} is no complete checkpoint: {', '.join(missing)} missing; copy it again"
        )
    entries = read_header(path / WEIGHTS).values()
    try:
        model: VLAConfig = read_part(record, "model", (VLAConfig,), CLASSES)
        decoder = read_part(record, "decoder", (DecoderConfig,))
    except ValueError as error:
        raise ValueError(f"{path / 'config.json'}: {error}") from error
    contract = Contract.from_json(read_record(path / "contract.json"), str(path / "contract.json"))
    types = ", ".join(sorted({entry.dtype for entry in entries}))
    return [
        ("kind", "policy of playloop"),
        ("parameters", f"{sum(entry.elements for entry in entries):,}"),
        ("type", types),
        ("transformer", f"{model.layers} layers, width {model.width}, {model.heads} heads"),
        ("cameras", ", ".join(model.cameras)),
        ("actions", f"chunks of {model.chunk} with {len(contract.action_names)} numbers"),
        ("decoder", ", ".join(f"{name}={value}" for name, value in vars(decoder).items())),
        ("environment", contract.family),
        *contract.described(),
        *scale_lines(read_statistics(path / "statistics.json"), ("action", "state")),
        ("trained with", str(read_record(path / "training.json").get("command", "unknown"))),
    ]


def scale_lines(record: Mapping[str, Any], parts: Sequence[str], indent: str = "") -> list[tuple[str, str]]:
    """The ends of the scales in a data set's statistics.

    Args:
        record: statistics by part.
        parts: that are listed, where there are any.
        indent: before each label.
    """
    return [
        (f"{indent}{part} {name}", " ".join(f"{value:.4g}" for value in record[part][name]))
        for part in parts
        if record.get(part)
        for name in ("q01", "q99")
    ]
