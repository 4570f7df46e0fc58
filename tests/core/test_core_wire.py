"""Arrays in the forms of the field's protocols: exact round trips, and frames of strangers."""

import io
import json
from base64 import b64encode

import msgpack
import numpy as np
import pytest
from PIL import Image

from playloop.core import wire
from playloop.core.wire import GROOT, JSON, OPENPI, VLA_EVAL, BadFrame, vla_eval

FORMS = [OPENPI, VLA_EVAL, GROOT, JSON]
MESSAGE = {
    "observation/image": np.random.default_rng(0).integers(0, 256, (7, 5, 3), np.uint8),
    "state": np.arange(8, dtype=np.float32) / 3,
    "wide": np.arange(6, dtype=np.float64).reshape(2, 3)[:, ::-1],
    "turned": np.asfortranarray(np.arange(6, dtype=np.int16).reshape(2, 3)),
    "flags": np.array([True, False]),
    "nothing": np.zeros((0, 7), np.float32),
    "text": {"prompt": "put the bowl — ☕", "list": [1, 2.5, None, True]},
}


def same(one, other):
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and one.shape == other.shape and (one == other).all()
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return one == other


@pytest.mark.parametrize("form", [*FORMS, vla_eval("raw")], ids=lambda form: form.name)
def test_a_message_comes_back_as_it_was_and_its_arrays_can_be_written_to(form):
    found = form.unpack(form.pack(MESSAGE))
    assert same(found, MESSAGE)
    found["state"][0] = 1.0


def test_the_bytes_are_those_of_the_protocols():
    state = np.arange(2, dtype=np.float32)
    raw = {"data": state.tobytes(), "dtype": "<f4", "shape": [2]}
    assert msgpack.unpackb(OPENPI.pack({"s": state}), raw=False) == {
        "s": {b"__ndarray__": True, **{key.encode(): value for key, value in raw.items()}}
    }
    assert msgpack.unpackb(OPENPI.pack(np.float32(0.5))) == {
        b"__npgeneric__": True,
        b"data": 0.5,
        b"dtype": "<f4",
    }
    assert OPENPI.unpack(OPENPI.pack(np.float32(0.5))) == np.float32(0.5)
    assert msgpack.unpackb(VLA_EVAL.pack({"s": state})) == {"s": {"__ndarray__": True, **raw}}
    picture = msgpack.unpackb(VLA_EVAL.pack(MESSAGE["observation/image"]))
    assert picture["format"] == "png" and picture["shape"] == [7, 5, 3] and picture["__image__"] is True
    npy = msgpack.unpackb(GROOT.pack(state))
    assert npy["__ndarray_class__"] is True and (np.load(io.BytesIO(npy["as_npy"])) == state).all()
    text = {"__numpy__": b64encode(state.tobytes()).decode(), "dtype": "<f4", "shape": [2]}
    assert json.loads(JSON.pack({"s": state})) == {"s": text}


def test_lossy_pictures_have_their_size():
    image = np.full((16, 16, 3), 90, np.uint8)
    found = VLA_EVAL.unpack(vla_eval("jpeg").pack(image))
    assert found.shape == image.shape and abs(found.astype(int) - 90).max() < 4


def openpi(**fields):
    good = {"data": bytes(8), "dtype": "<f4", "shape": [2]} | fields
    return msgpack.packb({b"__ndarray__": True, **{key.encode(): value for key, value in good.items()}})


def npy(value, **options):
    buffer = io.BytesIO()
    np.save(buffer, value, **options)
    return msgpack.packb({"__ndarray_class__": True, "as_npy": buffer.getvalue()})


def picture(image, form="PNG", **said):
    buffer = io.BytesIO()
    image.save(buffer, form)
    good = {"format": form.lower(), "data": buffer.getvalue(), "shape": [*image.size[::-1], 3]}
    return msgpack.packb({"__image__": True, **good, **said})


SMALL = Image.new("RGB", (4, 4))


@pytest.mark.parametrize(
    ("form", "frame", "told"),
    [
        (OPENPI, b"", "no MessagePack message"),
        (OPENPI, b"\xc1", "no MessagePack message"),
        (OPENPI, b"\xdf\xff\xff\xff\xff", "no MessagePack message"),
        (OPENPI, b"\x91" * 2000, "no MessagePack message"),
        (OPENPI, b"\x91" * 40 + b"\x01", "deeper than 32"),
        (OPENPI, b"\x81\x91\x01\x02", "no MessagePack message"),  # a list as a key
        (OPENPI, openpi(dtype="|O"), "only numbers and truths"),
        (OPENPI, openpi(dtype="<M8[s]"), "only numbers and truths"),
        (OPENPI, openpi(dtype="(2,)<f4"), "only numbers and truths"),
        (OPENPI, openpi(dtype="f4,f4"), "only numbers and truths"),
        (OPENPI, openpi(dtype=7), "short text"),
        (OPENPI, openpi(dtype="rubbish"), "no type"),
        (OPENPI, openpi(shape=[2**40, 2**40]), "has not 8 bytes"),
        (OPENPI, openpi(shape=[-1, -2]), "from 0"),
        (OPENPI, openpi(shape=[True, 2]), "from 0"),
        (OPENPI, openpi(shape="2"), "a list"),
        (OPENPI, openpi(data="text"), "bytes"),
        (OPENPI, msgpack.packb({b"__npgeneric__": True, b"data": 300, b"dtype": "|u1"}), "is no"),
        (OPENPI, msgpack.packb({b"__npgeneric__": True, b"data": [1], b"dtype": "|u1"}), "a number"),
        (VLA_EVAL, msgpack.packb({"__ndarray__": True}), "short text"),
        (VLA_EVAL, picture(SMALL, shape=[8, 8, 3]), "said to be"),
        (VLA_EVAL, picture(SMALL, format="jpeg"), "cannot be decoded"),
        (VLA_EVAL, picture(SMALL, format="gif"), "png, jpeg or raw"),
        (VLA_EVAL, picture(Image.new("I;16", (4, 4))), "8 bits"),
        (VLA_EVAL, picture(SMALL, data=b"\x89PNG"), "cannot be decoded"),
        (GROOT, npy(np.array([{}]), allow_pickle=True), "only numbers and truths"),
        (GROOT, msgpack.packb({"__ndarray_class__": True, "as_npy": b"\x93NUMPY"}), "no .npy file"),
        (GROOT, msgpack.packb({"__ndarray_class__": True, "as_npy": 5}), "bytes of an .npy"),
        (JSON, b"{", "no JSON"),
        (JSON, b"\xff\xfe\xfa", "no JSON"),
        (JSON, b"[" * 100_000, "no JSON"),
        (JSON, b'{"__numpy__": "%%%", "dtype": "<f4", "shape": [1]}', "base64"),
        (JSON, b'{"__numpy__": 4, "dtype": "<f4", "shape": [1]}', "base64"),
    ],
)
def test_what_is_no_message_is_one_sentence(form, frame, told):
    with pytest.raises(BadFrame, match=told):
        form.unpack(frame)


def test_a_frame_that_is_too_large_is_refused_before_it_is_read(monkeypatch):
    monkeypatch.setattr(wire, "MOST_BYTES", 100)
    for form in FORMS:
        with pytest.raises(BadFrame, match="larger than 100"):
            form.unpack(bytes(101))


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_hostile_bytes_raise_nothing_else(form):
    rng = np.random.default_rng(1)
    whole = form.pack(MESSAGE)
    for _ in range(400):
        frame = bytearray(whole)
        for place in rng.integers(0, len(frame), rng.integers(1, 6)):
            frame[place] = rng.integers(256)
        try:
            form.unpack(bytes(frame[: rng.integers(1, len(frame) + 1)]))
        except BadFrame as error:
            assert len(str(error)) < 250


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_what_cannot_be_sent_is_said(form):
    for value in (np.array([{}]), np.array(["a"]), object(), {1 + 2j}):
        with pytest.raises(ValueError, match="sent"):
            form.pack({"x": value})
