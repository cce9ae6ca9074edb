"""The fields of a ``camera.json``, checked one by one."""

from __future__ import annotations

import json
import reprlib
from collections.abc import Collection
from typing import Any

from cadstn.errors import CadstnError, nearest_name

CAMERA_HINT = (
    'write {"fx": 475.0, "fy": 475.0, "cx": 320.0, "cy": 240.0, "width": 640, "height": 480, '
    '"depth_unit_mm": 1.0, "fps": 30} with your camera\'s numbers'
)


def camera_fields(text: str, where: object, known: Collection[str]) -> dict[str, Any]:
    """Read a camera's fields from JSON.

    Raises:
        CadstnError: naming the file on bad JSON, missing, unknown or nonsensical fields.
    """
    try:
        values = json.loads(text.removeprefix("\ufeff"))  # the mark that Windows' editors write
    except json.JSONDecodeError as error:
        raise CadstnError(f"not JSON ({error})", where=where, hint=CAMERA_HINT) from None
    except ValueError:  # Python refuses to convert integers of thousands of digits
        raise CadstnError(
            "holds a number of thousands of digits", where=where, hint=CAMERA_HINT
        ) from None
    except RecursionError:
        raise CadstnError("nested too deeply", where=where, hint=CAMERA_HINT) from None
    if not isinstance(values, dict):
        raise CadstnError("not a JSON object", where=where, hint=CAMERA_HINT)
    for name, value in values.items():
        if name not in known:
            raise CadstnError(
                f"unknown field '{name}'", where=where, hint=nearest_name(name, known)
            )
        if name == "invalid":
            good = isinstance(value, list) and all(map(_is_integer, value))
        elif name == "distortion":
            good = isinstance(value, list) and all(map(_is_number, value))
        elif name in ("encoding", "distortion_model"):
            good = isinstance(value, str)
        elif name in ("width", "height"):
            good = _is_integer(value)
        else:
            good = _is_number(value)
        if not good:
            # Shortened: what stands there may be hundreds of digits or lists deep.
            raise CadstnError(
                f"field '{name}' is {reprlib.repr(value)}", where=where, hint=CAMERA_HINT
            )
    missing = [name for name in ("fx", "fy", "cx", "cy") if name not in values]
    if missing:
        raise CadstnError(f"lacks {', '.join(missing)}", where=where, hint=CAMERA_HINT)
    return values


def _is_number(value: object) -> bool:
    return type(value) is float or _is_integer(value)


def _is_integer(value: object) -> bool:
    """Whether a value read from JSON is an integer that numpy can hold; true and false are not."""
    return type(value) is int and abs(value) < 2**63
