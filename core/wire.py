"""Arrays on the wire, in the forms of the field's protocols: MessagePack, or JSON for OpenVLA-OFT's `/act`.

| form | an array is | spoken by |
|---|---|---|
| `OPENPI` | a map with bytes keys `__ndarray__`, `data`, `dtype`, `shape` | openpi, RoboArena |
| `VLA_EVAL` | the same with text keys; pictures as PNG, JPEG or raw under `__image__` | vla-eval |
| `GROOT` | `__ndarray_class__` and an `.npy` file's bytes, `as_npy` | GR00T N1.6 |
| `JSON` | `__numpy__`, the data in base64, with `dtype` and `shape` | OpenVLA-OFT, by json-numpy |

Whatever arrives is a stranger's. Nothing is unpickled; an array is one of numbers or truths, and has the size
that its shape says, before memory is taken for it; what is no message raises `BadFrame`, nothing else.
"""

from __future__ import annotations

import binascii
import io
import json
import math
from base64 import b64decode, b64encode
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import msgpack
import numpy as np
from PIL import Image

KINDS = "biuf"
"""Kinds of NumPy's types that an array may have: truths, whole numbers with and without sign, floats."""
DIMENSIONS = 16
MOST_BYTES = 64 * 1024 * 1024
"""A message larger than this is refused, and a picture that would be when it is decoded."""
DEEPEST = 32
"""Maps and lists in one another."""

Picture = Literal["raw", "png", "jpeg"]


class BadFrame(ValueError):
    """What arrived is no message of this form; says what is wrong with it, in one sentence."""


@dataclass(frozen=True)
class Form:
    """One way to write messages, and to read them.

    Args:
        name: of the form.
        pack: anything of maps with text keys, lists, texts, bytes, numbers, None and arrays → bytes. Raises
            ValueError for anything else.
        unpack: the inverse; arrays are the receiver's own and may be written to. Raises `BadFrame`.
    """

    name: str
    pack: Callable[[Any], bytes]
    unpack: Callable[[bytes], Any]


def array(data: Any, dtype: Any, shape: Any) -> np.ndarray:
    """An array of these bytes, a copy.

    Raises:
        BadFrame: the type is none of numbers or truths, or the bytes are not as many as the shape says.
    """
    kind = _dtype(dtype)
    if not isinstance(data, bytes):
        raise BadFrame(f"an array's data are bytes, not {type(data).__name__}")
    if not isinstance(shape, list | tuple) or len(shape) > DIMENSIONS:
        raise BadFrame(f"an array's shape is a list of at most {DIMENSIONS} whole numbers")
    if any(not isinstance(side, int) or isinstance(side, bool) or side < 0 for side in shape):
        raise BadFrame("an array's shape holds whole numbers from 0")
    if math.prod(shape) * kind.itemsize != len(data):
        raise BadFrame(f"an array of shape {list(shape)} and type {kind} has not {len(data)} bytes")
    return np.frombuffer(data, kind).reshape(shape).copy()


def _dtype(name: Any) -> np.dtype:
    if not isinstance(name, str) or len(name) > 16:
        raise BadFrame("an array's type is a short text such as '<f4'")
    try:
        kind = np.dtype(name)
    except (TypeError, ValueError, SyntaxError):
        raise BadFrame(f"{name!r} is no type of an array") from None
    if kind.kind not in KINDS or not kind.itemsize:
        raise BadFrame(f"arrays of {name!r} are not taken: only numbers and truths are")
    return kind


def _plain(value: np.ndarray) -> np.ndarray:
    """An array that may be sent, its elements in the order of its shape."""
    if value.dtype.kind not in KINDS:
        raise ValueError(f"arrays of {value.dtype} are not sent: only numbers and truths are")
    return value


def _unpack(data: bytes, hook: Callable[[dict], Any]) -> Any:
    """A MessagePack message; `hook` makes arrays of maps."""
    if len(data) > MOST_BYTES:
        raise BadFrame(f"a message of {len(data)} bytes is larger than {MOST_BYTES}")
    try:
        found = msgpack.unpackb(data, object_hook=hook, raw=False, strict_map_key=False)
    except BadFrame:
        raise
    except (ValueError, TypeError, msgpack.exceptions.UnpackException) as error:
        raise BadFrame(f"no MessagePack message ({str(error)[:80] or type(error).__name__})") from None
    return _shallow(found)


def _shallow(found: Any) -> Any:
    """The same, unless it is nested deeper than any message."""
    layer, depth = [found], 0
    while layer := [
        inner
        for item in layer
        if isinstance(item, dict | list)
        for inner in (item.values() if isinstance(item, dict) else item)
    ]:
        depth += 1
        if depth > DEEPEST:
            raise BadFrame(f"a message is nested deeper than {DEEPEST} levels")
    return found


# -- openpi ----------------------------------------------------------------------------------------------


def _openpi_default(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        found = _plain(value)
        return {
            b"__ndarray__": True,
            b"data": found.tobytes(),
            b"dtype": found.dtype.str,
            b"shape": list(found.shape),
        }
    if isinstance(value, np.generic):
        return {b"__npgeneric__": True, b"data": value.item(), b"dtype": value.dtype.str}
    raise ValueError(f"{type(value).__name__} cannot be sent")


def _openpi_hook(found: dict) -> Any:
    if b"__ndarray__" in found:
        return array(found.get(b"data"), found.get(b"dtype"), found.get(b"shape"))
    if b"__npgeneric__" in found:
        return _scalar(found.get(b"data"), found.get(b"dtype"))
    return found


def _scalar(value: Any, dtype: Any) -> Any:
    if isinstance(value, str) and isinstance(dtype, str) and dtype[1:2] == "U":
        return value  # NumPy's text: what it says is all that matters
    if not isinstance(value, bool | int | float):
        raise BadFrame("a NumPy scalar is a number or a truth")
    try:
        return _dtype(dtype).type(value)
    except (OverflowError, ValueError, TypeError):
        raise BadFrame(f"{value!r} is no {dtype}") from None


# -- vla-eval --------------------------------------------------------------------------------------------


def _vla_eval_default(pictures: Picture) -> Callable[[Any], Any]:
    def default(value: Any) -> Any:
        if isinstance(value, np.generic):
            return value.item()
        if not isinstance(value, np.ndarray):
            raise ValueError(f"{type(value).__name__} cannot be sent")
        found = _plain(value)
        if pictures != "raw" and _is_picture(found):
            return _picture(found, pictures)
        return {
            "__ndarray__": True,
            "data": found.tobytes(),
            "dtype": found.dtype.str,
            "shape": list(found.shape),
        }

    return default


def _is_picture(value: np.ndarray) -> bool:
    return value.ndim == 3 and value.dtype == np.uint8 and value.shape[2] in (3, 4) and 0 not in value.shape


def _picture(value: np.ndarray, form: Picture) -> dict[str, Any]:
    if form == "jpeg" and value.shape[2] != 3:
        form = "png"
    buffer = io.BytesIO()
    Image.fromarray(value).save(buffer, form.upper(), **({"quality": 95} if form == "jpeg" else {}))
    return {"__image__": True, "format": form, "data": buffer.getvalue(), "shape": list(value.shape)}


def _vla_eval_hook(found: dict) -> Any:
    if "__image__" in found:
        return _decoded(found)
    if "__ndarray__" in found:
        return array(found.get("data"), found.get("dtype"), found.get("shape"))
    return found


def _decoded(found: dict) -> np.ndarray:
    """A picture uint8 [H, W] or [H, W, C]: as large as it says, in the format that it says."""
    form, data, shape = found.get("format"), found.get("data"), found.get("shape")
    if form == "raw":
        return array(data, found.get("dtype", "|u1"), shape)
    if form not in ("png", "jpeg") or not isinstance(data, bytes) or not isinstance(shape, list):
        raise BadFrame("a picture is png, jpeg or raw, with its bytes and its shape")
    try:
        with Image.open(io.BytesIO(data), formats=[form.upper()]) as image:
            height, width = image.size[::-1]
            if [height, width] != shape[:2]:
                raise BadFrame(f"a picture of {height} x {width} is said to be {shape[:2]}")
            if 4 * height * width > MOST_BYTES:
                raise BadFrame(f"a picture of {height} x {width} is larger than {MOST_BYTES} bytes")
            made = np.array(image)
    except BadFrame:
        raise
    except Exception as error:  # a decoder's, of which there are many kinds
        raise BadFrame(f"a picture cannot be decoded ({str(error)[:60]})") from None
    if made.dtype != np.uint8:
        raise BadFrame(f"a picture has 8 bits a channel, not {made.dtype}")
    return made


def vla_eval(pictures: Picture = "png") -> Form:
    """vla-eval's form, which writes pictures uint8 [H, W, 3 or 4] in this format; it reads all three."""
    default = _vla_eval_default(pictures)
    return Form(
        f"vla-eval ({pictures})",
        lambda message: _packed(message, default),
        lambda data: _unpack(data, _vla_eval_hook),
    )


# -- GR00T -----------------------------------------------------------------------------------------------


def _groot_default(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if not isinstance(value, np.ndarray):
        raise ValueError(f"{type(value).__name__} cannot be sent")
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.ascontiguousarray(_plain(value)), (1, 0), allow_pickle=False)
    return {"__ndarray_class__": True, "as_npy": buffer.getvalue()}


def _groot_hook(found: dict) -> Any:
    if "__ndarray_class__" not in found:
        return found
    data = found.get("as_npy")
    if not isinstance(data, bytes):
        raise BadFrame("an array is the bytes of an .npy file")
    buffer = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(buffer)
        read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        shape, fortran, kind = read[version](buffer)
    except Exception as error:  # NumPy's, of many kinds
        raise BadFrame(f"an array is no .npy file ({str(error)[:60]})") from None
    sides = shape[::-1] if fortran else shape
    made = array(buffer.read(), kind.str, sides)
    return made.T.copy() if fortran else made


# -- JSON ------------------------------------------------------------------------------------------------


def _json_default(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        found = _plain(np.asarray(value))
        text = b64encode(found.tobytes()).decode()
        return {"__numpy__": text, "dtype": found.dtype.str, "shape": list(found.shape)}
    raise ValueError(f"{type(value).__name__} cannot be sent")


def _json_hook(found: dict) -> Any:
    if "__numpy__" not in found:
        return found
    try:
        data = b64decode(found["__numpy__"], validate=True)
    except (TypeError, ValueError, binascii.Error):
        raise BadFrame("an array's data are text in base64") from None
    made = array(data, found.get("dtype"), found.get("shape"))
    return made if made.ndim else made[()]


def _dump_json(message: Any) -> bytes:
    try:
        return json.dumps(message, default=_json_default).encode()
    except (TypeError, RecursionError) as error:
        raise ValueError(f"cannot be sent ({error})") from None


def _load_json(data: bytes) -> Any:
    if len(data) > MOST_BYTES:
        raise BadFrame(f"a message of {len(data)} bytes is larger than {MOST_BYTES}")
    try:
        return _shallow(json.loads(data, object_hook=_json_hook))
    except BadFrame:
        raise
    except (ValueError, RecursionError) as error:
        raise BadFrame(f"no JSON ({str(error)[:80]})") from None


def _packed(message: Any, default: Callable[[Any], Any]) -> bytes:
    try:
        packed: bytes = msgpack.packb(message, default=default)
    except (TypeError, OverflowError, RecursionError) as error:
        raise ValueError(f"cannot be sent ({error})") from None
    return packed


OPENPI = Form(
    "openpi", lambda message: _packed(message, _openpi_default), lambda data: _unpack(data, _openpi_hook)
)
VLA_EVAL = vla_eval()
GROOT = Form(
    "GR00T", lambda message: _packed(message, _groot_default), lambda data: _unpack(data, _groot_hook)
)
JSON = Form("json-numpy", _dump_json, _load_json)
