"""Predictions and truth on disk: text (u v d a joint), or .npz with everything that is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np

from cadstn.data.dataset import Dataset
from cadstn.errors import CadstnError
from cadstn.evaluate import write_joints_uvd
from cadstn.evaluate.predictions import (
    NPZ_KEY,
    read_joints_npz,
    read_joints_text,
    read_npz_notes,
)
from cadstn.evaluate.protocol import PROTOCOLS, is_published_test
from cadstn.evaluate.report import Center
from cadstn.geometry.skeleton import skeleton
from cadstn.io.arrays import load_npz, npz_names
from cadstn.io.files import error_context
from cadstn.io.whole import write_npz
from cadstn.reproduce.predict import Predictions

#: Arrays without which a file is another program's.
_WRITTEN = {
    "skeleton", "centre", "window", "cuts", "network", "key", "centers_mm", "hidden", "w1_skeleton",
}  # fmt: skip

#: All arrays of a file of truth.
_TRUTH = {"joints_xyz_mm", "skeleton", "joint_names", "cuts"}


def check_writable(path: Path, dataset: Dataset) -> None:
    """Raise CadstnError if joints of a data set cannot be written under this name."""
    if path.suffix not in (".txt", ".npz"):
        raise CadstnError("neither .txt nor .npz", where=path, hint="give FILE.txt or FILE.npz")
    if path.suffix == ".txt" and dataset.several_cameras:
        raise CadstnError(
            f"u v d of {dataset.name}, whose frames have cameras of their own",
            where=path,
            hint="give FILE.npz",
        )


def check_replaceable(path: Path, dataset: Dataset) -> None:
    """Raise CadstnError if a file has this name that `cadstn predict` did not write for such a set.

    Text is replaced that holds joints of the set's, whoever wrote it; it names no author.

    Args:
        path: the file to write, by any of its names.
        dataset: whose joints are to be written.
    """
    if not path.is_file() or not path.stat().st_size:
        return
    try:
        if path.suffix == ".txt":
            read_joints_text(path, len(dataset.scored))
            return
        with error_context(path):
            held = set(npz_names(path))
        if held == _TRUTH or held >= _WRITTEN | {NPZ_KEY}:
            return
        why = f"it holds {', '.join(sorted(held))[:80] or 'nothing'}"
    except CadstnError as error:
        why = error.what
    raise CadstnError(
        f"is there and holds no joints of {dataset.scored_skeleton.name} by cadstn predict ({why})",
        where=path,
        hint="it would be overwritten: give another name, or delete it",
    )


def note_of_shots(truth: Path, out: Path, dataset: Dataset) -> str:
    """What to know of shots that two text files do not hold, nor the set's protocol; may be empty.

    Args:
        truth: the file of truth.
        out: the file of predictions.
        dataset: of both.
    """
    shots = dataset.shots().tolist()
    if truth.suffix != ".txt" or out.suffix != ".txt" or len(shots) == 1:
        return ""
    rules = PROTOCOLS.get(dataset.name)
    true_xyz_mm = dataset.joints_xyz_mm[:, list(dataset.scored)]
    if rules and is_published_test(rules, true_xyz_mm) and rules.cuts == tuple(shots[1:]):
        return ""
    return (
        f"note: text holds no shots, and these frames have {len(shots)}: to score the acceleration "
        "that is printed here, write --truth FILE.npz"
    )


def write_predictions(path: Path, predictions: Predictions, dataset: Dataset) -> None:
    """Write predictions as text (.txt, u v d a joint), or with all their parts (.npz).

    Raises:
        CadstnError: as `check_writable`, or if the file cannot be written.
    """
    check_writable(path, dataset)
    if path.suffix == ".txt":
        write_joints_uvd(path, dataset.camera.to_uvd(predictions.joints_xyz_mm))
    else:
        _write_npz(path, predictions)


def write_truth(path: Path, dataset: Dataset) -> None:
    """Write the scored joints, as text or, with the shots' first frames, as .npz.

    Raises:
        CadstnError: as `check_writable`, or if the file cannot be written.
    """
    check_writable(path, dataset)
    truth_xyz_mm = dataset.joints_xyz_mm[:, list(dataset.scored)]
    if path.suffix == ".txt":
        write_joints_uvd(path, dataset.camera.to_uvd(truth_xyz_mm))
    else:
        skeleton = dataset.scored_skeleton
        arrays = {
            "joints_xyz_mm": truth_xyz_mm,
            "skeleton": skeleton.name,
            "joint_names": np.array(skeleton.joints),
            "cuts": dataset.shots()[1:],
        }
        write_npz(path, **arrays)


def read_predictions(path: Path) -> Predictions:
    """Read what `write_predictions` wrote as .npz.

    Raises:
        CadstnError: if it is missing, damaged or another program's.
    """
    joints = read_joints_npz(path)
    notes = read_npz_notes(path)
    # Not NumPy's reader: of a damaged array it raises what zlib, zipfile or NumPy happen to raise.
    with error_context(path):
        held = load_npz(path)
    if _WRITTEN - set(held):
        raise CadstnError("not written by cadstn predict", where=path, hint="delete it")
    return Predictions(
        network=str(held["network"]),
        skeleton=skeleton(notes["skeleton"]),
        joints_xyz_mm=joints,
        center=cast(Center, notes["centre"]),
        window=int(held["window"]),
        cuts=notes["cuts"],
        key=str(held["key"]),
        centers_mm=held["centers_mm"],
        hidden=held["hidden"],
        parts_xyz_mm={
            part: held[f"{part}_xyz_mm"]
            for part in ("spatial", "temporal")
            if f"{part}_xyz_mm" in held
        },
        w1=held.get("w1"),
        w1_skeleton=str(held["w1_skeleton"]),
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
