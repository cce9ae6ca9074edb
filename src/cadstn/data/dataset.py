"""The form that every reader gives its set: frames, their joints, and where a shot begins."""

from __future__ import annotations

import hashlib
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple, SupportsIndex

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cadstn.errors import CadstnError
from cadstn.geometry.camera import Camera, DepthMm
from cadstn.geometry.skeleton import Skeleton
from cadstn.io.files import read_png

Joints = NDArray[np.float64]

#: A shot begins where the joints jump further than this on average between two frames: no hand
#: does, and in NYU's test labels it finds exactly the 17 known cuts.
JUMP_MM = 40.0
_NO_CAMERA = Camera(1, 1, 0, 0, 640, 480)  # of a split without frames, which is refused


class LeftOut(NamedTuple):
    """A labelled frame that a reader does not offer, and why."""

    name: str
    why: str


@dataclass(frozen=True, eq=False)
class Sample:
    """One labelled frame.

    Its joints belong to the set and cannot be written to: ``sample.joints_xyz_mm - root`` is an
    array of one's own.

    Attributes:
        joints_uvd: (K, 3) u px, v px, d mm.
        joints_xyz_mm: (K, 3) camera frame (x right, y down, z forward).
        camera: of ``depth_mm``: a pinhole, as what the lens distorted is straightened.
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
    _camera: Camera  # that took it, with its distortion
    _read: Callable[[Path, Camera], DepthMm]

    @cached_property
    def depth_mm(self) -> DepthMm:
        """(H, W) mm, 0 where nothing was measured; read when first used.

        Raises:
            CadstnError: naming the file, if it is missing, damaged or of another size.
        """
        return self._read(self._file, self._camera)


@dataclass(frozen=True, eq=False)
class Dataset:
    """One split of one data set: all labels in memory, depth on disk until it is used.

    Attributes:
        name: of its reader, see `cadstn.data.opening.READERS`.
        split: as given to `open_dataset`.
        layout: which of the set's layouts is on disk, in words.
        folder: what the frames' names are relative to.
        camera: that took the frames, with its distortion; the first one's where they differ. That
            of a frame's depth is its `Sample.camera`.
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
        cameras: N such cameras where frames were taken by several; empty where ``camera`` took
            all.
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
        # Samples are views of these: what is changed in one would change the set and what names it.
        for name in ("joints_uvd", "joints_xyz_mm", "starts"):
            view = getattr(self, name).view()
            view.flags.writeable = False
            object.__setattr__(self, name, view)

    @classmethod
    def labelled(
        cls,
        name: str,
        split: str,
        *,
        layout: str,
        folder: Path,
        camera: Camera | Sequence[Camera],
        skeleton: Skeleton,
        names: Sequence[str],
        joints_xyz_mm: Joints,
        joints_uvd: Joints | None = None,
        scored: tuple[int, ...] = (),
        scored_skeleton: Skeleton | None = None,
        center_joint: int | None = None,
        sequences: Sequence[str] = (),
        subjects: Sequence[str] = (),
        starts: NDArray[np.bool_] | None = None,
        cut_rule: str = "the joints jump over 40 mm on average",
        read: Callable[[Path, Camera], DepthMm] = read_png,
        left_out: Sequence[LeftOut] = (),
        faulty: Sequence[str] = (),
    ) -> Dataset:
        """Make a split of what a reader knows; see the attributes for the rest.

        Not given: every joint is scored, crops are put at `crop_joint`, frames are PNGs of one
        recording named as the split, subjects are unknown, and shots begin at `jump_starts`.
        ``camera`` may be one for all frames, or one each.
        """
        several = () if isinstance(camera, Camera) else tuple(camera)
        one = camera if isinstance(camera, Camera) else (several or (_NO_CAMERA,))[0]
        if joints_uvd is None and several:
            each = zip(several, joints_xyz_mm, strict=True)
            joints_uvd = np.array([taker.to_uvd(xyz) for taker, xyz in each], np.float64)
        elif joints_uvd is None:
            joints_uvd = np.asarray(one.to_uvd(joints_xyz_mm), np.float64)
        return cls(
            name=name,
            split=split,
            layout=layout,
            folder=folder,
            camera=one,
            skeleton=skeleton,
            scored=scored or tuple(range(len(skeleton))),
            scored_skeleton=scored_skeleton or skeleton,
            center_joint=crop_joint(skeleton) if center_joint is None else center_joint,
            names=tuple(names),
            joints_uvd=joints_uvd,
            joints_xyz_mm=joints_xyz_mm,
            sequences=tuple(sequences) or (split,) * len(names),
            subjects=tuple(subjects) or ("unknown",) * len(names),
            starts=jump_starts(joints_xyz_mm) if starts is None else starts,
            cut_rule=cut_rule,
            read=read,
            left_out=tuple(left_out),
            faulty=tuple(faulty),
            cameras=several,
        )

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: SupportsIndex) -> Sample:
        """Return one frame; its depth is read when it is used.

        Raises:
            CadstnError: if the index is no whole number.
            IndexError: if there is no such frame.
        """
        try:
            index = operator.index(index)
        except TypeError:
            raise CadstnError(
                f"{self.name} {self.split} is indexed by a {type(index).__name__}",
                hint="give the number of one frame; of several: [data[i] for i in range(3)]",
            ) from None
        camera = self.cameras[index] if self.cameras else self.camera
        return Sample(
            joints_uvd=self.joints_uvd[index],
            joints_xyz_mm=self.joints_xyz_mm[index],
            camera=camera.pinhole,
            sequence=self.sequences[index],
            subject=self.subjects[index],
            starts_shot=bool(self.starts[index]),
            name=self.names[index],
            _file=self.folder / self.names[index],
            _camera=camera,
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
        heading = f"{self.name} {self.split} {self.camera}"
        # Names of files need not be UTF-8.
        digest = hashlib.sha256(heading.encode("utf-8", "surrogateescape"))
        for name in self.names:
            try:
                size = (self.folder / name).stat().st_size
            except OSError:
                size = -1
            digest.update(f"\n{name} {size}".encode("utf-8", "surrogateescape"))
        for camera in self.cameras:
            digest.update(str(camera).encode())
        for array in (self.joints_uvd, self.joints_xyz_mm, self.starts):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()


def jump_starts(joints_xyz_mm: ArrayLike) -> NDArray[np.bool_]:
    """Find where a recording of joints (N, K, 3) is cut: (N,) bool; the first is always true.

    A shot begins where the mean over joints of how far each moved exceeds `JUMP_MM`. The way of
    the joints' mean would not do: at NYU's test frame 5722 it is 26 mm only.
    """
    joints = np.asarray(joints_xyz_mm, np.float64)
    way = np.linalg.norm(np.diff(joints, axis=0), axis=-1).mean(-1)
    return np.concatenate([np.ones(min(len(joints), 1), bool), way > JUMP_MM])


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
