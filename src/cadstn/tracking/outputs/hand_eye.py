"""A camera's place in a robot's base frame, from a hand-eye calibration."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cadstn.errors import CadstnError
from cadstn.io.arrays import read_regular
from cadstn.io.files import error_context
from cadstn.tracking.angles import Array

_UNITS_MM = {"mm": 1.0, "m": 1000.0}
_HINT = (
    'write {"matrix": [[r, r, r, x], [r, r, r, y], [r, r, r, z], [0, 0, 0, 1]], "unit": "m"}, '
    "from the camera frame to the base frame"
)
_MAX_BYTES = 1 << 20
#: Calibrations are written with few digits; further off than this, it is no rotation.
_TOLERANCE = 1e-3
#: A camera that stands further from a robot's base, or nearer and not in it, has the wrong unit.
#: In the other unit the same place is taken, for whoever means it.
_FURTHEST_M, _NEAREST_MM = 10.0, 10.0


@dataclass(frozen=True, eq=False)
class HandEye:
    """From a fixed camera's frame (x right, y down, z forward) to a robot's base frame."""

    rotation: Array  # (3, 3)
    offset_mm: Array  # (3,) where the camera is

    def __call__(self, position_mm: Array, rotation: Array) -> tuple[Array, Array]:
        """Return a pose of the camera frame, (3,) mm and (3, 3), in the base frame."""
        return self.rotation @ position_mm + self.offset_mm, self.rotation @ rotation


def read_hand_eye(path: Path) -> HandEye:
    """Read a transform: ``matrix``, 4 x 4, and ``unit`` of its last column, ``mm`` or ``m``.

    Raises:
        CadstnError: naming the file, if it cannot be read, is no rigid transform, or its unit is
            likely to be the other one.
    """
    with error_context(path):
        try:
            values = json.loads(read_regular(path, _MAX_BYTES))
            matrix, unit = np.array(values["matrix"], np.float64), values["unit"]
        except (ValueError, TypeError, KeyError, ArithmeticError, RecursionError) as error:
            what = f"lacks {error}" if isinstance(error, KeyError) else f"no transform ({error})"
            raise CadstnError(what, hint=_HINT) from None
        if not isinstance(unit, str) or unit not in _UNITS_MM:
            raise CadstnError(f"unit is {unit!r}", hint="give mm or m")
        if matrix.shape != (4, 4):
            raise CadstnError(f"matrix has shape {matrix.shape}", hint=_HINT)
        if not np.isfinite(matrix).all():
            raise CadstnError("matrix holds values that are not finite", hint=_HINT)
        rotation = matrix[:3, :3]
        off = max(
            np.abs(rotation @ rotation.T - np.eye(3)).max(),
            np.abs(matrix[3] - [0, 0, 0, 1]).max(),
            abs(np.linalg.det(rotation) - 1),
        )
        if off > _TOLERANCE:
            raise CadstnError(f"matrix is no rigid transform (off by {off:.3g})", hint=_HINT)
        _check_distance(float(np.linalg.norm(matrix[:3, 3])), unit)
    return HandEye(rotation, matrix[:3, 3] * _UNITS_MM[unit])


def _check_distance(distance: float, unit: str) -> None:
    """Raise CadstnError if the other unit alone explains a camera so far from the base."""
    other = {"m": "mm", "mm": "m"}[unit]
    if distance > _FURTHEST_M if unit == "m" else 0 < distance < _NEAREST_MM:
        raise CadstnError(
            f"the camera is {distance:.3g} {unit} from the base frame: is that {other}?",
            hint=f'write "unit": "{other}"; if it is right, write the last column in {other}',
        )
