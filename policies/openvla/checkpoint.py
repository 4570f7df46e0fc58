"""What an OpenVLA checkpoint is, read from its headers and JSON before any weight.

Published files say nothing of pictures, chunk, state or decoding. This is inferred by the rules below where a
rule is certain, and must be stated otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from playloop.nn.contents import contents
from playloop.nn.folder import read_record
from playloop.nn.shards import Entry, read_shards
from playloop.policies.openvla import pickles
from playloop.policies.openvla.config import Decoder, OpenVLAConfig, network_fields
from playloop.policies.openvla.pickles import Step, choose_files, read_part
from playloop.policies.openvla.statistics import read_statistics

CONFIG = "config.json"
MASK = "<mask>"


class Unstated(ValueError):
    """The files do not tell how a checkpoint is used; it must be stated."""


BENCHMARKS: dict[str, dict[str, Any]] = {
    "libero": {"images": 2, "chunk": 8, "proprio": None},
    "bridge": {"images": 1, "chunk": 3},
    "fractal": {"images": 1, "chunk": 8},
    "aloha": {"images": 3, "chunk": 25, "proprio": None},
}
"""How OFT and Discrete Diffusion VLA use a benchmark, by the beginning of its data sets' names. Where there
is "proprio", every published checkpoint reads the robot's state, whatever its size."""

OFT_BRIDGE = {"images": 1, "chunk": 5}
"""OFT's constants for Bridge; Discrete Diffusion VLA's paper has a chunk of 3."""


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint of which no weights are in memory yet.

    Entries are the tensors of the safetensors files by their names there, parts OFT's further files, and
    states the tensors in these, mapped from the files.
    """

    folder: Path
    config: OpenVLAConfig
    entries: dict[str, Entry]
    parts: dict[str, Path]
    states: dict[str, dict[str, Tensor]]


def open_checkpoint(folder: str | Path, step: Step | None = None, **stated: Any) -> Checkpoint:
    """Read headers and JSON of a checkpoint, and the names in OFT's pickles.

    Args:
        folder: Hugging Face's.
        step: of OFT's files; None for the latest that every part has.
        stated: see `read_config`.

    Raises:
        FileNotFoundError: there is no such folder, or a file is missing.
        ValueError: a file is damaged or of something else, or the checkpoint does not say how it is used.
    """
    folder = Path(folder)
    check_family(folder)
    parts = choose_files(folder, step)
    states = {part: read_part(path) for part, path in parts.items()}
    return Checkpoint(folder, read_config(folder, states, **stated), read_shards(folder), parts, states)


def check_family(folder: Path) -> None:
    """Refuse a folder of something else than OpenVLA's family, and say what it is."""
    if not (folder / CONFIG).is_file():
        advice = contents(folder) or "; give the folder of an OpenVLA checkpoint"
        raise FileNotFoundError(f"{folder} has no {CONFIG}{advice}")
    if read_record(folder / CONFIG).get("model_type") != "openvla" and (other := contents(folder)):
        raise ValueError(f"{folder / CONFIG} is not of OpenVLA's family{other}")


STATED = ("images", "chunk", "proprio", "decoders", "attention")
"""What a published folder may leave open."""


def read_config(folder: Path, states: Mapping[str, Mapping[str, Tensor]], **stated: Any) -> OpenVLAConfig:
    """The configuration that a folder's files state together.

    The object "playloop" in the file goes before the rules, and what is given fills in what neither tells.

    Args:
        folder: of the checkpoint.
        states: tensors of OFT's files by part.
        stated: of `STATED`, as `OpenVLAConfig` has them; None is open, `proprio=0` means that the checkpoint
            was trained without the robot's state.

    Raises:
        Unstated: the files leave a field open; says which to give.
        ValueError: they contradict each other, or are of something else.
    """
    if unknown := stated.keys() - STATED:
        raise ValueError(f"{min(unknown)} cannot be stated of a checkpoint; there are {', '.join(STATED)}")
    record = read_record(folder / CONFIG)
    try:
        given = {name: value for name, value in stated.items() if value is not None}
        fields = network_fields(record)
        _check_given(given, fields)
        fields |= given
        if "decoders" not in fields:
            fields["decoders"] = _decoders(folder, record, states)
        if fields["decoders"] != ("autoregressive",):
            fields = {"attention": "full"} | fields
            known = fields.keys() | ({"proprio"} if pickles.PROPRIO in states else set())
            if not {"images", "chunk", "proprio"} <= known:
                fields = _of_benchmark(folder, pickles.HEAD in states) | fields
        elif fields.get("chunk", 1) > 1:  # OpenVLA gives one action at a time
            raise Unstated(
                f"chunk={fields['chunk']}, and nothing in its files says how a chunk is decoded; give "
                "decoders, too (diffusion or parallel)"
            )
        return OpenVLAConfig(**_with_states(fields, states))
    except (ValueError, TypeError, AttributeError, KeyError, ArithmeticError) as error:
        kind = Unstated if isinstance(error, Unstated) else ValueError
        raise kind(f"{folder / CONFIG}: {error}") from error


def _check_given(given: Mapping[str, Any], stored: Mapping[str, Any]) -> None:
    """Refuse what contradicts the file; the state's size follows from OFT's own file, see `_with_states`."""
    for name, value in given.items():
        if name in stored and name != "proprio" and stored[name] != value:
            raise ValueError(
                f"playloop.{name} is {stored[name]!r} there, and {name}={value!r} is given; leave it out, or "
                "correct the file if it is wrong"
            )


def _decoders(folder: Path, record: Mapping[str, Any], states: Mapping[str, Any]) -> tuple[Decoder, ...]:
    """What a checkpoint was trained for, as far as its files tell.

    Discrete Diffusion VLA's configuration may lack the fields that set it apart, but its tokenizer has the
    mask. Of the others only OpenVLA-OFT writes further files.

    Raises:
        Unstated: there is an adapter, and OFT without state or OpenVLA may have left it.
    """
    if pickles.HEAD in states:
        return ("l1",)
    flags = ("use_discrete_diffusion", "use_mask_token", "mask_token_id")
    if any(record.get(flag) for flag in flags) or _has_mask(folder):
        return ("diffusion",)
    if not states and (folder / pickles.ADAPTER).is_dir():
        raise Unstated(
            "give decoders: parallel if OpenVLA-OFT trained it, autoregressive if OpenVLA did; both leave "
            "the same files where no state is read"
        )
    return ("parallel",) if states else ("autoregressive",)


def _has_mask(folder: Path) -> bool:
    """Whether the tokenizer knows `<mask>`, which Discrete Diffusion VLA adds to OpenVLA's."""
    added, whole = folder / "added_tokens.json", folder / "tokenizer.json"
    if added.is_file() and MASK in read_record(added):
        return True
    tokens = read_record(whole).get("added_tokens") if whole.is_file() else None
    listed = tokens if isinstance(tokens, list) else []
    return any(isinstance(token, Mapping) and token.get("content") == MASK for token in listed)


def _of_benchmark(folder: Path, l1: bool) -> dict[str, Any]:
    """Pictures, chunk and whether there must be a state, from the names of the data sets."""
    keys = sorted(read_statistics(folder))
    found = {name for name in BENCHMARKS for key in keys if key.startswith(name)}
    if len(found) != 1:
        raise Unstated(f"give images, chunk and proprio, its data sets ({', '.join(keys)}) do not tell")
    name = found.pop()
    return OFT_BRIDGE if name == "bridge" and l1 else BENCHMARKS[name]


def _with_states(fields: dict[str, Any], states: Mapping[str, Mapping[str, Tensor]]) -> dict[str, Any]:
    """The fields that the shapes in OFT's files decide, and a check that no file is missing."""
    fields = dict(fields, film=pickles.VISION in states, l1=pickles.HEAD in states)
    if pickles.HEAD in states:
        fields["action"] = _side(states[pickles.HEAD], "model.fc2.weight", 0)
    size = _side(states[pickles.PROPRIO], "fc1.weight", 1) if pickles.PROPRIO in states else 0
    wanted = fields.get("proprio", size)
    if wanted != size and not (wanted is None and size):
        raise ValueError(
            f"{pickles.PROPRIO}--STEP_checkpoint.pt {f'reads {size} numbers' if size else 'is missing'}, "
            f"and the checkpoint a state{f' of {wanted}' if wanted else ''}; download the file too, or give "
            f"proprio={size} if it was trained so"
        )
    return fields | {"proprio": size or None}


def _side(state: Mapping[str, Tensor], name: str, axis: int) -> int:
    if name not in state or state[name].ndim != 2:
        raise ValueError(f"a further file has no matrix {name} (but {min(state, default='nothing')} …)")
    return state[name].shape[axis]
