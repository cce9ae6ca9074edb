"""NYU hand pose (Tompson et al., "Real-Time Continuous Pose Recovery of Human Hands", TOG 2014).

``train/`` and ``test/`` hold ``depth_1_0000001.png`` and on (8-bit RGB, depth in mm = green * 256 +
blue; cameras 2 and 3 likewise) and ``joint_data.mat`` with ``joint_names`` (36), ``joint_uvd`` and
``joint_xyz`` (3 cameras, N, 36, 3). In the latter y points up; here it points down as everywhere.
Published results use camera 1 and 14 of the joints.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cadstn.data.dataset import Dataset, Joints, jump_starts
from cadstn.data.files import half_unpacked, load_mat, scipy_io
from cadstn.data.registry import Reader
from cadstn.errors import CadstnError
from cadstn.geometry.camera import KNOWN_CAMERAS
from cadstn.geometry.skeleton import NYU14, NYU14_OF_36, NYU36
from cadstn.io.files import error_context, write_png
from cadstn.io.whole import write_with

CAMERA = KNOWN_CAMERAS["nyu"]
LABELS = "joint_data.mat"
SPLITS = ("train", "test")
CUT_RULE = "the 14 scored joints jump over 40 mm on average"

#: In the test set of 8,252 frames the second subject begins here (0-based).
SECOND_SUBJECT = 2440
TEST_FRAMES = 8252

_HINT = "unpack it again from nyu_hand_dataset_v2.zip"


def frame_name(index: int, camera: int = 1) -> str:
    """Name of the frame with a 0-based index; the files count from 1."""
    return f"depth_{camera}_{index + 1:07d}.png"


def find(root: Path) -> tuple[str, ...]:
    """Splits that are there; raises CadstnError for a folder with frames and no labels."""
    splits = []
    for split in SPLITS:
        folder = root / split
        if (folder / LABELS).is_file():
            splits.append(split)
        elif (folder / frame_name(0)).is_file():
            hint = "unpack the whole of nyu_hand_dataset_v2.zip, of which it is a part"
            raise half_unpacked(folder, frame_name(0), f"not {LABELS}", hint)
    return tuple(splits)


def open_nyu(root: Path, split: str) -> Dataset:
    """Open ``train`` or ``test`` of the folder that holds them.

    Raises:
        CadstnError: if the split or its labels are missing or damaged, or no frame is there.
    """
    folder = root / split
    uvd = read_labels(folder / LABELS, "joint_uvd", cameras=(0,))[0]
    names = [frame_name(i) for i in range(len(uvd))]
    if names and not (folder / names[0]).exists() and not (folder / names[-1]).exists():
        hint = "unpack the whole set: the frames lie beside joint_data.mat"
        raise half_unpacked(folder, f"the labels of {len(names)} frames", f"not {names[0]}", hint)
    # Not joint_xyz of the file: through the one camera that everybody's predictions go through.
    xyz = np.asarray(CAMERA.to_xyz_mm(uvd), np.float64)
    subjects: tuple[str, ...] = ()
    if split == "train":
        subjects = ("1",) * len(names)
    elif len(names) == TEST_FRAMES:
        subjects = ("1",) * SECOND_SUBJECT + ("2",) * (TEST_FRAMES - SECOND_SUBJECT)
    return Dataset.labelled(
        "nyu",
        split,
        layout="NYU: train and test, camera 1",
        folder=folder,
        camera=CAMERA,
        skeleton=NYU36,
        scored=NYU14_OF_36,
        scored_skeleton=NYU14,
        center_joint=NYU14_OF_36[13],
        names=names,
        joints_uvd=uvd,
        joints_xyz_mm=xyz,
        subjects=subjects,
        starts=jump_starts(xyz[:, list(NYU14_OF_36)]),
        cut_rule=CUT_RULE,
    )


def read_labels(file: Path, key: str, cameras: tuple[int, ...] = (0, 1, 2)) -> Joints:
    """Read ``joint_uvd`` (px, px, mm) or ``joint_xyz`` (mm, y up) of a ``joint_data.mat``.

    Returns (cameras, N, 36, 3) as in the file, of the ``cameras`` wanted, counted from 0.

    Raises:
        CadstnError: naming the file, if it is missing, not such a file, or of another shape.
    """
    with error_context(file):
        if not file.is_file():
            raise CadstnError("no such file", hint=_HINT)
        arrays = load_mat(file, (key, "joint_names"), _HINT)
        if key not in arrays:
            raise CadstnError(f"lacks {key}", hint=_HINT)
        names = tuple(str(np.squeeze(name)) for name in np.ravel(arrays.get("joint_names", ())))
        if names and names != NYU36.joints:
            raise CadstnError(
                f"its joint_names begin {', '.join(names[:3])} and are not NYU's 36 in order",
                hint=_HINT,
            )
        joints = arrays[key]
        if joints.ndim != 4 or joints.shape[0] != 3 or joints.shape[2:] != (36, 3):
            raise CadstnError(
                f"{key} is {'x'.join(map(str, joints.shape))}, expected 3xNx36x3", hint=_HINT
            )
        if joints.dtype.kind != "f":
            raise CadstnError(f"{key} holds {joints.dtype}, expected numbers", hint=_HINT)
        # One camera after the other: together it is ten times slower in the file's order.
        chosen = np.stack([np.array(joints[camera], np.float64) for camera in cameras])
        if not np.isfinite(chosen).all():
            frame = int(np.argwhere(~np.isfinite(chosen))[0, 1])
            raise CadstnError(f"{key} of frame {frame + 1} is not finite", hint=_HINT)
        return chosen


def write_frame(folder: Path, index: int, depth_mm: NDArray[np.uint16], camera: int = 1) -> None:
    """Write (480, 640) depth of camera 1 to 3 into a split's folder; ``index`` counts from 0."""
    write_png(folder / frame_name(index, camera), depth_mm, CAMERA)


def write_labels(folder: Path, joints_uvd: Joints, joints_xyz_mm: Joints) -> None:
    """Write ``joint_data.mat`` of a split as Tompson's script does, joints (3, N, 36, 3) each.

    ``joints_xyz_mm`` is in each camera's own frame, y down; the file has it up.
    """
    io = scipy_io()
    names = np.empty((1, len(NYU36.joints)), object)
    names[0] = NYU36.joints
    values = {
        "joint_names": names,
        "joint_uvd": np.asarray(joints_uvd, np.float64),
        "joint_xyz": joints_xyz_mm * np.array([1.0, -1.0, 1.0]),
    }
    write_with(folder / LABELS, lambda file: io.savemat(file, values, do_compression=True))


READER = Reader("nyu", "train/ and test/ with joint_data.mat", find, open_nyu)
