"""Recordings with truth as a data set: what `cadstn synth` and `write_recording` leave.

A recording is a folder of depth PNGs with ``camera.json`` and ``truth.npz`` (``joints_xyz_mm``, all
NaN without a hand, and ``skeleton``). A set is one of them (split ``all``); a folder of them
(``all`` and each by its name); or folders ``train`` and ``test`` of them. Their cameras may differ,
their skeletons may not. Recordings in ``.npz`` files are no sets: frames are files of their own.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cadstn.data.dataset import Dataset, Joints, LeftOut
from cadstn.data.registry import Reader
from cadstn.errors import CadstnError
from cadstn.geometry.camera import Camera
from cadstn.geometry.skeleton import Skeleton
from cadstn.io import Recording, open_recording
from cadstn.io.files import error_context
from cadstn.io.layouts import check_inside

_TRUTH = "truth.npz"
#: After so long without a frame the tracker begins anew, and so does a shot.
_LONGEST_GAP_S = 0.5


def find(root: Path) -> tuple[str, ...]:
    """Splits that are there."""
    if _is_recording(root):
        return ("all",)
    splits = tuple(split for split in ("train", "test") if _recordings(root / split))
    if splits:
        return splits
    names = [folder.name for folder in _recordings(root)]
    return ("all", *names) if names else ()


def whole(splits: tuple[str, ...]) -> tuple[str, ...]:
    """``all``, or the two folders."""
    return ("all",) if "all" in splits else splits


def open_recordings(root: Path, split: str) -> Dataset:
    """Open the recordings of one of the splits that `find` gives.

    Raises:
        CadstnError: as `cadstn.io.open_recording`; if the truth does not name its joints, or
            recordings have different ones.
    """
    folders = [root] if _is_recording(root) else _recordings(root)
    if split in ("train", "test") and not folders:
        folders = _recordings(root / split)
    elif split != "all":
        folders = [root / split]
    frames: list[tuple[str, str, Camera, Joints, bool]] = []
    left_out: list[LeftOut] = []
    skeleton: Skeleton | None = None
    for folder in folders:
        recording = open_recording(folder)
        truth = recording.truth_xyz_mm
        skeleton = _same_skeleton(folder, recording, skeleton)
        place = "" if folder == root else f"{folder.relative_to(root).as_posix()}/"
        assert truth is not None
        labelled = ~np.isnan(truth[:, 0, 0])
        times_s = [recording.time_s(index) for index in range(len(recording))]
        gaps = np.flatnonzero(np.diff(times_s) > _LONGEST_GAP_S) + 1
        cuts, before = {0, *recording.cuts, *gaps.tolist()}, False
        for index, name in enumerate(recording._files):
            if labelled[index]:
                with error_context(folder / name):
                    check_inside(folder / name, folder)
                begins, joints = index in cuts or not before, truth[index].astype(np.float64)
                sequence = place.rstrip("/") or root.name
                frames.append((place + name, sequence, recording.camera, joints, begins))
            else:
                left_out.append(LeftOut(place + name, "no hand in its truth"))
            before = bool(labelled[index])
    assert skeleton is not None
    cameras = [camera for _, _, camera, _, _ in frames] or [recording.camera]
    return Dataset.labelled(
        "recordings",
        split,
        layout="recordings with truth.npz",
        folder=root,
        camera=cameras[0] if len(set(cameras)) == 1 else cameras,
        skeleton=skeleton,
        names=[name for name, _, _, _, _ in frames],
        joints_xyz_mm=np.array([xyz for _, _, _, xyz, _ in frames]).reshape(-1, len(skeleton), 3),
        sequences=[sequence for _, sequence, _, _, _ in frames],
        starts=np.array([begins for _, _, _, _, begins in frames], bool),
        cut_rule="a recording or a shot of its truth.npz begins, a hand comes back, or frames "
        "are over half a second apart",
        left_out=left_out,
    )


def _same_skeleton(folder: Path, recording: Recording, first: Skeleton | None) -> Skeleton:
    """The skeleton of a recording, which must be that of the first one."""
    theirs = recording.skeleton
    if theirs is None or recording.truth_xyz_mm is None:
        raise CadstnError(
            "does not name its joints", where=folder / _TRUTH, hint="add the array 'skeleton'"
        )
    if first is not None and theirs != first:
        raise CadstnError(
            f"has joints of {theirs.name} where the first recording has {first.name}",
            where=folder / _TRUTH,
            hint="give recordings of one skeleton",
        )
    return theirs


def _is_recording(folder: Path) -> bool:
    return (folder / _TRUTH).is_file() and (folder / "camera.json").is_file()


def _recordings(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(entry for entry in folder.iterdir() if _is_recording(entry))


READER = Reader("recordings", "camera.json, PNGs and truth.npz", find, open_recordings, whole=whole)
