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

from cadstn.data.dataset import Dataset, Joints
from cadstn.data.files import half_unpacked, parse_numbers, read_lines
from cadstn.data.registry import Reader
from cadstn.geometry.camera import Camera
from cadstn.geometry.skeleton import HAND21

#: Source: the challenge's own description.
CAMERA = Camera(475.065948, 475.065857, 315.944855, 245.287079, 640, 480)
LABELS = "training/Training_Annotation.txt"
IMAGES = "training/images"
_HINT = "one frame a line: file name, then 21 x (x y z) between tabs; unpack it again"
#: Place in the file of each joint of hand21: roots first, then the rest of each finger.
IN_FILE = [0, *(i for f in range(5) for i in (1 + f, 6 + 3 * f, 7 + 3 * f, 8 + 3 * f))]


def find(root: Path) -> tuple[str, ...]:
    """``train``, if it is there; raises CadstnError for labels without images."""
    if not (root / LABELS).is_file():
        return ()
    if not (root / IMAGES).is_dir():
        raise half_unpacked(root, LABELS, f"not {IMAGES}", "unpack the images beside their labels")
    return ("train",)


def open_hands2017(root: Path, split: str) -> Dataset:
    """Open ``train`` of the folder that holds ``training``; raises CadstnError for wrong labels."""
    names, xyz = read_labels(root / LABELS)
    return Dataset.labelled(
        "hands2017",
        split,
        layout="HANDS 2017: training, Training_Annotation.txt",
        folder=root / IMAGES,
        camera=CAMERA,
        skeleton=HAND21,
        names=names,
        joints_xyz_mm=xyz,
        cut_rule="the 21 joints jump over 40 mm on average",
    )


def read_labels(file: Path) -> tuple[list[str], Joints]:
    """Read an annotation file: N names and (N, 21, 3) mm in the order of hand21.

    Raises:
        CadstnError: naming file and line, where a line is not a name and 63 finite numbers.
    """
    parts = [line.partition("\t") for line in read_lines(file, _HINT)]
    table = parse_numbers(file, [rest for _, _, rest in parts], 63, hint=_HINT)
    return [name for name, _, _ in parts], table.reshape(-1, 21, 3)[:, IN_FILE]


READER = Reader("hands2017", LABELS, find, open_hands2017)
