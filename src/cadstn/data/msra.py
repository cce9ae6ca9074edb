"""MSRA15 hand gesture (Sun et al., "Cascaded Hand Pose Regression", CVPR 2015).

``P0`` to ``P8``, in each one folder a gesture, in it ``000000_depth.bin`` and on (six int32: width,
height, left, top, right, bottom; then float32 depth in mm of that box, rows first) and
``joint.txt`` (a count, then 21 x (x, y, z) a line in mm). There y points up and z is negative; here
y points down and z is positive as everywhere.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cadstn.data.dataset import Dataset, Joints, change_starts
from cadstn.data.files import half_unpacked, parse_numbers, read_lines
from cadstn.data.registry import Pairs, Reader
from cadstn.errors import CadstnError
from cadstn.geometry.camera import KNOWN_CAMERAS, Camera, DepthMm
from cadstn.geometry.skeleton import MSRA21
from cadstn.io.arrays import read_regular
from cadstn.io.files import error_context
from cadstn.io.joints import number_lines
from cadstn.io.whole import write_bytes, write_text

CAMERA = KNOWN_CAMERAS["msra"]
SUBJECTS = tuple(f"P{number}" for number in range(9))
GESTURES = (*"123456789", "I", "IP", "L", "MP", "RP", "T", "TIP", "Y")
CUT_RULE = "a gesture of a subject begins"
#: Frames with wrong pictures or labels. Source: the list in DeepPrior++'s importer.
FAULTY: dict[str, tuple[int, ...]] = {
    "P2/TIP": (172, 173, 174),
    "P2/MP": (173, 174, 175, *range(345, 355), 356, 359, 360),
    "P3/T": (120, 489),
    "P8/4": (168,),
}
_HEADER = 24
_TO_OURS = np.array([1.0, -1.0, -1.0])
_HINT = "copy it again from the set's archive"
_LABEL_HINT = "a count, then 21 x (x y z) a line; copy it again from the set's archive"


def frame_name(index: int) -> str:
    """Name of the frame with a 0-based index."""
    return f"{index:06d}_depth.bin"


def subjects_in(root: Path) -> tuple[str, ...]:
    """Those of the nine subjects that are there."""
    return tuple(subject for subject in SUBJECTS if (root / subject).is_dir())


def subjects_of(split: str, there: tuple[str, ...]) -> tuple[str, ...]:
    """Subjects that a split is made of, out of those there."""
    kind, _, subject = split.rpartition("-")
    if kind == "train":
        return tuple(other for other in there if other != subject)
    if split == "all":
        return there
    return tuple(other for other in there if other == subject)


def find(root: Path) -> tuple[str, ...]:
    """Splits that are there; raises CadstnError for subjects without any labels."""
    there = subjects_in(root)
    if not there:
        return ()
    if not any((entry / "joint.txt").is_file() for s in there for entry in (root / s).iterdir()):
        raise half_unpacked(root, there[0], "no gesture with a joint.txt in it")
    more = () if len(there) == 1 else (f"{kind}-{s}" for kind in ("train", "test") for s in there)
    return ("all", *there, *more)


def folds(splits: tuple[str, ...]) -> Pairs:
    """Leave one subject out, each in turn."""
    there = [split.removeprefix("train-") for split in splits if split.startswith("train-")]
    return tuple((f"train-{subject}", f"test-{subject}") for subject in there)


def open_msra(root: Path, split: str) -> Dataset:
    """Open some of the subjects of a folder.

    Args:
        root: the folder that holds ``P0`` to ``P8``.
        split: ``all``, a subject such as ``P3``, ``train-P3`` (everybody but P3), or ``test-P3``,
            which is the same as ``P3``.

    Raises:
        CadstnError: if a subject's folder, a gesture's labels or their frames are missing, or a
            label makes no sense.
    """
    tables: dict[str, Joints] = {}
    for subject in subjects_of(split, subjects_in(root)):
        for gesture in _gestures(root / subject):
            folder = root / subject / gesture
            joints = tables[f"{subject}/{gesture}"] = read_labels(folder / "joint.txt")
            if not (folder / frame_name(0)).is_file() and not any(folder.glob("*_depth.bin")):
                labels = f"the labels of {len(joints)} frames"
                hint = "unpack the whole set: the frames lie beside joint.txt"
                raise half_unpacked(folder, labels, f"not {frame_name(0)}", hint)
    frames = [(sequence, i) for sequence, joints in tables.items() for i in range(len(joints))]
    sequences = tuple(sequence for sequence, _ in frames)
    return Dataset.labelled(
        "msra",
        split,
        layout="MSRA15: P0 to P8, a folder a gesture",
        folder=root,
        camera=CAMERA,
        skeleton=MSRA21,
        center_joint=5,
        names=[f"{sequence}/{frame_name(i)}" for sequence, i in frames],
        joints_xyz_mm=np.concatenate(list(tables.values())) if tables else np.empty((0, 21, 3)),
        sequences=sequences,
        subjects=[sequence.split("/")[0] for sequence in sequences],
        starts=change_starts(sequences),
        cut_rule=CUT_RULE,
        read=read_bin,
        faulty=[f"{s}/{frame_name(i)}" for s, i in frames if i in FAULTY.get(s, ())],
    )


def _gestures(folder: Path) -> list[str]:
    """Folders of gestures, the set's own first and in its order."""
    with error_context(folder):
        there = {entry.name for entry in folder.iterdir() if (entry / "joint.txt").is_file()}
    if not there:
        raise CadstnError(
            "no gesture with a joint.txt in it", where=folder, hint="unpack the whole set"
        )
    return [g for g in GESTURES if g in there] + sorted(there.difference(GESTURES))


def read_labels(file: Path) -> Joints:
    """Read a ``joint.txt``: (N, 21, 3) mm in our frame (y down, z forward).

    Raises:
        CadstnError: naming file and line, where the count and the lines disagree or a line is not
            63 finite numbers.
    """
    first, *rows = read_lines(file, _LABEL_HINT)
    if not re.fullmatch(r"\d{1,9}", first):
        raise CadstnError(f"line 1 is '{first[:40]}', not a count", where=file, hint=_LABEL_HINT)
    if int(first) != len(rows):
        raise CadstnError(
            f"line 1 counts {first} frames where {len(rows)} follow", where=file, hint=_LABEL_HINT
        )
    table = parse_numbers(file, rows, 63, first_line=2, hint=_LABEL_HINT)
    joints: Joints = table.reshape(-1, 21, 3) * _TO_OURS
    if len(joints) and not (joints[..., 2] > 0).all():
        line = 2 + int(np.argwhere(joints[..., 2] <= 0)[0, 0])
        raise CadstnError(
            f"line {line}: a joint's z is not negative, so it lies behind the camera",
            where=file,
            hint=_LABEL_HINT,
        )
    return joints


def read_bin(file: Path, camera: Camera) -> DepthMm:
    """Read one ``.bin``: (H, W) mm, 0 outside its box.

    Raises:
        CadstnError: naming the file, if it is cut off, or its box does not lie in the image.
    """
    with error_context(file):
        data = read_regular(file)
        if len(data) < _HEADER:
            raise CadstnError(f"cut off after {len(data)} bytes", hint=_HINT)
        width, height, left, top, right, bottom = np.frombuffer(data, "<i4", 6).tolist()
        camera.sized(width, height)
        if not (0 <= left <= right <= width and 0 <= top <= bottom <= height):
            raise CadstnError(
                f"its box ({left}, {top}) to ({right}, {bottom}) is not in {width}x{height}",
                hint=_HINT,
            )
        need = _HEADER + 4 * (right - left) * (bottom - top)
        if len(data) != need:
            raise CadstnError(f"holds {len(data)} bytes, its box needs {need}", hint=_HINT)
        box = np.frombuffer(data, "<f4", offset=_HEADER).reshape(bottom - top, right - left)
        depth = np.zeros((height, width), np.float32)
        depth[top:bottom, left:right] = box
        # What is not a distance was not measured.
        depth[~np.isfinite(depth) | (depth < 0) | np.isin(depth, camera.invalid)] = 0.0
        if not depth.any():
            raise CadstnError("nothing measured in its box", hint="leave this frame out")
        return depth


def write_bin(file: Path, depth_mm: NDArray[np.float32]) -> None:
    """Write (H, W) depth, 0 where nothing was measured or the hand is not: the box of the rest."""
    rows, columns = np.flatnonzero(depth_mm.any(1)), np.flatnonzero(depth_mm.any(0))
    top, bottom = (int(rows[0]), int(rows[-1]) + 1) if len(rows) else (0, 0)
    left, right = (int(columns[0]), int(columns[-1]) + 1) if len(columns) else (0, 0)
    height, width = depth_mm.shape
    header = np.array([width, height, left, top, right, bottom], "<i4").tobytes()
    box = np.ascontiguousarray(depth_mm[top:bottom, left:right], "<f4").tobytes()
    write_bytes(file, header + box, durable=False)


def write_labels(file: Path, joints_xyz_mm: Joints) -> None:
    """Write a ``joint.txt`` of joints (N, 21, 3) in our frame, with three decimals."""
    lines = number_lines(joints_xyz_mm * _TO_OURS)
    write_text(file, "".join(f"{line}\n" for line in (str(len(joints_xyz_mm)), *lines)))


READER = Reader("msra", "P0/ to P8/ with joint.txt", find, open_msra, folds, lambda _: ("all",))
