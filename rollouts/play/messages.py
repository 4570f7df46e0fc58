"""What a page and a session say to each other; what comes from a page is checked before it is believed."""

from __future__ import annotations

import io
import json
import struct
from typing import Annotated, Any, Literal

import numpy as np
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from playloop.agents.keymaps import Held

Key = Annotated[str, Field(pattern=r"^[A-Za-z0-9]{1,24}$")]
Pixels = Annotated[float, Field(ge=-10_000, le=10_000, allow_inf_nan=False)]
MOST_IDS = 100_000
"""More than any vocabulary of frames has."""
Count = Annotated[int, Field(ge=0, le=2**53)]
RAW_PIXELS = 128 * 128
"""Up to here raw pixels: nothing is lost, and 64 × 64 are 12 KB. An image of 384 × 224 is 258 KB raw; as JPEG
it is 24 KB after 0.26 ms, as PNG 172 KB after 7.6 ms (one core of a server)."""
QUALITY = 90


class Message(BaseModel):
    """Anything from a page; unknown fields and loose types are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Input(Message):
    """What the hands did since the last message, and its number."""

    type: Literal["input"]
    seq: Count
    keys: Annotated[list[Key], Field(max_length=32)]
    dx: Pixels = 0.0
    dy: Pixels = 0.0
    wheel: Annotated[int, Field(ge=-100, le=100)] = 0

    def held(self) -> Held:
        """As an agent takes it."""
        return Held(frozenset(self.keys), turn=(self.dx, self.dy), wheel=self.wheel, seq=self.seq)


class Seen(Message):
    """The page has drawn the frame of this number and is ready for more."""

    type: Literal["seen"]
    frame: Count


class Pause(Message):
    """Stop or go on."""

    type: Literal["pause"]
    on: bool


class Step(Message):
    """One action while paused."""

    type: Literal["step"]


class Reset(Message):
    """Begin an episode: of this seed, or of the next one."""

    type: Literal["reset"]
    seed: Count | None = None


class Hand(Message):
    """Who acts from now on."""

    type: Literal["hand"]
    to: Literal["person", "agent"]


class Sampling(Message):
    """How a world model draws from its probabilities; of top-p and top-k at most one limits them.

    `seq` is the page's number for it. The status repeats it, for until then what the status says is older
    than what the page has asked for.
    """

    type: Literal["sampling"]
    seq: Annotated[int, Field(ge=0)] = 0
    temperature: Annotated[float, Field(ge=0.0, le=5.0, allow_inf_nan=False)]
    top_p: Annotated[float, Field(gt=0.0, le=1.0, allow_inf_nan=False)]
    top_k: Annotated[int, Field(ge=1, le=MOST_IDS)] | None = None


class Record(Message):
    """Begin or end a recording."""

    type: Literal["record"]
    on: bool


FromPage = Annotated[
    Input | Seen | Pause | Step | Reset | Hand | Sampling | Record, Field(discriminator="type")
]
_READER: TypeAdapter = TypeAdapter(FromPage)


class Start(Message):
    """From the server, once an upload is decoded: the world model is to go on from these frames."""

    path: str
    note: str | None = None


Command = Pause | Step | Reset | Hand | Sampling | Record | Start


def read(text: str | bytes) -> Any:
    """A page's message, as JSON in UTF-8.

    Raises:
        ValueError: it is not one; says what is wrong with it, without repeating it.
    """
    try:
        return _READER.validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        field = ".".join(map(str, first["loc"])) or "message"
        raise ValueError(f"{field}: {first['msg']}"[:120]) from None


def pack(header: dict[str, Any], pictures: list[tuple[str, str, np.ndarray]]) -> bytes:
    """A frame as one message: length of the header (uint32, little-endian), header as JSON, pictures.

    Args:
        header: to which `views` is added: what each picture is, and its size in bytes.
        pictures: part, camera and image, uint8 [H, W, 3].
    """
    views, data = [], []
    for part, camera, image in pictures:
        kind, encoded = _encode(image)
        height, width = image.shape[:2]
        facts = {"width": width, "height": height, "format": kind, "size": len(encoded)}
        views.append({"part": part, "camera": camera, **facts})
        data.append(encoded)
    text = json.dumps({**header, "views": views}, separators=(",", ":")).encode()
    return b"".join([struct.pack("<I", len(text)), text, *data])


def _encode(image: np.ndarray) -> tuple[str, bytes]:
    if image.shape[0] * image.shape[1] <= RAW_PIXELS:
        return "rgb", np.ascontiguousarray(image).tobytes()
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=QUALITY)
    return "jpeg", buffer.getvalue()
