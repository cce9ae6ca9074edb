"""Tracked recordings in a row, and which of their frames count."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cadstn.bench.accuracy.follow import OTHER_MM, Bools, FloatArray, Followed
from cadstn.io.joints import lengths

GOAL_MM = 30.0
"""A frame is good if every joint is this near."""


class Rows(NamedTuple):
    """All recordings in a row: N frames. See `Followed`; ``side``, ``setup`` are (N,) of text."""

    cuts: list[int]  # where recordings begin, the first left out
    truth: FloatArray
    whole: Bools
    other: Bools  # (N,) frames in which the second hand is followed
    counted: Bools  # (N,) frames that count, lost or found
    raw: FloatArray
    joints: FloatArray  # (N, K, 3) of the tracker, NaN where lost or not counted
    center: FloatArray
    true_center: FloatArray
    given: FloatArray
    scale: FloatArray
    side: NDArray[np.str_]
    true_side: NDArray[np.str_]
    setup: NDArray[np.str_]


def join(followed: Sequence[Followed], *, every: bool = False) -> Rows:
    """Put recordings in a row, and choose which frames count.

    Args:
        followed: the recordings.
        every: count every frame; else those with the whole hand in the picture in which the
            second hand, which has no labels, is not followed.
    """
    whole = np.concatenate([one.whole for one in followed])
    other = np.concatenate([on_other_hand(one) for one in followed])
    raw = np.concatenate([one.joints_mm for one in followed])
    counted = np.ones_like(whole) if every else whole & ~other
    return Rows(
        cuts=np.cumsum([len(one.truth_mm) for one in followed])[:-1].tolist(),
        truth=np.concatenate([one.truth_mm for one in followed]),
        whole=whole,
        other=other,
        counted=counted,
        raw=raw,
        joints=np.where(counted[:, None, None], raw, np.nan),
        center=np.concatenate([one.center_mm for one in followed]),
        true_center=np.concatenate([one.true_center_mm for one in followed]),
        given=np.concatenate([one.given_mm for one in followed]),
        scale=np.concatenate([one.scale_mm for one in followed]),
        side=np.array([side for one in followed for side in one.side]),
        true_side=np.array(["left" if one.left else "right" for one in followed for _ in one.side]),
        setup=np.array([one.setup for one in followed for _ in one.side]),
    )


def on_other_hand(one: Followed) -> Bools:
    """Whether the second hand, which has no labels, is followed in each frame: (T,)."""
    middle = one.joints_mm.mean(1)
    away = lengths(middle - one.other_mm)
    # NaN, where nothing is found or there is no second hand, is nearer to nothing.
    nearer: Bools = (away < OTHER_MM) & (away < lengths(middle - one.truth_mm.mean(1)))
    return nearer


def mean(values: FloatArray) -> float:
    """Mean of what is not NaN; NaN if nothing is."""
    good = values[~np.isnan(values)]
    return float(good.mean()) if good.size else math.nan


def share(good: Bools, of: Bools) -> float:
    """Share of some frames that are good; NaN of none."""
    return float(good[of].mean()) if of.any() else math.nan


def quantile(values: FloatArray, part: float) -> float:
    """The least value that a part of all is not above; NaN, of lost frames, is infinite."""
    far = np.where(np.isnan(values), np.inf, values)
    return float(np.quantile(far, part, method="higher")) if far.size else math.nan
