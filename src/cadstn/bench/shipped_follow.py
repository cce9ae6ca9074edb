"""Rendered recordings as weights track them: with the centre found, and beside it with it given."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from cadstn.bench.shipped_set import Rendered
from cadstn.geometry.camera import Camera, DepthMm
from cadstn.geometry.crop import crop_cube
from cadstn.tracking import Hand, Network
from cadstn.tracking.bones import Bones, keep_size
from cadstn.tracking.gaze import Gaze, look_at
from cadstn.tracking.locate import FAR_MM
from cadstn.tracking.turn import turn_back

FloatArray = NDArray[np.float64]
Bools = NDArray[np.bool_]

_LEAST_SEEN = 0.01  # of the picture must be within reach for a frame to be able to give an alarm


def _nothing() -> None:
    """What is done after a frame if nothing is asked for."""


class Follower(Protocol):
    """What tracks: `cadstn.tracking.Tracker`, or anything like it."""

    def reset(self) -> None:
        """Forget everything."""

    def update(self, depth: DepthMm, camera: Camera, time_s: float | None = None) -> Hand:
        """Track the next frame."""
        ...


class Look(NamedTuple):
    """What a network says of one cube.

    Attributes:
        joints_mm: (K, 3) of all three networks together, bones kept as the tracker keeps them.
        spatial_mm: (K, 3) of the spatial network alone; None where the file does not say.
    """

    joints_mm: NDArray[np.floating]
    spatial_mm: NDArray[np.floating] | None


class Looks(Protocol):
    """What looks at cubes that are given: `Looker`, or anything like it."""

    def reset(self) -> None:
        """Forget everything."""

    def aim(self, joints_mm: NDArray[np.floating]) -> FloatArray:
        """Where it wants cubes around joints (T, K, 3): (T, 3)."""
        ...

    def look(self, depth_mm: DepthMm, camera: Camera, center_mm: FloatArray) -> Look:
        """Look at the cube around a centre (3,) mm in the next frame of the stream."""
        ...


class Looker:
    """Runs a network on cubes that are given; the one place of the benchmark that does.

    Args:
        network: see `cadstn.tracking.load_network`.
    """

    def __init__(self, network: Network) -> None:
        self.network = network
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self.gaze = Gaze(self.network.initial_state())
        self.bones: Bones | None = None

    def aim(self, joints_mm: NDArray[np.floating]) -> FloatArray:
        """Where the network wants cubes around joints (T, K, 3): (T, 3)."""
        return self.network.center_of(joints_mm)

    def look(self, depth_mm: DepthMm, camera: Camera, center_mm: FloatArray) -> Look:
        """Look at the cube around a centre (3,) mm in the next frame of the stream."""
        cube_mm = self.network.cube_mm
        crop = crop_cube(depth_mm, camera, center_mm, cube_mm, self.network.size)
        out, turn, self.gaze = look_at(self.network, self.gaze, crop)
        uvd = self.network.uvd
        joints = turn_back(out.joints[0], crop, turn, uvd=uvd)
        alone = None if out.spatial is None else turn_back(out.spatial[0], crop, turn, uvd=uvd)
        if out.spread is not None:
            spread_mm = out.spread[0] * (cube_mm / 2)
            joints, self.bones = keep_size(joints, spread_mm, self.bones, self.network.skeleton)
        return Look(joints, alone)


@dataclass(frozen=True, eq=False)
class Seen:
    """One rendered recording as it was tracked: T frames, K joints, mm in the camera's frame.

    Attributes:
        setup: name of its camera.
        left: whether it is a left hand.
        time_s: (T,).
        truth_mm: (T, K, 3).
        whole: (T,) whether all true joints are in the picture.
        other_mm: (T, 3) middle of the second hand, which has no labels; NaN where there is none.
        joints_mm: (T, K, 3) the tracker's; NaN where lost.
        center_mm: (T, 3) of the cube that the tracker looked at last; NaN where lost.
        aim_mm: (T, 3) where the true joints would have it.
        uncertainty_mm: (T, K) what the tracker says of each joint; NaN where it does not.
        side: (T,) which hand it says it is.
        given_mm: (T, K, 3) the network's, its cube where the true joints would have it.
        spatial_mm: (T, K, 3) the spatial network's of the tracker's cubes, NaN where lost; None
            where the file does not say.
    """

    setup: str
    left: bool
    time_s: FloatArray
    truth_mm: FloatArray
    whole: Bools
    other_mm: FloatArray
    joints_mm: FloatArray
    center_mm: FloatArray
    aim_mm: FloatArray
    uncertainty_mm: FloatArray
    side: tuple[str, ...]
    given_mm: FloatArray
    spatial_mm: FloatArray | None


def follow(
    one: Rendered,
    tracker: Follower,
    given: Looks,
    beside: Looks,
    on_frame: Callable[[], None] = _nothing,
) -> Seen:
    """Track one recording from a fresh start.

    Args:
        one: the recording, with its truth.
        tracker: finds the centre.
        given: follows the same hand with the centre given.
        beside: looks again where the tracker looked, for what the spatial network says alone: it
            remembers nothing, so that the stream does not matter.
        on_frame: called after each frame, for a progress bar.
    """
    recording = one.recording
    truth = recording.truth_xyz_mm
    assert truth is not None
    for what in (tracker, given, beside):
        what.reset()
    frames, count = truth.shape[:2]
    aim = given.aim(truth)
    joints, with_truth, alone = (np.full(truth.shape, np.nan) for _ in range(3))
    center, uncertainty = np.full((frames, 3), np.nan), np.full((frames, count), np.nan)
    side, says_alone = ["unknown"] * frames, False
    for frame in recording.frames(lambda bad: on_frame()):
        at, depth, camera = frame.index, frame.depth, frame.camera
        hand = tracker.update(depth, camera, frame.time_s)
        joints[at], center[at], side[at] = hand.joints_mm, hand.center_mm, hand.side
        uncertainty[at] = hand.uncertainty_mm
        look = given.look(depth, camera, aim[at])
        with_truth[at] = look.joints_mm
        if look.spatial_mm is not None:
            says_alone = True
            again = beside.look(depth, camera, center[at]).spatial_mm if hand.found else None
            alone[at] = np.nan if again is None else again
        on_frame()
    return Seen(
        one.setup,
        one.left,
        np.arange(frames) / recording.camera.fps,
        truth.astype(np.float64),
        in_picture(truth, recording.camera),
        one.other_mm,
        joints,
        center,
        aim,
        uncertainty,
        tuple(side),
        with_truth,
        alone if says_alone else None,
    )


def in_picture(joints_mm: NDArray[np.floating], camera: Camera) -> Bools:
    """Say of frames of joints (T, K, 3) whether all are in the camera's picture: (T,)."""
    uv = camera.to_uvd(joints_mm)[..., :2]
    inside = (uv >= 0) & (uv <= np.array([camera.width - 1, camera.height - 1]))
    return np.asarray(inside.all((1, 2)) & (joints_mm[..., 2] > 0).all(1), np.bool_)


def false_alarms(
    empty: Iterable[Rendered], tracker: Follower, on_frame: Callable[[], None] = _nothing
) -> dict[str, Any]:
    """Track recordings without a hand, each from a fresh start; count frames that announce one.

    Frames with hardly anything within the finder's reach cannot give an alarm and do not count.

    Returns:
        ``frames`` that count, ``found`` among them, ``share`` (None of no frames), how many were
        ``left_out``, and the same ``by_scene``: ``arm``, where an arm reaches out of the picture,
        and ``gone``, where hand and arm are gone.
    """
    counts = {"arm": [0, 0], "gone": [0, 0]}
    frames = 0
    for one in empty:
        tracker.reset()
        frames += len(one.recording)
        count = counts["arm" if one.arm else "gone"]
        for frame in one.recording.frames(lambda bad: on_frame()):
            hand = tracker.update(frame.depth, frame.camera, frame.time_s)
            near = (frame.depth > 0) & (frame.depth < FAR_MM)
            if near.mean() >= _LEAST_SEEN:
                count[0] += 1
                count[1] += hand.found
            on_frame()

    def told(counted: int, found: int) -> dict[str, Any]:
        share = found / counted if counted else None
        return {"frames": counted, "found": found, "share": share}

    counted, found = (sum(count[i] for count in counts.values()) for i in (0, 1))
    scenes = {name: told(*count) for name, count in counts.items()}
    return {**told(counted, found), "left_out": frames - counted, "by_scene": scenes}
