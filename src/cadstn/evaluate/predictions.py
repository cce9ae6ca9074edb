"""Read and write joints: text (u v d a joint), and the ``.npz`` that ``cadstn track`` writes.

The text format holds one frame a line, K x (u px, v px, d mm) in the order of the test set, without
a header. A frame without a prediction is a line of ``nan``: it keeps its place, because to leave it
out would shift every frame after it. For the same reason a blank line between frames is an error.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cadstn.data.files import UTF16_MARKS, parse_numbers, read_lines
from cadstn.errors import CadstnError, nearest_name
from cadstn.evaluate.checks import FORMATS, Format, check_names, check_ranges
from cadstn.evaluate.protocol import Protocol
from cadstn.evaluate.protocol import protocol as find_protocol
from cadstn.io.arrays import load_npz, npz_names
from cadstn.io.files import error_context
from cadstn.io.folder import check_hashes
from cadstn.io.joints import FloatArray, lost_frames
from cadstn.io.whole import no_file

#: The array of an ``.npz`` file that holds the joints.
NPZ_KEY = "joints_xyz_mm"
_UNREAD = {
    ".mat": ("a MATLAB file", "write its joints as text, one frame a line, K x (u v d)"),
    ".npy": ("one array", f"save it as .npz: numpy.savez(FILE, {NPZ_KEY}=...), (N, K, 3) in mm"),
}
_NOTES = ("skeleton", "centre", "joint_names", "cuts", "frame_index", "frame_count")


def read_joints_text(path: str | os.PathLike[str], joints: int) -> FloatArray:
    """Read a text file of joints.

    Args:
        path: one frame a line, ``3 * joints`` numbers between blanks.
        joints: K, how many joints a frame must have.

    Returns:
        (N, K, 3), as in the file; NaN in all joints of a lost frame.

    Raises:
        CadstnError: naming the file and the line, if the file is missing or empty, a line holds
            another count, something that is not a number, an infinity, or some NaN but not all.
    """
    path = Path(path)
    hint = (
        f"one frame a line, {joints} x (u v d) between blanks, nan throughout for a lost frame, "
        "without file names, commas or headers; check which data set the file belongs to"
    )
    rows = read_lines(path, hint)
    return parse_numbers(path, rows, 3 * joints, hint=hint, lost=True).reshape(-1, joints, 3)


def read_joints_npz(path: str | os.PathLike[str]) -> FloatArray:
    """Read ``joints_xyz_mm`` of an ``.npz`` file: (N, K, 3) mm, NaN in lost frames.

    Raises:
        CadstnError: naming the file, if it is missing, not an ``.npz`` file, lacks that array, or
            holds one of another shape or type, with an infinity or with a frame lost in part.
            Pickled objects are refused unread.
    """
    path = Path(path)
    _must_exist(path)
    hint = f"give an .npz file with the array {NPZ_KEY} (frames, joints, 3), as cadstn track writes"
    with error_context(path):
        check_hashes(path)
        array = load_npz(path, (NPZ_KEY,)).get(NPZ_KEY)
        if array is None:
            held = ", ".join(npz_names(path))[:200] or "nothing"
            raise CadstnError(f"lacks {NPZ_KEY}, holds {held}", hint=hint)
        if array.shape[2:] != (3,) or array.size == 0 or array.dtype.kind not in "fiu":
            raise CadstnError(f"{NPZ_KEY} is {array.dtype} of shape {array.shape}", hint=hint)
        joints = array.astype(np.float64)
        lost_frames(joints)  # refuses infinities and frames lost in part
    return joints


def read_npz_notes(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read what an ``.npz`` file holds besides its joints.

    Call it on a file that `read_joints_npz` accepts. It may hold ``skeleton``, ``centre``,
    ``joint_names`` (K names), ``cuts`` (frames that begin a new shot), ``frame_index`` ((N,)
    increasing indices: which frames of the whole recording it holds, counted from 0) and
    ``frame_count`` (how many frames the whole recording has).

    Raises:
        CadstnError: naming the file, if the cuts, indices or count are none.
    """
    path = Path(path)
    with error_context(path):
        arrays = load_npz(path, _NOTES)
        notes: dict[str, Any] = {k: str(arrays[k]) for k in ("skeleton", "centre") if k in arrays}
        if "joint_names" in arrays:
            notes["joint_names"] = tuple(str(name) for name in arrays["joint_names"].ravel())
        if "cuts" in arrays:
            cuts = arrays["cuts"].ravel()
            if cuts.size and cuts.dtype.kind not in "iu":
                raise CadstnError(f"its cuts are {cuts.dtype}", hint="give frames' indices")
            if cuts.size and cuts.min() < 0:
                raise CadstnError(
                    f"its cuts hold {cuts.min()}", hint="give frames' indices, counted from 0"
                )
            notes["cuts"] = tuple(sorted({int(cut) for cut in cuts} - {0}))
        if "frame_index" in arrays:
            index = arrays["frame_index"].ravel()
            if index.dtype.kind not in "iu" or (index < 0).any() or (index[1:] <= index[:-1]).any():
                raise CadstnError(
                    f"its frame_index ({index.dtype}) is no increasing indices from 0",
                    hint="give the index in the whole recording of each frame, in order",
                )
            notes["frame_index"] = index
        if "frame_count" in arrays:
            notes["frame_count"] = _frame_count(arrays["frame_count"], notes.get("frame_index"))
    return notes


def _frame_count(array: NDArray[Any], index: NDArray[np.integer[Any]] | None) -> int:
    last = 0 if index is None or not len(index) else int(index[-1])
    if array.size != 1 or array.dtype.kind not in "iu" or array.item() <= last:
        raise CadstnError(
            "its frame_count is no number of frames that holds its frame_index",
            hint="give how many frames the whole recording has, or leave it out",
        )
    return int(array.item())


def load_predictions(
    path: str | os.PathLike[str], protocol: Protocol | str | None = None, fmt: Format = "uvd"
) -> FloatArray:
    """Read joints from either kind of file into mm in the camera frame (x right, y down).

    Args:
        path: ``.npz``, or text otherwise.
        protocol: the data set or its name, which a text file does not hold; ``.npz`` needs none.
        fmt: whether a text file holds (u px, v px, d mm) or (x, y, z) in mm, y down.

    Returns:
        (N, K, 3) mm, NaN in lost frames.

    Raises:
        CadstnError: as the readers, for an unknown format or set, for a text file without a
            protocol, or for another number of joints than the protocol's.
    """
    path = Path(path)
    rules = None if protocol is None else find_protocol(protocol)
    if path.suffix.lower() in _UNREAD:
        _must_exist(path)
        what, hint = _UNREAD[path.suffix.lower()]
        raise CadstnError(f"{what}, which is not read as predictions", where=path, hint=hint)
    if fmt not in FORMATS:
        raise CadstnError(f"no format '{fmt}'", hint=nearest_name(fmt, FORMATS))
    if is_npz(path):
        joints = read_joints_npz(path)
        if rules is not None and joints.shape[1] != len(rules.skeleton):
            raise CadstnError(
                f"holds {joints.shape[1]} joints where {rules.name} has {len(rules.skeleton)}",
                where=path,
                hint="give the set that these joints belong to, or none for two .npz files",
            )
        check_names(path, read_npz_notes(path), None if rules is None else rules.skeleton)
        check_ranges(path, joints, "xyz")
        return joints
    if rules is None:
        _must_exist(path)
        with path.open("rb") as file:
            begin = file.read(4096)
            if b"\0" in begin and not begin.startswith(UTF16_MARKS):
                raise CadstnError(
                    "not joints as text", where=path, hint="give a .txt or .npz file of joints"
                )
        raise CadstnError(
            "a text file does not name its camera and joints",
            where=path,
            hint="name its data set, --set nyu or in Python 'nyu', or give .npz files",
        )
    if rules.several_cameras and fmt == "uvd":
        raise CadstnError(
            f"u v d of {rules.name}, whose frames have cameras of their own",
            where=path,
            hint="give .npz files, x y z in mm with --format xyz (in Python fmt='xyz'), or name "
            "one --camera (camera=)",
        )
    table = read_joints_text(path, len(rules.skeleton))
    check_ranges(path, table, fmt, rules)
    if fmt == "xyz":
        return table
    return np.asarray(rules.camera.to_xyz_mm(table), dtype=np.float64)


def is_npz(path: str | os.PathLike[str]) -> bool:
    """Whether a file of joints is ``.npz`` by its name, in any case; all others are text."""
    return Path(path).suffix.lower() == ".npz"


def _must_exist(path: Path) -> None:
    if not path.is_file():
        raise CadstnError(no_file(path), where=path, hint="give a .txt or .npz file of joints")
