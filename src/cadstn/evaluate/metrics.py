"""How far predicted joints are from the truth, and how steadily they move.

Every function takes joints ``(N, K, 3)`` in mm: N frames in the order of the recording, K joints.
A *lost* frame, one in which no hand was found, is NaN in all of its joints. It must neither vanish
from a result nor poison it, so the rule is the same everywhere:

* mean errors, medians and motion are over the frames that were found, and ``Scores.lost`` says
  how many were not;
* accuracy counts a lost frame as not within any threshold.

A frame of which only some joints are NaN, and an infinity anywhere, are refused: dropping such a
frame would flatter the result, and no convention of the field says how to count it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cadstn.errors import CadstnError

FloatArray = NDArray[np.float64]

#: Thresholds that ``score`` reports the accuracy at, in mm.
ACCURACY_MM = (20, 30, 40)


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
        cuts: the frames that were taken to begin a new shot.
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

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; what could not be measured is None, as JSON has no NaN."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        values["accuracy"] = {str(mm): _or_none(a) for mm, a in self.accuracy.items()}
        values["per_joint_error_mm"] = [_or_none(e) for e in self.per_joint_error_mm]
        values["cuts"] = list(self.cuts)
        return {
            name: _or_none(value) if isinstance(value, float) else value
            for name, value in values.items()
        }


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
    pred, truth = _pair(pred_xyz_mm, truth_xyz_mm)
    errors: FloatArray = np.linalg.norm(pred - truth, axis=-1)
    return errors


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
        CadstnError: as ``joint_errors_mm``.
    """
    worst_mm = joint_errors_mm(pred_xyz_mm, truth_xyz_mm).max(axis=1)
    worst_mm = np.sort(np.where(np.isnan(worst_mm), np.inf, worst_mm))
    limits_mm = np.atleast_1d(np.asarray(thresholds_mm, dtype=np.float64))
    # One binary search for each threshold; "right" because eq. 9 counts an error equal to it. The
    # bound keeps lost frames out even of an infinite threshold.
    within = np.searchsorted(worst_mm, limits_mm, side="right")
    found = np.count_nonzero(np.isfinite(worst_mm))
    return np.minimum(within, found) / len(worst_mm)


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
    pred, truth = _pair(pred_xyz_mm, truth_xyz_mm)
    # The second difference is linear: that of the difference is the difference of the two.
    return _mean_acceleration(pred - truth, cuts)


def jitter(xyz_mm: ArrayLike, cuts: Sequence[int] = ()) -> float:
    """Mean of |a| over frames and joints in mm/frame^2, with the same rules for lost and cuts.

    Args:
        xyz_mm: (N, K, 3) mm.
        cuts: as in ``acceleration_error``.

    Raises:
        CadstnError: as ``acceleration_error``.
    """
    return _mean_acceleration(_prediction(xyz_mm), cuts)


def lost_frames(xyz_mm: ArrayLike) -> NDArray[np.bool_]:
    """Which frames are lost: (N,) booleans from joints (N, K, 3).

    Raises:
        CadstnError: if the shape is wrong, or a value infinite, or a frame lost in part.
    """
    lost: NDArray[np.bool_] = np.isnan(_prediction(xyz_mm, "joints")[:, 0, 0])
    return lost


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
    pred, truth = _pair(pred_xyz_mm, truth_xyz_mm)
    errors = joint_errors_mm(pred, truth)
    found = errors[~np.isnan(errors[:, 0])]
    per_joint = _per_joint(errors)
    within = accuracy(pred, truth, ACCURACY_MM)
    return Scores(
        frames=len(pred),
        of=len(pred) if of is None else of,
        lost=len(pred) - len(found),
        mean_error_mm=float(per_joint.mean()),
        median_error_mm=float(np.median(found)) if found.size else math.nan,
        per_joint_error_mm=tuple(float(e) for e in per_joint),
        accuracy={mm: float(a) for mm, a in zip(ACCURACY_MM, within, strict=True)},
        acceleration_error_mm_frame2=acceleration_error(pred, truth, cuts),
        jitter_mm_frame2=jitter(pred, cuts),
        truth_jitter_mm_frame2=jitter(truth, cuts),
        cuts=tuple(int(c) for c in cuts if c < len(pred)),
    )


def _per_joint(errors: FloatArray) -> FloatArray:
    """Mean over the found frames of (N, K) errors."""
    found = errors[~np.isnan(errors[:, 0])]
    mean: FloatArray = found.mean(axis=0) if len(found) else np.full(errors.shape[1], np.nan)
    return mean


def _mean_acceleration(xyz_mm: FloatArray, cuts: Sequence[int]) -> float:
    _check_cuts(cuts)
    size = np.linalg.norm(xyz_mm[:-2] - 2 * xyz_mm[1:-1] + xyz_mm[2:], axis=-1)
    # Row i spans frames i, i+1, i+2; NaN of a lost frame has spread to every row that spans it.
    whole = ~np.isnan(size).any(axis=1)
    for cut in cuts:
        whole[max(cut - 2, 0) : cut] = False
    return float(size[whole].mean()) if whole.any() else math.nan


def _check_cuts(cuts: Sequence[int]) -> None:
    if any(c < 0 for c in cuts) or any(b <= a for a, b in itertools.pairwise(cuts)):
        raise CadstnError(
            f"cuts are {list(cuts)}",
            mend="give increasing 0-based indices of the frames that begin a new shot",
        )


def _joints(xyz_mm: ArrayLike, name: str) -> FloatArray:
    array = np.asarray(xyz_mm, dtype=np.float64)
    if array.ndim != 3 or array.shape[-1] != 3 or array.size == 0:
        raise CadstnError(
            f"{name} of shape {array.shape}", mend="give joints (frames, joints, 3) in mm"
        )
    return array


def _prediction(xyz_mm: ArrayLike, name: str = "prediction") -> FloatArray:
    pred = _joints(xyz_mm, name)
    bad = np.isinf(pred).any(axis=(1, 2))
    nan = np.isnan(pred)
    bad |= nan.any(axis=(1, 2)) & ~nan.all(axis=(1, 2))
    if bad.any():
        frame = int(np.argmax(bad))
        count = int(np.count_nonzero(~np.isfinite(pred[frame])))
        raise CadstnError(
            f"{name} of frame {frame}: {count} of {pred[frame].size} numbers are not finite",
            mend="give finite joints, or NaN in all joints of a lost frame",
        )
    return pred


def _pair(pred_xyz_mm: ArrayLike, truth_xyz_mm: ArrayLike) -> tuple[FloatArray, FloatArray]:
    pred, truth = _prediction(pred_xyz_mm), _joints(truth_xyz_mm, "truth")
    for axis, unit in ((1, "joints"), (0, "frames")):
        if pred.shape[axis] != truth.shape[axis]:
            raise CadstnError(
                f"prediction has {pred.shape[axis]} {unit} where the truth has {truth.shape[axis]}",
                mend=f"compare files of the same {unit}",
            )
    bad = ~np.isfinite(truth).all(axis=(1, 2))
    if bad.any():
        raise CadstnError(
            f"truth of frame {int(np.argmax(bad))} is not finite",
            mend="leave unlabelled frames out of both truth and prediction",
        )
    return pred, truth


def _or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None
