"""Averages over frames that hold back noise, and not what moves.

What differs from the frame before by more than a joint's error scale is motion and hardly averaged.
What differs by less is mostly noise of the network and the sensor.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

#: Share of the joints before, of a joint that stands still in the hand; of what the fit moved it by
#: before; and the part of its error scale by which either must differ for half of that share.
#: Chosen on rendered recordings (LOG.md).
_BEFORE, _MOVED, _HALF = 0.6, 0.4, 0.4


class Fitted(NamedTuple):
    """What the fit leaves for the next frame."""

    moved_mm: NDArray[np.float64]  # (K, 3) what it moved the joints by, averaged over frames
    joints_mm: NDArray[np.float64]  # (K, 3) as they were returned


def steadied(
    joints_mm: NDArray[np.floating],
    moved_mm: NDArray[np.float64],
    scale_mm: NDArray[np.float64],
    before: Fitted | None,
) -> Fitted:
    """Average what the fit moves joints by, and then the joints, over frames.

    The joints before are first moved as one rigid body to where those of this frame are, so that a
    hand that moves as a whole is not late.

    Args:
        joints_mm: (K, 3) of the network.
        moved_mm: (K, 3) what the fit moves them by.
        scale_mm: (K,) their error scales, above 0.
        before: what the frame before left; None where there is none.
    """
    if before is None:
        return Fitted(moved_mm, joints_mm + moved_mm)
    moved_mm = _averaged(moved_mm, before.moved_mm, scale_mm, _MOVED)
    out_mm = joints_mm + moved_mm
    carried_mm = _carried(before.joints_mm, out_mm, 1 / np.square(scale_mm))
    return Fitted(moved_mm, _averaged(out_mm, carried_mm, scale_mm, _BEFORE))


def _averaged(
    now_mm: NDArray[np.float64],
    before_mm: NDArray[np.float64],
    scale_mm: NDArray[np.float64],
    most: float,
) -> NDArray[np.float64]:
    """Points (K, 3) with a share of those before, ``most`` of it where both are the same."""
    apart_mm = before_mm - now_mm
    ways = apart_mm / (_HALF * scale_mm[:, None])
    share = most / (1 + (ways * ways).sum(1, keepdims=True))
    return np.asarray(now_mm + share * apart_mm, np.float64)


def _carried(
    before_mm: NDArray[np.float64], now_mm: NDArray[np.float64], weight: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Points (K, 3), moved as one rigid body to where those of another frame are (Kabsch, 1976)."""
    share = (weight / weight.sum())[:, None]
    begin, end = (share * before_mm).sum(0), (share * now_mm).sum(0)
    left, _, right = np.linalg.svd(((before_mm - begin) * share).T @ (now_mm - end))
    if np.linalg.det(left @ right) < 0:  # a mirror image is no motion
        left[:, 2] *= -1
    return np.asarray((before_mm - begin) @ (left @ right) + end, np.float64)
