"""What callers give as numbers: those of any library, or one line on what is wrong."""

from __future__ import annotations

import math
import operator
import reprlib
from numbers import Real

from cadstn.errors import CadstnError


def whole_number(name: str, value: object, least: int | None = None) -> int:
    """Return a whole number, NumPy's and others' too, as Python's own.

    Raises:
        CadstnError: if it is none, or less than ``least``.
    """
    hint = "give a whole number" if least is None else f"give a whole number, {least} or more"
    try:
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise CadstnError(f"{name} is {reprlib.repr(value)}", hint=hint) from None
    if least is not None and number < least:
        raise CadstnError(f"{name} is {number}", hint=hint)
    return number


def share(name: str, value: object) -> float:
    """Return a share from 0 to 1 as Python's own float; raises CadstnError if it is none."""
    number = float(value) if isinstance(value, Real) else math.nan
    if not 0 <= number <= 1:  # nor is NaN
        raise CadstnError(f"{name} is {reprlib.repr(value)}", hint="give a share from 0 to 1")
    return number
