"""Recordings with truth as a data set: what `cadstn synth` and `write_recording` leave.

A recording is a folder of depth PNGs with ``camera.json`` and ``truth.npz`` (``joints_xyz_mm``, all
NaN without a hand, and ``skeleton``). A set is one of them (split ``all``); a folder of them
(``all`` and each by its name); or folders ``train`` and ``test`` of them. Their cameras may differ,
their skeletons may not.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cadstn.data.dataset import Dataset, Joints, LeftOut, crop_joint
from cadstn.data.registry import Reader
from cadstn.errors import CadstnError
from cadstn.geometry.camera import Camera
from cadstn.geometry.skeleton import Skeleton
from cadstn.io import open_recording
from cadstn.io.files import read_png

_TRUTH = "truth.npz"


def find(root: Path) -> tuple[str, ...]:
    """Splits that are there."""
    if _is_recording(root):
        return ("all",)
    splits = tuple(split for split in ("train", "test") if _recordings(root / split))
    if splits:
        return splits
    names = [folder.name for folder in _recordings(root)]
    return ("all", *names) if names else ()


def folds(splits: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Train on ``train`` and test on ``test``, where there are these."""
    return (("train", "test"),) if splits == ("train", "test") else ()


def whole(splits: tuple[str, ...]) -> tuple[str, ...]:
    """``all``, or the two folders."""
    return ("all",) if "all" in splits else splits


def open_recordings(root: Path, split: str) -> Dataset:
    """Open the recordings of one split.

    Args:
        root: the set's folder.
        split: one of those that `find` gives.

    Raises:
        CadstnError: as `cadstn.io.open_recording`; if the truth does not name its joints, or
            recordings have different ones.
    """
    folders = [root] if _is_recording(root) else _recordings(root)
    if split in ("train", "test") and not folders:
        folders = _recordings(root / split)
    elif split != "all":
        folders = [root / split]
    names: list[str] = []
    sequences: list[str] = []
    cameras: list[Camera] = []
    left_out: list[LeftOut] = []
    starts: list[bool] = []
    tables: list[Joints] = []
    skeleton: Skeleton | None = None
    for folder in folders:
        recording = open_recording(folder)
        theirs, truth = recording.skeleton, recording.truth_xyz_mm
        if theirs is None or truth is None:
            raise CadstnError(
                "does not name its joints", where=folder / _TRUTH, hint="add the array 'skeleton'"
            )
        if skeleton is not None and theirs != skeleton:
            raise CadstnError(
                f"has joints of {theirs.name} where the first recording has {skeleton.name}",
                where=folder / _TRUTH,
                hint="give recordings of one skeleton",
            )
        skeleton = theirs
        place = "" if folder == root else f"{folder.relative_to(root).as_posix()}/"
        labelled = ~np.isnan(truth[:, 0, 0])
        cuts, before = {0, *recording.cuts}, False
        for index, name in enumerate(recording.names):
            if labelled[index]:
                names.append(place + name)
                starts.append(index in cuts or not before)
            else:
                left_out.append(LeftOut(place + name, "no hand in its truth"))
            before = bool(labelled[index])
        count = int(labelled.sum())
        sequences += [place.rstrip("/") or root.name] * count
        cameras += [recording.camera] * count
        tables.append(truth[labelled].astype(np.float64))
    assert skeleton is not None
    xyz = np.concatenate(tables)
    uvd = [camera.to_uvd(joints) for camera, joints in zip(cameras, xyz, strict=True)]
    one = len(set(cameras)) < 2
    return Dataset(
        name="recordings",
        split=split,
        layout="recordings with truth.npz",
        folder=root,
        camera=cameras[0] if cameras else open_recording(folders[0]).camera,
        skeleton=skeleton,
        scored=tuple(range(len(skeleton))),
        scored_skeleton=skeleton,
        center_joint=crop_joint(skeleton),
        names=tuple(names),
        joints_uvd=np.stack(uvd).astype(np.float64) if uvd else np.empty_like(xyz),
        joints_xyz_mm=xyz,
        sequences=tuple(sequences),
        subjects=("unknown",) * len(names),
        starts=np.array(starts, bool),
        cut_rule="a recording or a shot of its truth.npz begins, or a hand comes back",
        read=read_png,
        left_out=tuple(left_out),
        cameras=() if one else tuple(cameras),
    )


def _is_recording(folder: Path) -> bool:
    return (folder / _TRUTH).is_file() and (folder / "camera.json").is_file()


def _recordings(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(entry for entry in folder.iterdir() if _is_recording(entry))


READER = Reader(
    "recordings", "camera.json, PNGs and truth.npz", find, open_recordings, folds, whole
)
