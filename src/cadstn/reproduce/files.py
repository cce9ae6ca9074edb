"""Predictions and truth on disk: text (u v d a joint), or .npz with everything that is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from cadstn.data.dataset import Dataset
from cadstn.errors import CadstnError
from cadstn.evaluate import write_joints_uvd
from cadstn.evaluate.predictions import read_joints_npz, read_npz_notes
from cadstn.evaluate.report import Center
from cadstn.geometry.skeleton import skeleton
from cadstn.io.whole import write_npz
from cadstn.reproduce.predict import Predictions


def write_predictions(path: Path, predictions: Predictions, dataset: Dataset) -> None:
    """Write predictions as text (.txt, u v d a joint), or with all their parts (.npz).

    Raises:
        CadstnError: if the ending is neither, or the file cannot be written.
    """
    if path.suffix == ".txt":
        _write_text(path, predictions.joints_xyz_mm, dataset)
    elif path.suffix == ".npz":
        _write_npz(path, predictions)
    else:
        raise CadstnError("neither .txt nor .npz", where=path, hint="give --out FILE.txt")


def write_truth(path: Path, dataset: Dataset) -> None:
    """Write the scored joints, as text or, with the shots' first frames, as .npz.

    Raises:
        CadstnError: if the ending is neither, or the file cannot be written.
    """
    truth_xyz_mm = dataset.joints_xyz_mm[:, list(dataset.scored)]
    if path.suffix == ".txt":
        _write_text(path, truth_xyz_mm, dataset)
    elif path.suffix == ".npz":
        skeleton = dataset.scored_skeleton
        arrays = {
            "joints_xyz_mm": truth_xyz_mm,
            "skeleton": skeleton.name,
            "joint_names": np.array(skeleton.joints),
            "cuts": dataset.shots()[1:],
        }
        write_npz(path, **arrays)
    else:
        raise CadstnError("neither .txt nor .npz", where=path, hint="give --truth FILE.npz")


def _write_text(path: Path, joints_xyz_mm: NDArray[np.float64], dataset: Dataset) -> None:
    if dataset.several_cameras:
        raise CadstnError(
            f"u v d of {dataset.name}, whose frames have cameras of their own",
            where=path,
            hint="give FILE.npz",
        )
    write_joints_uvd(path, dataset.camera.to_uvd(joints_xyz_mm))


def read_predictions(path: Path) -> Predictions:
    """Read what `write_predictions` wrote as .npz.

    Raises:
        CadstnError: if it is missing, damaged or another program's.
    """
    joints = read_joints_npz(path)
    notes = read_npz_notes(path)
    with np.load(path, allow_pickle=False) as archive:
        if "key" not in archive.files:
            raise CadstnError("not written by cadstn predict", where=path, hint="delete it")
        parts = {
            part: archive[f"{part}_xyz_mm"]
            for part in ("spatial", "temporal")
            if f"{part}_xyz_mm" in archive.files
        }
        return Predictions(
            network=str(archive["network"]),
            skeleton=skeleton(notes["skeleton"]),
            joints_xyz_mm=joints,
            center=cast(Center, notes["centre"]),
            window=int(archive["window"]),
            cuts=notes["cuts"],
            key=str(archive["key"]),
            centers_mm=archive["centers_mm"],
            hidden=archive["hidden"],
            parts_xyz_mm=parts,
            w1=archive["w1"] if "w1" in archive.files else None,
            w1_skeleton=str(archive["w1_skeleton"]),
        )


def _write_npz(path: Path, p: Predictions) -> None:
    arrays: dict[str, Any] = {
        "joints_xyz_mm": p.joints_xyz_mm.astype(np.float32),
        "skeleton": p.skeleton.name,
        "joint_names": np.array(p.skeleton.joints),
        "centre": p.center,
        "window": p.window,
        "cuts": np.array(p.cuts, np.int64),
        "network": p.network,
        "key": p.key,
        "centers_mm": p.centers_mm,
        "hidden": p.hidden,
        "w1_skeleton": p.w1_skeleton,
        **{f"{part}_xyz_mm": xyz.astype(np.float32) for part, xyz in p.parts_xyz_mm.items()},
    }
    if p.w1 is not None:
        arrays["w1"] = p.w1.astype(np.float32)
    write_npz(path, **arrays)
