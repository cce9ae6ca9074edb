"""What tracked recordings say of weights: errors, lost frames, steadiness, calibration.

Every recording is tracked from a fresh start with the centre found. Of its frames

- those in which a joint of the labelled hand is out of the picture are left out;
- so are those in which the tracker follows the scene's second hand, which has no labels;
- of the rest, the frames that are *asked* for, a lost one is within no threshold, and infinitely
  far in medians and percentiles. Means are over the found ones, and how many were lost is told.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from cadstn.bench.shipped_follow import Bools, FloatArray, Seen
from cadstn.bench.shipped_rows import GOAL_MM, Joined, join
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
from cadstn.evaluate.joints import lengths
from cadstn.geometry.skeleton import HAND21
from cadstn.tracking.filters import Exponential, Filter, OneEuro

WORST_MM = (20, 30, 40, 50)
CENTRE_MM = 15.0
_WRONG_PLACE_MM = 100.0
#: Bins of what the network says of a joint, in mm.
UNCERTAINTY_MM = (0.0, 4.0, 6.0, 8.0, 10.0, 12.0, 16.0, 24.0, math.inf)
_ASKED_MM, _WITHIN_MM = (8.0, 12.0), 10.0
#: What filters are tried with: around the numbers they have in `cadstn.tracking.filters`.
EXPONENTIAL = tuple(round(0.2 + 0.05 * i, 2) for i in range(16))
ONE_EURO = tuple((hz, b) for hz in (0.5, 1.0, 2.0, 3.0, 5.0, 8.0) for b in (0.01, 0.03, 0.05, 0.1))


def measure(seen: Sequence[Seen]) -> dict[str, Any]:
    """Measure tracked recordings; plain values, None where nothing could be measured.

    Shares are from 0 to 1.

    Raises:
        CadstnError: if there is no recording.
    """
    if not seen:
        raise CadstnError("no recordings to measure", mend="give at least one")
    all_ = join(seen)
    found = ~np.isnan(all_.joints[:, 0, 0])
    errors = joint_errors_mm(all_.joints, all_.truth)
    report = {
        "recordings": len(seen),
        "frames": len(all_.truth),
        "partly_out_of_picture": int((~all_.whole).sum()),
        "on_the_other_hand": int((all_.whole & all_.other).sum()),
        "asked": int(all_.asked.sum()),
        "lost": int((all_.asked & ~found).sum()),
        "lost_share": _share(~found, all_.asked),
        **_errors(all_, errors),
        **_centres(all_, errors, found),
        "acceleration_error_mm_frame2": acceleration_error(all_.joints, all_.truth, all_.cuts),
        "truth_acceleration_mm_frame2": jitter(all_.truth, all_.cuts),
        "steadiness": steadiness(seen, all_.joints, all_.truth, all_.cuts),
        "handedness_right": _share(all_.side == all_.true_side, found),
        "handedness_unknown": _share(all_.side == "unknown", found),
        "calibration": calibration(all_.uncertainty[found], errors[found]),
        "by_camera": {
            name: {
                "asked": int(all_.asked[all_.setup == name].sum()),
                "lost": int((all_.asked & ~found)[all_.setup == name].sum()),
                "mean_error_mm": _mean(errors[all_.setup == name]),
            }
            for name in dict.fromkeys(all_.setup.tolist())
        },
    }
    plained: dict[str, Any] = plain(report)
    return plained


def steadiness(
    seen: Sequence[Seen], joints_mm: FloatArray, truth_mm: FloatArray, cuts: Sequence[int]
) -> dict[str, Any] | None:
    """Compare acceleration errors: what ships, the spatial network alone, and that one filtered.

    Of each filter the setting is taken that suits it best on these very frames: of those whose mean
    error is not above that of what ships, the steadiest; if there is none, the one of least error.

    Args:
        seen: recordings of T frames.
        joints_mm: (N, K, 3) of what ships, recordings in a row; NaN in frames that do not count.
        truth_mm: (N, K, 3).
        cuts: where recordings begin, the first left out.

    Returns:
        ``fused``, ``spatial``, ``one-euro`` and ``exponential``: ``error_mm`` and
        ``acceleration_mm_frame2``, of filters also their ``setting`` and whether there is one
        ``at_equal_error``; ``below_spatial``: how much less the acceleration error of what ships
        is, as a share. None where the spatial network's joints are not to be had, or no frame
        counts.
    """
    spatial = [one.spatial_mm for one in seen if one.spatial_mm is not None]
    counted = ~np.isnan(joints_mm[:, :1, :1])
    if len(spatial) < len(seen) or not counted.any():
        return None

    def judged(moving: FloatArray) -> dict[str, Any]:
        kept = np.where(counted, moving, np.nan)
        return {
            "error_mm": mean_error_mm(kept, truth_mm),
            "acceleration_mm_frame2": acceleration_error(kept, truth_mm, cuts),
        }

    def best(tried: dict[str, Filter]) -> dict[str, Any]:
        results = []
        for name, smooth in tried.items():
            moving = [smoothed(x, one.time_s, smooth) for x, one in zip(spatial, seen, strict=True)]
            results.append({"setting": name, **judged(np.concatenate(moving))})
        equal = [result for result in results if result["error_mm"] <= fused["error_mm"]]
        chosen = (
            min(equal, key=lambda result: result["acceleration_mm_frame2"])
            if equal
            else min(results, key=lambda result: result["error_mm"])
        )
        return {**chosen, "at_equal_error": bool(equal)}

    fused, alone = judged(joints_mm), judged(np.concatenate(spatial))
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


def calibration(uncertainty_mm: FloatArray, errors_mm: FloatArray) -> dict[str, Any] | None:
    """Hold what a network says of its joints against how far off they are.

    Args:
        uncertainty_mm: (N, K) within which each joint is said to lie two times in three; NaN where
            nothing is said.
        errors_mm: (N, K).

    Returns:
        ``asked``: of joints said to lie within 8 to 12 mm, how many lie within 10; the same by
        ``bins``; ``within_said``: the share of all joints that lie within what was said of them.
        None where nothing is said of any joint.
    """
    said = np.isfinite(uncertainty_mm) & np.isfinite(errors_mm)
    if not said.any():
        return None
    sure, off = uncertainty_mm[said], errors_mm[said]

    def part(low: float, high: float) -> dict[str, Any]:
        chosen = (sure >= low) & (sure < high)
        return {
            "from_mm": low,
            "to_mm": high,
            "joints": int(chosen.sum()),
            "within_10mm": _share(off <= _WITHIN_MM, chosen),
            "within_said": _share(off <= sure, chosen),
            "median_error_mm": float(np.median(off[chosen])) if chosen.any() else math.nan,
        }

    bins = [part(low, high) for low, high in itertools.pairwise(UNCERTAINTY_MM)]
    return {"asked": part(*_ASKED_MM), "bins": bins, "within_said": float((off <= sure).mean())}


def plain(value: Any) -> Any:
    """Return a report whose numbers that are not finite are None, as JSON wants it."""
    if isinstance(value, dict):
        return {key: plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(part) for part in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return value


def _errors(all_: Joined, errors: FloatArray) -> dict[str, Any]:
    """How far joints are: mean, median, worst, and with the frames on the second hand as well."""
    interval = bootstrap(errors.mean(1), all_.cuts)
    whole = np.where(all_.whole[:, None, None], all_.raw, np.nan)
    asked = all_.asked
    worst = (
        accuracy(all_.joints[asked], all_.truth[asked], WORST_MM)
        if asked.any()
        else np.full(len(WORST_MM), np.nan)
    )
    # NaN, of a lost frame, is within nothing; of a frame that does not count it stays.
    near = np.where(asked, errors.max(1) <= GOAL_MM, np.nan)
    near_interval = bootstrap(near, all_.cuts)
    per_joint = per_joint_error_mm(all_.joints, all_.truth)
    return {
        "mean_error_mm": _mean(errors),
        "mean_error_95_mm": [interval.low, interval.high],
        "median_error_mm": _quantile(errors[asked], 0.5),
        "mean_error_with_other_hand_mm": mean_error_mm(whole, all_.truth),
        "per_joint_error_mm": dict(zip(HAND21.joints, per_joint.tolist(), strict=False)),
        "worst_joint_within": dict(zip(map(str, WORST_MM), worst.tolist(), strict=True)),
        "worst_joint_within_30mm_95": [near_interval.low, near_interval.high],
    }


def _centres(all_: Joined, errors: FloatArray, found: Bools) -> dict[str, Any]:
    """How far the hand's middle is, and what joints lose by it against a centre that is given."""
    off = lengths(all_.joints.mean(1) - all_.truth.mean(1))
    cube = lengths(all_.center - all_.aim)
    given = np.where(all_.whole[:, None, None], all_.given, np.nan)
    given_errors = joint_errors_mm(given, all_.truth)
    return {
        "centre_p95_mm": _quantile(off[all_.asked], 0.95),
        "centre_within_15mm": _share(off < CENTRE_MM, all_.asked),
        "cube_p95_mm": _quantile(cube[all_.asked], 0.95),
        "cube_within_15mm": _share(cube < CENTRE_MM, all_.asked),
        "wrong_place": _share(off > _WRONG_PLACE_MM, all_.asked),
        "centre_given_error_mm": _mean(given_errors[found]),
        "centre_given_all_frames_mm": _mean(given_errors),
        "loss_to_centre_mm": _mean(errors[found]) - _mean(given_errors[found]),
    }


def _mean(values: FloatArray) -> float:
    """Mean of what is not NaN; NaN if nothing is."""
    good = values[~np.isnan(values)]
    return float(good.mean()) if good.size else math.nan


def _share(good: Bools, of: Bools) -> float:
    return float(good[of].mean()) if of.any() else math.nan


def _quantile(values: FloatArray, share: float) -> float:
    """A value that a share of all is not above; of lost frames they are infinite."""
    far = np.where(np.isnan(values), np.inf, values)
    return float(np.quantile(far, share, method="higher")) if far.size else math.nan
