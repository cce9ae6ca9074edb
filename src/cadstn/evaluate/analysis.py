"""What the paper's tables leave out: motion, visibility, simple mixtures beside a learned fusion.

All joints are (N, K, 3) in mm; ``cuts`` are the frames that begin a new shot.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cadstn.evaluate.metrics import joint_errors_mm
from cadstn.geometry.camera import Camera, DepthMm
from cadstn.io.joints import FloatArray

#: Thresholds of the curves of figures 6 and 10, in mm.
CURVE_MM: FloatArray = np.arange(0.0, 80.5, 0.5)

#: Edges of the bins of speed, mm a frame: mean over joints of the distance from the frame before.
SPEED_EDGES_MM = (0.0, 1.0, 2.0, 5.0, 10.0, 20.0, math.inf)

#: A joint whose truth lies deeper than this behind the surface at its pixel is hidden by another
#: part: NYU's labels lie up to 40 mm under their own skin.
HIDDEN_MM = 40.0

_AROUND = np.array([(i, j) for j in (-1, 0, 1) for i in (-1, 0, 1)]).T

#: The fixed weights of table V.
FIXED_WEIGHTS = tuple(round(0.1 * i, 1) for i in range(1, 10))


@dataclass(frozen=True)
class Bin:
    """Mean error of a part of the joints."""

    name: str  # which part, in words
    count: int  # how many joints of how many frames it holds
    mean_error_mm: float  # of these; NaN where there are none


def speeds_mm(truth_xyz_mm: ArrayLike, cuts: Sequence[int] = ()) -> FloatArray:
    """Mean over joints of how far each moved since the frame before: (N,) mm, NaN after a cut."""
    truth = np.asarray(truth_xyz_mm, np.float64)
    speed = np.full(len(truth), np.nan)
    speed[1:] = np.linalg.norm(np.diff(truth, axis=0), axis=-1).mean(axis=1)
    speed[[cut for cut in cuts if cut < len(truth)]] = np.nan
    return speed


def error_by_speed(errors_mm: ArrayLike, speed_mm: FloatArray) -> list[Bin]:
    """Mean error of frames by how fast the true hand moves; first frames of shots are left out.

    Args:
        errors_mm: (N, K).
        speed_mm: (N,) as of `speeds_mm`.
    """
    errors = np.asarray(errors_mm)
    found = ~np.isnan(errors[:, 0])
    bins = []
    for low, high in itertools.pairwise(SPEED_EDGES_MM):
        chosen = errors[found & (speed_mm >= low) & (speed_mm < high)]
        name = f"{low:g} to {high:g}" if math.isfinite(high) else f"over {low:g}"
        bins.append(Bin(f"{name} mm/frame", chosen.size, _mean(chosen)))
    return bins


def hidden_joints(joints_xyz_mm: ArrayLike, depth_mm: DepthMm, camera: Camera) -> NDArray[np.int8]:
    """Judge for each joint of a frame whether the camera sees the part it belongs to.

    Args:
        joints_xyz_mm: (K, 3) truth, camera frame.
        depth_mm: (H, W), 0 where nothing was measured.
        camera: the camera that took it.

    Returns:
        (K,): 0 seen, 1 hidden (the surface around its pixel, the median of 3 x 3, lies more than
        ``HIDDEN_MM`` before it), 2 unknown (nothing measured there, or outside the image).
    """
    uvd = camera.to_uvd(np.asarray(joints_xyz_mm, np.float64))
    height, width = depth_mm.shape
    column, row = (np.nan_to_num(np.clip(uvd[:, i], -9, 99_999), nan=-9) for i in (0, 1))
    columns = (column + 0.5).astype(np.int64)[:, None] + _AROUND[0]
    rows = (row + 0.5).astype(np.int64)[:, None] + _AROUND[1]
    inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    surface = depth_mm[rows.clip(0, height - 1), columns.clip(0, width - 1)].astype(np.float64)
    surface[~inside | (surface <= 0)] = np.inf
    # The median of what was measured around: one flying pixel must not hide a joint.
    surface.sort(axis=1)
    measured = np.isfinite(surface).sum(axis=1)
    middle = surface[np.arange(len(uvd)), np.maximum(measured - 1, 0) // 2]
    known = (measured > 0) & (uvd[:, 2] > 0)
    hidden = known & (uvd[:, 2] - np.where(known, middle, 0.0) > HIDDEN_MM)
    return np.where(known, hidden, 2).astype(np.int8)


def error_by_visibility(errors_mm: ArrayLike, hidden: NDArray[np.int8]) -> list[Bin]:
    """Mean error of joints that are seen, hidden, or at a pixel without depth.

    Args:
        errors_mm: (N, K).
        hidden: (N, K) as of `hidden_joints`.
    """
    errors = np.asarray(errors_mm)
    found = ~np.isnan(errors)
    names = ("seen", f"hidden by over {HIDDEN_MM:g} mm", "no depth at its pixel")
    bins = []
    for code, name in enumerate(names):
        chosen = errors[found & (hidden == code)]
        bins.append(Bin(name, chosen.size, _mean(chosen)))
    return bins


def exponential_average(
    pred_xyz_mm: ArrayLike, new_weight: float, cuts: Sequence[int] = ()
) -> FloatArray:
    """Causal exponential average, restarted at each shot and after a lost frame: (N, K, 3).

    Args:
        pred_xyz_mm: (N, K, 3).
        new_weight: of the new frame, in (0, 1]; 1 changes nothing.
        cuts: frames that begin a new shot.
    """
    smooth = np.array(pred_xyz_mm, np.float64)
    begins = set(cuts)
    for t in range(1, len(smooth)):
        if t not in begins and not np.isnan(smooth[t - 1, 0, 0]):
            smooth[t] = new_weight * smooth[t] + (1 - new_weight) * smooth[t - 1]
    return smooth


def fixed_weight_errors_mm(
    temporal_xyz_mm: ArrayLike,
    spatial_xyz_mm: ArrayLike,
    truth_xyz_mm: ArrayLike,
    weights: Sequence[float] = FIXED_WEIGHTS,
) -> FloatArray:
    """Mean error of ``w * temporal + (1 - w) * spatial`` for each fixed w (table V): (M,) mm.

    NaN where no frame is in both.
    """
    temporal, spatial = np.asarray(temporal_xyz_mm), np.asarray(spatial_xyz_mm)
    errors = [joint_errors_mm(w * temporal + (1 - w) * spatial, truth_xyz_mm) for w in weights]
    return np.array([_mean(some[~np.isnan(some)]) for some in errors], np.float64)


def best_fixed_weight(
    temporal_xyz_mm: ArrayLike, spatial_xyz_mm: ArrayLike, truth_xyz_mm: ArrayLike
) -> float:
    """Return the fixed w in 0, 0.01 ... 1 with the least mean error on these frames.

    Chosen on the frames that it is scored on it is an oracle; chosen on validation it is fair.
    """
    weights = [i / 100 for i in range(101)]
    errors = fixed_weight_errors_mm(temporal_xyz_mm, spatial_xyz_mm, truth_xyz_mm, weights)
    return weights[int(np.argmin(errors))]


def share_outside(
    fused_xyz_mm: ArrayLike, one_xyz_mm: ArrayLike, other_xyz_mm: ArrayLike
) -> tuple[float, float]:
    """How far a fusion leaves the interval between its two experts, which eq. 6 cannot.

    Args:
        fused_xyz_mm: (N, K, 3).
        one_xyz_mm: (N, K, 3) of one expert.
        other_xyz_mm: (N, K, 3) of the other.

    Returns:
        The share of the coordinates that lie outside by more than 0.01 mm, which is rounding, and
        the largest such distance in mm. Frames that one of the three lost are left out; NaN if none
        is left.
    """
    experts = np.stack([np.asarray(one_xyz_mm, np.float64), np.asarray(other_xyz_mm, np.float64)])
    fused = np.asarray(fused_xyz_mm, np.float64)
    beyond = np.maximum(experts.min(0) - fused, fused - experts.max(0))
    beyond = beyond[~np.isnan(beyond[:, 0, 0])]
    if not len(beyond):
        return math.nan, math.nan
    return float(np.mean(beyond > 0.01)), float(beyond.max())


def _mean(values: FloatArray) -> float:
    return float(values.mean()) if values.size else math.nan
