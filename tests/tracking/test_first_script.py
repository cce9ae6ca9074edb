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
def test_what_is_no_camera_is_refused_with_how_to_make_one(
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


@pytest.mark.parametrize(
    "given",
    [
        lambda mm: (mm / 1000).astype(np.float64),
        lambda mm: np.where(mm > 0, mm / 1000, np.nan).astype(np.float32),
        lambda mm: np.where(mm > 0, mm / 1000, np.inf),
        lambda mm: (mm / 1000).astype(np.float16),
        lambda mm: (mm / 1000)[..., None],
        lambda mm: (mm / 1000).tolist(),
        lambda mm: (mm / 1000).T.copy().T,
    ],
    ids=["float64", "NaN", "infinity", "float16", "(H, W, 1)", "list", "Fortran order"],
)
def test_a_first_script_of_metres_ends_with_the_sentence_or_with_joints(
    frames: list[tuple[DepthMm, Camera]], given: Any
) -> None:
    K = np.array([[285.0, 0, 160], [0, 285.0, 120], [0, 0, 1]])
    camera, tracker = Camera.from_K(K), cadstn.Tracker()
    with pytest.raises(CadstnError, match=r"metres\?; give millimetres .*unit='m'"):
        tracker.update(given(frames[0][0]), camera)
    with warnings.catch_warnings():
        warnings.simplefilter("error", CadstnWarning)
        hands = [tracker.update(given(mm), camera, unit="m") for mm, _ in frames[:3]]
    assert all(hand.found for hand in hands)
    assert np.isfinite(hands[-1].joints_mm).all()


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (lambda mm: np.stack([mm, mm]), "shape"),
        (lambda mm: mm.astype(str), "of type"),
        (lambda mm: mm > 0, "of type"),
        (lambda mm: mm.astype(np.complex64), "of type"),
        (lambda mm: np.empty((0, 320), np.float32), "shape"),
        (lambda mm: None, "cv2.imread"),
        (lambda mm: "depth.png", "array"),
        (lambda mm: {"depth": mm}, "array"),
        (lambda mm: np.stack([mm] * 3, -1), "shape"),
    ],
)
def test_what_is_no_depth_is_one_line(
    frames: list[tuple[DepthMm, Camera]], given: Any, line: str
) -> None:
    with pytest.raises(CadstnError) as error:
        cadstn.Tracker().update(given(frames[0][0]), frames[0][1])
    assert "\n" not in str(error.value)
    assert line in str(error.value)


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
def test_times_that_are_no_seconds_are_reported_once(
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
