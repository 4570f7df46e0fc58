"""Files and folders of demonstrations that cannot be used: one error, one sentence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from playloop.core.files import check_pointer

KNOWN = "meta/info.json of a LeRobot data set v3.0, or pairs NAME.mp4 + NAME.jsonl of VPT's recordings"
CONVERT = (
    "training reads LeRobot data sets v3.0 and VPT's recordings: convert it with LeRobot "
    "(huggingface.co/docs/lerobot, porting datasets), or "
    "write its episodes with playloop.demos.lerobot.writer.DatasetWriter"
)
LOOKED_AT = 1000
"""Most entries of a folder that are looked at."""


class CorruptFile(ValueError):
    """A file of a data set cannot be used; the message names it."""


@contextmanager
def reading(path: Path, what: str, *errors: type[Exception]) -> Iterator[None]:
    """Turn what may go wrong while a file is opened into a `CorruptFile`: it is missing, damaged, a pointer.

    Args:
        path: of the file.
        what: it should be: "a readable video".
        errors: that its reader raises besides `OSError`.
    """
    unreadable: tuple[type[Exception], ...] = (OSError, *errors)
    try:
        check_pointer(path)
        yield
    except unreadable as error:
        raise CorruptFile(f"{path} is missing or not {what} ({error}); restore it.") from error
    except ValueError as error:  # a pointer
        raise CorruptFile(str(error)) from error


def refuse_folder(path: Path) -> NoReturn:
    """Say by a FileNotFoundError what a path is instead of demonstrations."""
    raise FileNotFoundError(f"{path} is not a finished data set: {_what(path)}")


def _what(path: Path) -> str:
    if not path.exists():
        return "it does not exist; give the folder that playloop record wrote"
    names = [path.name] if path.is_file() else [str(p.relative_to(path)) for p in _inside(path)]
    for endings, kind in (
        ((".hdf5", ".h5"), "HDF5 files, as robomimic and LIBERO publish demonstrations"),
        ((".tfrecord", "tfrecord-"), "TFRecords, as RLDS and Open X-Embodiment publish data sets"),
        ((".zarr", ".zgroup", ".zarray"), "a Zarr archive"),
        ((".arrow",), "Arrow files, as Hugging Face datasets caches them or LeRobot v1 had them"),
        ((".bag", ".db3", ".mcap"), "recordings of ROS"),
        ((".safetensors",), "a checkpoint, not demonstrations"),
    ):
        found = [name for name in names if any(ending in Path(name).name for ending in endings)]
        if found:
            return f"it holds {kind} ({found[0]}); {CONVERT}"
    if path.is_file():
        return f"it is a file; give a folder with {KNOWN}"
    return _unfinished(path) or _children(path) or f"it holds no demonstrations: looked for {KNOWN}"


def _unfinished(path: Path) -> str | None:
    if any((path / name).exists() for name in (".partial", "traces", "frames")):
        return "a recording there is not finished; repeat its command"
    if (path / "meta").is_dir():
        return "meta/info.json does not exist; restore it from a copy"
    if (path / "episodes.jsonl").is_file():
        return "it holds results of episodes, no demonstrations; record some with playloop record"
    return None


def _children(path: Path) -> str | None:
    found = [str(info.parents[1]) for info in sorted(path.glob("*/meta/info.json"))[:3]]
    if not found:
        return None
    return f"it holds several; name them: data=[{','.join(found)}]"


def _inside(path: Path) -> Iterator[Path]:
    """What lies in a folder and two levels below it, the nearest first."""
    for pattern in ("*", "*/*", "*/*/*"):
        for number, found in enumerate(path.glob(pattern)):
            if number == LOOKED_AT:
                break
            yield found
