"""A transformer's products for a few rows on one CPU core, compiled by numba.

Batch 1 and a handful of rows a pass is where PyTorch spends more time between its operations than in them.
Weights are int8 with a scale for each output: a pass reads a quarter of the memory, which is what bounds it,
and numbers are widened in registers, so that the arithmetic is float32's. Rows are padded to multiples of
four: the kernels work on tiles of four rows and four outputs, which are exactly the registers there are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from playloop.core.caches import compiled
from playloop.nn.sampling import COLDEST

TILE = 4
"""Rows and outputs of a tile; whoever calls pads both to a multiple of it."""
LOG2_E = 1.4426950408889634
_E2 = (1.0, 0.69314718, 0.24022651, 0.05550411, 0.00961813, 0.00133336)
"""Taylor's coefficients of 2^x; good to 2e-7 for |x| <= 1/2."""


def fast(function: Callable[..., Any]) -> Any:
    """Compile; sums may be reordered, which is what vectors need."""
    return compiled(function, fastmath=True, nogil=True)


def quantize_rows(weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weights [N, K] → int8 [N', K] and scales float32 [N'], N' padded to a multiple of `TILE`."""
    padded = np.pad(weight.astype(np.float32), ((0, -len(weight) % TILE), (0, 0)))
    scale = np.maximum(np.abs(padded).max(1), 1e-12) / 127
    return np.round(padded / scale[:, None]).astype(np.int8), scale.astype(np.float32)


@fast
def linear(x: np.ndarray, weight: np.ndarray, scale: np.ndarray, out: np.ndarray, rows: int) -> None:
    """out[:rows, :N] = x[:rows] @ (weight * scale).T for x float32 [R, K], weight int8 [N, K]."""
    zero = np.float32(0)
    for j in range(0, weight.shape[0], TILE):
        w0, w1, w2, w3 = weight[j], weight[j + 1], weight[j + 2], weight[j + 3]
        p, q, r, s = scale[j], scale[j + 1], scale[j + 2], scale[j + 3]
        for i in range(0, rows, TILE):
            x0, x1, x2, x3 = x[i], x[i + 1], x[i + 2], x[i + 3]
            a0 = a1 = a2 = a3 = b0 = b1 = b2 = b3 = zero
            c0 = c1 = c2 = c3 = d0 = d1 = d2 = d3 = zero
            for k in range(weight.shape[1]):
                v0, v1, v2, v3 = np.float32(w0[k]), np.float32(w1[k]), np.float32(w2[k]), np.float32(w3[k])
                y = x0[k]
                a0, a1, a2, a3 = a0 + y * v0, a1 + y * v1, a2 + y * v2, a3 + y * v3
                y = x1[k]
                b0, b1, b2, b3 = b0 + y * v0, b1 + y * v1, b2 + y * v2, b3 + y * v3
                y = x2[k]
                c0, c1, c2, c3 = c0 + y * v0, c1 + y * v1, c2 + y * v2, c3 + y * v3
                y = x3[k]
                d0, d1, d2, d3 = d0 + y * v0, d1 + y * v1, d2 + y * v2, d3 + y * v3
            o = out[i]
            o[j], o[j + 1], o[j + 2], o[j + 3] = a0 * p, a1 * q, a2 * r, a3 * s
            o = out[i + 1]
            o[j], o[j + 1], o[j + 2], o[j + 3] = b0 * p, b1 * q, b2 * r, b3 * s
            o = out[i + 2]
            o[j], o[j + 1], o[j + 2], o[j + 3] = c0 * p, c1 * q, c2 * r, c3 * s
            o = out[i + 3]
            o[j], o[j + 1], o[j + 2], o[j + 3] = d0 * p, d1 * q, d2 * r, d3 * s


@fast
def normalize(x: np.ndarray, out: np.ndarray, rows: int, eps: float) -> None:
    """out[:rows] = x[:rows] over the root of its mean square; the norm's weight is in the next product."""
    for i in range(rows):
        total = np.float32(0)
        for k in range(x.shape[1]):
            total += x[i, k] * x[i, k]
        factor = np.float32(1 / np.sqrt(total / x.shape[1] + eps))
        for k in range(x.shape[1]):
            out[i, k] = x[i, k] * factor


@fast
def exponentials(x: np.ndarray, bits: np.ndarray, count: int) -> None:
    """x[:count] = e^x in place, by vectors; x at most 80, below -87 it is as good as zero.

    Args:
        x: float32.
        bits: int32 scratch of the same length.
    """
    c0, c1, c2, c3 = np.float32(_E2[0]), np.float32(_E2[1]), np.float32(_E2[2]), np.float32(_E2[3])
    c4, c5 = np.float32(_E2[4]), np.float32(_E2[5])
    for k in range(count):
        y = max(x[k] * np.float32(LOG2_E), np.float32(-126.0))
        whole = np.int32(y + np.float32(126.5)) - np.int32(126)
        part = y - np.float32(whole)
        x[k] = c0 + part * (c1 + part * (c2 + part * (c3 + part * (c4 + part * c5))))
        bits[k] = (whole + np.int32(127)) << np.int32(23)  # 2^whole as float32
    powers = bits.view(np.float32)
    for k in range(count):
        x[k] *= powers[k]


@fast
def gate(inner: np.ndarray, out: np.ndarray, bits: np.ndarray, rows: int, hidden: int) -> None:
    """SwiGLU: out[:rows, :hidden] = silu(inner[:, :hidden]) * inner[:, hidden : 2 * hidden]."""
    for i in range(rows):
        row, to = inner[i], out[i]
        for k in range(hidden):
            to[k] = min(-row[k], np.float32(80.0))
        exponentials(to, bits, hidden)
        for k in range(hidden):
            to[k] = row[k] * row[hidden + k] / (np.float32(1) + to[k])


@fast
def attend(
    queries: np.ndarray,
    keys: np.ndarray,
    values: np.ndarray,
    seen: np.ndarray,
    scores: np.ndarray,
    bits: np.ndarray,
    out: np.ndarray,
) -> None:
    """Softmax attention of four queries, which share what is read; sizes are multiples of `TILE`.

    Args:
        queries: float32 [4, E], already divided by the root of E.
        keys: float32 [E, S].
        values: float32 [S, E].
        seen: 1 where a query looks and 0 elsewhere, float32 [4, S].
        scores: scratch, float32 [4, S].
        bits: scratch, int32 [S].
        out: float32 [4, E].
    """
    count = keys.shape[1]
    s0, s1, s2, s3 = scores[0], scores[1], scores[2], scores[3]
    q0, q1, q2, q3 = queries[0], queries[1], queries[2], queries[3]
    scores[:] = 0
    for e in range(0, keys.shape[0], TILE):
        k0, k1, k2, k3 = keys[e], keys[e + 1], keys[e + 2], keys[e + 3]
        a0, a1, a2, a3 = q0[e], q0[e + 1], q0[e + 2], q0[e + 3]
        b0, b1, b2, b3 = q1[e], q1[e + 1], q1[e + 2], q1[e + 3]
        c0, c1, c2, c3 = q2[e], q2[e + 1], q2[e + 2], q2[e + 3]
        d0, d1, d2, d3 = q3[e], q3[e + 1], q3[e + 2], q3[e + 3]
        for k in range(count):
            x0, x1, x2, x3 = k0[k], k1[k], k2[k], k3[k]
            s0[k] += a0 * x0 + a1 * x1 + a2 * x2 + a3 * x3
            s1[k] += b0 * x0 + b1 * x1 + b2 * x2 + b3 * x3
            s2[k] += c0 * x0 + c1 * x1 + c2 * x2 + c3 * x3
            s3[k] += d0 * x0 + d1 * x1 + d2 * x2 + d3 * x3
    for row in range(TILE):
        soften(scores[row], seen[row], bits)
    average(scores, values, out)


@fast
def average(shares: np.ndarray, values: np.ndarray, out: np.ndarray) -> None:
    """out float32 [4, E] = shares [4, S] @ values [S, E]; what all four leave out is not even read."""
    s0, s1, s2, s3 = shares[0], shares[1], shares[2], shares[3]
    o0, o1, o2, o3 = out[0], out[1], out[2], out[3]
    out[:] = 0
    for k in range(0, shares.shape[1], TILE):
        a0, a1, a2, a3 = s0[k], s0[k + 1], s0[k + 2], s0[k + 3]
        b0, b1, b2, b3 = s1[k], s1[k + 1], s1[k + 2], s1[k + 3]
        c0, c1, c2, c3 = s2[k], s2[k + 1], s2[k + 2], s2[k + 3]
        d0, d1, d2, d3 = s3[k], s3[k + 1], s3[k + 2], s3[k + 3]
        if a0 + a1 + a2 + a3 + b0 + b1 + b2 + b3 + c0 + c1 + c2 + c3 + d0 + d1 + d2 + d3 > 0:
            v0, v1, v2, v3 = values[k], values[k + 1], values[k + 2], values[k + 3]
            for e in range(out.shape[1]):
                x0, x1, x2, x3 = v0[e], v1[e], v2[e], v3[e]
                o0[e] += a0 * x0 + a1 * x1 + a2 * x2 + a3 * x3
                o1[e] += b0 * x0 + b1 * x1 + b2 * x2 + b3 * x3
                o2[e] += c0 * x0 + c1 * x1 + c2 * x2 + c3 * x3
                o3[e] += d0 * x0 + d1 * x1 + d2 * x2 + d3 * x3


@fast
def soften(scores: np.ndarray, seen: np.ndarray, bits: np.ndarray) -> None:
    """Softmax of the scores that are seen, in place; 0 elsewhere."""
    most = np.float32(-1e30)
    for k in range(len(scores)):
        most = max(most, scores[k] if seen[k] > 0 else np.float32(-1e30))
    for k in range(len(scores)):
        scores[k] = min(scores[k] - most, np.float32(0))
    exponentials(scores, bits, len(scores))
    total = np.float32(0)
    for k in range(len(scores)):
        scores[k] = scores[k] * seen[k]
        total += scores[k]
    share = np.float32(1) / total
    for k in range(len(scores)):
        scores[k] *= share


MASS, COUNT = 0, 1
"""What `threshold` adds up: the weights themselves, or how many they are."""


@fast
def threshold(weights: np.ndarray, wanted: float, measure: int) -> float:
    """The largest weight t of which {weights >= t} holds `wanted`, exactly; 0 if all of them do not.

    Floats that are not negative lie in the order of their bits, so the bits are bisected until no weight lies
    between the ends: nothing is sorted. Sums are float64's, whose rounding no two ids are near enough to see.

    Args:
        weights: float32 [V], not negative.
        wanted: of `measure`.
        measure: `MASS` or `COUNT`.
    """
    bits, most = weights.view(np.int32), np.int32(0x7F800000)
    low, high = np.int32(0), most  # {>= low} holds enough, {>= high} does not
    while high - low > 1:
        middle = low + (high - low) // np.int32(2)
        held, least, below = 0.0, most, np.int32(0)
        for k in range(len(weights)):
            inside = bits[k] >= middle
            held += (np.float64(weights[k]) if measure == MASS else 1.0) if inside else 0.0
            least = min(least, bits[k] if inside else most)
            below = max(below, np.int32(0) if inside else bits[k])
        if held >= wanted:
            low = least
        else:
            high = below + np.int32(1)
    found = np.zeros(1, np.int32)
    found[0] = low
    return found.view(np.float32)[0]


@fast
def draw(
    logits: np.ndarray, bits: np.ndarray, uniform: float, temperature: float, top_p: float, top_k: int = 0
) -> int:
    """One id from logits float32 [V], which are overwritten; see `nn.sampling` for the rules.

    A temperature of 0 takes the likeliest; a `top_k` of 0 leaves none out.
    """
    best = 0
    for k in range(len(logits)):
        if logits[k] > logits[best]:
            best = k
    if temperature <= 0:
        return best
    most, divisor = logits[best], np.float32(max(temperature, COLDEST))
    for k in range(len(logits)):
        logits[k] = (logits[k] - most) / divisor
    exponentials(logits, bits, len(logits))
    total = 0.0
    for k in range(len(logits)):
        total += np.float64(logits[k])
    if top_p < 1 or 0 < top_k < len(logits):
        least = threshold(logits, top_p * total, MASS) if top_p < 1 else threshold(logits, top_k, COUNT)
        total = 0.0
        for k in range(len(logits)):
            logits[k] = logits[k] if logits[k] >= least else np.float32(0)
            total += np.float64(logits[k])
    target, reached, last = uniform * total, 0.0, best
    for k in range(len(logits)):
        if logits[k] > 0:
            reached += logits[k]
            last = k
            if reached > target:
                return k
    return last


@fast
def draw_rows(
    logits: np.ndarray, uniform: np.ndarray, temperature: float, top_p: float, top_k: int, ids: np.ndarray
) -> None:
    """`draw` for every row of logits float32 [R, V], which are overwritten: ids int64 [R]."""
    bits = np.zeros(logits.shape[1], np.int32)
    for row in range(len(logits)):
        ids[row] = draw(logits[row], bits, uniform[row], temperature, top_p, top_k)
