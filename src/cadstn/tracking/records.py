"""A tracked hand as plain values, as rows of a table, and drawn into a picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cadstn.errors import CadstnError, library
from cadstn.geometry.camera import Camera
from cadstn.tracking.hand import Hand
from cadstn.tracking.views import Image, draw_joints, shade

_COLUMNS = (
    "frame", "hand", "time_s", "found", "side", "present", "joint", "x_mm", "y_mm", "z_mm",
    "confidence", "uncertainty_mm",
)  # fmt: skip


def hand_record(hand: Hand) -> dict[str, Any]:
    """Return a hand as plain values, fit for JSON: None stands for what is not known.

    Args:
        hand: as the tracker returns it.

    Returns:
        ``found``, ``how``, ``side``, ``time_s``, ``present`` (0 to 1), ``agreement`` (0 to 1),
        ``joints_mm`` (K x 3, camera frame), ``confidence`` (K, 0 to 1), ``uncertainty_mm`` (K,
        error scale: two thirds of errors are below it), ``center_mm`` (3) and ``cube_mm``.
    """
    found = hand.found
    return {
        "found": found,
        "how": hand.how,
        "side": hand.side,
        "time_s": _number(hand.time_s, 4),
        "agreement": round(hand.agreement, 3),
        "present": _number(hand.present, 3),
        "joints_mm": rounded(hand.joints_mm, 2) if found else None,
        "confidence": rounded(hand.confidence, 2) if found else None,
        "uncertainty_mm": (
            rounded(hand.uncertainty_mm, 1)
            if found and np.isfinite(hand.uncertainty_mm).all()
            else None
        ),
        "center_mm": rounded(hand.center_mm, 2) if found else None,
        "cube_mm": hand.cube_mm,
    }


def hands_table(hands: Sequence[Hand | Sequence[Hand]]) -> Any:
    """Return hands as a pandas ``DataFrame``: a row a joint.

    Args:
        hands: one a frame, as `Tracker.update` returns it, or a tuple a frame, as
            `Tracker.update_all` does; lost ones have rows of NaN.

    Returns:
        Columns ``frame`` (place in ``hands``), of tuples ``hand`` (place in the tuple), ``time_s``,
        ``found``, ``side``, ``present``, ``joint``, ``x_mm``, ``y_mm``, ``z_mm``, ``confidence``,
        ``uncertainty_mm``.

    Raises:
        CadstnError: if pandas is not installed.
    """
    with library("a table needs pandas", "table"):
        import pandas
    several = any(not isinstance(one, Hand) for one in hands)
    rows = [
        [
            frame, place, hand.time_s, hand.found, hand.side, hand.present, name,
            *hand.joints_mm[k].tolist(), float(hand.confidence[k]), float(hand.uncertainty_mm[k]),
        ]
        for frame, one in enumerate(hands)
        for place, hand in enumerate([one] if isinstance(one, Hand) else one)
        for k, name in enumerate(hand.skeleton.joints)
    ]  # fmt: skip
    if not several:
        rows = [[frame, *rest] for frame, _, *rest in rows]
    columns = [name for name in _COLUMNS if several or name != "hand"]
    return pandas.DataFrame(rows, columns=columns)


def draw_hand(hand: Hand, image: NDArray[Any], camera: Camera | None = None) -> Image:
    """Draw a hand over a picture of its frame.

    Args:
        hand: a lost one draws nothing.
        image: (H, W, 3) or (H, W) uint8 that the depth is aligned with, or (H, W) float depth in
            mm, which is drawn as grey; any size, if it shows what the depth camera sees.
        camera: of the depth; None for the one that the hand was tracked with.

    Returns:
        (H, W, 3) uint8, blue green red; the image itself stays as it is.

    Raises:
        CadstnError: if the image has another shape, or a hand knows no camera.
    """
    camera = hand.camera if camera is None else camera
    if image.ndim == 2 and image.dtype.kind == "f":
        picture = shade(np.asarray(image, np.float32))
    elif image.ndim == 2 and image.dtype == np.uint8:
        picture = np.asarray(cv2.cvtColor(image, cv2.COLOR_GRAY2BGR), np.uint8)
    elif image.ndim == 3 and image.shape[2] == 3 and image.dtype == np.uint8:
        picture = image.copy()
    else:
        raise CadstnError(
            f"image is {image.dtype} of shape {image.shape}",
            hint="give (height, width, 3) uint8, or depth as (height, width) float mm",
        )
    if hand.found:
        if camera is None:
            raise CadstnError("this hand knows no camera", hint="give one: draw(image, camera)")
        height, width = picture.shape[:2]
        # Pixels have a width: the middle of the first is 0, and the image begins at -0.5.
        scale = np.array([width / (camera.width or width), height / (camera.height or height)])
        uv = (camera.to_uvd(hand.joints_mm)[:, :2] + 0.5) * scale - 0.5
        draw_joints(picture, uv, hand.skeleton, max(1, round(height / 240)))
    return picture


def rounded(values: NDArray[Any], digits: int) -> list[Any]:
    """Return an array as nested lists of rounded numbers, for JSON."""
    return [rounded(row, digits) if np.ndim(row) else round(float(row), digits) for row in values]


class Identities:
    """Numbers hands: one that is followed keeps its number, one that is acquired gets the next."""

    def __init__(self) -> None:
        self._next = 0
        self._of: dict[int, int] = {}

    def __call__(self, place: int, hand: Hand) -> int | None:
        """Return the number of the hand at a place of the tracker's list; None where lost."""
        if not hand.found:
            self._of.pop(place, None)
            return None
        if hand.how == "found" or place not in self._of:
            self._of[place] = self._next
            self._next += 1
        return self._of[place]


def _number(value: float | None, digits: int) -> float | None:
    return None if value is None or not math.isfinite(value) else round(value, digits)
