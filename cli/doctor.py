"""playloop doctor: find out before a long run whether this machine simulates what it should.

Usage: playloop doctor

Checks the simulators' versions, the drivers that draw and the files of LIBERO and SimplerEnv, then settles
known initial states and compares poses and an image with stored ones: a wrong mujoco shows here, not after
2,000 episodes. What is not installed is named and is no error.
Takes about a minute. Exit status 1 if anything is wrong; each finding names its fix."""

from __future__ import annotations

from typing import Any

from playloop.cli.arguments import Arguments

FLAGS = ("--write-reference",)
"""For maintainers, after a change of the simulator's version that is meant."""


def run(arguments: Arguments) -> int:
    """Check; returns 0 if all is well, 1 if not."""
    if arguments.words:
        raise ValueError("doctor takes no settings: playloop doctor.")
    from playloop.envs import doctor

    if FLAGS[0] in arguments.flags:
        from playloop.envs.findings import reference_folder
        from playloop.envs.simpler import doctor as simpler

        for module in (doctor, simpler):
            print("\n".join(map(str, module.write_scenes(reference_folder()))))
        return 0
    good = doctor.examine(show)
    print("\nAll is well." if good else "\nSomething is wrong: success rates from here would not compare.")
    return 0 if good else 1


def show(finding: Any) -> None:
    """One line a finding, and its fix below it."""
    mark = "-- " if finding.optional else "ok " if finding.good else "BAD"
    print(f"{mark}  {finding.subject}: {finding.text}", flush=True)
    if finding.fix:
        print(f"     fix: {finding.fix}", flush=True)
