"""What lies in a folder where a model was wanted: said in words, with what to type instead."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from shlex import quote
from typing import Any

from playloop.core.files import read_json
from playloop.nn.record import model_kind

NOUNS = {
    "vla": "policy",
    "fsq-world": "world model",
    "mineworld": "MineWorld",
    "fsq-frames": "frame tokenizer",
    "vq": "VQ tokenizer",
    "inverse-dynamics": "inverse-dynamics model",
}
"""Kind of a folder's model → what to call it; `playloop train` and `playloop convert` write such folders."""
OWN = {
    "vla": "a policy of Playloop: agent=policy agent.checkpoint={0}",
    "fsq-world": "a world model of Playloop: playloop play env=world checkpoint={0}",
    "mineworld": "a MineWorld: playloop play env=mineworld checkpoint={0}",
    "fsq-frames": "a frame tokenizer of Playloop, a part of a world model: give the world model",
    "vq": "MineWorld's frame tokenizer: give the folder that contains it",
    "inverse-dynamics": "an inverse-dynamics model: playloop play env=world env.inverse={0}",
    "openvla": "a checkpoint of OpenVLA's family: agent=policy agent.checkpoint={0}",
}
"""Kind of a folder's model → what to do with it."""
OLDER = "a model of an older Playloop: make it again, or use the version that wrote it"


def kind_in(folder: str | Path) -> str | None:
    """The kind of the model in a folder, as in `OWN`; of a published one its `model_type`; None without."""
    try:
        return _kind(read_json(Path(folder) / "config.json"))
    except (OSError, ValueError):
        return None


def _kind(record: Any) -> str | None:
    published = record.get("model_type") if isinstance(record, dict) else None
    return model_kind(record) or (published if isinstance(published, str) else None)


def contents(folder: str | Path) -> str:
    """What a folder holds and what to type, the end of a sentence: "; it is …", or nothing."""
    folder = Path(folder)
    for looks, words in FOLDERS:
        if looks(folder):
            return f"; it {words.format(quote(str(folder)))}"
    if (found := _model(folder)) is not None:
        return f"; it is {found.format(quote(str(folder)))}"
    return ""


def _model(folder: Path) -> str | None:
    """Which model a folder with a `config.json` holds."""
    try:
        record: dict[str, Any] = read_json(folder / "config.json")
    except (OSError, ValueError):
        return None
    kind = _kind(record)
    if kind in OWN:
        return OWN[kind]
    if isinstance(record.get("model"), dict) and "_target_" in record["model"]:
        return OLDER
    if isinstance(record.get("model_type"), str):
        return f"a model of the type {kind}, which is not built here".replace("{", "{{").replace("}", "}}")
    if isinstance(record.get("type"), str) and "input_features" in record:
        return "a policy of LeRobot, which is not built here"
    return None


def _has(*names: str) -> Callable[[Path], bool]:
    return lambda folder: all((folder / name).exists() for name in names)


FOLDERS: tuple[tuple[Callable[[Path], bool], str], ...] = (
    (lambda folder: not folder.exists(), "is not there: check the path"),
    (lambda folder: folder.is_file(), "is a file, and a folder is wanted"),
    (lambda folder: not any(folder.iterdir()), "is empty"),
    (_has("checkpoint/config.json"), "is the folder of a training run: give {0}/checkpoint"),
    (
        _has("state", "metrics.jsonl"),
        "is the folder of a training run that has written no checkpoint yet: go on with that playloop train",
    ),
    (
        _has("adapter_config.json"),
        "is an adapter without weights: playloop merge BASE {0} out=DIR puts it into those of the checkpoint "
        "that it was trained beside",
    ),
    (
        lambda folder: (folder / "lora_adapter").is_dir() and not (folder / "config.json").is_file(),
        "holds an adapter without weights: playloop merge BASE {0} out=DIR puts it into those of the "
        "checkpoint that it was trained beside",
    ),
    (_has("meta/info.json"), "is a data set of demonstrations: playloop train data={0}"),
    (
        _has("episodes.jsonl"),
        "holds results of playloop eval, not what acted in them, or a recording that is not finished: repeat "
        "that playloop record with the same out",
    ),
)
"""Folders that are known by the files in them, before any is read: a test, and what is said of {0}."""
