"""One VPT contractor recording: a pair of files, checked against each other, and its actions mended."""

from __future__ import annotations

import io
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from playloop.core.files import file_hash, write_atomic
from playloop.core.minecraft import ACTION_SIZE, BUTTONS, MAX_TURN, index_of
from playloop.demos.corrupt import CorruptFile
from playloop.demos.video.decoder import VideoDecoder
from playloop.demos.vpt.lines import Lines, read_lines
from playloop.nn.archives import read_archive
from playloop.tokenizers.minecraft import HOTBAR, clean_conflicts

FPS = 20.0
ATTACK = index_of("attack")
SLOTS = [index_of(name) for name in HOTBAR]


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
    """The names of all pairs, of halves of pairs too; a FileNotFoundError if there is no whole pair."""
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
    digest = f"{digest}-{(root / f'{name}.mp4').stat().st_size}"
    actions = action_vectors(lines)[:rows]
    return VPTRecording(name, digest, size, actions, lines.gui[:rows], lines.cursor[:rows])


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


def action_vectors(lines: Lines) -> np.ndarray:
    """Float32 [n, 25]: the action of line i is taken at frame i and leads to frame i + 1.

    What every reader of these files meets is mended: the stuck attack button is released, the hotbar's
    keys follow the selected slot, keys that cancel each other are released. Turns keep their fractions.
    """
    vectors = np.zeros((len(lines.held), ACTION_SIZE), np.float32)
    vectors[:, : len(BUTTONS)] = lines.held
    vectors[:, ATTACK] = release_stuck_attack(lines.held[:, ATTACK], lines.pressed[:, ATTACK])
    if (lines.hotbar >= 0).all():
        vectors[:, SLOTS] = hotbar_presses(lines.hotbar, lines.pressed[:, SLOTS], lines.wheel)
    vectors[:, -2:] = np.clip(lines.turn, -MAX_TURN, MAX_TURN)
    return clean_conflicts(vectors)


def release_stuck_attack(held: np.ndarray, pressed: np.ndarray) -> np.ndarray:
    """Attack, bool [n], without what is held from the first line on: some recordings begin with it stuck.

    `pressed`, bool [n], is where the button goes down: the first line's press is the stuck one, the next is
    the player's.
    """
    if not held[0]:
        return held
    real = np.flatnonzero(pressed[1:])
    freed = held.copy()
    freed[: real[0] + 1 if len(real) else None] = False
    return freed


def hotbar_presses(selected: np.ndarray, pressed: np.ndarray, wheel: np.ndarray) -> np.ndarray:
    """The hotbar's keys as the game took them: one press wherever another slot becomes selected.

    The wheel selects as well and leaves no key; a key that is held or selects the same slot does nothing. A
    change counts for the line with the key or the wheel that caused it, which may be the line before.

    Takes slots from 0, int64 [n], number keys that went down, bool [n, 9], and bool [n]; gives bool [n, 9].
    """
    presses = np.zeros((len(selected), len(HOTBAR)), bool)
    changes = np.diff(selected, prepend=selected[0]) != 0
    for row in np.flatnonzero(changes):
        slot = selected[row]
        before, now = pressed[row - 1 : row + 1, slot] | wheel[row - 1 : row + 1]
        late = before and not now and not changes[row - 1]
        presses[row - 1 if late else row, slot] = True
    return presses


def null_actions(vectors: np.ndarray) -> np.ndarray:
    """Where action vectors [n, 25] hold no button and turn nothing, bool [n]."""
    return (vectors == 0).all(axis=1)
