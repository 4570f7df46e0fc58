"""An instruction as the token ids that OpenVLA reads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from playloop.core.files import read_json

TEMPLATE = "In: What action should the robot take to {instruction}?\nOut:"
QUESTION, BARE = "question", "bare"
PROMPTS: dict[str, tuple[str, Callable[[str], str]]] = {
    QUESTION: (
        TEMPLATE.encode("unicode_escape").decode(),
        lambda text: TEMPLATE.format(instruction=text.lower()),
    ),
    BARE: ("{instruction}", str),
}
"""Name → how an instruction is put to the network, in words and as a function.

All of them were trained on the question, which OpenVLA-OFT and Discrete Diffusion VLA ask in evaluation, too.
SimplerEnv's runner gives OpenVLA the instruction alone, as it stands.
"""
BOS, SPACE = 1, 29871
"""`<s>`, and the lone "▁" that follows "Out:" in training: its state predicts the first action token."""
TOKENIZER = "tokenizer.json"


class PromptEncoder:
    """Instruction → ids, through the checkpoint's own tokenizer, as one of `PROMPTS`.

    Raises:
        FileNotFoundError: it has no tokenizer.json.
        ValueError: the file cannot be read, or there is no such prompt.
    """

    def __init__(self, folder: str | Path, prompt: str = QUESTION):
        if prompt not in PROMPTS:
            raise ValueError(f"prompt={prompt!r}: use one of {', '.join(PROMPTS)}")
        self.words, self.prompt = PROMPTS[prompt]
        path = Path(folder) / TOKENIZER
        if not path.is_file():
            raise FileNotFoundError(f"{path} is missing; copy it from the published checkpoint")
        _check_plain(path)
        try:
            self.tokenizer = Tokenizer.from_str(path.read_text(encoding="utf-8"))
        except BaseException as error:  # the library raises a bare Exception, and panics as a BaseException
            if isinstance(error, KeyboardInterrupt | SystemExit):
                raise
            raise ValueError(f"{path} is no tokenizer ({error}); copy it again") from error
        if self.tokenizer.id_to_token(SPACE) is None:
            raise ValueError(f"{path} has no token {SPACE}: it is not Llama 2's tokenizer; copy OpenVLA's")

    def __call__(self, instruction: str) -> list[int]:
        """The ids: BOS first, 29871 last; refuses an empty instruction."""
        if not instruction.strip():
            raise ValueError("the instruction is empty; OpenVLA needs one")
        ids = self.tokenizer.encode(self.prompt(instruction)).ids
        ids = ids if ids[:1] == [BOS] else [BOS, *ids]
        return ids if ids[-1] == SPACE else [*ids, SPACE]


def _check_plain(path: Path) -> None:
    """Refuse a tokenizer with patterns of its own: Llama's has none, and one may take for ever."""
    record = read_json(path)
    left: list[Any] = [value for name, value in record.items() if name != "model"]
    while left:
        value = left.pop()
        if isinstance(value, dict) and "Regex" in value:
            raise ValueError(
                f"{path} has a pattern of its own: it is not Llama 2's tokenizer; copy OpenVLA's"
            )
        left += value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
