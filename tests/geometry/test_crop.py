"""The crop against DeepPrior's rule written out with padding and OpenCV's resize."""

import math
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from cadstn.errors import CadstnError
from cadstn.geometry.camera import KNOWN_CAMERAS, Camera
from cadstn.geometry.crop import crop_cube

CAMERA = Camera(241.42, 241.42, 160, 120, 320, 240)


def oracle(
    depth: NDArray[np.float32],
    camera: Camera,
    center: NDArray[np.float64],
    cube: float,
    size: int,
) -> NDArray[np.float32]:
    """Pad, cut, clamp, resize, paste and normalise, one after the other."""
    u = center[0] / center[2] * camera.fx + camera.cx
    v = center[1] / center[2] * camera.fy + camera.cy
    z = center[2]
    x0, x1 = (math.floor(u + s * cube / 2 * camera.fx / z) for s in (-1, 1))
    y0, y1 = (math.floor(v + s * cube / 2 * camera.fy / z) for s in (-1, 1))
    height, width = depth.shape
    box = np.zeros((y1 - y0, x1 - x0), np.float32)
    top, left = max(y0, 0), max(x0, 0)
    part = depth[top : max(min(y1, height), top), left : max(min(x1, width), left)]
    box[top - y0 : top - y0 + part.shape[0], left - x0 : left - x0 + part.shape[1]] = part
    front, back = z - cube / 2, z + cube / 2
    box[(box < front) & (box != 0)] = front
    box[box > back] = 0
    high, wide = box.shape
    shape = (size, high * size // wide) if wide > high else (wide * size // high, size)
    small = cv2.resize(box, shape, interpolation=cv2.INTER_NEAREST)
    pasted = np.zeros((size, size), np.float32)
    top = math.floor(size / 2 - small.shape[0] / 2)
    left = math.floor(size / 2 - small.shape[1] / 2)
    pasted[top : top + small.shape[0], left : left + small.shape[1]] = small
    pasted[pasted == 0] = back
    normalised: NDArray[np.float32] = ((pasted - z) / (cube / 2)).astype(np.float32)
    return normalised


@settings(max_examples=40)
@given(
    x=st.floats(-300, 300),
    y=st.floats(-250, 250),
    z=st.floats(250, 1400),
    cube=st.floats(150, 320),
    name=st.sampled_from(["nyu", "icvl", "kinect2"]),
    seed=st.integers(0, 9),
)
def test_crop_is_deep_priors(
    x: float, y: float, z: float, cube: float, name: str, seed: int
) -> None:
    camera = KNOWN_CAMERAS[name]
    rng = np.random.default_rng(seed)
    depth = rng.uniform(z - 250, z + 250, (camera.height, camera.width)).astype(np.float32)
    depth[rng.random(depth.shape) < 0.2] = 0
    center = np.array([x, y, z])
    expected = oracle(depth, camera, center, cube, 128)
    got = crop_cube(depth, camera, center, cube, 128).image
    same = np.isclose(got, expected, atol=2e-6)
    u, v, _ = camera.to_uvd(center)
    spans = [
        math.floor(at + half) - math.floor(at - half)
        for at, half in ((v, cube / 2 * camera.fy / z), (u, cube / 2 * camera.fx / z))
    ]
    rows, columns = (on_whole_pixels(span, 128 * span // max(spans), 128) for span in spans)
    assert (same | rows[:, None] | columns).all()


def on_whole_pixels(span: int, filled: int, size: int) -> NDArray[np.bool_]:
    """Crop pixels whose source falls on a whole pixel: ``span`` sources over ``filled`` of them.

    OpenCV multiplies by a rounded reciprocal, so that it may read the neighbour there.
    """
    there = np.zeros(size, bool)
    there[(size - filled) // 2 :][:filled] = np.arange(filled) * span % filled == 0
    return there


def test_values_by_hand() -> None:
    depth = np.zeros((240, 320), np.float32)
    depth[:, :100] = 400  # nearer than the cube: its front face
    depth[:, 100:140] = 500  # the centre's own depth
    depth[:, 140:180] = 550  # half way to the back
    depth[:, 180:220] = 900  # behind the cube
    crop = crop_cube(depth, CAMERA, (0, 0, 500), 200, 128)
    row = crop.image[64]
    # The box is u = 160 -+ 48.284 floored: 111 to 208, 97 pixels for 128.
    assert crop.columns[0] == 111
    assert crop.columns[-1] == 111 + 127 * 97 // 128
    assert row[0] == 0.0
    assert row[crop.columns >= 140][0] == pytest.approx(0.5)
    assert row[crop.columns >= 180][0] == 1.0
    assert crop_cube(depth, CAMERA, (-200, 0, 510), 200, 128).image[64, 64] == -1.0


@settings(max_examples=50)
@given(st.lists(st.floats(-2, 2), min_size=3, max_size=3), st.floats(200, 1500))
def test_inverse_is_exact(joint: list[float], z: float) -> None:
    crop = crop_cube(np.full((240, 320), z, np.float32), CAMERA, (30, -20, z), 250)
    back = crop.to_normalised(crop.to_mm(joint))
    np.testing.assert_allclose(back, joint, atol=1e-12)


def test_a_surface_point_comes_back_to_its_place() -> None:
    camera = KNOWN_CAMERAS["nyu"]
    depth = np.full((480, 640), 2000, np.float32)
    depth[300, 200] = 740
    center = camera.to_xyz_mm([210.0, 290.0, 750.0])
    crop = crop_cube(depth, camera, center, 300, 300)
    rows, columns = np.nonzero(crop.image < 1)
    # Enlarged, the one point covers a pixel or two of the crop.
    assert 1 <= len(rows) <= 4
    assert set(crop.rows[rows]) == {300}
    assert set(crop.columns[columns]) == {200}
    assert crop.image[rows[0], columns[0]] == pytest.approx(-10 / 150, abs=1e-6)


def test_outside_the_frame_is_background() -> None:
    depth = np.full((240, 320), 500, np.float32)
    crop = crop_cube(depth, CAMERA, CAMERA.to_xyz_mm([0.0, 0.0, 500.0]), 200)
    assert (crop.image[:60, :60] == 1).all()
    assert (crop.image[70:, 70:] == 0).all()
    far = crop_cube(depth, CAMERA, (5000, 5000, 500), 200)
    assert (far.image == 1).all()


@pytest.mark.parametrize(("across", "down"), [(4 / 3, 1.0), (1.0, 2.0), (0.7, 1.0)])
def test_a_stretched_frame_has_the_crop_of_its_square_pixels(across: float, down: float) -> None:
    u, v = np.meshgrid(np.arange(320), np.arange(240))
    depth = np.where((u - 170) ** 2 + (v - 110) ** 2 < 30**2, 480, 900).astype(np.float32)
    columns = ((np.arange(round(320 * across)) + 0.5) / across).astype(int)
    rows = ((np.arange(round(240 * down)) + 0.5) / down).astype(int)
    stretched, camera = depth[rows][:, columns], CAMERA.resized(len(columns), len(rows))
    center = CAMERA.to_xyz_mm([165.0, 115.0, 500.0])
    expected = crop_cube(depth, CAMERA, center, 200)
    crop = crop_cube(stretched, camera, center, 200)
    assert min(crop.columns.min(), crop.rows.min()) >= 0  # no border
    # A pixel along the disc's rim, where two crops floor differently.
    assert np.mean(crop.image != expected.image) < 0.04


def test_calibrated_square_pixels_keep_the_papers_border() -> None:
    camera = Camera(241.42, 241.42 * 1.015, 160, 120, 320, 240)
    crop = crop_cube(np.full((240, 320), 500, np.float32), camera, (0, 0, 500), 200)
    assert crop.rows.min() >= 0
    assert np.count_nonzero(crop.columns < 0) == 3


def test_the_same_numbers_give_the_same_crop_in_every_container() -> None:
    fine = replace(CAMERA, depth_unit_mm=0.125)
    mm = np.full((240, 320), 500.0, np.float32)
    steps = np.full((240, 320), 4000, np.uint16)
    expected = crop_cube(mm, fine, (0, 0, 510), 200).image
    assert expected.min() < 0
    for given_depth in (steps, steps.tolist(), steps.astype(np.int64), mm.astype(np.float64)):
        np.testing.assert_array_equal(
            crop_cube(given_depth, fine, (0, 0, 510), 200).image, expected
        )
    metres = crop_cube(mm / 1000, fine, (0, 0, 510), 200, unit="m").image
    np.testing.assert_array_equal(metres, expected)


@pytest.mark.parametrize(
    ("depth", "line"),
    [
        (np.full((240, 320), 0.5, np.float32), "metres"),
        (np.ones((240, 320), bool), "depth of type bool"),
        (np.full((240, 320), 200, np.uint8), "8-bit"),
        (np.full((120, 160), 500, np.uint16), "frame is 160x120 where the camera is 320x240"),
    ],
)
def test_what_is_no_depth_of_this_camera_is_refused(depth: Any, line: str) -> None:
    with pytest.raises(CadstnError, match=line):
        crop_cube(depth, CAMERA, (0, 0, 500), 200)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (([[0], [0], [500]], 200), r"a centre of shape \(3, 1\); give x y z"),
        (([[0, 0, 500]], 200), r"a centre of shape \(1, 3\)"),
        (([0, 0, 500, 1], 200), r"a centre of shape \(4,\)"),
        (("here", 200), "a centre of 'here'"),
        (((0, 0, 500), 200, 128.0), "a crop of 128.0 pixels; give a whole number"),
        (((0, 0, 500), 200, 0), "a crop of 0 pixels"),
        (((0, 0, 500), math.inf), "cannot cut a cube of inf mm"),
        (((0, 0, 500), "wide"), "a cube of 'wide'; give its edge in mm"),
    ],
)
def test_what_is_no_cube_is_one_line(words: Any, line: str) -> None:
    with pytest.raises(CadstnError, match=line):
        crop_cube(np.full((240, 320), 500, np.float32), CAMERA, *words)


@pytest.mark.parametrize(
    ("center", "cube"), [((0, 0, 0), 200), ((0, 0, -5), 200), ((0, 0, np.nan), 200), ((0, 0, 9), 0)]
)
def test_nonsense_is_an_error(center: tuple[float, float, float], cube: float) -> None:
    with pytest.raises(CadstnError, match="cannot cut a cube"):
        crop_cube(np.ones((4, 4), np.float32), CAMERA, center, cube)
