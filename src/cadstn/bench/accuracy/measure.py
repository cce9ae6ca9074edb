"""Errors, lost frames, steadiness and calibration of weights on tracked recordings.

Every recording is tracked from a fresh start; the tracker searches for the hand. Of its frames

- those in which a joint of the labelled hand is out of the picture are left out;
- so are those in which the tracker follows the scene's second hand, which has no labels;
- the rest is *counted*. A lost frame is within no threshold, and infinitely far in medians and
  percentiles. Means are over the found frames, and the number of lost frames is reported.

The sealed test counts every frame instead: `cadstn.bench.accuracy.sealed`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from cadstn.bench.accuracy.follow import Bools, FloatArray, Followed
from cadstn.bench.accuracy.rows import GOAL_MM, Rows, join, mean, quantile, share
from cadstn.errors import CadstnError
from cadstn.evaluate import (
    acceleration_error,
    accuracy,
    jitter,
    joint_errors_mm,
    mean_error_mm,
    per_joint_error_mm,
)
from cadstn.evaluate.intervals import bootstrap
from cadstn.evaluate.metrics import plain
from cadstn.geometry.skeleton import HAND21
from cadstn.io.joints import lengths
from cadstn.tracking.filters import Exponential, Filter, OneEuro

WORST_MM = (20, 30, 40, 50)
CENTER_MM = 15.0
_WRONG_PLACE_MM = 100.0
SOON = 3
"""A hand that enters is to be found within so many frames."""

#: Edges of the bins of error scales, in mm.
SCALE_MM = (0.0, 4.0, 6.0, 8.0, 10.0, 12.0, 16.0, 24.0, math.inf)
_BAND_MM, _WITHIN_MM = (8.0, 12.0), 10.0
#: Settings that filters are tried with: around their defaults in `cadstn.tracking.filters`.
EXPONENTIAL = tuple(round(0.2 + 0.05 * i, 2) for i in range(16))
ONE_EURO = tuple((hz, b) for hz in (0.5, 1.0, 2.0, 3.0, 5.0, 8.0) for b in (0.01, 0.03, 0.05, 0.1))


def measure(followed: Sequence[Followed]) -> dict[str, Any]:
    """Measure tracked recordings; plain values, None where nothing could be measured.

    Shares are from 0 to 1.

    Raises:
        CadstnError: if there is no recording.
    """
    if not followed:
        raise CadstnError("no recordings to measure", hint="give at least one")
    rows = join(followed)
    found = ~np.isnan(rows.joints[:, 0, 0])
    lost = rows.counted & ~found
    errors = joint_errors_mm(rows.joints, rows.truth)
    report = {
        "recordings": len(followed),
        "frames": len(rows.truth),
        "partly_out_of_picture": int((~rows.whole).sum()),
        "on_the_other_hand": int((rows.whole & rows.other).sum()),
        "counted": int(rows.counted.sum()),
        "lost": int(lost.sum()),
        "lost_share": share(~found, rows.counted),
        **entrances(found, rows.counted, rows.cuts),
        **_errors(rows, errors),
        **_centers(rows, errors, found),
        "acceleration_error_mm_frame2": acceleration_error(rows.joints, rows.truth, rows.cuts),
        "truth_acceleration_mm_frame2": jitter(rows.truth, rows.cuts),
        "steadiness": steadiness(followed, rows.joints, rows.truth, rows.cuts),
        "handedness_right": share(rows.side == rows.true_side, found),
        "handedness_unknown": share(rows.side == "unknown", found),
        "calibration": calibration(rows.scale[found], errors[found]),
        "by_camera": {
            name: {
                "counted": int(rows.counted[rows.setup == name].sum()),
                "lost": int(lost[rows.setup == name].sum()),
                "mean_error_mm": mean(errors[rows.setup == name]),
            }
            for name in dict.fromkeys(rows.setup.tolist())
        },
    }
    plained: dict[str, Any] = plain(report)
    return plained


def entrances(found: Bools, counted: Bools, cuts: Sequence[int]) -> dict[str, Any]:
    """How soon hands are found that enter, and how often one is lost later.

    Args:
        found: (N,) frames with a hand found.
        counted: (N,) frames that count; a hand enters where they begin.
        cuts: where recordings begin, the first left out.

    Returns:
        ``entered``: times that a hand enters and stays for `SOON` frames, ``found_soon``: share of
        them with it found in one of these, ``lost_later``: share of the counted frames after those
        that have it lost. NaN where there is nothing to share.
    """
    begins = counted & ~np.concatenate([[False], counted[:-1]])
    begins[[0, *cuts]] = counted[[0, *cuts]]
    place = np.maximum.accumulate(np.where(begins, np.arange(len(counted)), -1))
    since = np.where(counted & (place >= 0), np.arange(len(counted)) - place, -1)
    stays = np.flatnonzero(since == SOON - 1) - (SOON - 1)
    soon = np.array([found[k : k + SOON].any() for k in stays], np.bool_)
    return {
        "entered": len(stays),
        "found_soon": share(soon, np.ones_like(soon)),
        "lost_later": share(~found, since >= SOON),
    }


def steadiness(
    followed: Sequence[Followed], joints_mm: FloatArray, truth_mm: FloatArray, cuts: Sequence[int]
) -> dict[str, Any] | None:
    """Compare acceleration errors: the tracker's, the spatial network's, and that one's filtered.

    Of each filter the best setting on these very frames is taken: of those whose mean error is not
    above the tracker's, the steadiest; if there is none, the one of least error.

    Args:
        followed: recordings of T frames.
        joints_mm: (N, K, 3) of the tracker, recordings in a row; NaN in frames that do not count.
        truth_mm: (N, K, 3).
        cuts: where recordings begin, the first left out.

    Returns:
        ``fused``, ``spatial``, ``one-euro`` and ``exponential``: ``error_mm`` and
        ``acceleration_mm_frame2``, of filters also their ``setting`` and whether there is one
        ``at_equal_error``; ``below_spatial``: by what share the tracker's acceleration error is
        less. None where the file has no output of the spatial network, or no frame counts.
    """
    spatial = [one.spatial_mm for one in followed if one.spatial_mm is not None]
    counted = ~np.isnan(joints_mm[:, :1, :1])
    if len(spatial) < len(followed) or not counted.any():
        return None

    def errors(moving: FloatArray) -> dict[str, Any]:
        kept = np.where(counted, moving, np.nan)
        return {
            "error_mm": mean_error_mm(kept, truth_mm),
            "acceleration_mm_frame2": acceleration_error(kept, truth_mm, cuts),
        }

    def best(tried: dict[str, Filter]) -> dict[str, Any]:
        results = []
        for name, smooth in tried.items():
            pairs = zip(spatial, followed, strict=True)
            moving = np.concatenate([smoothed(x, one.time_s, smooth) for x, one in pairs])
            results.append({"setting": name, **errors(moving)})
        equal = [result for result in results if result["error_mm"] <= fused["error_mm"]]
        chosen = (
            min(equal, key=lambda result: result["acceleration_mm_frame2"])
            if equal
            else min(results, key=lambda result: result["error_mm"])
        )
        return {**chosen, "at_equal_error": bool(equal)}

    fused, alone = errors(joints_mm), errors(np.concatenate(spatial))
    return {
        "fused": fused,
        "spatial": alone,
        "one-euro": best({f"{hz:g} Hz, beta {b:g}": OneEuro(hz, b) for hz, b in ONE_EURO}),
        "exponential": best({f"weight {w:g}": Exponential(w) for w in EXPONENTIAL}),
        "below_spatial": (
            1 - fused["acceleration_mm_frame2"] / alone["acceleration_mm_frame2"]
            if alone["acceleration_mm_frame2"]
            else math.nan
        ),
    }


def smoothed(joints_mm: FloatArray, time_s: FloatArray, smooth: Filter) -> FloatArray:
    """Send one recording's joints (T, K, 3) through a filter that has seen nothing."""
    smooth.reset()
    return np.array([smooth(x, float(t)) for x, t in zip(joints_mm, time_s, strict=True)])


def calibration(scale_mm: FloatArray, errors_mm: FloatArray) -> dict[str, Any] | None:
    """Compare the error scales that a network predicts with the errors of its joints.

    Args:
        scale_mm: (N, K) within which each joint should lie two times in three; NaN where none is
            predicted.
        errors_mm: (N, K).

    Returns:
        ``band``: of joints of a scale from 8 to 12 mm, how many lie within 10; the same by
        ``bins``; ``within_scale``: the share of all joints that lie within their scale;
        ``factor``: of the scales, with which two thirds would. None where no joint has one.
    """
    known = np.isfinite(scale_mm) & np.isfinite(errors_mm)
    if not known.any():
        return None
    scale, off = scale_mm[known], errors_mm[known]

    def part(low: float, high: float) -> dict[str, Any]:
        chosen = (scale >= low) & (scale < high)
        return {
            "from_mm": low,
            "to_mm": high,
            "joints": int(chosen.sum()),
            "within_10mm": share(off <= _WITHIN_MM, chosen),
            "within_scale": share(off <= scale, chosen),
            "median_error_mm": float(np.median(off[chosen])) if chosen.any() else math.nan,
        }

    bins = [part(low, high) for low, high in itertools.pairwise(SCALE_MM)]
    return {
        "band": part(*_BAND_MM),
        "bins": bins,
        "within_scale": float((off <= scale).mean()),
        "factor": float(np.quantile(off / scale, 2 / 3)),
    }


def _errors(rows: Rows, errors: FloatArray) -> dict[str, Any]:
    """How far joints are: mean, median, worst, and with the frames on the second hand as well."""
    interval = bootstrap(errors.mean(1), rows.cuts)
    whole = np.where(rows.whole[:, None, None], rows.raw, np.nan)
    counted = rows.counted
    worst = (
        accuracy(rows.joints[counted], rows.truth[counted], WORST_MM)
        if counted.any()
        else np.full(len(WORST_MM), np.nan)
    )
    # NaN, of a lost frame, is within nothing; of a frame that does not count it stays.
    near = np.where(counted, errors.max(1) <= GOAL_MM, np.nan)
    near_interval = bootstrap(near, rows.cuts)
    per_joint = per_joint_error_mm(rows.joints, rows.truth)
    return {
        "mean_error_mm": mean(errors),
        "mean_error_95_mm": [interval.low, interval.high],
        "median_error_mm": quantile(errors[counted], 0.5),
        "mean_error_with_other_hand_mm": mean_error_mm(whole, rows.truth),
        "per_joint_error_mm": dict(zip(HAND21.joints, per_joint.tolist(), strict=False)),
        "worst_joint_within": dict(zip(map(str, WORST_MM), worst.tolist(), strict=True)),
        "worst_joint_within_30mm_95": [near_interval.low, near_interval.high],
    }


def _centers(rows: Rows, errors: FloatArray, found: Bools) -> dict[str, Any]:
    """How far the hand's middle is, and what joints lose by it against a given centre."""
    off = lengths(rows.joints.mean(1) - rows.truth.mean(1))
    cube = lengths(rows.center - rows.true_center)
    given = np.where(rows.whole[:, None, None], rows.given, np.nan)
    given_errors = joint_errors_mm(given, rows.truth)
    return {
        "center_p95_mm": quantile(off[rows.counted], 0.95),
        "center_within_15mm": share(off < CENTER_MM, rows.counted),
        "cube_p95_mm": quantile(cube[rows.counted], 0.95),
        "cube_within_15mm": share(cube < CENTER_MM, rows.counted),
        "wrong_place": share(off > _WRONG_PLACE_MM, rows.counted),
        "center_given_error_mm": mean(given_errors[found]),
        "center_given_all_frames_mm": mean(given_errors),
        "loss_to_center_mm": mean(errors[found]) - mean(given_errors[found]),
    }
