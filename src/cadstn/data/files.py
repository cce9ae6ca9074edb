"""What several readers need: text with numbers, MATLAB files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cadstn.errors import CadstnError
from cadstn.io.files import told_of


def read_lines(file: Path, mend: str) -> list[str]:
    r"""Lines of a text file without their ends, empty ones at the end dropped.

    ICVL's label files end their lines in CR CR LF, which read as text would put an empty line
    after every frame; so lines are split at LF and carriage returns are blanks.

    Raises:
        CadstnError: naming the file, if it is missing, unreadable or empty.
    """
    with told_of(file):
        if not file.is_file():
            raise CadstnError("no such file", mend=mend)
        text = file.read_bytes().decode("utf-8-sig", errors="replace").replace("\r", " ").rstrip()
        if not text:
            raise CadstnError("empty", mend=mend)
        return [line.strip() for line in text.split("\n")]


def parse_numbers(
    file: Path, rows: Sequence[str], width: int, *, first_line: int, mend: str
) -> NDArray[np.float64]:
    """Parse rows of numbers between blanks: (rows, width).

    Args:
        file: they come from, for errors.
        rows: one line each.
        width: numbers in each.
        first_line: the number of the first row's line in the file, from 1.
        mend: what to do about a wrong one.

    Raises:
        CadstnError: naming file and line, where a row holds another count, something that is not a
            number, or one that is not finite.
    """
    try:
        # Far faster than Python's own parsing; whatever it stumbles over is looked for below.
        table = np.loadtxt(rows, dtype=np.float64, comments=None, ndmin=2)
    except ValueError:
        table = np.empty((0, 0))
    if table.shape == (len(rows), width) and np.isfinite(table).all():
        return table
    for number, row in enumerate(rows, first_line):
        _check_row(file, number, row.split(), width, mend)
    return np.array([[float(token) for token in row.split()] for row in rows])


def _check_row(file: Path, number: int, tokens: list[str], width: int, mend: str) -> None:
    if len(tokens) != width:
        raise CadstnError(
            f"line {number} holds {len(tokens)} numbers, expected {width}", where=file, mend=mend
        )
    for token in tokens:
        try:
            good = bool(np.isfinite(float(token))) and "_" not in token
        except ValueError:
            good = False
        if not good:
            raise CadstnError(
                f"line {number}: '{token[:40]}' is not a finite number", where=file, mend=mend
            )


def scipy_io() -> Any:
    """Return ``scipy.io``, which NYU's labels need; raises CadstnError where it is missing."""
    try:
        import scipy.io
    except ImportError:
        raise CadstnError(
            "NYU's joint_data.mat needs SciPy", mend="pip install 'cadstn[data]'"
        ) from None
    return scipy.io


def load_mat(file: Path, keys: Sequence[str], mend: str) -> dict[str, NDArray[Any]]:
    """Load those of the arrays that a MATLAB v5 file holds.

    Raises:
        CadstnError: naming the file, if it is not one.
    """
    io = scipy_io()
    with told_of(file), file.open("rb") as opened:
        head = opened.read(128)
        if b"MATLAB 7.3" in head or head[:8] == b"\x89HDF\r\n\x1a\n":
            raise CadstnError(
                "a MATLAB 7.3 file where the set has v5",
                mend=f"save it in MATLAB with -v7, or {mend}",
            )
        if not head.startswith(b"MATLAB 5.0 MAT-file"):
            raise CadstnError(f"not a MATLAB v5 file, it begins with {head[:16]!r}", mend=mend)
        opened.seek(0)
        try:
            arrays: dict[str, NDArray[Any]] = io.loadmat(opened, variable_names=list(keys))
        except Exception as error:  # scipy and zlib raise many kinds on damaged files
            if isinstance(error, OSError) and error.errno is not None:
                raise  # the disk's, not the file's
            why = str(error).splitlines()[0][:80] if str(error) else type(error).__name__
            raise CadstnError(f"damaged MATLAB file ({why})", mend=mend) from None
    return {key: arrays[key] for key in keys if key in arrays}
