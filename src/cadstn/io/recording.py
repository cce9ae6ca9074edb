"""A recording as its readers see it: frames in order, bad ones counted and reported."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cadstn.errors import CadstnError
from cadstn.geometry.camera import Camera, DepthMm
from cadstn.geometry.skeleton import Skeleton

_MOST = 5  # lines of a summary

ReadFrame = Callable[[int, Camera], DepthMm]


@dataclass(frozen=True, eq=False)
class Frame:
    """One readable frame.

    Attributes:
        index: position in the recording, unreadable frames counted.
        name: its file, below the recording's folder; the number as text in an ``.npz`` file.
        time_s: from the files, or index / fps.
        depth: (H, W) float32 mm, 0 where nothing was measured.
        camera: the recording's camera, with its size.
        cut: whether a shot begins here: a tracker must forget the hand it followed.
        truth_xyz_mm: (K, 3) joints in mm, all NaN without a hand; None if the recording has none.
    """

    index: int
    name: str
    time_s: float
    depth: DepthMm
    camera: Camera
    cut: bool
    truth_xyz_mm: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class BadFrame:
    """A frame that cannot be read, and the reason in one line."""

    index: int
    name: str
    error: CadstnError


def kind_of(error: CadstnError) -> str:
    """A key by which reasons that differ only in numbers are one kind."""
    return re.sub(r"\d+", "0", error.what)


def summed_up(bad: Sequence[BadFrame]) -> list[str]:
    """Report which frames were left out and why: a line for each reason, `_MOST` at most.

    Args:
        bad: frames that could not be read.
    """
    groups: dict[str, list[BadFrame]] = {}
    for one in bad:
        groups.setdefault(kind_of(one.error), []).append(one)
    lines = []
    for group in sorted(groups.values(), key=len, reverse=True):
        first, count = group[0], len(group)
        lines.append(str(first.error) if count == 1 else f"{count} frames, as {first.error}")
    if len(lines) > _MOST:
        rest = sum(map(len, sorted(groups.values(), key=len, reverse=True)[_MOST - 1 :]))
        lines = [*lines[: _MOST - 1], f"{rest} more frames, for {len(lines) - _MOST + 1} reasons"]
    return lines


class BadFrameWarning(UserWarning):
    """Warns of each unreadable frame where no ``on_bad`` was given."""


@dataclass(frozen=True, eq=False)
class Recording:
    """Depth frames in order; made by `open_recording`.

    Attributes:
        path: the folder or file.
        camera: with its size.
        names: of all N frames, in order, unreadable ones counted.
        skeleton: the convention of the truth; None if the file does not name it.
        truth_xyz_mm: (N, K, 3) float32 mm, all NaN in frames without a hand; None if unknown.
        cuts: indices of the first frames of all shots but the first.
        times_s: (N,) of all frames, where the files hold them; else index / fps.
    """

    path: Path
    camera: Camera
    names: tuple[str, ...]
    skeleton: Skeleton | None
    truth_xyz_mm: NDArray[np.float32] | None
    cuts: tuple[int, ...]
    _read: ReadFrame
    times_s: NDArray[np.float64] | None = None
    _files: tuple[str, ...] = ()  # of a folder: names as they are on disk

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[Frame]:
        return self.frames()

    def time_s(self, index: int) -> float:
        """Time of a frame, of the first one 0 or later."""
        own = self.times_s
        return index / self.camera.fps if own is None else float(own[index])

    def frames(self, on_bad: Callable[[BadFrame], None] | None = None) -> Iterator[Frame]:
        """Read one frame after the other, leaving out those that cannot be read.

        Args:
            on_bad: called with each frame left out; without it each is a `BadFrameWarning`.

        Raises:
            CadstnError: the first bad frame's, at the end, if there was no good one.
        """
        starts = {0, *self.cuts}
        cut, good, first = False, False, None
        for index, name in enumerate(self.names):
            # A shot whose first frame is bad begins at its first good one.
            cut = cut or index in starts
            try:
                depth = self._read(index, self.camera)
            except CadstnError as error:
                first = first or error
                if on_bad is None:
                    warnings.warn(f"frame left out: {error}", BadFrameWarning, stacklevel=2)
                else:
                    on_bad(BadFrame(index, name, error))
                continue
            truth = None if self.truth_xyz_mm is None else self.truth_xyz_mm[index]
            yield Frame(index, name, self.time_s(index), depth, self.camera.pinhole, cut, truth)
            cut, good = False, True
        if first is not None and not good:
            raise first
