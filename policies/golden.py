"""Golden decisions: what a checkpoint decided when it was written, and how another decision differs from it.

A decision is everything from an observation to the actions that are executed: scores of the network, tokens,
the chunk, and beside them what the scales of actions and state make of fixed numbers, since one observation
does not reach every scale.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor

from playloop.nn.archives import read_archive
from playloop.nn.golden import GOLDEN, Arrays, make_again
from playloop.nn.golden import write_golden as write_arrays
from playloop.policies.network import NetworkPolicy

BOUND = "manifest"
"""Name in the file that says that the folder has a manifest, so that a missing one is noticed."""

TOLERANCE = 1e-3
"""Largest difference of a score, or of an action that is regressed, as a share of the largest: a hundred
times what other float32 kernels change."""

EXACT = 1e-6
"""Largest relative difference of what follows from tokens and scales alone."""

PROBES = (-1.0, -0.5, 0.25, 1.0)
"""Normalised numbers that scales are tried on."""

SCALES = ("scale", "body")
"""Parts of a decision: `PROBES` as actions, float64 [probes, A], and as states, float64 [probes, S]."""

NETWORK = "weights, instructions, tokenizer or code are not those it was written with"
CAUSES = {
    "scores": NETWORK,
    "tokens": "the decoder's settings or code are not those it was written with",
    "chunk": "statistics, gripper or code are not those it was written with",
    "scale": "the statistics of actions or the gripper are not those it was written with",
    "body": "the statistics of the state are not those it was written with",
}
"""What is wrong where a part of a decision is the first that differs."""

Verify = Literal["strict", "warn", "off"]


def probes(size: int) -> Tensor:
    """`PROBES` for every dimension, float64 [probes, size]."""
    return torch.tensor(PROBES, dtype=torch.float64)[:, None].repeat(1, size)


def check_verify(verify: str) -> None:
    """Refuse a `verify` that there is not; lists those that there are."""
    if verify not in get_args(Verify):
        raise ValueError(f"verify={verify!r}: use {', '.join(get_args(Verify))}")


def write_golden(folder: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write an observation and the decision for it to a folder, which is to get a manifest, too."""
    write_arrays(folder, {BOUND: np.array(True)} | dict(arrays))


def is_bound(folder: Path) -> bool:
    """Whether a folder's golden decision says that a manifest belongs to it.

    Raises:
        ValueError: the file is damaged.
    """
    return (folder / GOLDEN).is_file() and BOUND in read_archive(folder / GOLDEN)


def golden_decision(policy: NetworkPolicy, observation: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """An observation and what a policy that draws nothing makes of it, for `write_golden`."""
    images = {f"images.{name}": np.asarray(observation["images"][name]) for name in policy.cameras}
    state, text = np.asarray(observation["state"], np.float32), np.array(observation["instruction"])
    return images | {"state": state, "instruction": text} | decide(policy, observation)


@torch.inference_mode()
def decide(policy: NetworkPolicy, observation: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Scores of the first pass, the chunk, tokens if there are any, and what `PROBES` are on its scales."""
    with exact_products():
        scores = policy.first_scores(dict(observation)).float().cpu().numpy()
        _, chunks, info = policy([None], [dict(observation)], [torch.Generator().manual_seed(0)])
    tokenizer, found = policy.tokenizer, {"scores": scores, "chunk": chunks[0]}
    found["scale"] = tokenizer.commands(probes(tokenizer.normalizer.size)).numpy()
    if policy.state is not None:
        found["body"] = policy.state.restore(probes(policy.state.size)).numpy()
    return found | ({"tokens": info["tokens"][0]} if "tokens" in info else {})


def verify_golden(
    folder: Path, judge: Callable[[Mapping[str, np.ndarray]], NetworkPolicy], verify: Verify, *names: str
) -> None:
    """Decide again as the policy of a folder should, and compare.

    Args:
        folder: that `write_golden` wrote to.
        judge: from what is stored to the policy, which draws nothing.
        verify: what to do about a difference: "strict" refuses, "warn" tells, "off" does not look.
        names: that must be stored beside the decision.

    Raises:
        ValueError: it decides otherwise and `verify` is "strict", or the file is damaged.
    """
    if verify == "off":
        return

    def again(golden: Arrays) -> Arrays:
        if "logits" in golden:  # as older ones name them
            golden["scores"] = golden.pop("logits")
        policy = judge(golden)
        return decide(policy, observation_of(golden, policy.cameras))

    golden, now = make_again(folder, again, "state", "instruction", "chunk", *names)
    found = differences(golden, now)
    if not found:
        return
    first = next(iter(found))
    cause = f"{CAUSES[first]}; use them or copy it again"
    if first == "tokens" and not np.array_equal(golden["scores"], now["scores"]):
        cause = "scores differ by rounding alone: another processor; load with verify='warn' to accept it"
    message = (
        f"{folder} does not decide as it did when it was written, its golden decision differs "
        f"({'; '.join(found.values())}): {cause}"
    )
    if verify == "strict":
        raise ValueError(message)
    warnings.warn(message, stacklevel=4)


@contextmanager
def exact_products() -> Iterator[None]:
    """float32 products in float32 on NVIDIA's GPUs, too: TF32 would keep ten bits of the factors."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


def observation_of(golden: Mapping[str, np.ndarray], cameras: Iterable[str]) -> dict[str, Any]:
    """The observation that a golden decision was made for.

    Raises:
        KeyError: it lacks one of the cameras.
    """
    return {
        "images": {name: golden[f"images.{name}"] for name in cameras},
        "state": golden["state"],
        "instruction": str(golden["instruction"]),
    }


def differences(golden: Mapping[str, np.ndarray], now: Mapping[str, np.ndarray]) -> dict[str, str]:
    """Parts of two decisions that differ, each in words, those that cause others first.

    They are "scores", "tokens", "chunk" and `SCALES`; older stored ones lack the last.
    """
    found = {}
    for name in ("body", "scores", "tokens", "scale", "chunk"):
        before, after = golden.get(name), now.get(name)
        if before is None and (after is None or name in SCALES):
            continue
        if before is None or after is None or before.shape != after.shape:
            found[name] = f"{name} have another shape"
        elif before.dtype.kind not in "iuf":
            found[name] = f"{name} are no numbers"
        elif said := _difference(name, before, after, regressed="tokens" not in golden):
            found[name] = said
    return found


def _difference(name: str, before: np.ndarray, after: np.ndarray, regressed: bool) -> str:
    """In what a part differs, in words; nothing where it does not."""
    if name == "tokens":
        changed = int((before != after).sum())
        return f"{changed} of {before.size} tokens differ" if changed else ""
    if name == "scores" or (name == "chunk" and regressed):
        drift = float(np.abs(before - after).max(initial=0) / max(1.0, float(np.abs(before).max(initial=0))))
        return "" if drift <= TOLERANCE else f"{name} differ by {drift:.2g} of the largest"
    away = np.abs(before - after)
    wrong = ~(away <= EXACT * np.maximum(np.abs(before), 1e-3))
    return f"{int(wrong.sum())} numbers of its {name} differ by up to {away.max():.2g}" if wrong.any() else ""


def sloped(image: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """A picture enlarged so that means over blocks give it back exactly, and single pixels do not.

    A golden decision made from it notices when pictures are no longer shrunk by means. uint8 [H, W, 3] → that
    height and width; other ones than multiples of the picture's leave it as it is.
    """
    rows, columns = (large // small for large, small in zip(size, image.shape, strict=False))
    if tuple(size) != (rows * image.shape[0], columns * image.shape[1]) or columns < 2:
        return image
    large = image.repeat(rows, 0).repeat(columns, 1).astype(np.int16)
    slope = np.tile(2 * np.arange(columns) - (columns - 1), image.shape[1])[:, None]  # sums to 0 in a block
    room = np.minimum(large, 255 - large) // (columns - 1)
    return (large + slope * np.minimum(room, 8)).astype(np.uint8)
