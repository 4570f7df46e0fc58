"""playloop agreement: does SimplerEnv rank policies as the real robots did?

Usage: playloop agreement [POLICY=RUN …]

Without words: the published simulator against the published real robots, task by task, as mean maximum rank
violation (MMRV, 0 is the same order) and Pearson's r. With words, a policy's simulated rates are those of a
folder that `playloop eval env=simpler` wrote; POLICY is its name in the published tables.

Examples:
  playloop agreement
  playloop agreement rt-1-x=runs/rt1x octo-base=runs/octo_base octo-small=runs/octo_small"""

from __future__ import annotations

from pathlib import Path

from playloop.cli.arguments import Arguments
from playloop.cli.compare import results_folder
from playloop.core.words import nearest


def run(arguments: Arguments) -> int:
    """Print the table; returns the exit status."""
    from playloop.envs.simpler.published import REAL
    from playloop.rollouts.agreement import agreement_table
    from playloop.rollouts.progress import new_console

    policies = sorted({policy for rates in REAL.values() for policy in rates})
    new_console(stderr=False).print(agreement_table(runs_of(arguments.words, policies)))
    return 0


def runs_of(words: list[str], policies: list[str]) -> dict[str, Path]:
    """Policy → folder of its evaluation, of words POLICY=RUN."""
    found = {}
    for word in words:
        policy, given, folder = word.partition("=")
        if not given or not folder:
            raise ValueError(f"give POLICY=RUN, not {word!r}: playloop agreement rt-1-x=runs/rt1x.")
        if policy not in policies:
            raise ValueError(f"the published tables have no policy {policy!r}{nearest(policy, policies)}.")
        found[policy] = results_folder(folder)
    return found
