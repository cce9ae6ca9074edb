"""HANDS 2017 challenge (Yuan et al., ICCV workshop 2017), made of BigHand2.2M and F-PHAB.

``training/images/image_D00000001.png`` (16-bit, 640x480, mm, SR300) and ``training/
Training_Annotation.txt``: one frame a line, file name and 21 x (x, y, z) in mm between tabs, y
down.
The joints in the file: wrist, the five roots from the thumb on, then three joints of each finger.
Here they are in the order of ``hand21``. The challenge's test labels are not published; frames are
shuffled, so that most are a shot of their own. BigHand2.2M's annotations have the same columns.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cadstn.data.dataset import Dataset, Joints, crop_joint, jump_starts
from cadstn.data.files import parse_numbers, read_lines
from cadstn.data.registry import Reader
from cadstn.errors import CadstnError
from cadstn.geometry.camera import Camera
from cadstn.geometry.skeleton import HAND21
from cadstn.io.files import read_png, write_png
from cadstn.io.whole import write_text

#: Source: the challenge's own description.
CAMERA = Camera(475.065948, 475.065857, 315.944855, 245.287079, 640, 480)
LABELS = "training/Training_Annotation.txt"
IMAGES = "training/images"
_HINT = "one frame a line: file name, then 21 x (x y z) between tabs; unpack it again"
#: Place in the file of each joint of hand21: roots first, then the rest of each finger.
_IN_FILE = [0, *(i for f in range(5) for i in (1 + f, 6 + 3 * f, 7 + 3 * f, 8 + 3 * f))]


def find(root: Path) -> tuple[str, ...]:
    """``train``, if it is there; raises CadstnError for labels without images."""
    if not (root / LABELS).is_file():
        return ()
    if not (root / IMAGES).is_dir():
        raise CadstnError(
            f"has {LABELS} but not {IMAGES}",
            where=root,
            hint="unpack the images beside their labels",
        )
    return ("train",)


def open_hands2017(root: Path, split: str) -> Dataset:
    """Open the training frames.

    Args:
        root: the folder that holds ``training``.
        split: ``train``.

    Raises:
        CadstnError: if a label makes no sense.
    """
    names, xyz = read_labels(root / LABELS)
    return Dataset(
        name="hands2017",
        split=split,
        layout="HANDS 2017: training, Training_Annotation.txt",
        folder=root / IMAGES,
        camera=CAMERA,
        skeleton=HAND21,
        scored=tuple(range(21)),
        scored_skeleton=HAND21,
        center_joint=crop_joint(HAND21),
        names=tuple(names),
        joints_uvd=np.asarray(CAMERA.to_uvd(xyz), np.float64),
        joints_xyz_mm=xyz,
        sequences=("train",) * len(names),
        subjects=("unknown",) * len(names),
        starts=jump_starts(xyz),
        cut_rule="the 21 joints jump over 40 mm on average",
        read=read_png,
    )


def read_labels(file: Path) -> tuple[list[str], Joints]:
    """Read an annotation file: N names and (N, 21, 3) mm in the order of hand21.

    Raises:
        CadstnError: naming file and line, where a line is not a name and 63 finite numbers.
    """
    parts = [line.partition("\t") for line in read_lines(file, _HINT)]
    table = parse_numbers(file, [rest for _, _, rest in parts], 63, first_line=1, hint=_HINT)
    return [name for name, _, _ in parts], table.reshape(-1, 21, 3)[:, _IN_FILE]


def write_frame(root: Path, index: int, depth_mm: NDArray[np.uint16]) -> str:
    """Write one frame, whole or not at all; returns its name.

    Args:
        root: of the set.
        index: 0-based; the files count from 1.
        depth_mm: (480, 640), 0 where nothing was measured.
    """
    name = f"image_D{index + 1:08d}.png"
    write_png(root / IMAGES / name, depth_mm, CAMERA)
    return name


def write_labels(root: Path, names: list[str], joints_xyz_mm: Joints) -> None:
    """Write ``Training_Annotation.txt``.

    Args:
        root: of the set.
        names: N.
        joints_xyz_mm: (N, 21, 3) in the order of hand21; four decimals are kept.
    """
    file_order = np.argsort(_IN_FILE)
    rows = joints_xyz_mm[:, file_order].reshape(len(names), -1).tolist()
    lines = (
        "\t".join([name, *(f"{value:.4f}" for value in row)])
        for name, row in zip(names, rows, strict=True)
    )
    write_text(root / LABELS, "\n".join(lines) + "\n")


READER = Reader("hands2017", LABELS, find, open_hands2017)
