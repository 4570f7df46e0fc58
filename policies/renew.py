"""A checkpoint's golden decision and manifest written anew, for one that an older version wrote.

Usage: python -m playloop.policies.renew FOLDER …

Weights, settings, statistics and instructions stay as they are to the byte, and so does the checkpoint's
hash. What it decides is verified first: one that decides otherwise than when it was written is refused.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from playloop.core.scratch import staged
from playloop.nn.archives import read_archive
from playloop.nn.manifest import MANIFEST, RECORDS, write_manifest
from playloop.policies.checkpoint import enlarged, load
from playloop.policies.golden import GOLDEN, golden_decision, observation_of, write_golden


def renew(folder: str | Path) -> None:
    """Write golden decision and manifest of one of our own policies anew; the observation stays the same.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is damaged, or the policy does not decide as it did.
    """
    folder = Path(folder)
    policy = load(folder, verify="strict")
    golden = read_archive(folder / GOLDEN)
    observation = observation_of(golden, policy.cameras)
    with staged(folder) as partial:
        for path in folder.iterdir():
            if path.is_file() and path.name not in (GOLDEN, MANIFEST):
                shutil.copy2(path, partial / path.name)
        write_golden(partial, golden_decision(policy.judge(), enlarged(policy, observation)))
        write_manifest(partial, RECORDS)


if __name__ == "__main__":
    for word in sys.argv[1:]:
        renew(word)
