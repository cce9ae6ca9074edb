"""What cannot be right is found, and what is right is left alone."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest

from cadstn.geometry.camera import KNOWN_CAMERAS, Camera
from cadstn.geometry.plausible import (
    StreamCheck,
    describe_scene,
    implausible_bones,
    implausible_depth,
)
from cadstn.geometry.plausible_camera import implausible_camera
from cadstn.io import open_recording

from ..conftest import SHARED

CAMERA = Camera(475.0, 475.0, 319.5, 239.5, 640, 480)
RNG = np.random.default_rng(3)


def scene(near_mm: float = 550.0, far_mm: float = 1800.0) -> np.ndarray:
    """A sloping wall with noise, and a hand-sized patch before it; millimetres."""
    depth = np.linspace(far_mm, 0.8 * far_mm, 480)[:, None] + RNG.normal(0, 3, (480, 640))
    depth[150:300, 250:380] = near_mm + RNG.normal(0, 2, (150, 130))
    depth[:40] = 0
    return depth


def verdict(steps: np.ndarray, camera: Camera = CAMERA) -> str | None:
    return implausible_depth(camera.depth_mm(steps.astype(np.uint16)), camera)


@pytest.mark.parametrize(
    "camera",
    [Camera(285, 285, 120, 160, 320, 240), Camera(285, 285, 160, 120, 240, 320)],
    ids=["cy,cx", "turned"],
)
def test_a_centre_that_fits_turned_alone_is_named(camera: Camera) -> None:
    (line,) = implausible_camera(camera)
    assert "fit " in line
    assert "if they change places" in line


def test_a_unit_that_is_too_long_is_no_stretched_picture() -> None:
    steps_mm = np.rint(scene()).astype(np.float32) * 1000  # unit="m" of millimetres
    line = implausible_depth(steps_mm, CAMERA)
    assert line is not None
    assert "nearest surface 5" in line
    assert "stretched" not in line


# --- depth that is right ----------------------------------------------------------------------


@pytest.mark.parametrize("unit", [0.1, 0.125, 0.25, 1.0])
@pytest.mark.parametrize(("near", "far"), [(200, 700), (550, 1800), (900, 4500), (2000, 3500)])
def test_right_depth_is_left_alone(unit: float, near: float, far: float) -> None:
    camera = replace(CAMERA, depth_unit_mm=unit)
    steps = np.clip(scene(near, far) / unit, 0, 65534)
    assert verdict(steps, camera) is None


def test_the_demo_empty_frames_and_flat_walls_are_left_alone() -> None:
    for frame in open_recording("demo"):
        assert implausible_depth(frame.depth, frame.camera) is None
    for value in (0, 500, 1000, np.nan, np.inf):
        flat = np.full((240, 320), value, np.float32)
        assert implausible_depth(flat, CAMERA) is None


@pytest.mark.skipif(not (SHARED / "real").is_dir(), reason="no ../shared/real beside the project")
@pytest.mark.parametrize(
    ("name", "camera"),
    [(n, n) for n in ("kinect2", "sr305", "nyu", "ds325")]
    + [("no_hand", "436.5,436.5,321.6,239.5,0.1")],
)
def test_real_frames_with_their_camera_are_left_alone(name: str, camera: str) -> None:
    for frame in open_recording(SHARED / "real" / name, camera):
        assert implausible_depth(frame.depth, frame.camera) is None
        assert implausible_camera(frame.camera) == []


def test_rendered_frames_are_left_alone() -> None:
    pytest.importorskip("torch")
    from cadstn.synth.frames import Sequence
    from cadstn.synth.write import SYNTH_CAMERA

    for units in Sequence((5, 2), 0, SYNTH_CAMERA, 4).render(range(4)):
        assert implausible_depth(SYNTH_CAMERA.depth_mm(units), SYNTH_CAMERA) is None


# --- depth that is wrong ----------------------------------------------------------------------


@pytest.mark.parametrize("right", [0.1, 0.125, 0.2, 0.25])
def test_a_unit_that_is_too_coarse_names_those_that_fit(right: float) -> None:
    line = verdict(scene(750, 1800) / right)
    assert line is not None
    assert "hands are searched from 0.15 to 2.5 m" in line
    fitting = line.split("a unit of ")[1].split(" mm would fit")[0]
    assert f"{right:g}" in fitting.split(" or ")


@pytest.mark.parametrize("given", [0.1, 0.05, 0.02])
def test_a_unit_that_is_too_fine_names_those_that_fit(given: float) -> None:
    line = verdict(scene(), replace(CAMERA, depth_unit_mm=given))
    assert line is not None
    assert "1 " in line.split("a unit of")[1]


def test_metres_as_whole_numbers() -> None:
    for depth in (scene() / 1000, np.full((480, 640), 1.0), scene(3000, 9000) / 1000):
        line = verdict(depth)
        assert line is not None
        assert "metres as whole numbers?" in line


def test_raw_disparity() -> None:
    # Kinect v1: depth = 348 / (1091.5 - disparity) metres, the inverse of a line.
    steps = np.where(scene() > 0, 1091.5 - 348_000 / np.maximum(scene(), 1), 2047)
    line = verdict(steps)
    assert line is not None
    assert "2047 is common" in line
    assert "11-bit" in line


def test_depth_that_ends_at_2047_mm_is_no_disparity() -> None:
    steps = np.minimum(scene(), 2046)
    steps[200, 200] = 2047
    assert verdict(steps) is None


@pytest.mark.parametrize("factor", [256, 257])
def test_eight_bits_stretched(factor: int) -> None:
    line = verdict(np.rint(scene() / 10) * factor)
    assert line is not None
    assert f"multiples of {factor}" in line


def test_eight_bits_kept() -> None:
    line = verdict(scene() / 10)
    assert line is not None
    assert "8-bit picture in 16 bits" in line


def test_whole_numbers_that_end_at_255_are_eight_bits_too() -> None:
    line = implausible_depth(RNG.integers(0, 256, (240, 320)).astype(np.float32), CAMERA)
    assert line is not None
    assert "an 8-bit picture in 16 bits" in line


def test_floats_scaled_to_255_are_named_and_depth_that_ends_near_is_not() -> None:
    depth = scene()
    line = implausible_depth(depth / depth.max() * 255, CAMERA)
    assert line is not None
    assert "a picture scaled to 0 to 255" in line
    assert "scaled to 0 to 255" not in (
        implausible_depth(depth / depth.max() * 255.01, CAMERA) or ""
    )
    # Steps of 0.125 mm whose farthest is at 255 mm are a sensor's.
    close = RNG.integers(1200, 2041, (480, 640)) * 0.125
    assert implausible_depth(close, replace(CAMERA, depth_unit_mm=0.125)) is None


@pytest.mark.parametrize("mark", [32001, 60000, 65534])
def test_a_mark_of_nothing_that_the_camera_does_not_know(mark: int) -> None:
    steps = scene()
    steps[:, 400:] = mark
    line = verdict(steps)
    assert line is not None
    assert f'"invalid": [{mark}]' in line
    assert verdict(steps, replace(CAMERA, invalid=(mark,))) is None


def test_filled_holes() -> None:
    camera = replace(CAMERA, depth_unit_mm=0.125)
    steps = np.rint(scene() / 0.125)
    assert verdict(steps, camera) is None
    steps[:, 380:520] = steps[:, 380:381]  # from the left, as librealsense fills
    line = verdict(steps, camera)
    assert line is not None
    assert "holes seem filled" in line
    # At whole millimetres values repeat by themselves.
    assert verdict(np.rint(scene() / 8) * 8) is None


def test_a_look_is_cheap() -> None:
    depth = scene().astype(np.float32)
    check = StreamCheck()
    check.depth(depth, CAMERA)
    began = time.process_time()
    for _ in range(1000):
        check.depth(depth, CAMERA)
    assert (time.process_time() - began) / 1000 < 1e-4  # seconds a frame


# --- cameras ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(KNOWN_CAMERAS))
@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_known_cameras_are_left_alone(name: str, scale: float) -> None:
    assert implausible_camera(KNOWN_CAMERAS[name].scaled(scale)) == []


def test_a_camera_without_a_size_is_left_alone() -> None:
    assert implausible_camera(Camera(1.0, 900.0, -5.0, 7.0)) == []


@pytest.mark.parametrize("name", ["sr305", "kinect2", "d435", "azure-kinect-nfov", "icvl"])
@pytest.mark.parametrize("factor", [0.5, 2.0, 3.0])
def test_numbers_of_another_resolution_offer_a_scale(name: str, factor: float) -> None:
    right = KNOWN_CAMERAS[name]
    given = replace(right.scaled(factor), width=right.width, height=right.height)
    (line,) = implausible_camera(given)
    assert line.endswith(f"--scale {1 / factor:.4g}, or camera.scaled({1 / factor:.4g})")
    mended = Camera(given.fx, given.fy, given.cx, given.cy).scaled(1 / factor)
    assert mended.fx == pytest.approx(right.fx)
    assert mended.cx == pytest.approx(right.cx)


@pytest.mark.parametrize("name", ["sr305", "kinect2", "d415", "l515"])
@pytest.mark.parametrize("order", ["fx,cx,fy,cy", "cx,cy,fx,fy", "cx,fy,fx,cy"])
def test_numbers_in_another_order(name: str, order: str) -> None:
    right = KNOWN_CAMERAS[name]
    fx, fy, cx, cy = (getattr(right, field) for field in order.split(","))
    (line,) = implausible_camera(Camera(fx, fy, cx, cy, right.width, right.height))
    assert order in line
    assert f"{right.fx:g},{right.fy:g},{right.cx:g},{right.cy:g}" in line


@pytest.mark.parametrize(
    ("camera", "message"),
    [
        (Camera(90, 90, 319.5, 239.5, 640, 480), "field of view of 149 degrees"),
        (Camera(4750, 4750, 319.5, 239.5, 640, 480), "field of view of 8 degrees"),
        (Camera(475, 475, 20, 239.5, 640, 480), "cx 20 is far from the middle of 640"),
        (Camera(475, 475, 319.5, 470, 640, 480), "cy 470 is far from the middle of 480"),
        (Camera(475, 600, 319.5, 239.5, 640, 480), "right for an image that was stretched"),
        (Camera(475, 475, 0, 0, 640, 480), "cx 0 is far"),
    ],
)
def test_numbers_that_no_camera_has(camera: Camera, message: str) -> None:
    assert any(message in line for line in implausible_camera(camera))


# --- hands ------------------------------------------------------------------------------------


def demo_hands() -> np.ndarray:
    truth = open_recording("demo").truth_xyz_mm
    assert truth is not None
    return truth


@pytest.mark.parametrize("scale", [0.8, 1.0, 1.4])
def test_hands_of_all_sizes_are_left_alone(scale: float) -> None:
    hands = demo_hands() * scale
    assert implausible_bones(hands) is None
    assert implausible_bones(hands[5]) is None


@pytest.mark.parametrize("scale", [0.25, 0.5, 2.0, 4.0])
def test_hands_that_nobody_has(scale: float) -> None:
    hands = demo_hands() * scale
    hands[::2] = np.nan  # lost frames
    line = implausible_bones(hands)
    assert line is not None
    assert "mm long" in line


def test_the_line_on_bones_names_what_would_fit() -> None:
    hands = demo_hands()
    size = float(np.linalg.norm(np.diff(hands[:, [0, 9, 10, 11, 12]], axis=1), axis=2).sum(1)[0])
    small = replace(CAMERA, depth_unit_mm=0.5)
    line = implausible_bones(hands * (92.5 / size), small)
    assert line is not None
    assert "about 1 mm a step (now 0.5) or fx 238 (now 475) would fit" in line


def test_no_hand_has_no_size() -> None:
    assert implausible_bones(np.full((4, 21, 3), np.nan)) is None


# --- streams ----------------------------------------------------------------------------------


def test_a_stream_is_reported_once() -> None:
    check = StreamCheck()
    far = (scene() * 8).astype(np.float32)
    reported = [line for _ in range(50) for line in check.depth(far, replace(CAMERA, cx=20.0))]
    assert len(reported) == 2
    assert "cx 20" in reported[0]
    assert "0.125" in reported[1]
    hands = demo_hands() * 2
    reported = [line for hand in (*hands, *hands) for line in check.hand(hand)]
    assert len(reported) == 1


def test_what_comes_later_is_found_too() -> None:
    check = StreamCheck()
    good, far = scene().astype(np.float32), (scene() * 8).astype(np.float32)
    reported = [check.depth(good, CAMERA) for _ in range(5)]
    reported += [check.depth(far, CAMERA) for _ in range(5)]
    assert [bool(lines) for lines in reported] == [False] * 7 + [True] + [False] * 2


def test_describe_scene() -> None:
    line = describe_scene(scene().astype(np.float32), "2 candidates: too flat, an arm")
    assert line.startswith("nearest surface 0.5")
    assert "hands are searched from 0.15 to 2.5 m; 2 candidates: too flat, an arm" in line
    assert "nothing measured" in describe_scene(np.zeros((24, 32), np.float32))
    fourfold = describe_scene(4 * scene().astype(np.float32))
    assert fourfold.startswith("nearest surface 2.")
    assert "(0.5" in fourfold
    assert "if the unit is a quarter, 0.25 mm for 1)" in fourfold
    fifth = describe_scene((scene(700, 1000) / 5).astype(np.float32))
    assert "(0.7" in fifth
    assert "m if a step is four times as long)" in fifth
    assert "if the unit" not in line


def test_surfaces_on_both_sides_of_the_reach_are_told() -> None:
    depth = np.full((240, 320), 3000, np.float32)
    depth[80:160, 100:200] = np.random.default_rng(0).uniform(110, 140, (80, 100))
    line = implausible_depth(depth, Camera(285, 285, 160, 120))
    assert line == (
        "10% of the surfaces are nearer than 0.15 m and 90% farther than 2.5 m; hands are "
        "searched in between"
    )
    depth[100:140, 140:180] = 600
    assert implausible_depth(depth, Camera(285, 285, 160, 120)) is None
