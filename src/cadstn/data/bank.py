"""A bank, the crop cache of a whole data set: prepared once, in one memory-mapped file.

The file is a safetensors file, so that anything that reads those reads it: 16-bit crops, labels,
centres, cubes and shot numbers, and in its header the data's fingerprint and the rule of the crops.
Decoding PNGs gives some 300 frames a second a core; a network takes a hundred times that.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from cadstn.data.crops import (
    CENTERS,
    RENDERED_CENTERS,
    CropRule,
    crop_sample,
    mass_center,
    quantise,
)
from cadstn.data.dataset import Dataset
from cadstn.errors import CadstnError
from cadstn.geometry.crop import Crop
from cadstn.io.hashes import BLANK_STAMP, STAMP_KEY, check_stamp, stamp_file
from cadstn.io.whole import resumed_file, whole_file

__all__ = [
    "CENTERS", "RENDERED_CENTERS", "Bank", "CropRule", "bank_key", "build_bank", "crop_sample",
    "mass_center", "open_bank", "quantise", "read_about", "write_bank",
]  # fmt: skip

_FORMAT = "cadstn bank 1"
_CACHE = "CADSTN_CACHE"  # environment variable: the folder of data sets' crops
_GIVE = "give the file of a bank"
_REMAKE = "delete it and it is remade, or give another file"
# What rendered frames alone have, by its names in the file, which are those of 0.1.0's banks.
_ANSWERS = {"left": "handedness", "present": "presence"}
_TOGETHER = 64
_BLOCK = 1 << 24  # bytes
_DTYPES = {"U16": np.uint16, "F32": np.float32, "I32": np.int32}


@dataclass(frozen=True, eq=False)
class Bank:
    """An open bank; its arrays are mapped from the file."""

    path: Path  # the file
    crops: NDArray[np.uint16]  # (N, M, M) uint16; q stands for the normalised depth q / 32767.5 - 1
    joints: NDArray[np.float32]  # (N, K, 3) float32 relative to the crop's centre, in half cubes
    centers_mm: NDArray[np.float32]  # (N, 3) float32 camera frame
    cube_mm: NDArray[np.float32]  # (N,) float32
    shots: NDArray[np.int32]  # (N,) int32; frames of one number follow one another in one recording
    about: dict[str, str]  # the header's text: format, data, rule, names
    # (N,) float32, 1 for a left hand, 0 for a right one; None where the data has none
    handedness: NDArray[np.float32] | None = None
    # (N,) float32, 1 where there is a hand, 0 where there is none; None where all frames show one
    presence: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.crops)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the data's fingerprint and the rule."""
        return bank_key(self.about["data"], self.about["rule"])

    def check_rule(self, rule: CropRule, hint: str = _REMAKE) -> None:
        """Raise a CadstnError, naming what differs, if the crops were cut by another rule."""
        theirs, ours = json.loads(self.about["rule"]), asdict(rule)
        for name in ours:
            if theirs.get(name) != ours[name]:
                raise CadstnError(
                    f"a bank of crops with {name} = {theirs.get(name)}, not {ours[name]}",
                    where=self.path,
                    hint=hint,
                )


def bank_key(data: str, rule: str) -> str:
    """Name a bank by what it is made of."""
    return hashlib.sha256(f"{_FORMAT}\n{data}\n{rule}".encode()).hexdigest()


def build_bank(
    dataset: Dataset,
    rule: CropRule,
    *,
    on_frames: Callable[[int], None] = lambda count: None,
) -> Bank:
    """Open the bank of a data set, making it first where there is none.

    It is kept in the user's cache, or ``CADSTN_CACHE``, under a name of its data and rule.

    Args:
        dataset: what `cadstn.data.open_dataset` gives.
        rule: how to cut.
        on_frames: called with how many more frames are done.

    Raises:
        CadstnError: if there is a bank of other crops under its name, the rule needs joints that
            the set has not, or a frame cannot be read.
    """
    data = dataset.fingerprint()
    key = bank_key(data, rule.to_json())
    cache = Path(os.environ.get(_CACHE) or Path.home() / ".cache" / "cadstn")
    path = cache / f"{dataset.name}-{dataset.split}-{key[:12]}.bank"
    if path.exists():
        bank = open_bank(path)
        if bank.fingerprint != key:
            raise CadstnError("a bank of other crops", where=path, hint=_REMAKE)
        on_frames(len(bank))
        return bank
    kept = _kept_joints(dataset, rule)

    def crops_of(part: slice) -> tuple[slice, list[Crop]]:
        samples = map(dataset.__getitem__, range(len(dataset))[part])
        return part, [crop_sample(sample, rule, dataset.center_joint) for sample in samples]

    def fill(bank: Bank) -> None:
        parts = [slice(first, first + _TOGETHER) for first in range(0, len(dataset), _TOGETHER)]
        # Threads: OpenCV decodes and NumPy copies without the interpreter's lock.
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for part, crops in pool.map(crops_of, parts):
                truth = dataset.joints_xyz_mm[part][:, kept]
                bank.crops[part] = quantise(np.stack([c.image for c in crops]))
                bank.centers_mm[part] = np.stack([c.center_xyz_mm for c in crops])
                bank.cube_mm[part] = [c.cube_mm for c in crops]
                bank.joints[part] = [
                    c.to_normalised(xyz) for c, xyz in zip(crops, truth, strict=True)
                ]
                on_frames(len(crops))
        bank.shots[:] = np.cumsum(dataset.starts) - 1

    about = {"data": data, "rule": rule.to_json(), "set": dataset.name, "split": dataset.split}
    try:
        return write_bank(path, (len(dataset), rule.size, len(kept)), about, fill)
    except CadstnError as error:
        if _CACHE in error.hint or not error.what.startswith("cannot write"):
            raise
        hint = f"{error.hint}; the environment variable {_CACHE} names another folder for crops"
        raise CadstnError(error.what, where=error.where, hint=hint) from None


def write_bank(
    path: Path,
    shape: tuple[int, int, int],
    about: dict[str, str],
    fill: Callable[[Bank], None],
    *,
    answers: bool = False,
    resumable: bool = False,
    wait: bool = False,
) -> Bank:
    """Make a bank's file whole or not at all.

    Args:
        path: the file.
        shape: N frames, M pixels, K joints.
        about: text for the header; names ``data`` and ``rule``.
        fill: writes into the arrays of the bank that it is given.
        answers: whether the bank has presence and handedness of each frame.
        resumable: an interrupted bank is kept as ``path`` with ``.part`` after it, and ``fill`` is
            given it the next time: a frame of which ``cube_mm`` is 0 was not written.
        wait: for another process that makes it, rather than raise an error.

    Raises:
        CadstnError: if the disk is full, another process makes it, or what an interruption left is
            of other crops.
    """
    fields = _fields(*shape, _ANSWERS if answers else ())
    header: dict[str, Any] = {"__metadata__": {"format": _FORMAT, **about, STAMP_KEY: BLANK_STAMP}}
    at = 0
    for name, (dtype, dims) in fields.items():
        end = at + _bytes(dtype, dims)
        header[name] = {"dtype": dtype, "shape": dims, "data_offsets": [at, end]}
        at = end
    text = json.dumps(header).encode()
    text += b" " * (-(len(text) + 8) % 64)  # the arrays begin aligned
    with resumed_file(path, wait=wait) if resumable else whole_file(path) as temporary:
        if resumable and path.exists():  # another process has made it meanwhile
            temporary.unlink()
            return open_bank(path)
        _begin(temporary, len(text).to_bytes(8, "little") + text, at)
        bank = open_bank(temporary, "r+")
        fill(bank)
        for name in fields:
            getattr(bank, _ANSWERS.get(name, name)).flush()
        stamp_file(temporary)
    return open_bank(path)


def _begin(temporary: Path, head: bytes, size: int) -> None:
    """Write the header and reserve the arrays' bytes, unless the file is such a one already."""
    begun = temporary.stat().st_size
    with temporary.open("rb") as file:
        there = file.read(len(head))
    if there == head and begun == len(head) + size:
        return
    # A process killed here leaves a part of its header, and a power failure zeros in its place.
    if any(there) and not head.startswith(there):
        raise CadstnError(
            "left by an interruption, of other crops",
            where=temporary,
            hint="delete it, or give the command that began it",
        )
    try:
        with temporary.open("wb") as file:
            file.write(head)
            file.flush()  # before the file has its size
            # Reserved at once: writing through a map into a full disk would kill the process.
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, len(head) + size)
            else:  # macOS, Windows
                for start in range(0, size, _BLOCK):
                    file.write(bytes(min(_BLOCK, size - start)))
    except OSError as error:
        temporary.unlink()
        raise CadstnError(
            f"cannot write a bank of {size / 1e6:,.0f} MB ({error.strerror})",
            hint="free some space, or write it to a larger disk (CADSTN_CACHE, for data sets)",
        ) from None


def open_bank(path: Path, mode: Literal["c", "r+"] = "c") -> Bank:
    """Map a bank's file: copy on write (torch wants writable arrays), or ``r+`` to make it.

    Raises:
        CadstnError: if it is missing, cut short or no bank, or its contents changed since it was
            made.
    """
    if not path.is_file():
        what = "no bank but a folder or device" if path.exists() else "no such bank"
        raise CadstnError(what, where=path, hint=_GIVE)
    hint = _GIVE
    try:
        header, start = _header(path)
        about = header["__metadata__"]
        if about["format"] == _FORMAT:
            hint = "delete it; the command that made it makes it again"
        if about["format"] != _FORMAT or not all(type(text) is str for text in about.values()):
            raise ValueError("of another format")
        bank_key(about["data"], about["rule"])
        CropRule(**json.loads(about["rule"]))
        arrays: dict[str, Any] = {
            _ANSWERS.get(name, name): np.memmap(path, _DTYPES[dtype], mode, start + first, shape)
            for name, (dtype, first, shape) in _entries(header, path.stat().st_size - start).items()
        }
    # What a header's fields of other types raise, among them text that slices like a list.
    except (
        OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError, OverflowError,
        CadstnError,
    ) as error:  # fmt: skip
        why = str(error) or type(error).__name__
        raise CadstnError(f"not a whole bank of crops ({why})", where=path, hint=hint) from None
    if mode == "c":
        check_stamp(path, hint=_REMAKE)
    return Bank(path=path, about=about, **arrays)


def read_about(path: Path) -> dict[str, str]:
    """Text of a bank's header, of one that is not finished as well; nothing else is checked.

    Raises:
        CadstnError: if there is none.
    """
    try:
        about: dict[str, str] = _header(path)[0]["__metadata__"]
    except (OSError, ValueError, LookupError, RecursionError) as error:
        raise CadstnError(f"no bank of crops ({error})", where=path, hint=_GIVE) from None
    return about


def _header(path: Path) -> tuple[dict[str, Any], int]:
    """The header of a safetensors file, and where its arrays begin."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length >= 1 << 24:
            raise ValueError("its header is too long")
        header = json.loads(file.read(length))
    if not isinstance(header, dict):
        raise ValueError("its header is no object")
    return header, 8 + length


def _entries(header: dict[str, Any], size: int) -> dict[str, tuple[str, int, tuple[int, ...]]]:
    """Type, place and shape of each array, checked against one another and the file's size."""
    count, pixels = header["crops"]["shape"][:2]
    joints = header["joints"]["shape"][1]
    found = {}
    answers = [name for name in _ANSWERS if name in header]
    for name, (dtype, shape) in _fields(count, pixels, joints, answers).items():
        entry = header[name]
        first, last = entry["data_offsets"]
        if (entry["dtype"], tuple(entry["shape"])) != (dtype, shape) or min(shape) < 1:
            raise ValueError(f"{name} is {entry['dtype']} of shape {entry['shape']}")
        if not 0 <= first <= last <= size or last - first != _bytes(dtype, shape):
            raise ValueError(f"{name} is cut short")
        found[name] = dtype, first, shape
    return found


def _fields(
    count: int, pixels: int, joints: int, answers: Iterable[str]
) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Type and shape of each array of a bank."""
    return {
        "crops": ("U16", (count, pixels, pixels)),
        "joints": ("F32", (count, joints, 3)),
        "centers_mm": ("F32", (count, 3)),
        "cube_mm": ("F32", (count,)),
        "shots": ("I32", (count,)),
        **{name: ("F32", (count,)) for name in answers},
    }


def _bytes(dtype: str, shape: tuple[int, ...]) -> int:
    return math.prod(shape) * np.dtype(_DTYPES[dtype]).itemsize


def _kept_joints(dataset: Dataset, rule: CropRule) -> list[int]:
    """Which of the set's joints the rule keeps."""
    if rule.skeleton == dataset.scored_skeleton.name:
        return list(dataset.scored)
    if rule.skeleton == dataset.skeleton.name:
        return list(range(len(dataset.skeleton)))
    known: Iterable[str] = sorted({dataset.scored_skeleton.name, dataset.skeleton.name})
    raise CadstnError(
        f"{dataset.name} has no joints of '{rule.skeleton}'",
        where=dataset.folder,
        hint=f"set skeleton to {' or '.join(known)}",
    )
