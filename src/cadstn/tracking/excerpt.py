"""A part of a recording: from a frame to another, every so many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from cadstn.errors import CadstnError
from cadstn.geometry.camera import Camera, DepthMm
from cadstn.io import Recording


@dataclass(frozen=True, eq=False)
class Part(Recording):
    """Some frames of a recording; made by `part_of`."""

    frame_index: tuple[int, ...] = ()  # of each frame in the whole recording, counted from 0
    frame_count: int = 0  # how many frames the whole recording has


def frame_index(recording: Recording) -> Sequence[int]:
    """Which frames of the whole recording these are, counted from 0."""
    return recording.frame_index if isinstance(recording, Part) else range(len(recording))


def frame_count(recording: Recording) -> int:
    """How many frames the whole recording has, of which this may be a part."""
    return recording.frame_count if isinstance(recording, Part) else len(recording)


def part_of(recording: Recording, start: int = 0, end: int | None = None, every: int = 1) -> Part:
    """Return a recording of some of another's frames, with their truth and cuts.

    Args:
        recording: of which.
        start: its first frame, counted from 0.
        end: the frame after its last one; None for the end.
        every: take one frame in so many; the frame rate falls with it.

    Raises:
        CadstnError: if no frame is left.

    >>> from cadstn.io import open_recording
    >>> demo = open_recording("demo")
    >>> part_of(demo, 10, 20, 2).names
    ('000010.png', '000012.png', '000014.png', '000016.png', '000018.png')
    """
    if every < 1 or start < 0:
        raise CadstnError(f"frames from {start}, every {every}", hint="count from 0, in steps of 1")
    kept = range(len(recording))[start:end:every]
    if not kept:
        raise CadstnError(
            f"no frame from {start} to {len(recording) if end is None else end}",
            where=recording.path,
            hint=f"it has {len(recording)}, counted from 0",
        )
    read = recording._read

    def read_part(index: int, camera: Camera) -> DepthMm:
        return read(kept[index], camera)

    truth, times_s = recording.truth_xyz_mm, recording.times_s
    # A cut lies where the next frame that is kept belongs to another shot.
    shots = [sum(cut <= frame for cut in recording.cuts) for frame in kept]
    numbers = frame_index(recording)
    return Part(
        path=recording.path,
        skeleton=recording.skeleton,
        camera=replace(recording.camera, fps=recording.camera.fps / every),
        names=tuple(recording.names[frame] for frame in kept),
        truth_xyz_mm=None if truth is None else truth[start:end:every],
        cuts=tuple(i for i in range(1, len(shots)) if shots[i] != shots[i - 1]),
        _read=read_part,
        times_s=None if times_s is None else times_s[start:end:every],
        frame_index=tuple(numbers[frame] for frame in kept),
        frame_count=frame_count(recording),
    )
