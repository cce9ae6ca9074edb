"""The form that every reader gives its set: frames, their joints, and where a shot begins."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cadstn.errors import CadstnError
from cadstn.geometry.camera import Camera, DepthMm
from cadstn.geometry.skeleton import Skeleton

Joints = NDArray[np.float64]

#: A shot begins where the joints jump further than this on average between two frames: no hand
#: does, and in NYU's test labels it finds exactly the 17 known cuts.
JUMP_MM = 40.0


class LeftOut(NamedTuple):
    """A labelled frame that a reader does not offer, and why."""

    name: str
    why: str


@dataclass(frozen=True)
class Sample:
    """One labelled frame.

    Attributes:
        joints_uvd: (K, 3) u px, v px, d mm.
        joints_xyz_mm: (K, 3) camera frame (x right, y down, z forward).
        camera: that took it.
        sequence: the recording it belongs to.
        subject: whose hand it is; "unknown" where the set does not name it.
        starts_shot: whether no frame before it continues into it.
        name: the frame's file, relative to the set's folder.
    """

    joints_uvd: Joints
    joints_xyz_mm: Joints
    camera: Camera
    sequence: str
    subject: str
    starts_shot: bool
    name: str
    _file: Path
    _read: Callable[[Path, Camera], DepthMm]

    @cached_property
    def depth_mm(self) -> DepthMm:
        """(H, W) mm, 0 where nothing was measured; read when first used.

        Raises:
            CadstnError: naming the file, if it is missing, damaged or of another size.
        """
        return self._read(self._file, self.camera)


@dataclass(frozen=True, eq=False)
class Dataset:
    """One split of one data set: all labels in memory, depth on disk until it is used.

    Attributes:
        name: of its reader, see `cadstn.data.registry.READERS`.
        split: as given to `open_dataset`.
        layout: which of the set's layouts is on disk, in words.
        folder: what the frames' names are relative to.
        camera: that took the frames; the first one's where they differ.
        skeleton: all K joints that the set labels.
        scored: those of them that are scored, in the usual order.
        scored_skeleton: what these are called.
        center_joint: the one of the K that published scripts put the crop at.
        names: N file names.
        joints_uvd: (N, K, 3) u px, v px, d mm.
        joints_xyz_mm: (N, K, 3) camera frame (x right, y down, z forward).
        sequences: N names of recordings.
        subjects: N names of subjects.
        starts: (N,) bool, true where a shot begins; the first frame always does.
        cut_rule: how these were found, in words.
        left_out: labelled frames that are not among the N, and why.
        faulty: names among the N whose picture or label is known to be wrong.
        read: decodes one file.
        cameras: N cameras where frames were taken by several; empty where ``camera`` took all.
    """

    name: str
    split: str
    layout: str
    folder: Path
    camera: Camera
    skeleton: Skeleton
    scored: tuple[int, ...]
    scored_skeleton: Skeleton
    center_joint: int
    names: tuple[str, ...]
    joints_uvd: Joints
    joints_xyz_mm: Joints
    sequences: tuple[str, ...]
    subjects: tuple[str, ...]
    starts: NDArray[np.bool_]
    cut_rule: str
    read: Callable[[Path, Camera], DepthMm]
    left_out: tuple[LeftOut, ...] = ()
    faulty: tuple[str, ...] = ()
    cameras: tuple[Camera, ...] = ()

    def __post_init__(self) -> None:
        count, joints = len(self.names), len(self.skeleton)
        if not count:
            raise CadstnError(
                f"no labelled frame of {self.name} {self.split}",
                where=self.folder,
                hint="unpack the whole set, or give another folder",
            )
        assert self.joints_uvd.shape == self.joints_xyz_mm.shape == (count, joints, 3)
        assert len(self.sequences) == len(self.subjects) == len(self.starts) == count
        assert self.starts[0]
        assert len(self.cameras) in (0, count)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Sample:
        """Return one frame; depth is read when it is used.

        Raises:
            IndexError: beyond either end.
        """
        return Sample(
            joints_uvd=self.joints_uvd[index],
            joints_xyz_mm=self.joints_xyz_mm[index],
            camera=self.cameras[index] if self.cameras else self.camera,
            sequence=self.sequences[index],
            subject=self.subjects[index],
            starts_shot=bool(self.starts[index]),
            name=self.names[index],
            _file=self.folder / self.names[index],
            _read=self.read,
        )

    @property
    def several_cameras(self) -> bool:
        """Whether frames were taken by different cameras."""
        return len(set(self.cameras)) > 1

    def shots(self) -> NDArray[np.intp]:
        """Indices of the first frames of all shots, 0 first."""
        return np.flatnonzero(self.starts)

    def fingerprint(self) -> str:
        """SHA-256 over names, file sizes and labels: another one means other data.

        The size of a file is read, not its contents; one that is missing counts as such.
        """
        digest = hashlib.sha256(f"{self.name} {self.split} {self.camera}".encode())
        for name in self.names:
            try:
                size = (self.folder / name).stat().st_size
            except OSError:
                size = -1
            digest.update(f"\n{name} {size}".encode())
        for camera in self.cameras:
            digest.update(str(camera).encode())
        for array in (self.joints_uvd, self.joints_xyz_mm, self.starts):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()


def jump_starts(joints_xyz_mm: ArrayLike, jump_mm: float = JUMP_MM) -> NDArray[np.bool_]:
    """Find where a recording is cut: the joints jump, each by its own way, over 40 mm on average.

    The mean over the joints of each one's way is used and not the way of their mean: at NYU's test
    frame 5722 the latter is 26 mm only.

    Args:
        joints_xyz_mm: (N, K, 3).
        jump_mm: how far is too far.

    Returns:
        (N,) bool; the first is always true.
    """
    joints = np.asarray(joints_xyz_mm, np.float64)
    way = np.linalg.norm(np.diff(joints, axis=0), axis=-1).mean(-1)
    return np.concatenate([np.ones(min(len(joints), 1), bool), way > jump_mm])


def crop_joint(skeleton: Skeleton) -> int:
    """Index of the joint that crops are put at: the palm's, or the root of the middle finger."""
    names = skeleton.joints
    return next(
        (names.index(name) for name in ("palm", "PALM_3", "middle_mcp") if name in names), 0
    )


def change_starts(names: tuple[str, ...]) -> NDArray[np.bool_]:
    """Find where a name differs from the one before: (N,) bool; the first is always true."""
    array = np.array(names)
    return np.concatenate([np.ones(min(len(array), 1), bool), array[1:] != array[:-1]])
