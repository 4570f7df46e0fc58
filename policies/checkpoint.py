"""A checkpoint: one folder with everything a policy needs, and a decision that proves it still works."""

from __future__ import annotations

import copy
import hashlib
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from playloop.core.scratch import staged
from playloop.envs.contract import Contract
from playloop.nn.folder import file_hash, load_weights, read_record, write_record
from playloop.nn.folder import rounded as stored_weights
from playloop.policies.diffusion import DecoderConfig
from playloop.policies.policy import VLAPolicy
from playloop.policies.record import from_record, to_record
from playloop.policies.vla import VLA, VLAConfig
from playloop.tokenizers.instructions import InstructionEncoder

FILES = (
    "model.safetensors",
    "config.json",
    "statistics.json",
    "contract.json",
    "training.json",
    "instructions.npz",
    "golden.npz",
)

TOLERANCE = 1e-3
"""Largest difference of a golden logit: a hundred times what another processor's float32 kernels change."""


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
        save_file(stored_weights(copied.state_dict()), partial / "model.safetensors")
        (partial / "model.safetensors").chmod(0o644)  # safetensors gives it to the owner alone
        write_record(partial / "config.json", _config_record(model, encoder, decoder, partial))
        write_record(partial / "statistics.json", model.statistics)
        write_record(partial / "contract.json", contract.to_json())
        write_record(partial / "training.json", training or {})
        texts = sorted(encoder.known)
        np.savez(partial / "instructions.npz", texts=np.array(texts), embeddings=encoder.encode(texts))
        np.savez_compressed(
            partial / "golden.npz", allow_pickle=False, **golden_decision(policy, observation)
        )
    return folder


def load(
    folder: str | Path,
    *,
    batch: int = 1,
    decoder: dict[str, Any] | None = None,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    verify: Literal["strict", "warn", "off"] = "strict",
) -> VLAPolicy:
    """Read a checkpoint and check that it decides as it did when it was written.

    Args:
        folder: that `save` wrote.
        batch: rows of a network call.
        decoder: fields of `DecoderConfig` to override.
        device: to run on.
        dtype: to compute in. The golden decision is always checked in float32.
        verify: what to do when the golden decision differs.

    Raises:
        FileNotFoundError: when a file is missing.
        ValueError: when the parts do not belong together.
    """
    folder = Path(folder)
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        raise FileNotFoundError(
            f"{folder} is no complete checkpoint: {', '.join(missing)} missing; copy it again"
        )
    config = read_record(folder / "config.json")
    if file_hash(folder / "model.safetensors") != config["weights_sha256"]:
        raise ValueError(f"{folder}/model.safetensors is not the file that config.json names; copy it again")
    model = _build(folder, from_record(config["model"]), read_record(folder / "statistics.json"))
    contract = Contract.from_json(read_record(folder / "contract.json"))
    _check_contract(model, contract)
    encoder = from_record(config["instructions"]).make()
    with np.load(folder / "instructions.npz", allow_pickle=False) as stored:
        encoder.known = dict(zip(stored["texts"].tolist(), stored["embeddings"], strict=True))
    if encoder.size != model.config.instruction_size:
        raise ValueError(
            f"{folder}: embeddings of {encoder.size} numbers, the model wants {model.config.instruction_size}"
        )
    saved: DecoderConfig = from_record(config["decoder"])
    policy = VLAPolicy(model.to(device), contract, encoder, saved)
    if verify != "off":
        _verify(policy, folder, verify)
    return VLAPolicy(model, contract, encoder, override(saved, decoder), batch, dtype)


def override(decoder: DecoderConfig, changes: dict[str, Any] | None) -> DecoderConfig:
    """The decoder with some fields changed; an unknown field is an error that names the known ones."""
    changes = dict(changes or {})
    unknown = set(changes) - set(DecoderConfig.__dataclass_fields__)
    if unknown:
        raise ValueError(
            f"no decoder field {sorted(unknown)}; there are {sorted(DecoderConfig.__dataclass_fields__)}"
        )
    return replace(decoder, **changes)


def checkpoint_hash(folder: str | Path) -> str:
    """One name for everything that decides what the policy does: SHA-256 over the files but training.json."""
    parts = [
        f"{name} {file_hash(Path(folder) / name)}"
        for name in FILES
        if name not in ("training.json", "golden.npz")
    ]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def rounded_copy(model: VLA, state_dict: dict[str, Tensor] | None = None) -> VLA:
    """The model on the CPU in float32, its weights exact in bfloat16: what is written is what is tested."""
    state = state_dict if state_dict is not None else model.state_dict()
    copied = copy.deepcopy(model).cpu().float()
    copied.load_state_dict({name: value.float() for name, value in stored_weights(state).items()})
    return copied.eval()


def noise_observation(policy: VLAPolicy) -> dict[str, Any]:
    """An observation of noise at the policy's own image size, for the golden decision."""
    rng, model = np.random.default_rng(0), policy.model
    height, width = model.config.image_sides
    low, high = model.state.q01, model.state.q99
    text = min(policy.encoder.known, default="pick up the bowl and place it on the plate")
    return {
        "images": {name: rng.integers(0, 256, (height, width, 3), dtype=np.uint8) for name in model.cameras},
        "state": rng.uniform(low, np.maximum(high, low)).astype(np.float32),
        "instruction": text,
    }


def golden_decision(policy: VLAPolicy, observation: dict[str, Any]) -> dict[str, np.ndarray]:
    """An observation and what the policy makes of it in the deterministic mode."""
    decoder = replace(policy.decoder, sample="argmax", temperature=0.0, order="max")
    judge = VLAPolicy(policy.model, policy.contract, policy.encoder, decoder)
    with torch.inference_mode():
        prompt = judge.prompt([observation])
        blank = torch.full((1, policy.model.length), policy.model.mask_id, device=policy.device)
        logits = policy.model.logits(prompt, blank)[0].float().cpu().numpy()
    _, chunks, info = judge([None], [observation], [torch.Generator().manual_seed(0)])
    images = {f"images.{name}": np.asarray(observation["images"][name]) for name in policy.model.cameras}
    state, text = np.asarray(observation["state"], np.float32), np.array(observation["instruction"])
    decision = {"logits": logits, "tokens": info["tokens"][0], "chunk": chunks[0]}
    return images | {"state": state, "instruction": text} | decision


def _verify(policy: VLAPolicy, folder: Path, verify: str) -> None:
    with np.load(folder / "golden.npz", allow_pickle=False) as stored:
        golden = {name: stored[name] for name in stored.files}
    images = {name: golden[f"images.{name}"] for name in policy.model.cameras}
    observation = {"images": images, "state": golden["state"], "instruction": str(golden["instruction"])}
    now = golden_decision(policy, observation)
    drift = float(np.abs(now["logits"] - golden["logits"]).max())
    changed = int((now["tokens"] != golden["tokens"]).sum())
    if drift <= TOLERANCE and not changed:
        return
    advice = (
        "the difference is rounding on another processor; load with verify='warn' to accept it"
        if drift <= TOLERANCE
        else "weights, statistics or code are not those it was written with; use them or copy it again"
    )
    message = f"{folder}: {changed} golden tokens differ, logits by up to {drift:.2g}: {advice}"
    if verify == "strict":
        raise ValueError(message)
    warnings.warn(message, stacklevel=3)


def _build(folder: Path, config: VLAConfig, statistics: dict[str, Any]) -> VLA:
    model = config.make(statistics)
    load_weights(model, folder)
    return model


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
    absent = sorted(set(model.cameras) - set(contract.cameras))
    if absent:
        raise ValueError(
            f"the model reads cameras {absent} that the contract lacks ({sorted(contract.cameras)})"
        )


def _config_record(model: VLA, encoder: Any, decoder: DecoderConfig, partial: Path) -> dict[str, Any]:
    return {
        "format": 1,
        "model": to_record(model.config),
        "decoder": to_record(decoder),
        "instructions": to_record(encoder.config),
        "weights_sha256": file_hash(partial / "model.safetensors"),
    }
