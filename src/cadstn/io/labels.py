"""What is known of the frames besides depth: true joints, their skeleton, where shots begin."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cadstn.errors import CadstnError
from cadstn.geometry.skeleton import Skeleton
from cadstn.geometry.skeleton import skeleton as skeleton_named
from cadstn.io.arrays import load_npz
from cadstn.io.files import Arrays, error_context

LABEL_KEYS = ("joints_xyz_mm", "skeleton", "cuts")


class Labels(NamedTuple):
    """The contents of ``truth.npz``, in the order of `Recording`'s own fields."""

    skeleton: Skeleton | None = None
    truth_xyz_mm: NDArray[np.float32] | None = None
    cuts: tuple[int, ...] = ()

    @property
    def kind(self) -> tuple[str | None, int | None]:
        """Name of the skeleton and number of joints, None where there is none."""
        joints = None if self.truth_xyz_mm is None else self.truth_xyz_mm.shape[1]
        return None if self.skeleton is None else self.skeleton.name, joints


def read_labels(file: Path, frames: int) -> Labels:
    """Read a ``truth.npz``; raises CadstnError naming it."""
    with error_context(file):
        return checked_labels(load_npz(file, LABEL_KEYS), frames)


def checked_labels(arrays: Arrays, frames: int | None = None) -> Labels:
    """Check truth, skeleton and cuts against one another and, if given, the number of frames."""
    truth, name, cuts = (arrays.get(key) for key in LABEL_KEYS)
    skeleton = None if name is None else skeleton_named(str(name))
    if truth is not None:
        _check_truth(truth, skeleton, frames)
        truth = truth.astype(np.float32)
    if cuts is None:
        return Labels(skeleton, truth)
    _check_cuts(cuts, frames)
    return Labels(skeleton, truth, tuple(sorted({int(cut) for cut in cuts} - {0})))


def checked_times(arrays: Arrays, frames: int) -> NDArray[np.float64] | None:
    """Seconds of each frame, where a file holds them."""
    if "time_s" not in arrays:
        return None
    times_s = np.asarray(arrays["time_s"])
    if times_s.shape != (frames,) or times_s.dtype.kind not in "iuf":
        raise CadstnError(
            f"time_s is {times_s.dtype} of shape {times_s.shape}",
            hint=f"store {frames} numbers, seconds from the first frame on",
        )
    times_s = times_s.astype(np.float64)  # differences of unsigned numbers would wrap around
    if not (np.isfinite(times_s).all() and (np.diff(times_s) > 0).all()):
        raise CadstnError("time_s does not go forward", hint="store seconds that increase")
    return times_s


def _check_truth(truth: NDArray[Any], skeleton: Skeleton | None, frames: int | None) -> None:
    if truth.ndim != 3 or truth.shape[2] != 3 or not truth.size or truth.dtype.kind != "f":
        raise CadstnError(
            f"joints_xyz_mm is {truth.dtype} of shape {truth.shape}",
            hint="give (frames, joints, 3) floats in mm",
        )
    if frames is not None and len(truth) != frames:
        raise CadstnError(
            f"truth has {len(truth)} rows where the recording has {frames} frames",
            hint="give one row a frame, NaN where there is no hand",
        )
    if skeleton is not None and truth.shape[1] != len(skeleton):
        raise CadstnError(
            f"truth has {truth.shape[1]} joints where {skeleton.name} has {len(skeleton)}",
            hint="name the skeleton of these joints, or none",
        )
    finite = np.isfinite(truth).all(axis=(1, 2))
    torn = ~(finite | np.isnan(truth).all(axis=(1, 2)))
    if torn.any():
        raise CadstnError(
            f"truth of frame {int(torn.argmax())} is finite only in part",
            hint="give finite joints, or NaN in all of them where there is no hand",
        )


def _check_cuts(cuts: NDArray[Any], frames: int | None) -> None:
    hint = "give the 0-based indices of frames that begin a shot"
    if cuts.ndim != 1 or cuts.dtype.kind not in "iu":
        raise CadstnError(f"cuts are {cuts.dtype} of shape {cuts.shape}", hint=hint)
    wrong = [int(cut) for cut in cuts if cut < 0 or (frames is not None and cut >= frames)]
    if wrong:
        raise CadstnError(f"no frame {wrong[0]} to cut at", hint=hint)
