"""An instruction as the token ids that OpenVLA reads."""

from __future__ import annotations

from pathlib import Path

from tokenizers import Tokenizer

TEMPLATE = "In: What action should the robot take to {instruction}?\nOut:"
BOS, SPACE = 1, 29871
"""`<s>`, and the lone "▁" that follows "Out:" in training: its state predicts the first action token."""
TOKENIZER = "tokenizer.json"


class PromptEncoder:
    """Instruction → ids, through the checkpoint's own tokenizer.

    Args:
        folder: of the checkpoint.

    Raises:
        FileNotFoundError: it has no tokenizer.json.
        ValueError: the file cannot be read.
    """

    def __init__(self, folder: str | Path):
        path = Path(folder) / TOKENIZER
        if not path.is_file():
            raise FileNotFoundError(f"{path} is missing; copy it from the published checkpoint")
        try:
            self.tokenizer = Tokenizer.from_str(path.read_text(encoding="utf-8"))
        except Exception as error:  # the library raises a bare Exception
            raise ValueError(f"{path} is no tokenizer ({error}); copy it again") from error
        if self.tokenizer.id_to_token(SPACE) is None:
            raise ValueError(f"{path} has no token {SPACE}: it is not Llama 2's tokenizer; copy OpenVLA's")

    def __call__(self, instruction: str) -> list[int]:
        """The ids: BOS first, 29871 last.

        Raises:
            ValueError: the instruction is empty.
        """
        words = instruction.strip().lower()
        if not words:
            raise ValueError("the instruction is empty; OpenVLA wants to be told what to do")
        ids = self.tokenizer.encode(TEMPLATE.format(instruction=instruction.lower())).ids
        ids = ids if ids[:1] == [BOS] else [BOS, *ids]
        return ids if ids[-1] == SPACE else [*ids, SPACE]
