"""A policy from a person's demonstrations, recorded on the page of play.

    playloop play env=toy out=data/mine            # V records: reach squares with the arrow keys, V ends it
    python examples/person.py data/mine [OUT]      # two minutes on two cores; OUT is runs/person

What V left is shown, a small network imitates it, and its success stands beside that of random actions. Some
ten episodes are enough to see it try; more of them, and more steps, are what makes it good.
"""

from __future__ import annotations

import sys
from pathlib import Path

import playloop
from playloop.cli.main import main as run

NETWORK = ["~policy.cameras.agentview", "~policy.cameras.robot0_eye_in_hand"]
NETWORK += ["+policy.cameras.top={_target_: playloop.policies.vla.CameraConfig}", "policy.image_size=64"]
NETWORK += ["policy.width=96", "policy.layers=2", "policy.draws=1", "policy.target_size=0"]
"""The shipped network's two cameras are taken away, the toy's is given; nothing is known of goals."""


def recordings(folder: Path) -> list[Path]:
    """The data sets that V left in a folder of `playloop play`."""
    found = sorted(path.parent.parent for path in folder.glob("**/meta/info.json"))
    if not found:
        raise SystemExit(f"{folder} holds no recording; press V in: playloop play env=toy out={folder}")
    return found


def main(folder: Path, out: Path, steps: int = 150) -> playloop.Evaluation:
    """Show, train, evaluate."""
    data = recordings(folder)
    for recording in data:
        run(["inspect", str(recording)])
    words = [f"data=[{','.join(map(str, data))}]", f"out={out / 'policy'}", "training=cpu", "batch=32"]
    words += [f"steps={steps}", "rate=1e-3", "average=0.95", "validate_every=50", "checkpoint_every=50"]
    if run(["train", *words, *NETWORK]) != 0:
        raise SystemExit("training failed")
    policy = playloop.load_policy(out / "policy" / "checkpoint", execute=2)
    floor = playloop.evaluate("toy", "random", inits=3, workers=0, out=out / "random")
    mine = playloop.evaluate("toy", policy, inits=3, workers=0, out=out / "mine")
    print(playloop.compare(floor, mine))
    return mine


if __name__ == "__main__":
    if len(sys.argv) < 2:
        raise SystemExit(__doc__)
    print(main(Path(sys.argv[1]), Path(sys.argv[2] if len(sys.argv) > 2 else "runs/person")))
