"""One VPT contractor recording: a pair of files, checked against each other."""

from __future__ import annotations

import io
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from playloop.core.files import file_hash, write_atomic
from playloop.demos.corrupt import CorruptFile
from playloop.demos.video.decoder import VideoDecoder
from playloop.demos.vpt.actions import action_vectors
from playloop.demos.vpt.lines import Lines, read_lines
from playloop.nn.archives import read_archive

FPS = 20.0


@dataclass
class VPTRecording:
    """One pair of files.

    Args:
        name: of both, without their endings.
        digest: of what the pair holds.
        size: height and width of the frames.
        actions: float32 [n, 25].
        gui: bool [n].
        cursor: float32 [n, 2].
    """

    name: str
    digest: str
    size: tuple[int, int]
    actions: np.ndarray
    gui: np.ndarray
    cursor: np.ndarray


def recording_names(root: Path) -> list[str]:
    """The names of all pairs, of halves of pairs too.

    Raises:
        FileNotFoundError: there is no whole pair.
    """
    # Names with a dot in front are what macOS keeps beside files.
    names = {kind: {path.stem for path in root.glob(f"[!.]*.{kind}")} for kind in ("mp4", "jsonl")}
    if not names["mp4"] & names["jsonl"]:
        raise FileNotFoundError(f"{root} holds no pair of files NAME.mp4 and NAME.jsonl.")
    return sorted(names["mp4"] | names["jsonl"])


def read_recording(root: Path, name: str, slack: int) -> VPTRecording:
    """A pair of files.

    Raises:
        CorruptFile: one is missing or damaged, or their lengths differ by more than `slack`.
    """
    digest, lines = _cached_lines(root, name)
    frames, size = _probe(root / f"{name}.mp4")
    if abs(frames - len(lines.gui)) > slack:
        raise CorruptFile(
            f"{root / name}.mp4 has {frames} frames, its jsonl {len(lines.gui)} lines: actions and frames "
            "would be out of step; restore both, or allow what is over at the end to be cut with slack."
        )
    rows = min(frames, len(lines.gui))
    return VPTRecording(
        name,
        f"{digest}-{(root / f'{name}.mp4').stat().st_size}",
        size,
        action_vectors(lines)[:rows],
        lines.gui[:rows],
        lines.cursor[:rows],
    )


def _probe(path: Path) -> tuple[int, tuple[int, int]]:
    """Frames, and their height and width, without decoding one."""
    with closing(VideoDecoder(path, FPS)) as decoder:
        # Single frames may be late: line i belongs to frame i. Another rate is another recording.
        if abs(decoder.rate / FPS - 1) > 0.05:
            raise CorruptFile(
                f"{path} has {decoder.rate:g} frames a second, VPT's recordings {FPS:g}; convert it."
            )
        return decoder.length, decoder.size


def _cached_lines(root: Path, name: str) -> tuple[str, Lines]:
    """A digest of the jsonl file and its lines, which take a hundredth of the time when read again."""
    path, cached = root / f"{name}.jsonl", root / "cache" / f"{name}.lines.npz"
    if not path.is_file():
        raise CorruptFile(f"{path} is missing, {name}.mp4 is there; restore it.")
    digest = file_hash(path)
    if (known := _read_cache(cached, digest)) is not None:
        return digest, known
    lines, buffer = read_lines(path), io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, digest=np.array(digest), **lines._asdict())
    with suppress(OSError):  # a read-only folder is read from its lines every time
        cached.parent.mkdir(exist_ok=True)
        write_atomic(cached, buffer.getvalue())
    return digest, lines


def _read_cache(path: Path, digest: str) -> Lines | None:
    """Lines that were kept; None if there are none of this digest, or the file is damaged."""
    with suppress(OSError, ValueError):
        stored = read_archive(path, "digest", *Lines._fields)
        if str(stored["digest"]) == digest:
            return Lines(*(stored[field] for field in Lines._fields))
    return None
