"""Rendered recordings as weights track them: with the centre searched for, and with it given."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from cadstn.bench.accuracy.picture import joints_in_picture
from cadstn.bench.accuracy.set import Rendered
from cadstn.geometry.camera import Camera, DepthMm
from cadstn.geometry.crop import cut_cube
from cadstn.tracking import Hand, Network, Tracker
from cadstn.tracking.bones import Bones, keep_size
from cadstn.tracking.canonical import joints_to_mm
from cadstn.tracking.detector import FAR_MM
from cadstn.tracking.given import predict_given
from cadstn.tracking.hand import Track, lost_hand

FloatArray = NDArray[np.float64]
Bools = NDArray[np.bool_]

OTHER_MM = 120.0
"""Nearer than this to the second hand, and nearer than to the first, is on it."""

_LEAST_SEEN = 0.01  # share of the picture within range that makes a false alarm possible


class Follower(Protocol):
    """What tracks: `cadstn.tracking.Tracker`, or anything like it."""

    def reset(self) -> None:
        """Forget everything."""

    def update(self, depth: DepthMm, camera: Camera, time_s: float | None = None) -> Hand:
        """Track the next frame."""
        ...


class GivenPrediction(NamedTuple):
    """What a network predicts of a given cube."""

    # (K, 3) all three networks together, bone lengths kept as the tracker keeps them
    joints_mm: NDArray[np.floating]
    # (K, 3) the spatial network alone; None where the file has no such output
    spatial_mm: NDArray[np.floating] | None


class LabelledPlace:
    """Tracks two hands of one recording and reports the place that first followed the labelled one.

    Args:
        tracker: of two hands.
        one: the recording; its truth decides which place that is, once.
    """

    def __init__(self, tracker: Tracker, one: Rendered) -> None:
        truth = one.recording.truth_xyz_mm
        assert truth is not None
        self.tracker, self.middle_mm, self.other_mm = tracker, truth.mean(1), one.other_mm
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self.tracker.reset()
        self.number, self.place = -1, -1

    def update(self, depth: DepthMm, camera: Camera, time_s: float | None = None) -> Hand:
        """Track the next frame; lost until a place has followed the labelled hand."""
        hands = self.tracker.update_all(depth, camera, time_s)
        self.number += 1
        if self.place < 0:
            right = (k for k, hand in enumerate(hands) if hand.found and self._is_labelled(hand))
            self.place = next(right, -1)
        return hands[self.place] if self.place >= 0 else lost_hand(self.tracker.network)

    def _is_labelled(self, hand: Hand) -> bool:
        middle = hand.joints_mm.mean(0)
        away = float(np.linalg.norm(middle - self.middle_mm[self.number]))
        other = float(np.linalg.norm(middle - self.other_mm[self.number]))
        return away < OTHER_MM and not other < away


class GivenPredictor:
    """Runs a network on given cubes, frame after frame.

    Args:
        network: see `cadstn.tracking.load_network`.
    """

    def __init__(self, network: Network) -> None:
        self.network = network
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self.track = Track(self.network.initial_state())
        self.bones: Bones | None = None

    def centers(self, joints_mm: NDArray[np.floating]) -> FloatArray:
        """Cube centres (T, 3) that the network is trained for, of joints (T, K, 3)."""
        return self.network.center_of(joints_mm)

    def predict(self, depth_mm: DepthMm, camera: Camera, center_mm: FloatArray) -> GivenPrediction:
        """Predict the cube around a centre (3,) mm in the next frame of the stream."""
        cube_mm = self.network.wants.cube_mm
        crop = cut_cube(depth_mm, camera, center_mm, cube_mm, self.network.wants.size)
        step, self.track = predict_given(self.network, self.track, crop)
        out, joints, alone = step.out, step.joints_mm, None
        if out.spatial is not None:
            transform = step.view.transform
            alone = joints_to_mm(out.spatial[0], crop, transform, uvd=self.network.wants.uvd)
        if out.error_scale is not None:
            scale_mm = out.error_scale[0] * (cube_mm / 2)
            joints, self.bones = keep_size(joints, scale_mm, self.bones, self.network.skeleton)
        return GivenPrediction(joints, alone)


@dataclass(frozen=True, eq=False)
class Followed:
    """One rendered recording as it was tracked: T frames, K joints, mm in the camera's frame."""

    setup: str  # name of its setup: of its camera, or of its scene
    left: bool  # whether it is a left hand
    time_s: FloatArray  # (T,)
    truth_mm: FloatArray  # (T, K, 3)
    whole: Bools  # (T,) whether all true joints are in the picture
    # (T, 3) middle of the second hand, which has no labels; NaN where there is none
    other_mm: FloatArray
    joints_mm: FloatArray  # (T, K, 3) the tracker's; NaN where lost
    center_mm: FloatArray  # (T, 3) of the tracker's last cube; NaN where lost
    true_center_mm: FloatArray  # (T, 3) the cube's centre by the true joints
    scale_mm: FloatArray  # (T, K) error scale that the tracker reports; NaN where it reports none
    side: tuple[str, ...]  # (T,) which hand it reports
    given_mm: FloatArray  # (T, K, 3) the network's prediction, its cube placed by the true joints
    # (T, K, 3) the spatial network's prediction of the tracker's cubes, NaN where lost; None where
    # the file has no such output
    spatial_mm: FloatArray | None


def follow(
    one: Rendered,
    tracker: Follower,
    given: GivenPredictor,
    beside: GivenPredictor,
    on_frame: Callable[[], None] = lambda: None,
) -> Followed:
    """Track one recording from a fresh start.

    Args:
        one: the recording, with its truth.
        tracker: searches for the hand.
        given: follows the same hand with the centre given.
        beside: predicts the tracker's own cubes again, for the spatial network alone: that one
            has no memory, so the stream does not matter.
        on_frame: called after each frame, for a progress bar.
    """
    recording = one.recording
    truth = recording.truth_xyz_mm
    assert truth is not None
    for part in (tracker, given, beside):
        part.reset()
    frames, count = truth.shape[:2]
    true_center = given.centers(truth)
    joints, with_truth, alone = (np.full(truth.shape, np.nan) for _ in range(3))
    center, scale = np.full((frames, 3), np.nan), np.full((frames, count), np.nan)
    side, has_spatial = ["unknown"] * frames, False
    for frame in recording.frames(lambda bad: on_frame()):
        at, depth, camera = frame.index, frame.depth, frame.camera
        hand = tracker.update(depth, camera, frame.time_s)
        joints[at], center[at], side[at] = hand.joints_mm, hand.center_mm, hand.side
        scale[at] = hand.uncertainty_mm
        predicted = given.predict(depth, camera, true_center[at])
        with_truth[at] = predicted.joints_mm
        if predicted.spatial_mm is not None:
            has_spatial = True
            again = beside.predict(depth, camera, center[at]).spatial_mm if hand.found else None
            alone[at] = np.nan if again is None else again
        on_frame()
    return Followed(
        one.setup,
        one.left,
        np.arange(frames) / recording.camera.fps,
        truth.astype(np.float64),
        np.all(joints_in_picture(truth, recording.camera), axis=1),
        one.other_mm,
        joints,
        center,
        true_center,
        scale,
        tuple(side),
        with_truth,
        alone if has_spatial else None,
    )


def false_alarms(
    empty: Iterable[Rendered], tracker: Follower, on_frame: Callable[[], None] = lambda: None
) -> dict[str, Any]:
    """Track recordings without a hand, each from a fresh start; count frames that announce one.

    Frames with hardly anything within the detector's range cannot give an alarm and do not count.

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

    def share(counted: int, found: int) -> dict[str, Any]:
        return {"frames": counted, "found": found, "share": found / counted if counted else None}

    counted, found = (sum(count[i] for count in counts.values()) for i in (0, 1))
    scenes = {name: share(*count) for name, count in counts.items()}
    return {**share(counted, found), "left_out": frames - counted, "by_scene": scenes}
