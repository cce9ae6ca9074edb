"""What the fuzz tests share: drawing broken files and values, and what may come of them."""

from __future__ import annotations

import os
import struct
import warnings
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cadstn.errors import CadstnError

CASES = int(os.environ.get("CADSTN_FUZZ", "40"))
#: Values that are of no use as most fields.
ODD: list[Any] = [
    None, True, False, 0, 1, -1, 3, 10**6, 10**19, int("9" * 400), 0.5, -0.0, 1e19, 1e308, 5e-324,
    float("nan"), float("inf"), float("-inf"), "", "1", "nan", "9" * 400, "a\x1b[31mb", "\0",
    "x" * 5000, "../../etc/passwd", "=1+1", "\ud800", [], {}, [0], [1, 2], [None],
    {"a": 1}, [[]],
]  # fmt: skip


class Fuzz:
    """Draws cases and checks what comes of them."""

    def __init__(self) -> None:
        self.cases = CASES
        self.odd = ODD

    def run(
        self, strategy: st.SearchStrategy[Any], check: Callable[[Any], None], share: float = 1
    ) -> None:
        """Draw `CASES`, or a share of them, and check each."""

        @settings(
            max_examples=max(1, int(CASES * share)),
            derandomize="CADSTN_FUZZ" not in os.environ,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(strategy)
        def each(case: Any) -> None:
            check(case)

        each()

    def damages(self, whole: bytes) -> st.SearchStrategy[bytes]:
        """A whole file with one to four things done to it."""
        return _damages(whole)

    def changed(self, value: Any) -> st.SearchStrategy[Any]:
        """A value of JSON's kinds with one to three of its parts replaced, left out or made up."""
        return _changed(value)

    def accepts(self, read: Callable[[], object], *names: str) -> object:
        """Read; only a `CadstnError` of one printable line, with one of the names, may come of it.

        Returns what was read, None after an error.
        """
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # NumPy's, of headers that Python 2 wrote
            try:
                return read()
            except CadstnError as error:
                line = str(error)
                assert line.isprintable()
                assert not names or any(name in line for name in names), line
                assert len(line) < 2100
        return None


@st.composite
def _damages(draw: st.DrawFn, whole: bytes) -> bytes:
    """Checksums of a PNG are made right again, half of the time."""
    data = bytearray(whole)
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, max(len(data) - 1, 0)))
        kind = draw(st.sampled_from(["bit", "byte", "cut", "drop", "twice", "insert", "digits"]))
        if kind == "bit" and data:
            data[place] ^= 1 << draw(st.integers(0, 7))
        elif kind == "byte" and data:
            data[place] = draw(st.sampled_from([0, 1, 10, 32, 45, 57, 127, 128, 255]))
        elif kind == "cut":
            del data[place:]
        elif kind == "drop":
            del data[place : place + draw(st.integers(1, 64))]
        elif kind == "twice":
            part = data[place : place + draw(st.integers(1, 64))]
            data[place:place] = part
        elif kind == "insert":
            data[place:place] = draw(st.binary(min_size=1, max_size=16))
        else:
            number = draw(
                st.sampled_from([b"1e999", b"nan", b"-1", b"9" * 400, b"1e19", b"[" * 500])
            )
            data[place : place + 3] = number
    if data[:4] == b"\x89PNG" and draw(st.booleans()):
        return _right_sums(bytes(data))
    return bytes(data)


def _right_sums(data: bytes) -> bytes:
    """A PNG with right checksums wherever its chunks still follow one another."""
    out, start = bytearray(data), 8
    while start + 12 <= len(out):
        end = start + 12 + int.from_bytes(out[start : start + 4], "big")
        if end > len(out):
            break
        out[end - 4 : end] = struct.pack(">I", zlib.crc32(out[start + 4 : end - 4]))
        start = end
    return bytes(out)


@st.composite
def _changed(draw: st.DrawFn, value: Any) -> Any:
    for _ in range(draw(st.integers(1, 3))):
        value = _one_change(draw, value)
    return value


def _one_change(draw: st.DrawFn, value: Any) -> Any:
    if isinstance(value, dict) and value and draw(st.integers(0, 9)):
        key = draw(st.sampled_from(sorted(value)))
        way = draw(st.integers(0, 9))
        if way == 0:
            return {name: kept for name, kept in value.items() if name != key}
        if way == 1:
            return {**value, draw(st.sampled_from(["a", "", "\x1b", key + "x"])): value[key]}
        return {**value, key: _one_change(draw, value[key])}
    if isinstance(value, list) and value and draw(st.booleans()):
        place = draw(st.integers(0, len(value) - 1))
        return [*value[:place], _one_change(draw, value[place]), *value[place + 1 :]]
    return draw(st.sampled_from(ODD))


@pytest.fixture(scope="session")
def fuzz() -> Fuzz:
    """Draws cases, and checks what comes of them."""
    return Fuzz()
