"""A picture as it comes back from TensorFlow's JPEG encoder and decoder, to the last bit, without either.

OpenVLA's data sets were stored as JPEG and read by TensorFlow, whose decoder takes libjpeg's fast integer
transform: its pixels differ from Pillow's by a level on average and by a dozen at edges. The entropy code
between encoder and decoder loses nothing and is left out. What is left is integer arithmetic, written from
the JPEG standard (ITU-T T.81) and the papers of both transforms:

- forward: Loeffler, Ligtenberg and Moschytz (1989), 13 fractional bits, exact rounding;
- backward: Arai, Agui and Nakajima (1988), 8 fractional bits, cut off instead of rounded.
"""

from __future__ import annotations

from functools import cache

import numpy as np

QUALITY = 95
"""TensorFlow's default."""
BLOCK = 8

# The standard's example tables (annex K), which every encoder scales by its quality.
LUMINANCE = """
16 11 10 16  24  40  51  61   12 12 14 19  26  58  60  55   14 13 16 24  40  57  69  56
14 17 22 29  51  87  80  62   18 22 37 56  68 109 103  77   24 35 55 64  81 104 113  92
49 64 78 87 103 121 120 101   72 92 95 98 112 100 103  99"""
CHROMINANCE = """
17 18 24 47 99 99 99 99   18 21 26 66 99 99 99 99   24 26 56 99 99 99 99 99   47 66 99 99 99 99 99 99
99 99 99 99 99 99 99 99   99 99 99 99 99 99 99 99   99 99 99 99 99 99 99 99   99 99 99 99 99 99 99 99"""


def jpeg_round_trip(image: np.ndarray) -> np.ndarray:
    """`tf.io.decode_image(tf.image.encode_jpeg(image))`: quality 95, chroma halved both ways.

    uint8 [H, W, 3] → [H, W, 3].

    Raises:
        ValueError: H or W is no multiple of 16.
    """
    if image.shape[0] % (2 * BLOCK) or image.shape[1] % (2 * BLOCK):
        raise ValueError(f"height and width must be multiples of 16 for the JPEG step, not {image.shape[:2]}")
    luma, blue, red = _to_planes(image.astype(np.int32))
    blue, red = _halve(blue), _halve(red)
    luma = _through_blocks(luma, _table(LUMINANCE))
    blue, red = (_double(_through_blocks(plane, _table(CHROMINANCE))) for plane in (blue, red))
    return _to_colours(luma, blue - 128, red - 128)


@cache
def _table(text: str) -> np.ndarray:
    """Divisors at the quality, int32 [8, 8, 1]."""
    scale = 200 - 2 * QUALITY
    divisors = (np.array(text.split(), np.int32) * scale + 50) // 100
    return np.clip(divisors, 1, 255).reshape(BLOCK, BLOCK, 1)


# -- colours -------------------------------------------------------------------------------------------


def _fixed(value: float, bits: int = 16) -> int:
    return round(value * (1 << bits))


def _to_planes(image: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Red, green and blue int32 [H, W, 3] → luma and both chroma planes, int32 [H, W]."""
    r, g, b = image[..., 0], image[..., 1], image[..., 2]
    half = 1 << 15
    middle = (128 << 16) + half - 1
    luma = (_fixed(0.299) * r + _fixed(0.587) * g + _fixed(0.114) * b + half) >> 16
    blue = (-_fixed(0.16874) * r - _fixed(0.33126) * g + (b << 15) + middle) >> 16
    red = ((r << 15) - _fixed(0.41869) * g - _fixed(0.08131) * b + middle) >> 16
    return luma, blue, red


def _to_colours(luma: np.ndarray, blue: np.ndarray, red: np.ndarray) -> np.ndarray:
    """The inverse, chroma around 0 → uint8 [H, W, 3]."""
    half = 1 << 15
    r = luma + ((_fixed(1.402) * red + half) >> 16)
    g = luma + ((-_fixed(0.34414) * blue - _fixed(0.71414) * red + half) >> 16)
    b = luma + ((_fixed(1.772) * blue + half) >> 16)
    return np.clip(np.stack([r, g, b], axis=-1), 0, 255).astype(np.uint8)


def _halve(plane: np.ndarray) -> np.ndarray:
    """Mean of 2 x 2 pixels, int32 [H, W] → [H / 2, W / 2]; what is rounded alternates along a row."""
    total = plane[::2, ::2] + plane[::2, 1::2] + plane[1::2, ::2] + plane[1::2, 1::2]
    return (total + 1 + np.arange(total.shape[1]) % 2) >> 2


def _double(plane: np.ndarray) -> np.ndarray:
    """Triangle filter, int32 [h, w] → [2h, 2w]: 3/4 of the nearer, 1/4 of the farther neighbour each way."""
    above, below = np.concatenate([plane[:1], plane[:-1]]), np.concatenate([plane[1:], plane[-1:]])
    rows = np.stack([3 * plane + above, 3 * plane + below], axis=1).reshape(-1, plane.shape[1])
    left = np.concatenate([rows[:, :1], rows[:, :-1]], 1)
    right = np.concatenate([rows[:, 1:], rows[:, -1:]], 1)
    return np.stack([(3 * rows + left + 8) >> 4, (3 * rows + right + 7) >> 4], axis=2).reshape(len(rows), -1)


# -- blocks --------------------------------------------------------------------------------------------


def _through_blocks(plane: np.ndarray, divisors: np.ndarray) -> np.ndarray:
    """Transformed, divided, rounded, and back: int32 [H, W] → [H, W] of 0 … 255."""
    height, width = plane.shape
    shape = (height // BLOCK, BLOCK, width // BLOCK, BLOCK)
    blocks = plane.reshape(shape).transpose(1, 3, 0, 2).reshape(BLOCK, BLOCK, -1) - 128  # [8, 8, N]
    spectrum = _forward(blocks)
    eightfold = divisors * BLOCK  # the transform's scale
    whole = np.sign(spectrum) * ((np.abs(spectrum) + eightfold // 2) // eightfold)
    pixels = np.clip(_backward(whole, divisors), -128, 127) + 128
    blocks = pixels.reshape(BLOCK, BLOCK, shape[0], shape[2]).transpose(2, 0, 3, 1)
    return blocks.reshape(height, width)


def _forward(blocks: np.ndarray) -> np.ndarray:
    """Cosine transform times 8 of int32 [8 rows, 8 columns, N]."""
    rows = _forward_lines(blocks.transpose(1, 0, 2), -2).transpose(1, 0, 2)
    return _forward_lines(rows, 2)


def _forward_lines(x: np.ndarray, shift: int) -> np.ndarray:
    """One pass along the first axis; results lose `shift` bits."""
    bits = 13

    def scaled(value: np.ndarray, by: int) -> np.ndarray:
        return (value + (1 << (by - 1))) >> by if by > 0 else value << -by

    sums, differences = x[:4] + x[7:3:-1], x[:4] - x[7:3:-1]
    even = sums[:2] + sums[3:1:-1]  # 0+3, 1+2
    odd = sums[:2] - sums[3:1:-1]
    found = np.empty_like(x)
    found[0], found[4] = scaled(even[0] + even[1], shift), scaled(even[0] - even[1], shift)
    turned = (odd[0] + odd[1]) * _fixed(0.541196100, bits)
    found[2] = scaled(turned + odd[0] * _fixed(0.765366865, bits), bits + shift)
    found[6] = scaled(turned - odd[1] * _fixed(1.847759065, bits), bits + shift)
    d, c, b, a = differences  # the paper's four inputs of the odd half, backwards
    joint = (a + b + c + d) * _fixed(1.175875602, bits)
    outer, inner = -(a + d) * _fixed(0.899976223, bits), -(b + c) * _fixed(2.562915447, bits)
    first = joint - (a + c) * _fixed(1.961570560, bits)
    second = joint - (b + d) * _fixed(0.390180644, bits)
    found[7] = scaled(a * _fixed(0.298631336, bits) + outer + first, bits + shift)
    found[5] = scaled(b * _fixed(2.053119869, bits) + inner + second, bits + shift)
    found[3] = scaled(c * _fixed(3.072711026, bits) + inner + first, bits + shift)
    found[1] = scaled(d * _fixed(1.501321110, bits) + outer + second, bits + shift)
    return found


def _backward(whole: np.ndarray, divisors: np.ndarray) -> np.ndarray:
    """The fast inverse of divided spectra int32 [8, 8, N]: pixels around 0."""
    columns = _backward_lines(whole * _multipliers(divisors))
    rows = _backward_lines(columns.transpose(1, 0, 2)).transpose(1, 0, 2)
    return rows >> 5


def _multipliers(divisors: np.ndarray) -> np.ndarray:
    """The divisors with the transform's own scale factors in them, two fractional bits, int32 [8, 8, 1]."""
    factors = np.array([1.0] + [np.sqrt(2) * np.cos(k * np.pi / 16) for k in range(1, BLOCK)])
    scales = np.round(np.outer(factors, factors) * (1 << 14)).astype(np.int32)[..., None]
    return (divisors * scales + (1 << 11)) >> 12


def _backward_lines(x: np.ndarray) -> np.ndarray:
    """One pass along the first axis."""
    bits = 8

    def times(value: np.ndarray, factor: float) -> np.ndarray:
        return (value * _fixed(factor, bits)) >> bits

    outer, inner = x[0] + x[4], x[0] - x[4]
    both = x[2] + x[6]
    rest = times(x[2] - x[6], 1.414213562) - both
    even = (outer + both, inner + rest, inner - rest, outer - both)
    a, b, c, d = x[5] + x[3], x[5] - x[3], x[1] + x[7], x[1] - x[7]
    joint = times(b + d, 1.847759065)
    first = c + a
    second = times(b, -2.613125930) + joint - first
    third = times(c - a, 1.414213562) - second
    fourth = times(d, 1.082392200) - joint + third
    odd = (first, second, third, -fourth)
    pairs = list(zip(even, odd, strict=True))
    return np.stack([e + o for e, o in pairs] + [e - o for e, o in reversed(pairs)])
