"""playloop join: put the shards of an evaluation together, as if it had been run whole.

Usage: playloop join DIR … out=DIR

Each DIR is the folder of `playloop eval … shard=i/n`; all n are needed. The result has the episodes, the
rates, the report and the videos of a run without shards, and `playloop eval` without shard= continues in it.
Nothing is run and no agent is loaded. Shards that are missing, given twice, unfinished or of other settings
are refused.

Example:
  playloop join runs/part1 runs/part2 runs/part3 runs/part4 out=runs/whole"""

from __future__ import annotations

from playloop.cli.arguments import Arguments, take_setting
from playloop.cli.compare import results_folder


def run(arguments: Arguments) -> int:
    """Join; returns the exit status."""
    words, given = take_setting(arguments.words, "out")
    if not words:
        raise ValueError(
            "give the folders of all shards: playloop join runs/part1 runs/part2 out=runs/whole."
        )
    from playloop.configs.objects import join_shards

    folders = [results_folder(word) for word in words]
    out = arguments.choose_out(given)
    join_shards(folders, out, arguments.command)
    print(f"Results: {out}  (joined of {len(folders)} shards)")
    return 0
