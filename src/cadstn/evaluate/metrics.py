"""How far predicted joints are from the truth, and how steadily they move.

Every function takes joints ``(N, K, 3)`` in mm: N frames in the order of the recording, K joints.
A *lost* frame, one in which no hand was found, is NaN in all of its joints. It must neither vanish
from a result nor poison it, so the rule is the same everywhere:

* mean errors, medians and motion are over the frames that were found, and ``Scores.lost``
  counts the others;
* accuracy counts a lost frame as not within any threshold.

A frame of which only some joints are NaN, and an infinity anywhere, are refused: dropping such a
frame would flatter the result, and no common convention counts it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from cadstn.errors import CadstnError
from cadstn.io.joints import FloatArray, as_numbers, as_pair, as_prediction, lengths

#: Thresholds that ``score`` reports the accuracy at, in mm.
ACCURACY_MM = (20, 30, 40)
_AUC_MM = 50.0


@dataclass(frozen=True)
class Scores:
    """What one file of predictions scores. NaN where nothing could be measured.

    Attributes:
        frames: frames compared.
        of: frames the truth holds; more than ``frames`` where a prediction covers only the first.
        lost: frames among the compared ones in which the prediction found no hand.
        mean_error_mm: eq. 8, over the found frames.
        median_error_mm: median distance over all joints of the found frames.
        per_joint_error_mm: eq. 7, K numbers, over the found frames.
        accuracy: eq. 9: threshold in mm -> fraction of the compared frames, lost ones included.
        acceleration_error_mm_frame2: see ``acceleration_error``.
        jitter_mm_frame2: see ``jitter``.
        truth_jitter_mm_frame2: how much the truth itself accelerates, over all compared frames.
        cuts: the frames that were taken to begin a new shot, without the first frame.
        more: what the `METRICS` of others give, by name.
    """

    frames: int
    of: int
    lost: int
    mean_error_mm: float
    median_error_mm: float
    per_joint_error_mm: tuple[float, ...]
    accuracy: dict[int, float]
    acceleration_error_mm_frame2: float
    jitter_mm_frame2: float
    truth_jitter_mm_frame2: float
    cuts: tuple[int, ...]
    more: dict[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; what could not be measured is None, as JSON has no NaN."""
        values: dict[str, Any] = plain(asdict(self))
        return values


def plain(value: Any) -> Any:
    """Return a report as JSON wants it: numbers that are not finite are None, keys are text."""
    if isinstance(value, dict):
        return {str(key): plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(part) for part in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return value


class Metric(NamedTuple):
    """A further number of every evaluation."""

    title: str  # for tables and the terminal
    unit: str  # of it; empty for none
    compute: Callable[[FloatArray], float]  # takes the errors (N, K) in mm, NaN in lost frames


def area_under_curve(errors_mm: FloatArray) -> float:
    """Area under the share of joints within 0 to 50 mm, DexYCB's score; lost joints are in none.

    >>> area_under_curve(np.array([[0.0, 25.0]]))
    0.75
    """
    within = np.clip(1 - np.where(np.isnan(errors_mm), np.inf, errors_mm) / _AUC_MM, 0, 1)
    return float(within.mean())


#: Further metrics by name: `score` computes them all, every table shows them. To add one, add a
#: line here.
METRICS: dict[str, Metric] = {"auc_50": Metric("area to 50 mm", "", area_under_curve)}


def joint_errors_mm(pred_xyz_mm: ArrayLike, truth_xyz_mm: ArrayLike) -> FloatArray:
    """Distance of every joint from its truth, the norm inside eqs. 7-9.

    Args:
        pred_xyz_mm: (N, K, 3) mm; NaN in all joints of a lost frame.
        truth_xyz_mm: (N, K, 3) mm, finite.

    Returns:
        (N, K) mm, NaN in lost frames.

    Raises:
        CadstnError: if the shapes differ or are not (N, K, 3), if the truth is not finite, or if
            the prediction holds an infinity or a frame that is lost in part.

    >>> joint_errors_mm([[[3.0, 4.0, 0.0]]], [[[0.0, 0.0, 0.0]]]).tolist()
    [[5.0]]
    """
    pred, truth = as_pair(pred_xyz_mm, truth_xyz_mm)
    return lengths(pred - truth)


def per_joint_error_mm(pred_xyz_mm: ArrayLike, truth_xyz_mm: ArrayLike) -> FloatArray:
    """Mean error of each joint over the found frames, eq. 7: (K,) mm, NaN if all are lost.

    Raises:
        CadstnError: as ``joint_errors_mm``.
    """
    return _per_joint(joint_errors_mm(pred_xyz_mm, truth_xyz_mm))


def mean_error_mm(pred_xyz_mm: ArrayLike, truth_xyz_mm: ArrayLike) -> float:
    """Mean error over joints and found frames, eq. 8, in mm; NaN if all frames are lost.

    Raises:
        CadstnError: as ``joint_errors_mm``.
    """
    return float(per_joint_error_mm(pred_xyz_mm, truth_xyz_mm).mean())


def accuracy(
    pred_xyz_mm: ArrayLike, truth_xyz_mm: ArrayLike, thresholds_mm: ArrayLike
) -> FloatArray:
    """Fraction of frames whose worst joint is within each threshold, eq. 9.

    A lost frame is within none, whatever the threshold.

    Args:
        pred_xyz_mm: (N, K, 3) mm.
        truth_xyz_mm: (N, K, 3) mm.
        thresholds_mm: (M,) mm, or one number.

    Returns:
        (M,) fractions between 0 and 1.

    Raises:
        CadstnError: as ``joint_errors_mm``, or if a threshold is no number.
    """
    worst_mm = joint_errors_mm(pred_xyz_mm, truth_xyz_mm).max(axis=1)
    return proportion_within(worst_mm, thresholds_mm)


def proportion_within(values_mm: ArrayLike, thresholds_mm: ArrayLike) -> FloatArray:
    """Fraction of frames within each threshold; a NaN, a lost frame, is within none.

    Args:
        values_mm: (N,) one error a frame, its worst joint's (eq. 9) or its mean.
        thresholds_mm: (M,) mm, or one number.
    """
    values = np.asarray(values_mm, np.float64)
    values = np.sort(np.where(np.isnan(values), np.inf, values))
    limits_mm = np.atleast_1d(as_numbers(thresholds_mm, "thresholds"))
    if np.isnan(limits_mm).any():
        raise CadstnError(f"thresholds are {limits_mm.tolist()}", hint="give numbers in mm")
    # One binary search for each threshold; "right" because eq. 9 counts an error equal to it. The
    # bound keeps lost frames out even of an infinite threshold.
    within = np.searchsorted(values, limits_mm, side="right")
    found = np.count_nonzero(np.isfinite(values))
    return np.minimum(within, found) / len(values)


def acceleration_error(
    pred_xyz_mm: ArrayLike, truth_xyz_mm: ArrayLike, cuts: Sequence[int] = ()
) -> float:
    """Mean of |a_pred - a_true| over frames and joints, a = x[t-1] - 2 x[t] + x[t+1].

    Three frames count only if all are found and none of the later two begins a new shot: across a
    cut the hand does not move, the recording does.

    Args:
        pred_xyz_mm: (N, K, 3) mm.
        truth_xyz_mm: (N, K, 3) mm.
        cuts: increasing 0-based indices of the frames that begin a new shot; ones past the end are
            ignored, so that a prediction of the first frames may use the cuts of the whole set.

    Returns:
        mm/frame^2; NaN if there are no such three frames.

    Raises:
        CadstnError: as ``joint_errors_mm``, and if the cuts are negative or not increasing.
    """
    pred, truth = as_pair(pred_xyz_mm, truth_xyz_mm)
    # The second difference is linear: that of the difference is the difference of the two.
    return _mean_acceleration(pred - truth, cuts)


def acceleration_errors(
    pred_xyz_mm: ArrayLike, truth_xyz_mm: ArrayLike, cuts: Sequence[int] = ()
) -> FloatArray:
    """Mean over joints of |a_pred - a_true| of each frame; `acceleration_error` is their mean.

    Returns:
        (N,) mm/frame^2, NaN for frames whose two neighbours are not both in their shot and found.

    Raises:
        CadstnError: as ``acceleration_error``.
    """
    pred, truth = as_pair(pred_xyz_mm, truth_xyz_mm)
    return _accelerations(pred - truth, cuts)


def jitter(xyz_mm: ArrayLike, cuts: Sequence[int] = ()) -> float:
    """Mean of |a| over frames and joints in mm/frame^2, with the same rules for lost and cuts.

    Args:
        xyz_mm: (N, K, 3) mm.
        cuts: as in ``acceleration_error``.

    Raises:
        CadstnError: as ``acceleration_error``.
    """
    return _mean_acceleration(as_prediction(xyz_mm), cuts)


def score(
    pred_xyz_mm: ArrayLike,
    truth_xyz_mm: ArrayLike,
    cuts: Sequence[int] = (),
    *,
    of: int | None = None,
) -> Scores:
    """Compute every number of ``Scores``.

    Args:
        pred_xyz_mm: (N, K, 3) mm; NaN in all joints of a lost frame.
        truth_xyz_mm: (N, K, 3) mm, finite.
        cuts: increasing 0-based indices of the frames that begin a new shot.
        of: how many frames the whole truth has, where ``truth`` was shortened; N if not given.

    Raises:
        CadstnError: as ``acceleration_error``.
    """
    # Checked once and measured once: scoring 8,252 frames must not keep a user waiting.
    pred, truth = as_pair(pred_xyz_mm, truth_xyz_mm)
    difference = pred - truth
    errors = lengths(difference)
    found = errors[~np.isnan(errors[:, 0])]
    per_joint = _per_joint(errors)
    within = proportion_within(errors.max(axis=1), ACCURACY_MM)
    return Scores(
        frames=len(pred),
        of=len(pred) if of is None else of,
        lost=len(pred) - len(found),
        mean_error_mm=float(per_joint.mean()),
        median_error_mm=float(np.median(found)) if found.size else math.nan,
        per_joint_error_mm=tuple(float(e) for e in per_joint),
        accuracy={mm: float(a) for mm, a in zip(ACCURACY_MM, within, strict=True)},
        acceleration_error_mm_frame2=_mean_acceleration(difference, cuts),
        jitter_mm_frame2=_mean_acceleration(pred, cuts),
        truth_jitter_mm_frame2=_mean_acceleration(truth, cuts),
        cuts=tuple(int(c) for c in cuts if 0 < c < len(pred)),
        more={name: metric.compute(errors) for name, metric in METRICS.items()},
    )


def _per_joint(errors: FloatArray) -> FloatArray:
    """Mean over the found frames of (N, K) errors."""
    found = errors[~np.isnan(errors[:, 0])]
    mean: FloatArray = found.mean(axis=0) if len(found) else np.full(errors.shape[1], np.nan)
    return mean


def _mean_acceleration(xyz_mm: FloatArray, cuts: Sequence[int]) -> float:
    size = _accelerations(xyz_mm, cuts)
    whole = ~np.isnan(size)
    return float(size[whole].mean()) if whole.any() else math.nan


def _accelerations(xyz_mm: FloatArray, cuts: Sequence[int]) -> FloatArray:
    """Mean over joints of |a| of each frame, (N,); NaN where its three frames do not count."""
    check_cuts(cuts)
    size = np.full(len(xyz_mm), np.nan)
    # NaN of a lost frame spreads to every frame that it is a neighbour of.
    size[1:-1] = lengths(xyz_mm[:-2] - 2 * xyz_mm[1:-1] + xyz_mm[2:]).mean(axis=1)
    for cut in cuts:
        size[max(cut - 1, 0) : cut + 1] = np.nan
    return size


def check_cuts(cuts: Sequence[int]) -> None:
    """Raise CadstnError unless these are increasing indices of frames."""
    whole = all(isinstance(c, Integral) and c >= 0 for c in cuts)
    if not whole or any(b <= a for a, b in itertools.pairwise(cuts)):
        raise CadstnError(
            f"cuts are {list(cuts)}",
            hint="give increasing 0-based indices of the frames that begin a new shot",
        )
