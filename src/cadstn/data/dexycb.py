"""DexYCB (Chao et al., CVPR 2021): hands that grasp objects, seen by eight cameras.

``SUBJECT/SEQUENCE/SERIAL/`` holds ``aligned_depth_to_color_000000.png`` (16-bit, 640x480, mm, in
the colour camera's pixels) and ``labels_000000.npz`` with ``joint_3d`` (1, 21, 3) in metres in that
camera's frame, -1 throughout without a hand; the joints are in the order of ``hand21``.
``calibration/intrinsics/SERIAL_640x480.yml`` has each camera's focal lengths and principal point.

Splits as in the set's own toolkit, which needs the whole 100 sequences of each subject: ``train``,
``val`` and ``test`` are its s0, ``s1-train`` and so on the others; ``all`` is whatever is there.
Frames without a hand are left out. Left and right hands are both in it. Opening reads one small
file a frame: minutes for all 582,000.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from cadstn.data.dataset import Dataset, Joints, LeftOut, change_starts
from cadstn.data.files import half_unpacked
from cadstn.data.registry import Reader
from cadstn.errors import CadstnError
from cadstn.geometry.camera import Camera
from cadstn.geometry.skeleton import HAND21
from cadstn.io.arrays import load_npz
from cadstn.io.files import error_context
from cadstn.io.layouts import layout_camera

_SEQUENCES = 100  # of each subject in the whole set
_SUBJECTS, _SERIALS = range(10), range(8)
NO_HAND = -1.0
_HINT = "unpack it again from the set's archive"

#: Setup and split -> numbers of subjects, cameras and sequences. Source: the set's own toolkit.
_ALL = frozenset(range(_SEQUENCES))
_EVERY_FIFTH = frozenset(range(4, _SEQUENCES, 5))
_OBJECTS = {n: frozenset(range(5 * n, 5 * n + 5)) for n in range(20)}
_S3_VAL = _OBJECTS[3] | _OBJECTS[19]
_S3_TEST = _OBJECTS[7] | _OBJECTS[11] | _OBJECTS[15]
SPLITS: dict[str, tuple[range | tuple[int, ...], range | tuple[int, ...], frozenset[int]]] = {
    "train": (_SUBJECTS, _SERIALS, _ALL - _EVERY_FIFTH),
    "val": ((0, 1), _SERIALS, _EVERY_FIFTH),
    "test": (range(2, 10), _SERIALS, _EVERY_FIFTH),
    "s1-train": ((0, 1, 2, 3, 4, 5, 9), _SERIALS, _ALL),
    "s1-val": ((6,), _SERIALS, _ALL),
    "s1-test": ((7, 8), _SERIALS, _ALL),
    "s2-train": (_SUBJECTS, range(6), _ALL),
    "s2-val": (_SUBJECTS, (6,), _ALL),
    "s2-test": (_SUBJECTS, (7,), _ALL),
    "s3-train": (_SUBJECTS, _SERIALS, _ALL - _S3_VAL - _S3_TEST),
    "s3-val": (_SUBJECTS, _SERIALS, _S3_VAL),
    "s3-test": (_SUBJECTS, _SERIALS, _S3_TEST),
}


def frame_name(index: int) -> str:
    """Name of the depth image with a 0-based index."""
    return f"aligned_depth_to_color_{index:06d}.png"


def find(root: Path) -> tuple[str, ...]:
    """Splits that are there; raises CadstnError for subjects without the cameras' calibration."""
    subjects = _subjects(root)
    if not subjects:
        return ()
    if not any((root / "calibration/intrinsics").glob("*_640x480.yml")):
        hint = "unpack calibration.tar.gz beside the subjects"
        raise half_unpacked(root, subjects[0].name, "not calibration/intrinsics", hint)
    unpacked = all(len(_folders(subject)) == _SEQUENCES for subject in subjects)
    there = {int(subject.name[-2:]) - 1 for subject in subjects}
    splits = [split for split, (who, _, _) in SPLITS.items() if there.intersection(who)]
    return (*(splits if unpacked else ()), "all")


def whole(splits: tuple[str, ...]) -> tuple[str, ...]:
    """The three of s0, or as many as there are; else ``all``."""
    return tuple(split for split in ("train", "val", "test") if split in splits) or ("all",)


def open_dexycb(root: Path, split: str) -> Dataset:
    """Open one split (see the module) of the folder of the subjects and ``calibration``.

    Raises:
        CadstnError: if a camera's calibration or a label is missing or damaged.
    """
    frames: list[tuple[str, int, Camera, Joints]] = []
    left_out: list[LeftOut] = []
    cameras: dict[str, Camera] = {}
    for folder in _recordings(root, split):
        if folder.name not in cameras:
            camera = layout_camera(folder, [folder / frame_name(0)])
            if camera is None:
                raise CadstnError("has no calibration", where=folder, hint=_HINT)
            cameras[folder.name] = camera.sized(640, 480)
        sequence = folder.relative_to(root).as_posix()
        for file in sorted(folder.glob("labels_*.npz")):
            number, xyz_mm = int(file.stem[-6:]), read_label(file)
            if xyz_mm is None:
                left_out.append(LeftOut(f"{sequence}/{frame_name(number)}", "no hand in view"))
            else:
                frames.append((sequence, number, cameras[folder.name], xyz_mm))
    sequences = tuple(sequence for sequence, _, _, _ in frames)
    # A frame that was left out ends the shot: the one before it does not continue in the next.
    starts = change_starts(sequences)
    starts[1:] |= np.diff([number for _, number, _, _ in frames]) != 1
    return Dataset.labelled(
        "dexycb",
        split,
        layout="DexYCB: SUBJECT/SEQUENCE/SERIAL, depth aligned to colour",
        folder=root,
        camera=[camera for _, _, camera, _ in frames],
        skeleton=HAND21,
        names=[f"{sequence}/{frame_name(number)}" for sequence, number, _, _ in frames],
        joints_xyz_mm=np.array([xyz for _, _, _, xyz in frames]).reshape(-1, 21, 3),
        sequences=sequences,
        subjects=[sequence.split("/")[0] for sequence in sequences],
        starts=starts,
        cut_rule="a camera's recording begins, or goes on after frames without a hand",
        left_out=left_out,
    )


def read_label(file: Path) -> Joints | None:
    """Joints (21, 3) in mm of one ``labels_NNNNNN.npz``; None where there is no hand.

    Raises:
        CadstnError: naming the file, if it is damaged or of another kind.
    """
    with error_context(file):
        joints = load_npz(file, ("joint_3d",)).get("joint_3d")
        if joints is None or joints.shape != (1, 21, 3) or not np.isfinite(joints).all():
            raise CadstnError("lacks joint_3d (1, 21, 3) of finite numbers", hint=_HINT)
    if (joints == NO_HAND).all():
        return None
    return np.asarray(joints[0], np.float64) * 1000


def _subjects(root: Path) -> list[Path]:
    return sorted(root.glob("20??????-subject-[01][0-9]"))


def _folders(path: Path) -> list[Path]:
    return sorted(entry for entry in path.iterdir() if entry.is_dir())


def _recordings(root: Path, split: str) -> Iterator[Path]:
    """Folders of one camera in one sequence each, in the toolkit's order."""
    files = sorted((root / "calibration/intrinsics").glob("*_640x480.yml"))
    serials = [file.name.split("_")[0] for file in files]
    who, cameras, which = SPLITS.get(split, (_SUBJECTS, _SERIALS, None))
    for subject in _subjects(root):
        if int(subject.name[-2:]) - 1 not in who:
            continue
        for number, sequence in enumerate(_folders(subject)):
            there = [folder.name for folder in _folders(sequence)]
            if which is None:
                yield from (sequence / serial for serial in there)
            elif number in which:
                chosen = (serials[i] for i in cameras if i < len(serials))
                yield from (sequence / serial for serial in chosen if serial in there)


READER = Reader(
    "dexycb", "20200709-subject-01/ and calibration/", find, open_dexycb, whole=whole,
)  # fmt: skip
