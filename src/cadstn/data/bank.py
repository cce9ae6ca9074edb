"""A bank: the crops of a whole data set, prepared once, in one memory-mapped file.

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
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cadstn.data.dataset import Dataset, Sample
from cadstn.errors import CadstnError
from cadstn.geometry.camera import Camera, DepthMm, FloatArray
from cadstn.geometry.crop import Crop, crop_cube
from cadstn.io.hashes import BLANK_STAMP, STAMP_KEY, check_stamp, stamp_file
from cadstn.io.whole import whole_file

CENTERS, RENDERED_CENTERS = ("mass_once", "mass", "joint"), ("tracked", "followed")
"""Where cubes can stand, see `CropRule`: in data sets, and in rendered frames."""

_FORMAT = "cadstn bank 1"
_NEAR_MM, _FAR_MM = 10.0, 1500.0  # DeepPrior ignores what lies outside
_MASS_ROUNDS = {"mass_once": 1, "mass": 2}
_REMAKE = "delete it and it is remade, or give another file"
_ANSWERS = ("left", "present")  # of rendered frames
_DTYPES = {"U16": np.uint16, "F32": np.float32, "I32": np.int32}


@dataclass(frozen=True)
class CropRule:
    """How frames become crops; banks of two rules are never mixed up.

    Attributes:
        skeleton: which joints are kept, in which order.
        cube_mm: edge of the cube.
        cubes_mm: other edges for some subjects, by name.
        size: M, pixels along a crop's edge.
        center: ``mass_once``: the surface's centre of mass in the cube around the truth's centre
            joint (DeepPrior's training crops, and the paper's); ``mass``: the centre of mass in the
            cube around that point; ``joint``: that joint itself, as many published scripts have it;
            ``tracked``: near the joints' mean in the frame before, or far from it as a first look
            is (rendered clips); ``followed``: the same without first looks.
    """

    skeleton: str
    cube_mm: float
    cubes_mm: dict[str, float] = field(default_factory=dict)
    size: int = 128
    center: str = "mass_once"

    def __post_init__(self) -> None:
        known = (*CENTERS, *RENDERED_CENTERS)
        if self.center not in known:
            raise CadstnError(f"no centre '{self.center}'", hint=f"use one of {', '.join(known)}")

    def cube_of(self, subject: str) -> float:
        """Edge of the cube for a subject, mm."""
        return self.cubes_mm.get(subject, self.cube_mm)

    @property
    def mass_rounds(self) -> int:
        """How often the centre of mass is taken; 0 where the centre is another."""
        return _MASS_ROUNDS.get(self.center, 0)

    def to_json(self) -> str:
        """One line that two equal rules share."""
        return json.dumps(asdict(self), sort_keys=True)


@dataclass(frozen=True, eq=False)
class Bank:
    """An open bank; its arrays are mapped from the file.

    Attributes:
        path: the file.
        crops: (N, M, M) uint16; q stands for the normalised depth q / 32767.5 - 1.
        joints: (N, K, 3) float32 relative to the crop's centre, in half cubes.
        centers_mm: (N, 3) float32 camera frame.
        cube_mm: (N,) float32.
        shots: (N,) int32; frames of one number follow one another in one recording.
        left: (N,) float32, 1 for a left hand; None where the data does not say.
        present: (N,) float32, 1 where there is a hand; None where all frames show one.
        about: the header's text: format, data, rule, names.
    """

    path: Path
    crops: NDArray[np.uint16]
    joints: NDArray[np.float32]
    centers_mm: NDArray[np.float32]
    cube_mm: NDArray[np.float32]
    shots: NDArray[np.int32]
    about: dict[str, str]
    left: NDArray[np.float32] | None = None
    present: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.crops)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the data's fingerprint and the rule."""
        return bank_key(self.about["data"], self.about["rule"])

    def check_rule(self, rule: CropRule) -> None:
        """Raise a CadstnError, naming what differs, if the crops were cut by another rule."""
        theirs, ours = json.loads(self.about["rule"]), asdict(rule)
        for name in ours:
            if theirs.get(name) != ours[name]:
                raise CadstnError(
                    f"a bank of crops with {name} = {theirs.get(name)}, not {ours[name]}",
                    where=self.path,
                    hint=_REMAKE,
                )


def bank_key(data: str, rule: str) -> str:
    """Name a bank by what it is made of."""
    return hashlib.sha256(f"{_FORMAT}\n{data}\n{rule}".encode()).hexdigest()


def default_path(dataset: Dataset, rule: CropRule) -> Path:
    """Where a bank is kept unless told otherwise: the user's cache, or ``CADSTN_CACHE``."""
    cache = os.environ.get("CADSTN_CACHE") or Path.home() / ".cache" / "cadstn"
    key = bank_key(dataset.fingerprint(), rule.to_json())
    return Path(cache) / f"{dataset.name}-{dataset.split}-{key[:12]}.bank"


def crop_sample(sample: Sample, rule: CropRule, center_joint: int) -> Crop:
    """Cut one labelled frame as a rule says; the centre comes from its truth.

    Args:
        sample: the frame.
        rule: how to cut.
        center_joint: the joint to start from, an index of the sample's joints.
    """
    cube_mm = rule.cube_of(sample.subject)
    start = sample.joints_xyz_mm[center_joint]
    if rule.mass_rounds:
        start = mass_center(sample.depth_mm, sample.camera, start, cube_mm, rule.mass_rounds)
    return crop_cube(sample.depth_mm, sample.camera, start, cube_mm, rule.size)


def mass_center(
    depth_mm: DepthMm, camera: Camera, start_xyz_mm: ArrayLike, cube_mm: float, rounds: int
) -> FloatArray:
    """Mean pixel and mean depth of the surface in a cube, then in the cube around that point.

    Args:
        depth_mm: (H, W) mm, 0 where nothing was measured.
        camera: that took it.
        start_xyz_mm: (3,) camera frame, in front of the camera.
        cube_mm: edge of the cube.
        rounds: how often the mean is taken.

    Returns:
        (3,) mm, camera frame; the start itself where the cube is empty.
    """
    center = np.asarray(start_xyz_mm, np.float64)
    height, width = depth_mm.shape
    half = cube_mm / 2
    for _ in range(rounds):
        u, v, z = camera.to_uvd(center)
        du, dv = half * camera.fx / z, half * camera.fy / z
        left, right = max(int(u - du), 0), min(int(u + du), width)
        top, bottom = max(int(v - dv), 0), min(int(v + dv), height)
        patch = depth_mm[top:bottom, left:right]
        low, high = max(z - half, _NEAR_MM), min(z + half, _FAR_MM)
        rows, columns = np.nonzero((patch >= low) & (patch <= high))
        if not len(rows):
            return center
        mean = (columns.mean() + left, rows.mean() + top, float(patch[rows, columns].mean()))
        center = np.asarray(camera.to_xyz_mm(mean), np.float64)
    return center


def build_bank(
    dataset: Dataset,
    rule: CropRule,
    path: Path | None = None,
    *,
    on_frames: Callable[[int], None] = lambda count: None,
) -> Bank:
    """Open the bank of a data set, making it first where there is none.

    Args:
        dataset: what `cadstn.data.open_dataset` gives.
        rule: how to cut.
        path: the file; by default one in the user's cache, named by data and rule.
        on_frames: told how many more frames are done.

    Raises:
        CadstnError: if ``path`` holds a bank of other data or another rule, the rule asks for
            joints that the set has not, or a frame cannot be read.
    """
    path = path or default_path(dataset, rule)
    data = dataset.fingerprint()
    if path.exists():
        bank = open_bank(path)
        bank.check_rule(rule)
        if bank.about["data"] != data:
            raise CadstnError("a bank of other frames or labels", where=path, hint=_REMAKE)
        on_frames(len(bank))
        return bank
    kept = _kept_joints(dataset, rule)
    shots = np.cumsum(dataset.starts).astype(np.int32) - 1

    def frames(first: int) -> tuple[int, list[Crop], FloatArray]:
        part = range(first, min(first + 64, len(dataset)))
        crops = [crop_sample(dataset[i], rule, dataset.center_joint) for i in part]
        labels = [c.to_normalised(dataset.joints_xyz_mm[i][kept])
                  for i, c in zip(part, crops, strict=True)]  # fmt: skip
        return first, crops, np.stack(labels)

    def fill(bank: Bank) -> None:
        # Threads: OpenCV decodes and NumPy copies without the interpreter's lock.
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for first, crops, labels in pool.map(frames, range(0, len(dataset), 64)):
                place = slice(first, first + len(crops))
                bank.crops[place] = quantise(np.stack([c.image for c in crops]))
                bank.centers_mm[place] = np.stack([c.center_xyz_mm for c in crops])
                bank.cube_mm[place] = [c.cube_mm for c in crops]
                bank.joints[place] = labels
                on_frames(len(crops))
        bank.shots[:] = shots

    about = {"data": data, "rule": rule.to_json(), "set": dataset.name, "split": dataset.split}
    return write_bank(path, (len(dataset), rule.size, len(kept)), about, fill)


def quantise(crops: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Normalised crops in [-1, 1] -> 16 bits: steps of 0.004 mm in a 250 mm cube, +1 exactly."""
    steps: NDArray[np.uint16] = np.rint((crops + 1) * np.float32(32767.5)).astype(np.uint16)
    return steps


def write_bank(
    path: Path,
    shape: tuple[int, int, int],
    about: dict[str, str],
    fill: Callable[[Bank], None],
    *,
    answers: bool = False,
) -> Bank:
    """Make a bank's file whole or not at all.

    Args:
        path: the file.
        shape: N frames, M pixels, K joints.
        about: text for the header; names ``data`` and ``rule``.
        fill: writes into the arrays of the bank that it is given.
        answers: whether the bank says of each frame if there is a hand, and which.

    Raises:
        CadstnError: if the disk is full.
    """
    count, size, joints = shape
    fields: dict[str, tuple[str, tuple[int, ...]]] = {
        "crops": ("U16", (count, size, size)),
        "joints": ("F32", (count, joints, 3)),
        "centers_mm": ("F32", (count, 3)),
        "cube_mm": ("F32", (count,)),
        "shots": ("I32", (count,)),
    }
    if answers:
        fields |= {name: ("F32", (count,)) for name in _ANSWERS}
    header: dict[str, Any] = {"__metadata__": {"format": _FORMAT, **about, STAMP_KEY: BLANK_STAMP}}
    at = 0
    for name, (dtype, dims) in fields.items():
        bytes_ = int(np.prod(dims)) * np.dtype(_DTYPES[dtype]).itemsize
        header[name] = {"dtype": dtype, "shape": dims, "data_offsets": [at, at + bytes_]}
        at += bytes_
    text = json.dumps(header).encode()
    text += b" " * (-(len(text) + 8) % 64)  # the arrays begin aligned
    try:
        with whole_file(path) as temporary:
            with temporary.open("wb") as file:
                file.write(len(text).to_bytes(8, "little") + text)
                # Asked for at once: writing through a map into a full disk would kill the process.
                os.posix_fallocate(file.fileno(), 0, 8 + len(text) + at)
            bank = open_bank(temporary, "r+")
            fill(bank)
            for name in fields:
                getattr(bank, name).flush()
            stamp_file(temporary)
    except OSError as error:
        raise CadstnError(
            f"cannot write a bank of {at / 1e9:.1f} GB ({error.strerror})",
            where=path,
            hint="free some space, or set CADSTN_CACHE to a larger disk",
        ) from None
    return open_bank(path)


def open_bank(path: Path, mode: Literal["c", "r+"] = "c") -> Bank:
    """Map a bank's file.

    Args:
        path: the file.
        mode: ``c``, copy on write: torch wants arrays that may be written, the file stays as it
            is; or ``r+`` for whoever makes it.

    Raises:
        CadstnError: if it is missing, cut short or no bank, or its contents changed since it was
            made.
    """
    if not path.is_file():
        raise CadstnError("no such bank", where=path)
    try:
        header, start = _header(path)
        about = header["__metadata__"]
        if about["format"] != _FORMAT or not all(type(text) is str for text in about.values()):
            raise ValueError("of another format")
        bank_key(about["data"], about["rule"])
        CropRule(**json.loads(about["rule"]))
        arrays: dict[str, Any] = {
            name: np.memmap(path, _DTYPES[dtype], mode, start + first, shape)
            for name, (dtype, first, shape) in _entries(header, path.stat().st_size - start).items()
        }
    except (OSError, ValueError, KeyError, TypeError, RecursionError, OverflowError) as error:
        why = str(error) or type(error).__name__
        raise CadstnError(
            f"not a whole bank of crops ({why})", where=path, hint="delete it, it is remade"
        ) from None
    if mode == "c":
        check_stamp(path, hint=_REMAKE)
    return Bank(path=path, about=about, **arrays)


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
    expected: dict[str, tuple[str, tuple[int, ...]]] = {
        "crops": ("U16", (count, pixels, pixels)),
        "joints": ("F32", (count, joints, 3)),
        "centers_mm": ("F32", (count, 3)),
        "cube_mm": ("F32", (count,)),
        "shots": ("I32", (count,)),
        **{name: ("F32", (count,)) for name in _ANSWERS if name in header},
    }
    found = {}
    for name, (dtype, shape) in expected.items():
        entry = header[name]
        first, last = entry["data_offsets"]
        if (entry["dtype"], tuple(entry["shape"])) != (dtype, shape) or min(shape) < 1:
            raise ValueError(f"{name} is {entry['dtype']} of shape {entry['shape']}")
        held = math.prod(shape) * np.dtype(_DTYPES[dtype]).itemsize
        if not 0 <= first <= last <= size or last - first != held:
            raise ValueError(f"{name} is cut short")
        found[name] = dtype, first, shape
    return found


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
