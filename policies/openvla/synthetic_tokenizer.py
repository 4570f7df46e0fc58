"""A small tokenizer of Llama 2's kind: byte pairs with byte fallback, OpenVLA's ids in place."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from playloop.policies.openvla.config import OPENVLA_7B

SPACE = "▁"
SPACE_ID = 29871
"""Llama 2's id of a lone space; with it OpenVLA's prompt ends."""

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
    """The content of a `tokenizer.json`; the same at every call.

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
            "single": [
                {"SpecialToken": {"id": "<s>", "type_id": 0}},
                {"Sequence": {"id": "A", "type_id": 0}},
            ],
            "pair": [
                {"SpecialToken": {"id": "<s>", "type_id": 0}},
                {"Sequence": {"id": "A", "type_id": 0}},
                {"SpecialToken": {"id": "<s>", "type_id": 1}},
                {"Sequence": {"id": "B", "type_id": 1}},
            ],
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
    merges = [
        tuple(merge) if isinstance(merge, list) else tuple(merge.split(" ")) for merge in model["merges"]
    ]
    return merges, [piece for piece in pieces if piece != SPACE]


def _special(number: int, content: str) -> dict[str, Any]:
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return {"id": number, "content": content, **flags, "special": True}
