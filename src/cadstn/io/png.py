"""PNG files of strangers: everything is checked before a decoder in C sees a byte of it.

OpenCV's decoder crashes on some animated PNGs with right checksums, fills what a cut-off file lacks
with zeros, and applies chunks that change pixel values. So it gets the header and the pixels alone,
after their checksums, their place and their length were found right.
"""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cadstn.errors import CadstnError

_START = b"\x89PNG\r\n\x1a\n"
_END = b"\0\0\0\0IEND\xaeB`\x82"
_HINT = "copy or record the frame again; it is left out until then"
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type
#: Where the seven passes of an interlaced image begin, and their steps: x, y, dx, dy.
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
           (0, 1, 1, 2))  # fmt: skip
#: Bytes that one block of a zlib stream can hold uncompressed.
_MOST_STORED = 0xFFFF
#: Larger than any depth sensor's image; checked before anything is allocated.
MAX_PIXELS = 1 << 25


class PngHeader(NamedTuple):
    """What a PNG's header holds."""

    width: int
    height: int
    bits: int
    color: int
    interlaced: bool

    @property
    def channels(self) -> int:
        """Values a pixel, as they are stored."""
        return _CHANNELS[self.color]


def read_header(data: bytes) -> PngHeader:
    """Read the header of a PNG; raises CadstnError if it is none, or its size is out of bounds."""
    if data[:8] != _START or data[8:16] != b"\0\0\0\x0dIHDR":
        raise CadstnError(f"not a PNG, it begins with {data[:8]!r}", hint=_HINT)
    if len(data) < 33:
        raise CadstnError(f"PNG cut off after {len(data)} bytes", hint=_HINT)
    width, height = int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    bits, color, packing, filtering, interlaced = data[24:29]
    if color not in _CHANNELS or bits not in (1, 2, 4, 8, 16) or packing or filtering:
        raise CadstnError("PNG of an unknown kind", hint=_HINT)
    if interlaced > 1 or not width or not height:
        raise CadstnError(f"PNG of {width}x{height} pixels, interlace {interlaced}", hint=_HINT)
    return PngHeader(width, height, bits, color, bool(interlaced))


def has_both_ends(file: Path) -> bool:
    """Whether a file is there and begins and ends as a PNG does; one that was cut does not.

    What is between is not read: thousands of frames are asked for at once.
    """
    try:
        if not file.is_file():
            return False
        with file.open("rb") as opened:
            begins = opened.read(len(_START)) == _START
            opened.seek(-len(_END), os.SEEK_END)
            return begins and opened.read() == _END
    except OSError:  # unreadable, or too short to hold an end
        return False


def still_image(data: bytes) -> bytes:
    """Return a PNG of header and pixels alone, after checking the whole file.

    Bytes after its end do no harm and are left out; so are all chunks but those of the pixels.

    Raises:
        CadstnError: if it is cut off or damaged, animated, too large, or its pixels are not those
            that its header announces.
    """
    header = read_header(data)
    if header.width * header.height > MAX_PIXELS:
        raise CadstnError(
            f"image of {header.width}x{header.height} pixels",
            hint=f"give images of at most {MAX_PIXELS} pixels",
        )
    pixels: list[bytes] = []
    kept, start, kind = [_START], 8, b""
    while kind != b"IEND":
        length = int.from_bytes(data[start : start + 4], "big")
        end = start + length + 12
        if end > len(data):
            raise CadstnError(f"PNG cut off after {len(data)} bytes", hint=_HINT)
        before, kind = kind, data[start + 4 : start + 8]
        if zlib.crc32(data[start + 4 : end - 4]) != int.from_bytes(data[end - 4 : end], "big"):
            raise CadstnError(f"PNG damaged near byte {start}", hint=_HINT)
        _check_chunk(kind, before, bool(pixels))
        if kind == b"IDAT":
            pixels.append(data[start + 8 : end - 4])
        if kind in (b"IHDR", b"PLTE"):
            kept.append(data[start:end])
        start = end
    raw, check = _unpacked(header, b"".join(pixels))
    kept += [_chunk(b"IDAT", _stored(raw, check)), _chunk(b"IEND", b"")]
    return b"".join(kept)


def _stored(raw: bytes, check: bytes) -> bytes:
    """Pack without compression, so that the decoder only copies.

    As ``zlib.compress(raw, 0)``, at a third of the time: the checksum is that of the packed pixels.
    """
    parts = [b"\x78\x01"]
    for start in range(0, len(raw), _MOST_STORED):
        part = raw[start : start + _MOST_STORED]
        last = start + _MOST_STORED >= len(raw)
        parts += [struct.pack("<BHH", last, len(part), len(part) ^ 0xFFFF), part]
    return b"".join([*parts, check])


def _chunk(kind: bytes, data: bytes) -> bytes:
    check = zlib.crc32(data, zlib.crc32(kind)).to_bytes(4, "big")
    return b"".join((len(data).to_bytes(4, "big"), kind, data, check))


def _check_chunk(kind: bytes, before: bytes, has_pixels: bool) -> None:
    if kind in (b"acTL", b"fcTL", b"fdAT"):
        raise CadstnError("an animated PNG", hint="give one still image a frame")
    known = kind in (b"IHDR", b"PLTE", b"IDAT", b"IEND")
    if not known and not kind[:1].islower():  # capital: not to be passed over
        raise CadstnError(f"PNG with the unknown chunk {kind!r}", hint=_HINT)
    again = kind == b"IDAT" and has_pixels and before != b"IDAT"
    if again or (kind == b"IHDR" and before) or (kind == b"PLTE" and has_pixels):
        raise CadstnError(f"PNG whose {kind.decode()} chunks are out of order", hint=_HINT)


def _unpacked(header: PngHeader, packed: bytes) -> tuple[bytes, bytes]:
    """Unpack pixels that fill the image, no more and no less, with a known filter in every row.

    Returns them and their checksum as the last bytes of zlib's format.
    """
    shapes = [(header.width, header.height)]
    if header.interlaced:
        shapes = [
            (-(-(header.width - x) // dx), -(-(header.height - y) // dy))
            for x, y, dx, dy in _PASSES
        ]
    rows = [
        (1 + (width * header.bits * header.channels + 7) // 8, height)
        for width, height in shapes
        if width > 0 and height > 0
    ]
    expected = sum(length * count for length, count in rows)
    unpacking = zlib.decompressobj()
    try:
        raw = unpacking.decompress(packed, expected + 1)
    except zlib.error:
        raise CadstnError("PNG without readable pixels", hint=_HINT) from None
    if len(raw) != expected or not unpacking.eof:
        raise CadstnError("PNG without readable pixels", hint=_HINT)
    start = 0
    for length, count in rows:
        filters = np.frombuffer(raw, np.uint8, length * count, start)[::length]
        if int(filters.max()) > 4:
            raise CadstnError("PNG without readable pixels", hint=_HINT)
        start += length * count
    end = len(packed) - len(unpacking.unused_data)
    return raw, packed[end - 4 : end]
