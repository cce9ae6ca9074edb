"""What a first script gets wrong in Python: a matrix for a camera, metres, times."""

import warnings
from typing import Any

import numpy as np
import pytest

import cadstn
from cadstn.bench.track import demo_frames
from cadstn.errors import CadstnError, CadstnWarning
from cadstn.geometry.camera import Camera, DepthMm
from cadstn.geometry.crop import crop_cube
from cadstn.tracking.angles import hand_angles, wrist_pose


@pytest.fixture(scope="module")
def frames() -> list[tuple[DepthMm, Camera]]:
    return demo_frames(320)[:12]


@pytest.mark.parametrize(
    "camera", [np.eye(3) * 285, (285, 285, 160, 120), "kinect2", {"fx": 285}, None]
)
def test_what_is_no_camera_is_told_how_to_make_one(
    frames: list[tuple[DepthMm, Camera]], camera: Any
) -> None:
    depth_mm = frames[0][0]
    for call in (
        lambda: cadstn.Tracker().update(depth_mm, camera),
        lambda: crop_cube(depth_mm, camera, (0, 0, 500), 250),
    ):
        with pytest.raises(CadstnError, match=r"not a Camera; Camera\.from_K"):
            call()


@pytest.mark.parametrize("far", [65.535, 200.0, 65535.0])
def test_metres_are_metres_whatever_marks_nothing(
    frames: list[tuple[DepthMm, Camera]], far: float
) -> None:
    depth_mm, camera = frames[0]
    metres = depth_mm / 1000
    metres[:3] = far
    with pytest.raises(CadstnError, match=r"metres.*unit='m'"):
        cadstn.Tracker().update(metres, camera)


def test_crop_takes_what_the_tracker_takes(frames: list[tuple[DepthMm, Camera]]) -> None:
    depth_mm, camera = frames[0]
    expected = crop_cube(depth_mm, camera, (-100, -50, 530), 250).image
    for given in (depth_mm.tolist(), depth_mm[:, :, None]):
        np.testing.assert_array_equal(
            crop_cube(given, camera, (-100, -50, 530), 250).image, expected
        )


@pytest.mark.parametrize(
    ("times", "line"),
    [
        ([1000 + 33 * i for i in range(8)], "times are 33 apart"),
        ([5 - i / 30 for i in range(8)], "times run back"),
    ],
)
def test_times_that_are_no_seconds_are_told_once(
    frames: list[tuple[DepthMm, Camera]], times: list[float], line: str
) -> None:
    tracker = cadstn.Tracker()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", CadstnWarning)
        for time_s, (depth_mm, camera) in zip(times, frames, strict=False):
            tracker.update(depth_mm, camera, time_s)
    assert [str(one.message).split(";")[0].split(":")[0] for one in caught] == [line]


def test_good_times_and_times_that_are_nan_follow_the_hand(
    frames: list[tuple[DepthMm, Camera]],
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", CadstnWarning)
        for times in (np.arange(8) / 30, np.full(8, np.nan)):
            tracker = cadstn.Tracker()
            hands = [tracker.update(*frame, t) for frame, t in zip(frames, times, strict=False)]
            assert [hand.how for hand in hands[1:]] == ["followed"] * 7
    with pytest.raises(CadstnError, match="time_s is 'a', no number"):
        tracker.update(*frames[0], "a")  # type: ignore[arg-type]


def test_angles_of_no_side() -> None:
    joints = np.random.default_rng(0).normal(0, 50, (21, 3))
    assert np.isnan(hand_angles(joints, "unknown").flexion).all()
    for call in (hand_angles, wrist_pose):
        with pytest.raises(CadstnError, match="no side 'Left'"):
            call(joints, "Left")
