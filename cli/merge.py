"""playloop merge: put the adapter of an OpenVLA-OFT training run into the weights that it was trained beside.

Usage: playloop merge BASE RUN [key=value …]

BASE is the folder of the checkpoint with which the training began, RUN the one that the training wrote:
lora_adapter/, dataset_statistics.json, *_checkpoint.pt. The result is a checkpoint of its own, with a golden
decision. Weights are merged file by file, so memory for one of them is enough; only the golden decision needs
the whole model (golden=false leaves it out).

Examples:
  playloop merge checkpoints/openvla-7b runs/openvla-7b+libero_object+lora out=checkpoints/object
  playloop eval suite=libero_object agent=openvla agent.checkpoint=checkpoints/object"""

from __future__ import annotations

import shlex
from pathlib import Path

from omegaconf import DictConfig

from playloop.cli.arguments import Arguments
from playloop.core.fields import make_all_but


def run(arguments: Arguments, config: DictConfig) -> int:
    """Merge; returns the exit status."""
    folders = arguments.names
    if len(folders) != 2:
        raise ValueError(f"give two folders, not {len(folders)}: playloop merge BASE RUN out=DIR.")
    settings = make_all_but(config, "out")
    out = arguments.choose_out(config.out)

    from playloop.nn.folder import check_target
    from playloop.policies.openvla.describe import describe
    from playloop.policies.openvla.merge import RECORD, merge_run
    from playloop.rollouts.progress import announced

    base, trained = (Path(folder) for folder in folders)
    check_target(out, RECORD, "merge", base, trained)
    with announced("merging"):
        layers = merge_run(base, trained, out, settings, arguments.command)
    print(f"{layers} layers merged")
    for label, value in describe(out) or []:
        if label in ("kind", "data set"):
            print(f"{label}: {value}")
    print(f"Folder: {out}  (what it is: playloop inspect {shlex.quote(str(out))})")
    return 0
