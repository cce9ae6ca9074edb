"""Where the depth images of a folder lie, and the camera that its layout names.

Known besides folders of images and folders of such folders: colour beside depth, TUM RGB-D
(``depth/SECONDS.png``), ScanNet (``depth/`` and ``intrinsic/``) and DexYCB (``SERIAL/
aligned_depth_to_color_*.png`` and ``calibration/``).
"""

from __future__ import annotations

import os
import re
from codecs import BOM_UTF8
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cadstn.errors import CadstnError
from cadstn.geometry.camera import Camera
from cadstn.io.arrays import read_regular
from cadstn.io.images import IMAGES

_OTHER = re.compile(r"rgb|colou?r|infrared|(^|[^a-z])ir([^a-z]|$)|mask|seg|label|normal|conf", re.I)
_DEPTH = re.compile("depth", re.I)
_DIGITS = re.compile(r"\d+")
_SECONDS = re.compile(r"\d{9,}\.\d{3,}")
#: TUM's depth is registered to the default camera of ROS, in steps of 1/5000 m (their web page).
_TUM = Camera(525.0, 525.0, 319.5, 239.5, 640, 480, depth_unit_mm=0.2)
_SMALL = 1 << 20


def in_order(folder: Path) -> list[Path]:
    """Visible entries, numbers within names compared as numbers: 0, 20, 100."""
    visible = [path for path in folder.iterdir() if not path.name.startswith(".")]
    return sorted(visible, key=lambda path: _natural(path.name))


def shots_of(path: Path, pattern: str | None = None) -> list[tuple[Path, list[Path]]]:
    """The depth images of each shot: of a folder, of its folders, or those that a pattern names.

    Args:
        path: the folder.
        pattern: a glob below it, such as ``*/depth/*.png``; each folder it leads to is a shot. What
            begins with a dot is left out here too, unless the pattern has such a part.

    Raises:
        CadstnError: if there is none, they are of several kinds, or lie outside of the folder.
    """
    shots = [(path, images_in(path))] if pattern is None else _matching(path, pattern)
    if not shots[0][1]:
        folders = [p for p in in_order(path) if p.is_dir()]
        shots = [(p, found) for p in folders if (found := images_in(p))]
        kept = depth_only([p.name for p, _ in shots])
        shots = [(p, found) for p, found in shots if p.name in kept]
    for folder, _ in shots:
        if _leads_out(folder, path):
            raise CadstnError("a link that leads out of the recording's folder", where=folder)
    return shots


def images_in(folder: Path) -> list[Path]:
    """Depth images of a folder, in order: PNGs where there are some.

    Raises:
        CadstnError: if there are several kinds of images, and none of them PNG or some numbered as
            the PNGs are, of frames that have none.
    """
    # A link that leads nowhere is a bad frame, not a missing one: it must keep its place.
    files = [p for p in in_order(folder) if p.suffix.lower() in IMAGES and not p.is_dir()]
    kept = depth_only([p.name for p in files])
    files = [p for p in files if p.name in kept]
    kinds = sorted({p.suffix.lower() for p in files})
    if len(kinds) > 1 and ".png" not in kinds:
        raise CadstnError(
            f"holds {' and '.join(kinds)} files",
            where=folder,
            hint=f"name the depth files: --pattern '*{kinds[0]}'",
        )
    if ".png" not in kinds:
        return files
    pngs = [p for p in files if p.suffix.lower() == ".png"]
    # What has a PNG's name or one of another form is no frame: labels, colour, a calibration.
    stems = {p.stem for p in pngs}
    forms = {_DIGITS.sub("0", stem) for stem in stems}
    lost = [p for p in files if p.stem not in stems and _DIGITS.sub("0", p.stem) in forms]
    if lost:
        raise CadstnError(
            f"numbers {' and '.join(kinds)} files as one: {len(lost)} are no PNGs, such as "
            f"'{lost[0].name}'",
            where=folder,
            hint="name the depth files: --pattern '*.png', or '*' for all of them",
        )
    return pngs


def depth_only(names: Sequence[str]) -> set[str]:
    """Names that contain "depth", where some do and all others name colour, masks or the like."""
    depth = {name for name in names if _DEPTH.search(name)}
    others = set(names) - depth
    return depth if depth and all(_OTHER.search(name) for name in others) else set(names)


def check_inside(file: Path, folder: Path) -> None:
    """Raise a CadstnError if a file is a link that leads out of its recording's folder."""
    if file.is_symlink() and file.exists() and _leads_out(file, folder):
        raise CadstnError(
            "a link that leads out of the recording's folder", hint="copy the file itself"
        )


def layout_camera(path: Path, files: Sequence[Path]) -> Camera | None:
    """The camera that a known layout names; None for others.

    Args:
        path: the recording's folder.
        files: depth images of one folder, which is a camera's.

    Raises:
        CadstnError: if the layout's own file of it is damaged.
    """
    around = (path, path.parent)
    for folder in around:
        if (file := folder / "intrinsic" / "intrinsic_depth.txt").is_file():  # ScanNet, in mm
            return _from_matrix(file)
    serial = files[0].parent.name
    for folder in (*around, *path.parents[1:4]):  # DexYCB, in mm, seen from the colour camera
        found = sorted((folder / "calibration" / "intrinsics").glob(f"{serial}_*.yml"))
        if serial.isalnum() and found and files[0].name.startswith("aligned_depth_to_color"):
            return _from_yml(found[0])
    listed = any((folder / "depth.txt").is_file() for folder in around)
    return _TUM if listed and all(_SECONDS.fullmatch(file.stem) for file in files) else None


def times_of(files: Sequence[Path]) -> NDArray[np.float64] | None:
    """Times (N,) in seconds from the first, where all names are seconds, as TUM's; else None."""
    if len(files) < 2 or not all(_SECONDS.fullmatch(file.stem) for file in files):
        return None
    times = np.array([float(file.stem) for file in files])
    return times - times[0] if (np.diff(times) > 0).all() else None


def _natural(text: str) -> tuple[list[str | int], str]:
    # Longer numbers come in parts: Python does not convert thousands of digits.
    parts = re.split(r"(\d{1,18})", text)
    return [int(p) if i % 2 else p for i, p in enumerate(parts)], text


def _matching(path: Path, pattern: str) -> list[tuple[Path, list[Path]]]:
    try:
        found = [p for p in path.glob(pattern) if p.suffix.lower() in IMAGES and not p.is_dir()]
        outside = ".." in Path(pattern).parts
        if not _hidden(Path(pattern)):
            found = [p for p in found if not _hidden(p.relative_to(path))]
    except (ValueError, NotImplementedError, IndexError) as error:
        raise CadstnError(f"--pattern '{pattern}' is none ({error})", hint="'*.png'") from None
    if not found or outside:
        raise CadstnError(
            f"nothing in it matches '{pattern}'",
            hint=f"give a pattern below the folder, for files of {', '.join(IMAGES)}",
        )
    found.sort(key=lambda path: _natural(path.name))
    folders = sorted({p.parent for p in found}, key=lambda path: _natural(str(path)))
    return [(folder, [p for p in found if p.parent == folder]) for folder in folders]


def _hidden(place: Path) -> bool:
    return any(part.startswith(".") for part in place.parts)


def _leads_out(file: Path, folder: Path) -> bool:
    root = os.path.realpath(folder)
    return not Path(os.path.realpath(file)).is_relative_to(root)


def _from_matrix(file: Path) -> Camera:
    words = read_regular(file, _SMALL).removeprefix(BOM_UTF8).split()
    try:
        k = np.array([float(word) for word in words]).reshape(4, 4)
        return Camera(k[0, 0], k[1, 1], k[0, 2], k[1, 2])
    except (ValueError, CadstnError) as error:
        raise CadstnError(
            f"not a camera matrix ({error})", where=file, hint="or give --camera"
        ) from None


def _from_yml(file: Path) -> Camera:
    """Numbers ``fx, fy, ppx, ppy`` under ``color``; read by hand, the format needs no library."""
    text = read_regular(file, _SMALL).decode("utf-8-sig", "replace")
    part = re.search(r"^color:\s*\n((?:[ \t]+.*\n?)+)", text, re.M)
    found = dict(re.findall(r"^\s+(\w+):\s*([-+.\deE]+)\s*$", part[1] if part else "", re.M))
    try:
        fx, fy, cx, cy = (float(found[name]) for name in ("fx", "fy", "ppx", "ppy"))
        return Camera(fx, fy, cx, cy)
    except (KeyError, ValueError, CadstnError) as error:
        raise CadstnError(
            f"names no colour camera ({error})", where=file, hint="or give --camera"
        ) from None
