"""Joints as arrays and as a text file: what every function that scores takes, and refuses."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cadstn.errors import CadstnError
from cadstn.io.whole import write_text

FloatArray = NDArray[np.float64]
_NO_HAND_MM = 1.0  # the joints of a hand lie farther apart, those of one in metres do not


def lost_frames(xyz_mm: ArrayLike) -> NDArray[np.bool_]:
    """Which frames are lost: (N,) booleans from joints (N, K, 3).

    Raises:
        CadstnError: if the shape is wrong, or a value infinite, or a frame lost in part.
    """
    lost: NDArray[np.bool_] = np.isnan(as_prediction(xyz_mm, "joints")[:, 0, 0])
    return lost


def as_numbers(values: ArrayLike, name: str) -> FloatArray:
    """An array of float64; raises CadstnError, naming it, for what holds no numbers."""
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        why = " ".join(str(error).split())[:80]
        raise CadstnError(f"{name} holds no numbers ({why})", hint="give numbers in mm") from None


def as_joints(xyz_mm: ArrayLike, name: str) -> FloatArray:
    """Joints (N, K, 3) as float64; raises CadstnError, naming them, for another shape."""
    array = as_numbers(xyz_mm, name)
    if array.ndim != 3 or array.shape[-1] != 3 or array.size == 0:
        raise CadstnError(
            f"{name} of shape {array.shape}", hint="give joints (frames, joints, 3) in mm"
        )
    return array


def as_prediction(xyz_mm: ArrayLike, name: str = "prediction") -> FloatArray:
    """Joints (N, K, 3) whose frames are finite, or NaN throughout; raises CadstnError else."""
    pred = as_joints(xyz_mm, name)
    bad = np.isinf(pred).any(axis=(1, 2))
    nan = np.isnan(pred)
    bad |= nan.any(axis=(1, 2)) & ~nan.all(axis=(1, 2))
    if bad.any():
        frame = int(np.argmax(bad))
        count = int(np.count_nonzero(~np.isfinite(pred[frame])))
        raise CadstnError(
            f"{name} of frame {frame}: {count} of {pred[frame].size} numbers are not finite",
            hint="give finite joints, or NaN in all joints of a lost frame",
        )
    return pred


def as_pair(pred_xyz_mm: ArrayLike, truth_xyz_mm: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """A prediction and its truth of one shape, the truth finite and in mm; raises CadstnError else.

    Joints may be relative to one of them: metres show in how near to one another they lie.
    """
    pred, truth = as_prediction(pred_xyz_mm), as_joints(truth_xyz_mm, "truth")
    for axis, unit in ((1, "joints"), (0, "frames")):
        if pred.shape[axis] != truth.shape[axis]:
            raise CadstnError(
                f"prediction has {pred.shape[axis]} {unit} where the truth has {truth.shape[axis]}",
                hint=f"compare files of the same {unit}",
            )
    bad = ~np.isfinite(truth).all(axis=(1, 2))
    if bad.any():
        raise CadstnError(
            f"truth of frame {int(np.argmax(bad))} is not finite",
            hint="leave unlabelled frames out of both truth and prediction",
        )
    apart = float(np.median(np.ptp(truth, axis=1).max(axis=1)))
    if 0 < apart < _NO_HAND_MM:
        raise CadstnError(
            f"the truth's joints lie within {apart:.2g} of one another: metres?",
            hint="give mm, truth and prediction times 1000",
        )
    return pred, truth


def lengths(vectors: FloatArray) -> FloatArray:
    """Norms of (..., 3): a third of the time of np.linalg.norm."""
    squares: FloatArray = np.einsum("...i,...i", vectors, vectors)
    return np.sqrt(squares)


def number_lines(joints: FloatArray) -> Iterator[str]:
    """Lines of text with the numbers of each frame of (N, ...), three decimals each."""
    row = " ".join(["%.3f"] * math.prod(joints.shape[1:]))
    return (row % tuple(frame) for frame in joints.reshape(len(joints), -1).tolist())


def write_joints_uvd(path: str | os.PathLike[str], joints_uvd: ArrayLike) -> None:
    """Write a text file: three decimals, a lost frame as a line of ``nan``.

    The file appears whole or not at all: it is written under a temporary name and then renamed.

    Args:
        path: the file to write; one that exists is replaced.
        joints_uvd: (N, K, 3) of u px, v px, d mm; NaN in all joints of a lost frame.

    Raises:
        CadstnError: if the shape is wrong, a value is infinite, a frame lost in part, or the file
            cannot be written.
    """
    path = Path(path)
    lost_frames(joints_uvd)  # refuses what the reader would refuse
    lines = number_lines(np.asarray(joints_uvd, dtype=np.float64))
    write_text(path, "".join(f"{line}\n" for line in lines))
