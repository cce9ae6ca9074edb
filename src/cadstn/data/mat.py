"""A small reader of MATLAB v5 files: numbers and cells of text, each length checked before use.

SciPy's reader ends the process on some damaged files. NYU's labels need two kinds of values only,
described in MathWorks' "MAT-File Format", chapter 1.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

_TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8",
          13: "u8", 16: "u1", 17: "u2", 18: "u4"}  # fmt: skip
_CLASSES = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8",
            15: "u8"}  # fmt: skip
_MATRIX, _PACKED, _CELL, _CHAR = 14, 15, 1, 4
_COMPLEX = 0x0800
_MAX_CELLS = 10_000


class _Element(NamedTuple):
    kind: int
    data: memoryview


def read_mat(data: bytes, keys: Sequence[str], limit: int) -> dict[str, NDArray[Any]]:
    """Arrays of a MATLAB v5 file by name; cells are arrays of str.

    Args:
        data: the whole file.
        keys: names that are wanted; others are passed over.
        limit: most bytes that one value may unpack to.

    Raises:
        ValueError: if the file is damaged, or a wanted value is of another kind.
    """
    order = {b"IM": "<", b"MI": ">"}.get(data[126:128], "")
    if not order:
        raise ValueError("without byte order")
    found: dict[str, NDArray[Any]] = {}
    for element in _elements(memoryview(data)[128:], order):
        if element.kind == _PACKED:
            element = _unpacked(element.data, order, limit)
        if element.kind != _MATRIX:
            raise ValueError(f"element of type {element.kind} where a matrix was expected")
        name, value = _matrix(element.data, order, keys)
        if value is not None:
            found[name] = value
    return found


def _elements(data: memoryview, order: str) -> Iterator[_Element]:
    place = 0
    while place < len(data):
        if len(data) - place < 8:
            raise ValueError("cut off in a tag")
        kind, size = np.frombuffer(data[place : place + 8], f"{order}u4").tolist()
        if kind >> 16:  # the small form: size and type in one number, up to four bytes of data
            kind, size = kind & 0xFFFF, kind >> 16
            if size > 4:
                raise ValueError("a small element that is too long")
            yield _Element(kind, data[place + 4 : place + 4 + size])
            place += 8
            continue
        if size > len(data) - place - 8:
            raise ValueError("cut off in an element")
        yield _Element(kind, data[place + 8 : place + 8 + size])
        place += 8 + size + (0 if kind == _PACKED else -size % 8)


def _unpacked(data: memoryview, order: str, limit: int) -> _Element:
    unpacking = zlib.decompressobj()
    try:
        raw = unpacking.decompress(data, limit + 1)
    except zlib.error as error:
        raise ValueError(str(error)) from None
    if len(raw) > limit:
        raise ValueError(f"unpacks to more than {limit / 1e9:.1f} GB")
    if not unpacking.eof:
        raise ValueError("cut off within packed data")
    elements = list(_elements(memoryview(raw), order))
    if len(elements) != 1:
        raise ValueError("packed data is not one value")
    return elements[0]


def _matrix(
    data: memoryview, order: str, keys: Sequence[str] | None
) -> tuple[str, NDArray[Any] | None]:
    """Name and value of a matrix; a name that is not wanted has the value None."""
    parts = _elements(data, order)
    flags = _numbers(next(parts, None), order)
    shape = tuple(int(n) for n in _numbers(next(parts, None), order))
    name = bytes(_numbers(next(parts, None), order).astype("u1")).decode("ascii", "replace")
    if keys is not None and name not in keys:
        return name, None
    if not len(flags) or not 1 < len(shape) <= 8 or min(shape) < 0:
        raise ValueError(f"{name} has a damaged head")
    count, kind = math.prod(shape), int(flags[0]) & 0xFF
    if kind == _CELL:
        return name, _cells(list(parts), shape, order)
    values = _numbers(next(parts, None), order)
    if (kind not in _CLASSES and kind != _CHAR) or int(flags[0]) & _COMPLEX:
        raise ValueError(f"{name} is of class {kind}, not numbers")
    if len(values) != count:
        raise ValueError(f"{name} holds {len(values)} numbers where its shape is {shape}")
    if kind == _CHAR:
        text = "".join(chr(int(v)) for v in values) if values.max(initial=0) < 0xD800 else ""
        return name, np.array(text)
    return name, values.astype(_CLASSES[kind]).reshape(shape, order="F")


def _cells(parts: list[_Element], shape: tuple[int, ...], order: str) -> NDArray[Any]:
    if len(parts) != math.prod(shape) or len(parts) > _MAX_CELLS:
        raise ValueError("a cell array of another length than its shape")
    texts = []
    for part in parts:
        flags = _numbers(next(_elements(part.data, order), None), order)
        if part.kind != _MATRIX or not len(flags) or int(flags[0]) & 0xFF != _CHAR:
            raise ValueError("a cell that is no text")
        texts.append(str(_matrix(part.data, order, None)[1]))
    return np.array(texts, dtype=str).reshape(shape, order="F")


def _numbers(element: _Element | None, order: str) -> NDArray[Any]:
    if element is None or element.kind not in _TYPES:
        raise ValueError("lacks numbers")
    dtype = np.dtype(f"{order}{_TYPES[element.kind]}")
    if len(element.data) % dtype.itemsize:
        raise ValueError("cut off within a number")
    return np.frombuffer(element.data, dtype)
