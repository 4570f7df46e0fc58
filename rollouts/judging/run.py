"""`playloop eval world=…` without its command line: imagine what is missing, then judge and report."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console

from playloop.core.files import write_json
from playloop.core.formats import FORMAT
from playloop.core.provenance import earlier_run, this_run
from playloop.nn.folder import read_record
from playloop.rollouts.judging.clips import Recordings
from playloop.rollouts.judging.config import WorldEvaluationConfig
from playloop.rollouts.judging.dream import Dreamer, DreamStore, Frames
from playloop.rollouts.judging.judge import Judge
from playloop.rollouts.judging.quality import Measures
from playloop.rollouts.judging.report import result_tables, write_report
from playloop.rollouts.judging.workload import Job, Workload
from playloop.rollouts.progress import LiveLine, announced, new_console
from playloop.worlds.checkpoint import load_inverse, weights_hash
from playloop.worlds.open import load_playable
from playloop.worlds.playable import Playable


def evaluate_world(
    world: str | Path,
    data: str | Sequence[str],
    config: WorldEvaluationConfig,
    out: str | Path,
    command: str = "",
    console: Console | None = None,
) -> dict[str, Any]:
    """Judge a world model on recordings; a repeated call with the same folder imagines only what is missing.

    Args:
        world: folder of the model.
        data: folder of recordings, or several.
        config: what is measured.
        out: folder of `imagined.jsonl`, `summary.json` and `report.html`.
        command: the command line, for the record.
        console: where progress and the tables are shown.

    Returns:
        The summary: "result" follows from model, recordings and settings; "run" tells how, when and where.

    Raises:
        ValueError: parts do not fit together, or the folder belongs to another configuration.
    """
    paths = [data] if isinstance(data, str) else list(data)
    out, console = Path(out), console or new_console()
    if config.threads:
        torch.set_num_threads(config.threads)
    loaded = load_playable(world, config.device, config.weights)
    config = replace(config, sampler=loaded.resolved(config.sampler))
    config.check(loaded)
    batch = loaded.together(config.backend, config.batch)
    dreamer = Dreamer(loaded, config.sampler, config.backend, batch, config.weights)
    read = load_inverse(config.inverse, config.device).infer if config.inverse else None
    measures, frames = Measures(config), Frames(loaded.tokenizer)
    trained = read_record(Path(world) / "training.json")
    recordings = Recordings(paths, frames.size, config.camera, config.on_corrupt, trained, loaded.resize)
    workload = Workload(config, loaded, recordings, frames)
    store = DreamStore(out, identity(world, loaded, workload, dreamer))
    try:
        before = earlier_run(out / "summary.json", store.path.name)
        session = imagine_missing(workload, dreamer, store, console)
        judge = Judge(workload, store, measures, read)
        with announced("judging"):
            result = tidy({**facts(loaded, workload), **judge.judge()})
        run = {"config": {"data": paths, **asdict(config)}, **this_run(command, before, session)}
        summary = {"format": FORMAT, "result": result, "run": run}
        write_json(out / "summary.json", summary)
        write_report(out, summary, judge.pictures)
    finally:
        store.withdraw()
        store.close()
    for table in result_tables(result):
        console.print(table)
    return summary


def imagine_missing(
    workload: Workload, dreamer: Dreamer, store: DreamStore, console: Console
) -> dict[str, Any] | None:
    """Imagine what the store lacks; returns how long that took, None if nothing was missing."""
    jobs = list(workload.jobs())
    missing = [job for job in jobs if job.key not in store]
    if not missing:
        return None
    began, (total, frames) = time.monotonic(), (sum(job.frames for job in some) for some in (jobs, missing))
    line = LiveLine("imagining", total, total - frames, console)
    try:
        for group in batches(missing, dreamer.batch):
            starts = [job.start() for job in group]
            before = time.monotonic()
            found = dreamer.dream(starts, group[0].window)
            seconds = (time.monotonic() - before) / len(group)
            for job, tokens in zip(group, found, strict=True):
                store.append(job.key, tokens, seconds)
            line.show(lambda: f"{line.pace():.0f} frames/s · {line.left()}", sum(job.frames for job in group))
    finally:
        line.stop()
    wall = time.monotonic() - began
    return {"imagined": len(missing), "frames": frames, "wall_seconds": round(wall, 3)}


def batches(jobs: list[Job], size: int) -> list[list[Job]]:
    """Jobs of one shape and window together, at most `size`."""
    found = []
    for _, group in itertools.groupby(jobs, lambda job: (job.key.partition("/")[0], job.window)):
        same = list(group)
        found += [same[start : start + size] for start in range(0, len(same), size)]
    return found


def identity(
    world: str | Path, loaded: Playable[Any, Any], workload: Workload, dreamer: Dreamer
) -> dict[str, Any]:
    """All that can change an imagined token."""
    config, recordings = workload.config, workload.recordings
    sampler = {name: value for name, value in loaded.settings(config.sampler).items() if name != "window"}
    if sampler["top_k"] is None:  # so that frames imagined before there was one count
        del sampler["top_k"]
    return {
        "world": loaded.name,
        "tokenizer": weights_hash(Path(world) / "tokenizer"),
        "data": list(recordings.datasets),
        "camera": config.camera,
        "context": workload.context,
        "horizon": config.horizon,
        "drift_frames": workload.drift_frames,
        "branch_frames": config.branch_frames,
        "sampler": sampler,
        "seed": config.seed,
        "backend": dreamer.backend,
    }


def facts(world: Playable[Any, Any], workload: Workload) -> dict[str, Any]:
    """What was judged on what."""
    config, recordings = workload.config, workload.recordings
    data = [
        {
            "name": Path(dataset.root).name,
            "identity": name,
            "episodes": len(dataset.episodes),
            "judged_episodes": int(recordings.allowed[name].sum()),
            "trained_on": name in recordings.trained_on,
        }
        for name, dataset in recordings.datasets.items()
    ]
    return {
        "world": world.name,
        "contract": recordings.contract.to_json(),
        "data": data,
        "clips": len(workload.clips),
        "context": workload.context,
        "horizon": config.horizon,
        "sampler": world.settings(config.sampler),
        "windows": workload.windows,
        "seed": config.seed,
    }


def tidy(value: Any) -> Any:
    """Python's own numbers, rounded to six digits, and null where there is no number."""
    if isinstance(value, dict):
        return {str(name): tidy(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [tidy(item) for item in value]
    if isinstance(value, float | np.floating):
        return float(f"{value:.6g}") if np.isfinite(value) else None
    return value.item() if isinstance(value, np.generic) else value
