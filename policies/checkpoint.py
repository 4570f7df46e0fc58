"""A checkpoint: one folder with everything a policy needs, and a decision that proves it still works.

`python -m playloop.policies.checkpoint FOLDER …` writes golden decision and manifest of older ones anew.
"""

from __future__ import annotations

import copy
import hashlib
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from playloop.core.contract import Contract
from playloop.core.files import check_pointer, file_hash
from playloop.core.formats import FORMAT, check_format
from playloop.core.kinds import kind_of
from playloop.core.scratch import staged
from playloop.nn.archives import read_archive
from playloop.nn.building import load_model
from playloop.nn.contents import contents
from playloop.nn.folder import WEIGHTS, read_record, write_record
from playloop.nn.folder import rounded as stored_weights
from playloop.nn.manifest import MANIFEST, RECORDS, check_manifest, file_hashes, write_manifest
from playloop.nn.record import model_kind, read_part, to_record
from playloop.nn.shards import read_header
from playloop.policies.diffusion import DecoderConfig
from playloop.policies.golden import (
    GOLDEN,
    Verify,
    check_verify,
    golden_decision,
    is_bound,
    observation_of,
    sloped,
    verify_golden,
    write_golden,
)
from playloop.policies.vla import CLASSES, STATE_LIMIT, VLA, VLAConfig
from playloop.policies.vla_policy import VLAPolicy
from playloop.tokenizers.actions import ActionTokenizer
from playloop.tokenizers.instructions import InstructionEncoder, MiniLMConfig, NGramsConfig
from playloop.tokenizers.normalizer import QuantileNormalizer, is_gripper

FILES = (
    WEIGHTS,
    "config.json",
    "statistics.json",
    "contract.json",
    "training.json",
    "instructions.npz",
    GOLDEN,
)


def save(
    folder: str | Path,
    model: VLA,
    *,
    contract: Contract,
    encoder: InstructionEncoder,
    decoder: DecoderConfig | None = None,
    training: dict[str, Any] | None = None,
    state_dict: dict[str, Tensor] | None = None,
    observation: dict[str, Any] | None = None,
) -> Path:
    """Write a checkpoint, whole or not at all; an older one of the same name is replaced.

    Args:
        folder: to write.
        model: its configuration and statistics, and its weights unless `state_dict` is given.
        contract: of the environment whose demonstrations it was trained on.
        encoder: its known embeddings travel along.
        decoder: the default way of decoding.
        training: command, data, seed, git …: anything JSON-able.
        state_dict: other weights for the model, an exponential moving average for instance.
        observation: for the golden decision; noise by default.
    """
    folder, decoder = Path(folder), decoder or DecoderConfig()
    _check_contract(model, contract)
    copied = rounded_copy(model, state_dict)
    policy = VLAPolicy(copied, contract, encoder, decoder)
    observation = observation or noise_observation(policy)
    with staged(folder) as partial:
        save_file(stored_weights(copied.state_dict()), partial / WEIGHTS)
        (partial / WEIGHTS).chmod(0o644)  # safetensors gives it to the owner alone
        words: Any = encoder
        parts = {"model": model.config, "decoder": decoder, "instructions": words.config}
        record = {"format": FORMAT} | {name: to_record(part) for name, part in parts.items()}
        write_record(partial / "config.json", record | {"weights_sha256": file_hash(partial / WEIGHTS)})
        write_record(partial / "statistics.json", model.statistics)
        write_record(partial / "contract.json", contract.to_json())
        write_record(partial / "training.json", training or {})
        texts = sorted(encoder.known)
        np.savez(partial / "instructions.npz", texts=np.array(texts), embeddings=encoder.encode(texts))
        _write_golden(partial, policy, observation)
    return folder


def renew(folder: str | Path) -> None:
    """Write golden decision and manifest anew, for a checkpoint that an older version wrote.

    Weights, settings, statistics, instructions and observation stay as they are to the byte, and so does the
    checkpoint's hash.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is damaged, or the policy does not decide as it did.
    """
    folder = Path(folder)
    policy = load(folder)
    observation = observation_of(read_archive(folder / GOLDEN), policy.cameras)
    with staged(folder) as partial:
        for path in folder.iterdir():
            if path.is_file() and path.name not in (GOLDEN, MANIFEST):
                shutil.copy2(path, partial / path.name)
        _write_golden(partial, policy, observation)


def _write_golden(partial: Path, policy: VLAPolicy, observation: dict[str, Any]) -> None:
    """The last two files of a folder.

    Pictures of the network's own size get the environment's: the way from one to the other is part of a
    golden decision.
    """
    sizes, images = policy.contract.cameras, observation["images"]
    enlarged = {name: sloped(np.asarray(images[name]), sizes[name]) for name in policy.cameras}
    write_golden(partial, golden_decision(policy.judge(), observation | {"images": enlarged}))
    write_manifest(partial, RECORDS)


def noise_observation(policy: VLAPolicy) -> dict[str, Any]:
    """An observation of noise at the policy's own image size, for the golden decision."""
    rng, model = np.random.default_rng(0), policy.model
    low, high = model.state.q01, model.state.q99
    text = min(policy.encoder.known, default="pick up the bowl and place it on the plate")
    size = (*model.config.image_sides, 3)
    return {
        "images": {name: rng.integers(0, 256, size, dtype=np.uint8) for name in model.cameras},
        "state": rng.uniform(low, np.maximum(high, low)).astype(np.float32),
        "instruction": text,
    }


def load(
    folder: str | Path,
    *,
    batch: int = 1,
    decoder: dict[str, Any] | None = None,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    verify: Verify = "strict",
    instructions: str | None = None,
) -> VLAPolicy:
    """Read a checkpoint and check that it decides as it did when it was written.

    Args:
        folder: that `save` wrote.
        batch: rows of a network call.
        decoder: fields of `DecoderConfig` to override.
        device: to run on.
        dtype: to compute in. The golden decision is always checked in float32.
        verify: what to do when the golden decision differs.
        instructions: folder of the sentence encoder, for a checkpoint that was trained with another one than
            the packaged; the folder that the checkpoint names is never followed.

    Raises:
        FileNotFoundError: when a file is missing.
        ValueError: when the parts do not belong together, or a file is damaged; names it.
    """
    folder = Path(folder)
    check_verify(verify)
    config = check_files(folder)
    sizes, saved = _sizes(config, folder)
    try:
        changed, encoder = override(saved, decoder), _encoder(config, instructions)
    except ValueError as error:
        raise ValueError(f"{folder / 'config.json'}: {error}") from error
    statistics = read_statistics(folder / "statistics.json")
    model = load_model(lambda: sizes.make(statistics), folder)
    contract = Contract.from_json(read_record(folder / "contract.json"), str(folder / "contract.json"))
    try:
        _check_contract(model, contract)
    except ValueError as error:
        raise ValueError(f"{folder}: {error}") from error
    encoder.known = _embeddings(folder / "instructions.npz", encoder.size)
    if encoder.size != model.config.instruction_size:
        raise ValueError(
            f"{folder}: embeddings of {encoder.size} numbers, the model wants {model.config.instruction_size}"
        )
    policy = VLAPolicy(model.to(device), contract, encoder, saved)
    verify_golden(folder, lambda _: policy.judge(), verify, "tokens")
    return VLAPolicy(model, contract, encoder, changed, batch, dtype)


def check_files(folder: Path) -> dict[str, Any]:
    """A folder's `config.json`, once its files are all there and those that were written together.

    Raises:
        FileNotFoundError: a file is missing; says what the folder is, if it is something else.
        ValueError: a file is damaged or of another checkpoint.
    """
    if missing := [name for name in FILES if not (folder / name).is_file()]:
        config = read_record(folder / "config.json") if (folder / "config.json").is_file() else {}
        own = model_kind(config) == kind_of(VLAConfig) if config else len(missing) < 3
        advice = "; copy it again" if own else contents(folder) or "; give the folder of a checkpoint"
        raise FileNotFoundError(
            f"{folder} is no complete checkpoint of a policy: {', '.join(missing)} missing{advice}"
        )
    config = read_record(folder / "config.json")
    check_format(config, folder / "config.json")
    hashes = {WEIGHTS: file_hash(folder / WEIGHTS)}
    if hashes[WEIGHTS] != config.get("weights_sha256"):
        check_pointer(folder / WEIGHTS)
        raise ValueError(f"{folder}/{WEIGHTS} is not the file that config.json names; copy it again")
    check_manifest(folder, required=is_bound(folder), hashes=hashes)
    return config


def _sizes(config: Mapping[str, Any], folder: Path) -> tuple[VLAConfig, DecoderConfig]:
    try:
        model = read_part(config, "model", (VLAConfig,), CLASSES)
        return model, read_part(config, "decoder", (DecoderConfig,))
    except ValueError as error:
        raise ValueError(f"{folder / 'config.json'}: {error}") from error


def read_statistics(path: Path) -> dict[str, Any]:
    """The scales of a checkpoint's actions and state; says which is missing or damaged."""
    record = read_record(path)
    try:
        ActionTokenizer.from_statistics(record.get("action"))  # type: ignore[arg-type]
        QuantileNormalizer.from_statistics(record.get("state"), STATE_LIMIT)  # type: ignore[arg-type]
    except ValueError as error:
        raise ValueError(f"{path}: {error}; copy it again if it was altered") from error
    return record


def _encoder(config: dict[str, Any], folder: str | None) -> Any:
    """The encoder of instructions; of a checkpoint's own paths none is followed."""
    made = read_part(config, "instructions", (MiniLMConfig, NGramsConfig))
    named = getattr(made, "folder", None)
    if named is None and folder is None:
        return made.make()
    if named is None:
        raise ValueError("it was trained with the encoder that comes with Playloop; leave instructions out")
    if folder is None:
        raise ValueError(
            f"it was trained with a sentence encoder of its own, and the folder that it names ({named!r}) "
            "is not followed; if you have that encoder, give agent.instructions=FOLDER"
        )
    return replace(made, folder=folder).make()


def _embeddings(path: Path, size: int) -> dict[str, np.ndarray]:
    """The embeddings of known instructions, float32 [size] each."""
    stored = read_archive(path, "texts", "embeddings")
    texts, found = stored["texts"], stored["embeddings"]
    if texts.dtype.kind != "U" or found.dtype.kind != "f" or found.shape != (*texts.shape, size):
        raise ValueError(
            f"{path} holds {found.dtype} {found.shape} for texts {texts.dtype} {texts.shape}, not {size} "
            "numbers for each; copy it again"
        )
    if texts.ndim != 1 or not np.isfinite(found).all():
        raise ValueError(f"{path} holds numbers that are not finite, or no list of texts; copy it again")
    return dict(zip(texts.tolist(), found.astype(np.float32), strict=True))


def override(decoder: DecoderConfig, changes: dict[str, Any] | None) -> DecoderConfig:
    """The decoder with some fields changed; an unknown field is an error that names the known ones."""
    changes, known = dict(changes or {}), DecoderConfig.__dataclass_fields__
    if unknown := changes.keys() - known:
        raise ValueError(f"no decoder field {sorted(unknown)}; there are {sorted(known)}")
    return replace(decoder, **changes)


def checkpoint_hash(folder: str | Path) -> str:
    """One name for everything that decides what the policy does: SHA-256 over the files but training.json."""
    names = [name for name in FILES if name not in ("training.json", GOLDEN)]
    hashes = file_hashes(folder, names)
    parts = [f"{name} {hashes[name]}" for name in names]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def rounded_copy(model: VLA, state_dict: dict[str, Tensor] | None = None) -> VLA:
    """The model on the CPU in float32, its weights exact in bfloat16: what is written is what is tested."""
    state = state_dict if state_dict is not None else model.state_dict()
    copied = copy.deepcopy(model).cpu().float()
    copied.load_state_dict({name: value.float() for name, value in stored_weights(state).items()})
    return copied.eval()


def _check_contract(model: VLA, contract: Contract) -> None:
    pairs = (
        ("actions", model.tokenizer.normalizer.size, len(contract.action_names)),
        ("states", model.state.size, len(contract.state_names)),
    )
    for name, mine, theirs in pairs:
        if mine != theirs:
            raise ValueError(
                f"the statistics have {mine} {name}, the contract {theirs}: compute the statistics from a "
                "data set recorded under this contract"
            )
    masked = {name for name, free in zip(contract.action_names, model.tokenizer.gripper, strict=True) if free}
    if wrong := sorted(masked ^ {name for name in contract.action_names if is_gripper(name)}):
        raise ValueError(
            f"the statistics' mask and the contract disagree whether the action {wrong[0]!r} is a gripper: "
            "compute the statistics from a data set recorded under this contract"
        )
    absent = sorted(set(model.cameras) - set(contract.cameras))
    if absent:
        raise ValueError(
            f"the model reads cameras {absent} that the contract lacks ({sorted(contract.cameras)})"
        )


def describe(path: Path) -> list[tuple[str, str]] | None:
    """What a folder is, from headers and JSON: lines of a label and a value; None for no policy of Playloop.

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
    if missing := [name for name in FILES if not (path / name).is_file()]:
        raise FileNotFoundError(
            f"{path} is no complete checkpoint: {', '.join(missing)} missing; copy it again"
        )
    entries = read_header(path / WEIGHTS).values()
    model, decoder = _sizes(record, path)
    contract = Contract.from_json(read_record(path / "contract.json"), str(path / "contract.json"))
    return [
        ("kind", "policy of playloop"),
        ("parameters", f"{sum(entry.elements for entry in entries):,}"),
        ("type", ", ".join(sorted({entry.dtype for entry in entries}))),
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
    """The ends of the scales in a data set's statistics, of those parts that it has, for `describe`."""
    return [
        (f"{indent}{part} {name}", " ".join(f"{value:.4g}" for value in record[part][name]))
        for part in parts
        if record.get(part)
        for name in ("q01", "q99")
    ]


if __name__ == "__main__":
    for word in sys.argv[1:]:
        renew(word)
