"""playloop compare: paired comparison of evaluations on the episodes that all of them have.

Usage: playloop compare A B [C …] [out=FILE.html]

Each is a folder that `playloop eval` wrote. Prints rates, the differences with their intervals and McNemar's
exact test; unpaired episodes and errors are counted apart. The page also shows the episodes that tell the
runs apart side by side, with their videos or the commands that film them.

Examples:
  playloop compare runs/rounds4 runs/rounds8
  playloop compare runs/a runs/b runs/c out=runs/abc.html"""

from __future__ import annotations

from pathlib import Path

from playloop.cli.arguments import Arguments, take_setting


def run(arguments: Arguments) -> int:
    """Compare; returns the exit status."""
    words, out = take_setting(arguments.words, "out")
    if len(words) < 2:
        raise ValueError(f"give two folders, not {len(words)}: playloop compare runs/a runs/b.")
    folders = [results_folder(word) for word in words]
    page = None if out is None else page_file(out)
    from playloop.rollouts.compare import compare

    comparison = compare(*folders)
    print(comparison)
    if page is not None:
        from playloop.rollouts.comparison import write_comparison

        print(f"\nPage: {write_comparison(comparison, page, arguments.command)}")
    return 0


def results_folder(word: str) -> Path:
    """The folder that a word names, which must hold an evaluation."""
    folder = Path(word).expanduser()
    if not (folder / "episodes.jsonl").is_file():
        raise FileNotFoundError(f"{folder} has no episodes.jsonl; give a folder that playloop eval wrote.")
    return folder


def page_file(out: str) -> Path:
    """Where the page goes; a folder gets a file in it.

    Raises:
        OSError: it cannot be written there.
    """
    from playloop.configs.folders import check_folder

    path = Path(out).expanduser()
    path = path / "comparison.html" if path.is_dir() or not path.suffix else path
    check_folder(path.parent, out)
    return path
