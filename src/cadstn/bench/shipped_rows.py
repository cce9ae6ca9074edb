"""Tracked recordings in a row, and which of their frames count."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cadstn.bench.shipped_follow import Bools, FloatArray, Seen
from cadstn.evaluate.joints import lengths

#: A frame is good whose every joint is so near.
GOAL_MM = 30.0
_OTHER_MM = 120.0  # nearer than this to the second hand, and nearer than to the first, is on it


class Joined(NamedTuple):
    """All recordings in a row: N frames. See `Seen`; ``side`` and ``setup`` are (N,) of text.

    Attributes:
        cuts: where recordings begin, the first left out.
        asked: (N,) frames that count, lost or found.
        joints: (N, K, 3) of the tracker, NaN where lost or not asked for.
        other: (N,) frames in which the second hand is followed.
    """

    cuts: list[int]
    truth: FloatArray
    whole: Bools
    other: Bools
    asked: Bools
    raw: FloatArray
    joints: FloatArray
    center: FloatArray
    aim: FloatArray
    given: FloatArray
    uncertainty: FloatArray
    side: NDArray[np.str_]
    true_side: NDArray[np.str_]
    setup: NDArray[np.str_]


def join(seen: Sequence[Seen]) -> Joined:
    """Put recordings in a row, and say which frames count."""
    whole = np.concatenate([one.whole for one in seen])
    other = np.concatenate([on_other_hand(one) for one in seen])
    raw = np.concatenate([one.joints_mm for one in seen])
    asked = whole & ~other
    return Joined(
        cuts=np.cumsum([len(one.truth_mm) for one in seen])[:-1].tolist(),
        truth=np.concatenate([one.truth_mm for one in seen]),
        whole=whole,
        other=other,
        asked=asked,
        raw=raw,
        joints=np.where(asked[:, None, None], raw, np.nan),
        center=np.concatenate([one.center_mm for one in seen]),
        aim=np.concatenate([one.aim_mm for one in seen]),
        given=np.concatenate([one.given_mm for one in seen]),
        uncertainty=np.concatenate([one.uncertainty_mm for one in seen]),
        side=np.array([side for one in seen for side in one.side]),
        true_side=np.array(["left" if one.left else "right" for one in seen for _ in one.side]),
        setup=np.array([one.setup for one in seen for _ in one.side]),
    )


def on_other_hand(one: Seen) -> Bools:
    """Say of each frame whether the second hand is followed, which has no labels: (T,)."""
    middle = one.joints_mm.mean(1)
    away = lengths(middle - one.other_mm)
    # NaN, where nothing is found or there is no second hand, is nearer to nothing.
    nearer: Bools = (away < _OTHER_MM) & (away < lengths(middle - one.truth_mm.mean(1)))
    return nearer
