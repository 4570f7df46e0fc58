"""All passes of one frame as one compiled function, for one session on one CPU core."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from playloop.nn.kernels import TILE, attend, draw, fast, gate, linear, normalize

EPS = 1e-5


class Weights(NamedTuple):
    """A world model's weights for the kernels; norms' weights are part of the products behind them.

    Args:
        project: of queries, keys and values, int8 [L, (H + 2 K) E, D], with its scales float32 [L, …].
        join: int8 [L, D, D] and scales.
        inner: gate and value, int8 [L, 2 M, D] and scales.
        outer: int8 [L, D, M] and scales.
        head: int8 [V, D], padded, and scales.
        token: embeddings float32 [codes, D].
        position: float32 [queries, D].
    """

    project: np.ndarray
    project_scale: np.ndarray
    join: np.ndarray
    join_scale: np.ndarray
    inner: np.ndarray
    inner_scale: np.ndarray
    outer: np.ndarray
    outer_scale: np.ndarray
    head: np.ndarray
    head_scale: np.ndarray
    token: np.ndarray
    position: np.ndarray


class Plan(NamedTuple):
    """A schedule as arrays: pass s has `rows[s]` rows, of which the first `fed[s]` feed tokens.

    Args:
        rows: int64 [S].
        fed: int64 [S].
        query: of each row, int64 [S, R]; the pending token of the frame before stands behind the frame's own.
        target: token that the row predicts, -1 for none, int64 [S, R].
    """

    rows: np.ndarray
    fed: np.ndarray
    query: np.ndarray
    target: np.ndarray


class Frame(NamedTuple):
    """What one frame's passes read besides weights and cache.

    Args:
        opening: the two rows of the first pass, float32 [2, D].
        common: added to every query, float32 [queries, D].
        cosines: of its position, float32 [queries + 1, E / 2]; the last row here and below is the pending
            token's.
        sines: likewise.
        seen: slots that each query sees, float32 [queries + 1, P].
        slots: of each query, int64 [queries + 1].
        uniform: float64 [N].
    """

    opening: np.ndarray
    common: np.ndarray
    cosines: np.ndarray
    sines: np.ndarray
    seen: np.ndarray
    slots: np.ndarray
    uniform: np.ndarray


class Scratch(NamedTuple):
    """Working memory.

    Args:
        x: float32 [R, D], as are `normed` and `mixed`.
        heads: float32 [R, (H + 2 K) E].
        wide: float32 [R, 2 M].
        hidden: float32 [R, M].
        logits: float32 [R, V].
        wanted: queries of a tile, float32 [4, E], as is `found`.
        seen: float32 [4, P], as is `scores`.
        bits: int32, as long as the longest of these rows.
    """

    x: np.ndarray
    normed: np.ndarray
    mixed: np.ndarray
    heads: np.ndarray
    wide: np.ndarray
    hidden: np.ndarray
    logits: np.ndarray
    wanted: np.ndarray
    found: np.ndarray
    seen: np.ndarray
    scores: np.ndarray
    bits: np.ndarray


@fast
def turn(vector: np.ndarray, cosines: np.ndarray, sines: np.ndarray) -> None:
    """Rotary positions, written over: vector float32 [E], halves paired."""
    half = len(cosines)
    for e in range(half):
        a, b = vector[e], vector[e + half]
        vector[e] = a * cosines[e] - b * sines[e]
        vector[e + half] = b * cosines[e] + a * sines[e]


@fast
def mix(
    rows: int,
    fed: int,
    queries: np.ndarray,
    frame: Frame,
    keys: np.ndarray,
    values: np.ndarray,
    s: Scratch,
    heads: int,
) -> None:
    """A layer's attention of a pass: `s.heads` → `s.mixed`; keys [K, E, P] and values [K, P, E] are kept of
    the first `fed` rows."""
    groups, size = keys.shape[0], keys.shape[1]
    scale = np.float32(1 / np.sqrt(size))
    for row in range(rows):
        query = queries[row]
        cosines, sines, slot = frame.cosines[query], frame.sines[query], frame.slots[query]
        for head in range(heads + groups):
            turn(s.heads[row, head * size : (head + 1) * size], cosines, sines)
        if row < fed:
            for group in range(groups):
                start = (heads + group) * size
                for e in range(size):
                    keys[group, e, slot] = s.heads[row, start + e]
                    values[group, slot, e] = s.heads[row, start + groups * size + e]
    together = heads // groups  # heads that read the same keys
    for group in range(groups):
        for first in range(0, rows * together, TILE):
            for lane in range(TILE):
                # The last tile is filled up with repetitions of its last query.
                row, head = divmod(min(first + lane, rows * together - 1), together)
                start = (group * together + head) * size
                s.seen[lane] = frame.seen[queries[row]]
                for e in range(size):
                    s.wanted[lane, e] = s.heads[row, start + e] * scale
            attend(s.wanted, keys[group], values[group], s.seen, s.scores, s.bits, s.found)
            for lane in range(min(TILE, rows * together - first)):
                row, head = divmod(first + lane, together)
                start = (group * together + head) * size
                for e in range(size):
                    s.mixed[row, start + e] = s.found[lane, e]


@fast
def run(
    w: Weights,
    rows: int,
    fed: int,
    queries: np.ndarray,
    frame: Frame,
    keys: np.ndarray,
    values: np.ndarray,
    s: Scratch,
    heads: int,
) -> None:
    """One pass: the rows of `s.x` through all layers; the result, normed, is in `s.normed`.

    Args:
        rows: how many.
        fed: how many of them, the first, feed tokens; their keys and values are kept.
        queries: of the rows, int64 [R].
        keys: float32 [L, K, E, P].
        values: float32 [L, K, P, E].
        heads: of queries.
    """
    width, hidden = s.x.shape[1], s.hidden.shape[1]
    for layer in range(len(w.project)):
        normalize(s.x, s.normed, rows, EPS)
        linear(s.normed, w.project[layer], w.project_scale[layer], s.heads, rows)
        mix(rows, fed, queries, frame, keys[layer], values[layer], s, heads)
        linear(s.mixed, w.join[layer], w.join_scale[layer], s.normed, rows)
        for row in range(rows):
            for k in range(width):
                s.x[row, k] += s.normed[row, k]
        normalize(s.x, s.normed, rows, EPS)
        linear(s.normed, w.inner[layer], w.inner_scale[layer], s.wide, rows)
        gate(s.wide, s.hidden, s.bits, rows, hidden)
        linear(s.hidden, w.outer[layer], w.outer_scale[layer], s.normed, rows)
        for row in range(rows):
            for k in range(width):
                s.x[row, k] += s.normed[row, k]
    normalize(s.x, s.normed, rows, EPS)


@fast
def decode(
    w: Weights,
    plan: Plan,
    frame: Frame,
    keys: np.ndarray,
    values: np.ndarray,
    s: Scratch,
    heads: int,
    codes: int,
    temperature: float,
    top_p: float,
    top_k: int,
    tokens: np.ndarray,
) -> None:
    """Fill `tokens` int64 [N] with the next frame, pass by pass; keys and values are written on the way."""
    for step in range(len(plan.rows)):
        rows = plan.rows[step]
        for row in range(rows):
            query = plan.query[step, row]
            if step == 0:
                s.x[row] = frame.opening[row]
            elif row < plan.fed[step]:
                s.x[row] = w.token[tokens[query - 1]] + w.position[query] + frame.common[query]
            else:
                s.x[row] = w.position[query] + frame.common[query]
        run(w, rows, plan.fed[step], plan.query[step], frame, keys, values, s, heads)
        linear(s.normed, w.head, w.head_scale, s.logits, rows)
        for row in range(rows):
            target = plan.target[step, row]
            if target >= 0:
                logits = s.logits[row, :codes]
                number = frame.uniform[target]
                tokens[target] = draw(logits, s.bits, number, temperature, top_p, top_k)
