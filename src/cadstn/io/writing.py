"""Write a recording, whole or not at all."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cadstn.errors import CadstnError, CadstnWarning
from cadstn.geometry.camera import Camera
from cadstn.geometry.skeleton import SKELETONS, Skeleton
from cadstn.io.files import Arrays, error_context, write_png
from cadstn.io.labels import checked_labels, checked_times
from cadstn.io.times import unit_of_times
from cadstn.io.whole import new_path

_Frames = Iterable[tuple[NDArray[np.uint16], Camera]]


def write_recording(
    path: str | Path,
    depth_units: Iterable[NDArray[np.uint16]],
    camera: Camera,
    *,
    truth_xyz_mm: ArrayLike | None = None,
    skeleton: Skeleton | None = None,
    cuts: Sequence[int] = (),
    time_s: ArrayLike | None = None,
) -> None:
    """Write a recording: a folder, or one file if the name ends in ``.npz``.

    A folder is written frame by frame; an ``.npz`` file is gathered in memory first. Either appears
    whole or not at all: it is written under a temporary name beside it and then renamed.

    Args:
        path: must not exist, or be empty.
        depth_units: raw frames, (H, W) uint16 in the camera's unit. NYU's packing is done here.
        camera: what took them; a size of 0 is taken from the frames. One of metres is refused.
        truth_xyz_mm: (N, K, 3) joints in mm, all NaN in frames without a hand.
        skeleton: the joints' convention, one of `SKELETONS`.
        cuts: indices of the first frames of all shots but the first, in any order.
        time_s: (N,) seconds of the frames, which increase; an ``.npz`` file keeps them.

    Raises:
        CadstnError: naming the path, if something is there, it cannot be written, or a frame, the
            truth, the skeleton, a cut or a time makes no sense.

    Warns:
        CadstnWarning: where times are likely milliseconds or finer, by the camera's frame rate.
    """
    path = Path(path)
    arrays: dict[str, Any] = {}
    with error_context(path):
        if camera.encoding == "metres":
            raise CadstnError(
                "raw frames are whole numbers, and the camera's are floats in metres",
                hint="give uint16 steps, and a camera with the millimetres of one",
            )
        if truth_xyz_mm is not None:
            arrays["joints_xyz_mm"] = np.asarray(truth_xyz_mm, dtype=np.float32)
        if skeleton is not None:
            if SKELETONS.get(skeleton.name) != skeleton:
                raise CadstnError(
                    f"skeleton '{skeleton.name}' is not a known one",
                    hint=f"give one of {', '.join(SKELETONS)}, or none",
                )
            arrays["skeleton"] = np.array(skeleton.name)
        if len(cuts):
            arrays["cuts"] = np.asarray(cuts)
        if time_s is not None:
            if path.suffix.lower() != ".npz":
                raise CadstnError("a folder keeps no times", hint="give the name of an .npz file")
            arrays["time_s"] = np.asarray(time_s)
            _warn_of_times(arrays["time_s"], camera.fps, path)
        labels = checked_labels(arrays)  # what is wrong whatever the frames, before they are made
        arrays.pop("cuts", None)
        if labels.cuts:
            arrays["cuts"] = np.array(labels.cuts)
    write = _write_npz if path.suffix.lower() == ".npz" else _write_folder
    with new_path(path) as temporary:
        write(temporary, _checked(depth_units, camera, path), arrays, path)


def _warn_of_times(times: NDArray[Any], fps: float, path: Path) -> None:
    """Warn of times that are likely no seconds; refused, whole recordings would be lost."""
    if times.ndim != 1 or times.dtype.kind not in "iuf":
        return  # an error, once the number of frames is known
    if (unit := unit_of_times(times, fps)) is not None:
        step = float(np.median(np.diff(times)))
        warnings.warn(
            f"{path}: time_s is {step:.3g} apart: {unit}?; give seconds, or each frame begins a "
            "new stream",
            CadstnWarning,
            stacklevel=3,
        )


def _checked(
    depth_units: Iterable[NDArray[np.uint16]], camera: Camera, path: Path
) -> Iterator[tuple[NDArray[np.uint16], Camera]]:
    """Raw frames as they come, each with the sized camera; the first wrong one is an error."""
    for index, frame in enumerate(depth_units):
        units, where = np.asarray(frame), f"{path}, frame {index}"
        if units.ndim != 2 or units.size == 0 or units.dtype != np.uint16:
            raise CadstnError(
                f"{units.dtype} of shape {units.shape}", where=where, hint="give (H, W) uint16"
            )
        with error_context(where):
            camera = camera.sized(units.shape[1], units.shape[0])
        yield units, camera


def _write_folder(folder: Path, frames: _Frames, labels: Arrays, path: Path) -> None:
    with error_context(path):
        folder.mkdir()
    count = 0
    for units, camera in frames:  # outside error_context: the caller's code runs here
        with error_context(path):
            write_png(folder / f"{count:06d}.png", units, camera)
        count += 1
    with error_context(path):
        _must_hold_frames(count, labels)
        (folder / "camera.json").write_text(camera.to_json(), encoding="utf-8")
        if labels:
            np.savez_compressed(folder / "truth.npz", **labels)


def _write_npz(file: Path, frames: _Frames, labels: Arrays, path: Path) -> None:
    # Copied, because a caller may fill the same array again.
    gathered = [(units.copy(), camera) for units, camera in frames]
    with error_context(path):
        _must_hold_frames(len(gathered), labels)
        depth = np.stack([units for units, _ in gathered])
        camera = np.array(gathered[0][1].to_json())
        with file.open("wb") as opened:  # np.savez would append .npz to a name
            np.savez_compressed(opened, depth=depth, camera=camera, **labels)


def _must_hold_frames(count: int, labels: Arrays) -> None:
    if count == 0:
        raise CadstnError("no frames to write", hint="give at least one")
    checked_labels(labels, count)
    checked_times(labels, count)
