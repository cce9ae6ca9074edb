"""A camera's numbers as Python's own, which JSON can write, whatever library they come from."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from numbers import Real
from typing import Any

from cadstn.errors import CadstnError

_FLOATS, _WHOLE = ("fx", "fy", "cx", "cy", "fps", "depth_unit_mm"), ("width", "height")
_MOST_INVALID = 64


def check_number(name: str, value: object) -> None:
    """Raise CadstnError for a field of a camera that is no real number."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise CadstnError(
            f"camera {name} is {reprlib.repr(value)}, a {type(value).__name__}",
            hint="give numbers, Camera(fx, fy, cx, cy); parse_camera('kinect2') takes text",
        )


def plain_numbers(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return a camera's numbers as float and int; they are finite.

    Args:
        fields: of the camera, by name.

    Raises:
        CadstnError: if its size or an invalid value is no whole number, or there are too many.

    >>> import numpy as np
    >>> plain_numbers({"fx": np.float32(475), "width": 640.0, "invalid": [np.uint16(32001)]})
    {'fx': 475.0, 'width': 640, 'invalid': (32001,)}
    """
    plain: dict[str, Any] = {}
    for name, value in fields.items():
        if name in _FLOATS:
            plain[name] = value if type(value) is int else float(value)
        elif name in _WHOLE:
            plain[name] = _whole(name, value, "give width and height in whole pixels")
        elif name == "invalid":
            plain[name] = _invalid(value)
    return plain


def _invalid(values: Any) -> tuple[int, ...]:
    hint = "give the raw values that mean nothing measured, such as (32001,)"
    try:
        listed = list(values)
    except TypeError:
        raise CadstnError(f"camera invalid is {reprlib.repr(values)}", hint=hint) from None
    if len(listed) > _MOST_INVALID:
        raise CadstnError(
            f"camera has {len(listed)} invalid values", hint=f"give at most {_MOST_INVALID}"
        )
    return tuple(_whole("invalid", value, hint) for value in listed)


def _whole(name: str, value: Any, hint: str) -> int:
    try:
        check_number(name, value)
        if int(value) == value:
            return int(value)
    except (CadstnError, ValueError, OverflowError):  # of infinity and NaN
        pass
    raise CadstnError(f"camera {name} is {reprlib.repr(value)}", hint=hint)
