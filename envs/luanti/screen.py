"""The virtual display's picture, read from the memory that Xvfb draws into."""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

import numpy as np

_FIELDS = 25
"""32-bit fields of an XWD header, big-endian; names follow X11/XWDFile.h."""


class Screen:
    """Maps the XWD file of `Xvfb -fbdir`; a grab is one copy.

    Raises:
        ValueError: the file holds no 32-bit picture with 8-bit red, green and blue.
    """

    def __init__(self, path: Path):
        with path.open("rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        header = struct.unpack(f">{_FIELDS}I", self._map[: 4 * _FIELDS])
        header_size, width, height, colours = header[0], header[4], header[5], header[19]
        byte_order, bits, line, masks = header[7], header[11], header[12], header[14:17]
        if bits != 32 or masks != (0xFF0000, 0xFF00, 0xFF):
            raise ValueError(f"{path} holds {bits} bits a pixel, masks {masks}; start Xvfb with depth 24")
        pixels = np.frombuffer(self._map, np.uint8, height * line, header_size + 12 * colours)
        pixels = pixels.reshape(height, line // 4, 4)[:, :width]
        self._rgb = pixels[..., 2::-1] if byte_order == 0 else pixels[..., 1:]  # BGRX or XRGB in memory

    def grab(self) -> np.ndarray:
        """The picture now, uint8 RGB [H, W, 3], upright."""
        return np.ascontiguousarray(self._rgb)

    def close(self) -> None:
        """Unmap the file."""
        del self._rgb
        self._map.close()
