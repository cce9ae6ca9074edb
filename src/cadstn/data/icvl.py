"""ICVL hand posture (Tang et al., "Latent Regression Forest", CVPR 2014).

16-bit PNGs of 320x240 in mm and text labels, one frame a line: file name, then 16 x (u, v, d). Its
copies differ in where the labels lie, `LAYOUTS`. Training frames ``20140.../image_0000.png`` are as
recorded; those under a folder named by an angle (``22-5/...``) are the same rotated in the plane.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cadstn.data.dataset import Dataset, Joints, LeftOut, change_starts
from cadstn.data.files import half_unpacked, parse_numbers, read_lines
from cadstn.data.registry import Reader
from cadstn.errors import CadstnError
from cadstn.geometry.camera import KNOWN_CAMERAS
from cadstn.geometry.skeleton import ICVL16
from cadstn.io.files import write_png
from cadstn.io.joints import number_lines
from cadstn.io.whole import write_text

CAMERA = KNOWN_CAMERAS["icvl"]
#: What the sensor writes where it measured nothing.
INVALID = 32001
#: A gap in the file numbers of one recording that is wider begins a new shot. The recordings are
#: not at full rate, so smaller ones are the rule.
GAP = 5
CUT_RULE = f"a recording begins, or its file numbers leave out more than {GAP}"
_HINT = "one frame a line: file name, then 16 x (u v d); unpack it again"


class Layout(NamedTuple):
    """Where one copy of the set keeps a split."""

    words: str  # for people
    labels: tuple[str, ...]  # label files, relative to the root, in the order of the frames
    depth: str  # the folder that names in them are relative to


_SEQUENCES = ("test_seq_1.txt", "test_seq_2.txt")
#: Every arrangement met in the wild, most specific first. Sources: what public loaders open, and
#: DeepPrior's author on which is the old one (moberweger/deep-prior-pp, issues 25 and 32).
LAYOUTS: dict[str, tuple[Layout, ...]] = {
    "train": (
        Layout("ICVL: Training/labels.txt", ("Training/labels.txt",), "Training/Depth"),
        Layout("ICVL of 2014: train.txt", ("train.txt",), "Depth"),
        Layout("ICVL: labels.txt at the top", ("labels.txt",), "Training/Depth"),
        Layout("ICVL: labels.txt at the top, one Depth", ("labels.txt",), "Depth"),
    ),
    "test": (
        Layout("ICVL: Testing/test_seq_1.txt and test_seq_2.txt",
               ("Testing/test_seq_1.txt", "Testing/test_seq_2.txt"), "Testing/Depth"),
        Layout("ICVL: Testing/labels.txt", ("Testing/labels.txt",), "Testing/Depth"),
        Layout("ICVL of 2014: test_seq_1.txt and test_seq_2.txt", _SEQUENCES, "Depth"),
        Layout("ICVL: test_seq_1.txt and test_seq_2.txt at the top", _SEQUENCES, "Testing/Depth"),
    ),
}  # fmt: skip


def find_layout(root: Path, split: str) -> Layout | None:
    """Find the layout of a split; None where no label file of it is there.

    Raises:
        CadstnError: if labels are there without their depth folder, or one of two label files.
    """
    there = [layout for layout in LAYOUTS[split] if (root / layout.labels[0]).is_file()]
    for layout in there:
        if (root / layout.depth).is_dir():
            for name in layout.labels:
                if not (root / name).is_file():
                    raise half_unpacked(root, layout.labels[0], f"not {name}")
            return layout
    if there:
        hint = "unpack the depth images beside their labels"
        raise half_unpacked(root, there[0].labels[0], f"not the folder {there[0].depth}", hint)
    return None


def find(root: Path) -> tuple[str, ...]:
    """Splits that are there; raises CadstnError for one that is half unpacked."""
    there = [split for split in ("train", "test") if find_layout(root, split)]
    return (*there, "train-unrotated") if "train" in there else tuple(there)


def open_icvl(root: Path, split: str) -> Dataset:
    """Open ``train`` (with the rotated frames), ``train-unrotated`` or ``test`` of the whole set.

    Raises:
        CadstnError: if the split is missing or half unpacked, or a label makes no sense.
    """
    layout = find_layout(root, split.removesuffix("-unrotated"))
    if layout is None:
        raise CadstnError(f"holds no ICVL {split} labels", where=root, hint="unpack the whole set")
    parts = [read_labels(root / file) for file in layout.labels]
    names = [name for part, _ in parts for name in part]
    uvd = np.concatenate([table for _, table in parts])
    folder = root / layout.depth
    wrong, gone = _wrong(names, uvd), _not_unpacked(folder, names)
    keep = np.ones(len(names), bool)
    left_out: list[LeftOut] = []
    if split == "test":  # every frame keeps its place: predictions are compared by their order
        if gone:
            raise CadstnError(
                f"lacks the folder of {gone[0]} and of {len(gone) - 1} more labelled frames",
                where=folder,
                hint="unpack the whole set",
            )
    else:
        wrong |= dict.fromkeys(gone, "its folder is not there")
        keep = np.array([name not in wrong for name in names])
        left_out = [LeftOut(name, wrong[name]) for name in names if name in wrong]
    if split.endswith("-unrotated"):
        keep &= np.array([not is_rotated(name) for name in names])
    kept = tuple(name for name, good in zip(names, keep, strict=True) if good)
    sequences = tuple(name.rpartition("/")[0] for name in kept)
    return Dataset.labelled(
        "icvl",
        split,
        layout=layout.words,
        folder=folder,
        camera=CAMERA,
        skeleton=ICVL16,
        names=kept,
        joints_uvd=uvd[keep],
        joints_xyz_mm=np.asarray(CAMERA.to_xyz_mm(uvd[keep]), np.float64),
        sequences=sequences,
        subjects=[_subject(sequence) for sequence in sequences],
        starts=_starts(kept, sequences),
        cut_rule=CUT_RULE,
        left_out=left_out,
        faulty=tuple(wrong) if split == "test" else (),
    )


def read_labels(file: Path) -> tuple[list[str], Joints]:
    """Read one label file: N names and (N, 16, 3) of u px, v px, d mm.

    Raises:
        CadstnError: naming file and line, where a line is not a name and 48 finite numbers.
    """
    lines = read_lines(file, _HINT)
    parts = [line.partition(" ") for line in lines]
    names = [name.replace("\\", "/") for name, _, _ in parts]
    for number, name in enumerate(names, 1):
        if name.startswith("/") or ".." in name.split("/") or ":" in name:
            outside = f"names '{name[:80]}', which lies outside of the set"
            raise CadstnError(f"line {number} {outside}", where=file, hint=_HINT)
        if not name.endswith(".png"):
            begins = f"begins with '{name[:40]}', not with a .png" if name else "is empty"
            raise CadstnError(f"line {number} {begins}", where=file, hint=_HINT)
    table = parse_numbers(file, [rest for _, _, rest in parts], 48, hint=_HINT)
    return names, table.reshape(-1, 16, 3)


def is_rotated(name: str) -> bool:
    """Whether the set's makers rotated a frame: its first folder is a short angle."""
    first = name.split("/")[0]
    return len(first) <= 6 and not first.startswith("test")


def _wrong(names: list[str], uvd: Joints) -> dict[str, str]:
    """Names whose label makes no sense, and why: no depth, or a joint outside the image."""
    deep = np.all(uvd[..., 2] > 0, axis=1)
    size = np.array([CAMERA.width, CAMERA.height])
    held = np.all((uvd[..., :2] >= 0) & (uvd[..., :2] < size), axis=(1, 2))
    why = np.where(deep, "joint outside the image", "label without depth").tolist()
    return {names[index]: why[index] for index in np.flatnonzero(~(deep & held)).tolist()}


def _not_unpacked(folder: Path, names: list[str]) -> list[str]:
    """Names in recordings whose folder is not there; listed once a recording."""
    sequences = [name.rpartition("/")[0] for name in names]
    gone = {sequence for sequence in set(sequences) if not (folder / sequence).is_dir()}
    return [name for name, sequence in zip(names, sequences, strict=True) if sequence in gone]


def _subject(sequence: str) -> str:
    """Each recording is another person's; one named by an angle alone is unknown."""
    return "unknown" if is_rotated(sequence) and "/" not in sequence else sequence.split("/")[-1]


def _starts(names: tuple[str, ...], sequences: tuple[str, ...]) -> NDArray[np.bool_]:
    """Where a recording begins, its file numbers go back, or leave out more than `GAP`."""
    digits = ["".join(c for c in name.rpartition("/")[2] if c.isdigit()) for name in names]
    numbers = np.array([int(number or 0) for number in digits])
    step = np.diff(numbers, prepend=numbers[:1])
    starts: NDArray[np.bool_] = change_starts(sequences) | (step < 0) | (step > GAP + 1)
    return starts


def write_frame(folder: Path, name: str, depth_mm: NDArray[np.uint16]) -> None:
    """Write (240, 320) depth, 0 where nothing was measured; the file has `INVALID` there.

    ``name`` is relative to the folder, for instance ``201411041530/image_0000.png``.
    """
    units = np.where(depth_mm == 0, np.uint16(INVALID), depth_mm)
    write_png(folder / name, units, CAMERA)


def write_labels(file: Path, names: list[str], joints_uvd: Joints) -> None:
    """Write a label file: N names, and (N, 16, 3) of u px, v px, d mm with three decimals."""
    lines = zip(names, number_lines(joints_uvd), strict=True)
    write_text(file, "".join(f"{name} {numbers}\n" for name, numbers in lines))


READER = Reader("icvl", "Training/labels.txt or train.txt", find, open_icvl)
