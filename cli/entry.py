"""Where the command `playloop` begins: a shell's question at Tab is answered before anything is imported."""

from __future__ import annotations

import sys

COMPLETE = "__complete"


def main() -> int:
    """Run this process's command line; returns the exit status."""
    if sys.argv[1:2] == [COMPLETE]:
        from playloop.cli.complete import complete

        return complete(sys.argv[2:])
    from playloop.cli.main import main

    return main()
