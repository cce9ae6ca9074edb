"""Steadier joints: those of a frame are drawn to where the joints before have moved as a whole.

A hand that moves as a rigid body is not held back, and neither is a joint that moves by more than
its error scale. What is left is mostly noise of the network and the sensor.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

#: Share of the joints before, of a joint that stands still in the hand; and the part of its error
#: scale by which it must move for half of that. Chosen on rendered recordings (LOG.md).
_BEFORE, _HALF = 0.5, 0.4


class Fitted(NamedTuple):
    """What the fit leaves for the next frame."""

    moved_mm: NDArray[np.float64]  # (K, 3) what it moved the joints by, averaged over frames
    joints_mm: NDArray[np.float64]  # (K, 3) as they were returned


def steadied(
    joints_mm: NDArray[np.float64],
    scale_mm: NDArray[np.floating],
    before_mm: NDArray[np.floating],
) -> NDArray[np.float64]:
    """Average joints (K, 3) mm with those before, where they differ by less than errors would.

    Args:
        joints_mm: of this frame.
        scale_mm: (K,) their error scales, above 0.
        before_mm: (K, 3) what was returned for the frame before.
    """
    carried_mm = _carried(before_mm, joints_mm, 1 / np.square(scale_mm, dtype=np.float64))
    apart = (carried_mm - joints_mm) / (_HALF * scale_mm[:, None])
    share = _BEFORE / (1 + (apart * apart).sum(1, keepdims=True))
    return np.asarray(joints_mm + share * (carried_mm - joints_mm), np.float64)


def _carried(
    before_mm: NDArray[np.floating], now_mm: NDArray[np.float64], weight: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Points (K, 3), moved as one rigid body to where those of another frame are (Kabsch, 1976)."""
    share = (weight / weight.sum())[:, None]
    begin, end = (share * before_mm).sum(0), (share * now_mm).sum(0)
    left, _, right = np.linalg.svd(((before_mm - begin) * share).T @ (now_mm - end))
    if np.linalg.det(left @ right) < 0:  # a mirror image is no motion
        left[:, 2] *= -1
    return np.asarray((before_mm - begin) @ (left @ right) + end, np.float64)
