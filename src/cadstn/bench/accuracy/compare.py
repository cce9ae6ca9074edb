"""Two networks on the same recordings: which is better, and how certain that is.

Recordings differ far more than networks do, so each frame is compared with itself, and the interval
of the difference is that of resampled recordings (`cadstn.evaluate.intervals`). A frame counts if
it counts for both networks, see `cadstn.bench.accuracy.rows.join`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from cadstn.bench.accuracy.follow import Bools, FloatArray, Followed
from cadstn.bench.accuracy.rows import GOAL_MM, Rows, join
from cadstn.errors import CadstnError
from cadstn.evaluate.intervals import bootstrap
from cadstn.evaluate.metrics import acceleration_errors, joint_errors_mm


def compare_followed(
    followed: Sequence[Followed], other: Sequence[Followed], *, every: bool = False
) -> dict[str, Any]:
    """Compare two networks that tracked the same recordings, frame by frame.

    Args:
        followed: the recordings as the first tracked them.
        other: as the second did, in the same order.
        every: every frame counts, see `join`.

    Returns:
        How many frames are ``counted`` for both and ``found`` by both, and, each with the two means
        (``this`` and ``other``), their ``difference`` and its ``difference_95`` interval:
        ``mean_error_mm`` and ``acceleration_error_mm_frame2`` of frames that both found;
        ``within_30mm``, the share of frames with every joint so near, a lost frame is not; and
        ``whole_within_30mm``, the same of every frame with the whole hand in the picture: a frame
        on the second hand is not, unless every frame counts.

    Raises:
        CadstnError: if the recordings are not the same.
    """
    one, two = join(followed, every=every), join(other, every=every)
    if one.cuts != two.cuts or not np.array_equal(one.truth, two.truth):
        raise CadstnError("these are not the same recordings", hint="track the same ones with both")
    both = one.counted & two.counted
    errors, others = (joint_errors_mm(rows.raw, rows.truth) for rows in (one, two))
    found = both & ~np.isnan(errors[:, 0]) & ~np.isnan(others[:, 0])

    def difference(this: FloatArray, that: FloatArray, of: Bools) -> dict[str, Any]:
        counted = of & ~np.isnan(this) & ~np.isnan(that)
        gap = bootstrap(np.where(counted, this - that, np.nan), one.cuts)
        return {
            "this": float(this[counted].mean()) if counted.any() else math.nan,
            "other": float(that[counted].mean()) if counted.any() else math.nan,
            "difference": gap.mean,
            "difference_95": [gap.low, gap.high],
        }

    def within(rows: Rows, off: FloatArray) -> FloatArray:
        near: FloatArray = (rows.counted & (off.max(1) <= GOAL_MM)).astype(np.float64)
        return near

    def moving(rows: Rows) -> FloatArray:
        kept = np.where(found[:, None, None], rows.raw, np.nan)
        return acceleration_errors(kept, rows.truth, rows.cuts)

    near = within(one, errors), within(two, others)
    return {
        "counted": int(both.sum()),
        "found": int(found.sum()),
        "mean_error_mm": difference(errors.mean(1), others.mean(1), found),
        "within_30mm": difference(*near, both),
        "whole_within_30mm": difference(*near, one.whole),
        "acceleration_error_mm_frame2": difference(moving(one), moving(two), found),
    }
