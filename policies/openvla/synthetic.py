"""A checkpoint of random weights and small sizes in the full published layout: for tests and dry runs.

Its ids are the published ones, so the table of tokens keeps its 32,064 rows; everything else is small.
"""

from __future__ import annotations

import json
from functools import cache, partial
from pathlib import Path
from typing import Any, Literal

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from playloop.nn.llama import LlamaSizes
from playloop.nn.vit import ViTConfig
from playloop.policies.openvla.config import OPENVLA_7B, OpenVLAConfig
from playloop.policies.openvla.files import write_openvla
from playloop.policies.openvla.model import OpenVLA
from playloop.policies.openvla.pickles import Step
from playloop.policies.openvla.prompt import SPACE as SPACE_ID

Kind = Literal["openvla", "oft", "parallel", "diffusion"]

TOWERS = (
    ViTConfig(24, 3, 2, 48, cls=True, registers=4, layer_scale=True),
    ViTConfig(16, 3, 2, 40),
)
LLAMA = LlamaSizes(width=32, layers=2, heads=2, groups=2, hidden=64)

KINDS: dict[Kind, dict[str, Any]] = {
    "openvla": {},
    "oft": {"decoders": ("l1",), "l1": True, "attention": "full"},
    "parallel": {"decoders": ("parallel",), "attention": "full"},
    "diffusion": {"decoders": ("diffusion",), "attention": "full"},
}
"""What sets a kind of checkpoint apart; the others read two pictures and a state and give 8 actions."""


def synthetic_config(kind: Kind, **changes: Any) -> OpenVLAConfig:
    """Small sizes for a kind of checkpoint, with other values of some fields of `OpenVLAConfig`.

    The kinds: "openvla" (token by token), "oft" (regression), "parallel" (tokens in one pass), "diffusion".
    """
    if kind not in KINDS:
        raise ValueError(f"kind={kind!r}: choose from {', '.join(KINDS)}")
    fields: dict[str, Any] = {"towers": TOWERS, "llama": LLAMA}
    if kind != "openvla":
        fields |= {"images": 2, "proprio": 8, "chunk": 8}
    return OpenVLAConfig(**fields | KINDS[kind] | changes)


def synthetic_statistics(
    config: OpenVLAConfig, generator: torch.Generator, key: str = "libero_object_no_noops"
) -> dict[str, Any]:
    """Statistics of a data set that never was, in the published form."""
    return {
        key: {
            "action": _moments(config.action, generator, gripper=True),
            "proprio": _moments(config.proprio or 8, generator, gripper=False),
            "num_transitions": 1000,
            "num_trajectories": 10,
        }
    }


def _moments(size: int, generator: torch.Generator, gripper: bool) -> dict[str, Any]:
    low = -0.2 - torch.rand(size, generator=generator)
    high = 0.2 + torch.rand(size, generator=generator)
    if gripper:  # not normalised: 0 shut, 1 open
        low[-1], high[-1] = 0.0, 1.0
    values = {"mean": (low + high) / 2, "std": (high - low) / 4, "max": high, "min": low}
    values |= {"q01": 0.9 * low, "q99": torch.cat([0.9 * high[:-1], high[-1:]]) if gripper else 0.9 * high}
    record: dict[str, Any] = {name: value.tolist() for name, value in values.items()}
    return record | ({"mask": [True] * (size - 1) + [False]} if gripper else {})


@torch.no_grad()
def fill(model: OpenVLA, generator: torch.Generator) -> None:
    """Random weights that keep activations of order one: norms and scales are near 1."""
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if parameter.ndim == 1 and name.endswith("bias"):
            value = 0.1 * noise
        elif parameter.ndim == 1:
            value = 1 + 0.1 * noise
        elif ".films." in f".{name}":
            value = 0.1 * noise / parameter.shape[1] ** 0.5
        elif parameter.ndim == 3 or name == "table.weight":
            value = noise
        else:
            value = noise / parameter[0].numel() ** 0.5
        parameter.copy_(value)


def write_synthetic(
    folder: str | Path,
    seed: int,
    kind: Kind = "openvla",
    *,
    key: str = "libero_object_no_noops",
    dtype: torch.dtype = torch.bfloat16,
    step: Step = 150000,
    limit: int = 2_000_000,
    **changes: Any,
) -> Path:
    """Write a synthetic checkpoint: config, shards and index, statistics, tokenizer, OFT's further files.

    Args:
        folder: to write.
        seed: of weights and statistics.
        kind: see `synthetic_config`.
        key: of the data set in the statistics.
        dtype: of the weights.
        step: in the names of OFT's files.
        limit: bytes of a shard.
        changes: fields of `OpenVLAConfig`, `film=True` for instance.
    """
    generator = torch.Generator().manual_seed(seed)
    config = synthetic_config(kind, **changes)
    model = OpenVLA(config)
    fill(model, generator)
    statistics = synthetic_statistics(config, generator, key)
    return write_openvla(
        folder,
        model.to(dtype),
        statistics,
        synthetic_tokenizer("diffusion" in config.decoders),
        step=step,
        limit=limit,
        unused=partial(torch.randn, generator=generator),
    )


SPACE = "▁"
FIRST_MERGED = 3 + 256
"""Ids below are <unk>, <s>, </s> and the 256 bytes."""

GLYPHS = 0xE000
"""Unicode's private area stands in for the characters whose ids are actions: no words hold them."""

SENTENCES = (
    "In: What action should the robot take to pick up the black bowl and place it on the plate? Out:",
    "In: What action should the robot take to put the red mug next to the basket? Out:",
    "In: What action should the robot take to open the middle drawer of the cabinet? Out:",
    "In: What action should the robot take to turn on the stove and move the spoon? Out:",
    "In: What action should the robot take to stack the green cube on the yellow cube? Out:",
)


@cache
def synthetic_tokenizer(mask: bool = True) -> str:
    """A `tokenizer.json` of Llama 2's kind, byte pairs with byte fallback, OpenVLA's ids in place.

    Args:
        mask: with `<mask>`, as Discrete Diffusion VLA's has it.
    """
    merges, learned = _learn()
    words, bins = OPENVLA_7B.words, OPENVLA_7B.bins
    vocabulary = {"<unk>": 0, "<s>": OPENVLA_7B.bos, "</s>": OPENVLA_7B.eos, SPACE: SPACE_ID}
    vocabulary |= {f"<0x{byte:02X}>": 3 + byte for byte in range(256)}
    vocabulary |= {chr(GLYPHS + number): words - bins + number for number in range(bins)}
    vocabulary |= {token: FIRST_MERGED + number for number, token in enumerate(learned)}
    # The other ids exist too, as pieces that no merge leads to: a table with holes is no Llama tokenizer.
    for number in sorted(set(range(words)) - set(vocabulary.values())):
        vocabulary[f"<spare {number}>"] = number
    model = models.BPE(vocabulary, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    record: dict[str, Any] = json.loads(Tokenizer(model).to_str())
    record |= {
        "added_tokens": [
            _special(0, "<unk>"),
            _special(OPENVLA_7B.bos, "<s>"),
            _special(OPENVLA_7B.eos, "</s>"),
            _special(OPENVLA_7B.padding, "<PAD>"),
            *([_special(OPENVLA_7B.mask, "<mask>")] if mask else []),
        ],
        "normalizer": {
            "type": "Sequence",
            "normalizers": [
                {"type": "Prepend", "prepend": SPACE},
                {"type": "Replace", "pattern": {"String": " "}, "content": SPACE},
            ],
        },
        "post_processor": {
            "type": "TemplateProcessing",
            "single": _template("A", 0),
            "pair": _template("A", 0) + _template("B", 1),
            "special_tokens": {"<s>": {"id": "<s>", "ids": [OPENVLA_7B.bos], "tokens": ["<s>"]}},
        },
    }
    return json.dumps(record, ensure_ascii=False)


def _learn() -> tuple[list[tuple[str, str]], list[str]]:
    """Merges learned from the sentences, and every piece but the lone space, letters first."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement=SPACE, prepend_scheme="first")
    letters = [chr(code) for code in range(33, 127)]
    trainer = trainers.BpeTrainer(vocab_size=400, initial_alphabet=letters, show_progress=False)
    tokenizer.train_from_iterator(SENTENCES, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    pieces = sorted(model["vocab"], key=model["vocab"].get)
    merges = [tuple(merge if isinstance(merge, list) else merge.split(" ")) for merge in model["merges"]]
    return merges, [piece for piece in pieces if piece != SPACE]


def _template(name: str, number: int) -> list[dict[str, Any]]:
    return [
        {"SpecialToken": {"id": "<s>", "type_id": number}},
        {"Sequence": {"id": name, "type_id": number}},
    ]


def _special(number: int, content: str) -> dict[str, Any]:
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return {"id": number, "content": content, **flags, "special": True}
