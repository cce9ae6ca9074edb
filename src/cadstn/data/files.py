"""What several readers need: text with numbers, MATLAB files, and the error of half a set."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cadstn.data.mat import read_mat
from cadstn.errors import CadstnError, library
from cadstn.io.arrays import max_bytes, read_regular
from cadstn.io.files import error_context

#: How text begins that Windows PowerShell's ``>`` wrote.
UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
_WHOLE = "unpack the whole set"


def half_unpacked(folder: Path, there: str, lacking: str, hint: str = _WHOLE) -> CadstnError:
    """The error of a folder that holds one part of a set and lacks another."""
    return CadstnError(f"has {there} but {lacking}", where=folder, hint=hint)


def read_lines(file: Path, hint: str) -> list[str]:
    r"""Lines of a text file without their ends, empty ones at the end dropped.

    ICVL's label files end their lines in CR CR LF, which read as text would put an empty line
    after every frame; so lines are split at LF and carriage returns are blanks.

    Raises:
        CadstnError: naming the file, if it is missing, unreadable or empty.
    """
    with error_context(file):
        if not file.is_file():
            raise CadstnError("no such file", hint=hint)
        data = read_regular(file, None)  # HANDS 2017's labels are half a gigabyte
        code = "utf-16" if data.startswith(UTF16_MARKS) else "utf-8-sig"
        text = data.decode(code, errors="replace").replace("\r", " ").rstrip()
        if not text:
            raise CadstnError("empty", hint=hint)
        return [line.strip() for line in text.split("\n")]


def parse_numbers(
    file: Path, rows: Sequence[str], width: int, *, first_line: int = 1, hint: str,
    lost: bool = False,
) -> NDArray[np.float64]:  # fmt: skip
    """Parse rows of numbers between blanks: (rows, width).

    Args:
        file: they come from, for errors.
        rows: one line each.
        width: numbers in each.
        first_line: the number of the first row's line in the file, from 1.
        hint: what to do about a wrong one.
        lost: whether a row may be ``nan`` throughout, a frame without a hand.

    Raises:
        CadstnError: naming file and line, where a row holds another count, something that is not a
            number, or one that is not finite.
    """
    try:
        # Far faster than Python's own parsing; what it refuses is found below.
        table = np.loadtxt(rows, dtype=np.float64, comments=None, ndmin=2)
    except ValueError:
        table = np.empty((0, 0))
    if table.shape == (len(rows), width):
        gone = np.isnan(table).all(axis=1) if lost else np.zeros(len(rows), bool)
        if (np.isfinite(table).all(axis=1) | gone).all():
            return table
    parsed = []
    for number, row in enumerate(rows, first_line):
        try:
            parsed.append(_parse_row(row.split(), width, lost))
        except ValueError as error:
            raise CadstnError(f"line {number}{error}", where=file, hint=hint) from None
    return np.array(parsed)


def _parse_row(tokens: list[str], width: int, lost: bool) -> list[float]:
    """Parse one row the slow way; a ValueError names what is wrong with it."""
    values = []
    for token in tokens:
        try:
            # Python reads 1_000 as a number; no label file means that.
            values.append(float("?" if "_" in token else token))
        except ValueError:
            raise ValueError(f": '{token[:40]}' is not a number") from None
    if len(values) != width:
        raise ValueError(f" holds {len(values)} numbers, expected {width}")
    bad = [token for token, v in zip(tokens, values, strict=True) if not math.isfinite(v)]
    if bad and not (lost and all(map(math.isnan, values))):
        raise ValueError(f": '{bad[0]}' is not finite")
    return values


def scipy_io() -> Any:
    """Return ``scipy.io``, which writes NYU's labels; raises CadstnError where it is missing."""
    with library("writing NYU's joint_data.mat needs SciPy", "data"):
        import scipy.io
    return scipy.io


def load_mat(file: Path, keys: Sequence[str], hint: str) -> dict[str, NDArray[Any]]:
    """Those arrays of a MATLAB v5 file that ``keys`` names; raises CadstnError naming the file."""
    with error_context(file):
        data = read_regular(file, None)
        if b"MATLAB 7.3" in data[:128] or data[:8] == b"\x89HDF\r\n\x1a\n":
            raise CadstnError(
                "a MATLAB 7.3 file where the set has v5",
                hint=f"save it in MATLAB with -v7, or {hint}",
            )
        if not data.startswith(b"MATLAB 5.0 MAT-file"):
            raise CadstnError(f"not a MATLAB v5 file, it begins with {data[:16]!r}", hint=hint)
        try:
            return read_mat(data, keys, max_bytes())
        except (ValueError, RecursionError, OverflowError, MemoryError) as error:
            raise CadstnError(f"damaged MATLAB file ({error})", hint=hint) from None
