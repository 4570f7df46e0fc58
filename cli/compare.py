"""playloop compare: paired comparison of two evaluations on the episodes that both have.

Usage: playloop compare A B

A and B are folders that `playloop eval` wrote. Prints the difference of the success rates with its
interval and McNemar's exact test; unpaired episodes and errors are counted apart.

Example:
  playloop compare runs/rounds4 runs/rounds8"""

from __future__ import annotations

from pathlib import Path

from playloop.cli.arguments import Arguments


def run(arguments: Arguments) -> int:
    """Compare; returns the exit status."""
    if len(arguments.words) != 2:
        raise ValueError(f"give two folders, not {len(arguments.words)}: playloop compare runs/a runs/b.")
    first, second = (results_folder(word) for word in arguments.words)
    from playloop.rollouts.compare import compare

    print(compare(first, second))
    return 0


def results_folder(word: str) -> Path:
    """The folder that a word names, which must hold an evaluation."""
    folder = Path(word).expanduser()
    if not (folder / "episodes.jsonl").is_file():
        raise FileNotFoundError(f"{folder} has no episodes.jsonl; give a folder that playloop eval wrote.")
    return folder
