"""Cameras made of a matrix, angles, a product's name; scaled, cropped, straightened."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cadstn.errors import CadstnError
from cadstn.geometry.camera import KNOWN_CAMERAS, Camera, nearest_camera, parse_camera
from cadstn.geometry.distortion import distort
from cadstn.geometry.presets import PRESETS

LENS = Camera(
    480.0, 482.0, 322.0, 238.0, 640, 480,
    distortion=(-0.12, 0.05, 0.001, -0.002, 0.01),
)  # fmt: skip
FISHEYE = replace(LENS, distortion=(0.05, -0.01, 0.004, -0.001), distortion_model="kannala-brandt")


# --- a matrix, angles -------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [list, tuple, np.array, lambda k: np.ravel(k), np.float32])
def test_an_intrinsic_matrix_in_every_form(kind: Any) -> None:
    camera = Camera.from_K(kind([[475, 0, 320.5], [0, 476, 240], [0, 0, 1]]), 640, 480, fps=60)
    assert camera == Camera(475, 476, 320.5, 240, 640, 480, fps=60)
    assert all(type(value) is float for value in (camera.fx, camera.fy, camera.cx, camera.cy))


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        ([[475, 0, 0], [0, 476, 0], [320, 240, 1]], r"transpose it, K\.T"),
        ([[475, 3, 320], [0, 476, 240], [0, 0, 1]], "skew 3"),
        ([[475, 0, 320, 0], [0, 476, 240, 0], [0, 0, 1, 0]], r"shape \(3, 4\)"),
        ([[1, 0, 0], [0, 1, 0], [0, 0, 2]], "last row"),
        ([[0, 0, 320], [0, 476, 240], [0, 0, 1]], "fx is 0"),
        ([475, 476, 320, 240], r"shape \(4,\)"),
    ],
)
def test_what_is_no_intrinsic_matrix(matrix: Any, message: str) -> None:
    with pytest.raises(CadstnError, match=message) as caught:
        Camera.from_K(matrix)
    assert "\n" not in str(caught.value)


@given(st.floats(20, 150), st.floats(20, 150))
def test_fields_of_view_are_seen(across: float, down: float) -> None:
    camera = Camera.from_fov(640, 480, across, down)
    left, right = camera.to_xyz_mm([[-0.5, 239.5, 1.0], [639.5, 239.5, 1.0]])
    assert np.degrees(np.arctan(right[0]) - np.arctan(left[0])) == pytest.approx(across)
    top, bottom = camera.to_xyz_mm([[319.5, -0.5, 1.0], [319.5, 479.5, 1.0]])
    assert np.degrees(np.arctan(bottom[1]) - np.arctan(top[1])) == pytest.approx(down)
    assert Camera.from_fov(640, 480, across).fy == Camera.from_fov(640, 480, across).fx


@pytest.mark.parametrize("angle", [0, -3, 180, float("nan")])
def test_angles_that_no_lens_has(angle: float) -> None:
    with pytest.raises(CadstnError, match="between 0 and 180"):
        Camera.from_fov(640, 480, angle)


# --- other sizes ------------------------------------------------------------------------------


@given(st.sampled_from([0.25, 0.5, 2.0, 3.0]), st.floats(0, 639), st.floats(0, 479))
def test_a_scaled_camera_sees_the_same_rays(factor: float, u: float, v: float) -> None:
    camera = KNOWN_CAMERAS["sr305"]
    ray = camera.to_xyz_mm([u, v, 500.0])
    scaled = camera.scaled(factor)
    seen = scaled.to_uvd(ray)
    # Pixels have a width: the middle of the first is 0, and the image begins at -0.5.
    assert (seen[:2] + 0.5) / factor - 0.5 == pytest.approx([u, v])
    assert (scaled.width, scaled.height) == (640 * factor, 480 * factor)
    assert camera.resized(scaled.width, scaled.height) == scaled


def test_an_image_may_be_stretched_and_cut() -> None:
    camera = Camera(500, 500, 319.5, 239.5, 640, 480)
    wide = camera.resized(1280, 480)
    assert (wide.fx, wide.fy, wide.cx, wide.cy) == (1000, 500, 639.5, 239.5)
    window = camera.cropped(100, 50, 320, 240)
    np.testing.assert_allclose(
        window.to_xyz_mm([20.0, 30.0, 700.0]), camera.to_xyz_mm([120.0, 80.0, 700.0])
    )
    assert (window.width, window.height) == (320, 240)


@pytest.mark.parametrize("factor", [0, -1, float("nan"), float("inf")])
def test_scales_that_are_none(factor: float) -> None:
    with pytest.raises(CadstnError, match="give a positive number"):
        LENS.scaled(factor)
    with pytest.raises(CadstnError, match="both need a size"):
        Camera(1, 1, 1, 1).resized(3, 4)


# --- units ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("unit", "meant"),
    [
        (0.001, "0.001 m a step are 1"),
        (0.000125, "0.000125 m a step are 0.125"),
        (0.0001, "0.0001 m a step are 0.1"),
        (1000, "1000 steps a metre are 1"),
        (5000, "5000 steps a metre are 0.2"),
        (8000, "8000 steps a metre are 0.125"),
        (1e-9, "from 0.01 to 10"),
        (1e9, "from 0.01 to 10"),
        (10.5, "from 0.01 to 10"),
    ],
)
def test_units_that_no_image_has(unit: float, meant: str) -> None:
    with pytest.raises(CadstnError) as caught:
        parse_camera(f"475,475,320,240,{unit}")
    assert str(caught.value).endswith(meant)
    with pytest.raises(CadstnError, match=r"camera\.json: camera depth_unit_mm"):
        Camera.from_json(json.dumps({"fx": 1, "fy": 1, "cx": 1, "cy": 1, "depth_unit_mm": unit}))


@pytest.mark.parametrize("unit", [0.01, 0.1, 0.125, 0.25, 1.0, 10.0])
def test_units_that_images_have(unit: float) -> None:
    assert parse_camera(f"475,475,320,240,{unit}").depth_unit_mm == unit


# --- packed colour ----------------------------------------------------------------------------


def packed(steps: np.ndarray, low: int, high: int) -> np.ndarray:
    """Steps with their low byte in one channel (OpenCV's order) and the high one in another."""
    image = np.zeros((*steps.shape, 3), np.uint8)
    image[..., low], image[..., high] = steps & 255, steps >> 8
    return image


STEPS = np.random.default_rng(0).integers(500, 1500, (48, 64)).astype(np.uint16)


def test_nyus_packing_and_no_other() -> None:
    nyu = replace(KNOWN_CAMERAS["nyu"], width=64, height=48)
    np.testing.assert_array_equal(nyu.depth_mm(packed(STEPS, 0, 1)), STEPS)
    with pytest.raises(CadstnError, match=r"red is not 0.* R \+ 256 G, as HO3D") as caught:
        nyu.depth_mm(packed(STEPS, 2, 1))
    assert "\n" not in str(caught.value)
    for low, high in ((1, 2), (0, 2), (2, 0)):
        with pytest.raises(CadstnError, match="red is not 0"):
            nyu.depth_mm(packed(STEPS, low, high))
    with pytest.raises(CadstnError, match="red is not 0"):  # a colour picture
        nyu.depth_mm(np.random.default_rng(1).integers(0, 255, (48, 64, 3)).astype(np.uint8))
    speck = packed(STEPS, 0, 1)
    speck[0, 0, 2] = 9  # a damaged pixel is no other packing
    assert nyu.depth_mm(speck)[1, 1] == STEPS[1, 1]


# --- distortion -------------------------------------------------------------------------------


def opencv_pixels(camera: Camera, points: np.ndarray) -> np.ndarray:
    """Where OpenCV sees points of a lens: another implementation, as the oracle."""
    matrix = np.array([[camera.fx, 0, camera.cx], [0, camera.fy, camera.cy], [0, 0, 1]])
    coefficients = np.array(camera.distortion)
    zero = np.zeros(3)
    if camera.distortion_model == "kannala-brandt":
        seen, _ = cv2.fisheye.projectPoints(points[:, None], zero, zero, matrix, coefficients)
    else:
        seen, _ = cv2.projectPoints(points[:, None], zero, zero, matrix, coefficients)
    return np.asarray(seen).reshape(-1, 2)


@pytest.mark.parametrize(
    "camera", [LENS, FISHEYE, KNOWN_CAMERAS["azure-kinect-nfov"]], ids=lambda c: c.distortion_model
)
def test_distortion_is_opencvs(camera: Camera) -> None:
    points = np.random.default_rng(2).uniform(-0.5, 0.5, (200, 3))
    points[:, 2] = 1
    seen = distort(camera.distortion_model, camera.distortion, points[:, :2])
    pixels = seen * (camera.fx, camera.fy) + (camera.cx, camera.cy)
    np.testing.assert_allclose(pixels, opencv_pixels(camera, points), atol=1e-6)


def test_the_inverse_model_leads_back() -> None:
    coefficients = (0.13, 0.09, 0.003, 0.004, -0.05)  # of the size of an SR300's
    straight = np.random.default_rng(3).uniform(-0.5, 0.5, (100, 2))
    seen = distort("inverse-brown-conrady", coefficients, straight)
    np.testing.assert_allclose(distort("brown-conrady", coefficients, seen), straight, atol=1e-6)


@pytest.mark.parametrize("camera", [LENS, FISHEYE], ids=lambda c: c.distortion_model)
def test_joints_come_out_where_they_are(camera: Camera) -> None:
    """Points seen through the lens, drawn into a frame, straightened, and read as a pinhole's."""
    truth = np.random.default_rng(4).uniform((-250, -180, 600), (250, 180, 600), (40, 3))
    pixels = np.rint(opencv_pixels(camera, truth)).astype(int)
    wrong, right = [], []
    for (u, v), point in zip(pixels, truth, strict=True):
        raw = np.zeros((480, 640), np.uint16)
        raw[v - 1 : v + 2, u - 1 : u + 2] = 600
        rows, columns = np.nonzero(camera.depth_mm(raw))
        place = camera.pinhole.to_xyz_mm([columns.mean(), rows.mean(), 600.0])
        right.append(np.linalg.norm(place - point))
        wrong.append(np.linalg.norm(camera.to_xyz_mm([u, v, 600.0]) - point))
    assert np.max(right) < 1.5  # a pixel is 1.25 mm
    assert np.max(wrong) > 3


def test_depths_are_moved_and_never_mixed() -> None:
    raw = np.where(np.arange(640) < 320, 500, 900).astype(np.uint16) * np.ones((480, 1), np.uint16)
    assert set(np.unique(LENS.depth_mm(raw)).tolist()) <= {0.0, 500.0, 900.0}
    assert LENS.pinhole.distortion == ()
    plain = replace(LENS, distortion=())
    assert plain.pinhole is plain
    np.testing.assert_array_equal(plain.depth_mm(raw), raw)


def test_a_polynomial_that_turns_back_shows_nothing_twice() -> None:
    folded = replace(LENS, fx=200.0, fy=200.0, distortion=(-0.4, 0.0, 0.0, 0.0))
    depth = folded.depth_mm(np.full((480, 640), 700, np.uint16))
    assert depth[240, 320] == 700
    assert depth[0, 0] == 0  # r = 2: past the turn at r = 0.91


def test_straightening_is_made_once() -> None:
    raw = np.full((480, 640), 700, np.uint16)
    FISHEYE.depth_mm(raw)
    began = time.process_time()
    for _ in range(20):
        FISHEYE.depth_mm(raw)
    assert (time.process_time() - began) / 20 < 0.02


@pytest.mark.parametrize("camera", [LENS, FISHEYE, KNOWN_CAMERAS["femto-nfov"]])
def test_distortion_in_json(camera: Camera) -> None:
    assert Camera.from_json(camera.to_json()) == camera
    assert "distortion" not in replace(camera, distortion=()).to_json()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"distortion": [0.1]}, "1 distortion coefficients; brown-conrady has 4 or 5 or 8"),
        ({"distortion": [0.1] * 5, "distortion_model": "kannala-brandt"}, "has 4"),
        ({"distortion": "none"}, "field 'distortion' is 'none'"),
        ({"distortion": [0, 0, 0, None]}, "field 'distortion'"),
        ({"distortion": [0, 0, 0, float("nan")]}, "give finite numbers"),
        ({"distortion_model": "brown_conrady"}, "did you mean 'brown-conrady'"),
        ({"distortions": []}, "did you mean 'distortion'"),
    ],
)
def test_distortion_that_is_none(changes: dict[str, Any], message: str) -> None:
    values = {"fx": 1, "fy": 1, "cx": 1, "cy": 1} | changes
    with pytest.raises(CadstnError) as caught:
        Camera.from_json(json.dumps(values), "my/camera.json")
    assert message in str(caught.value)
    assert str(caught.value).startswith("my/camera.json: ")


# --- products ---------------------------------------------------------------------------------


def test_every_preset_has_a_maker_and_a_source() -> None:
    assert len(PRESETS) > 20
    for name, preset in PRESETS.items():
        assert preset.maker
        assert preset.product
        assert len(preset.source) > 20
        assert preset.camera.width
        assert parse_camera(name) is preset.camera
        assert KNOWN_CAMERAS[name] is preset.camera


def test_modes_of_one_camera_see_alike() -> None:
    for product in ("d415", "d435", "d455"):
        full, small, four3 = (KNOWN_CAMERAS[product + mode] for mode in ("", "-848", "-640"))
        assert small.fx / full.fx == pytest.approx(427.26 / 644.92, abs=1e-4)
        assert four3.fx / full.fx == pytest.approx(0.6)
    narrow, binned = KNOWN_CAMERAS["femto-nfov"], KNOWN_CAMERAS["femto-nfov-binned"]
    assert (narrow.width, narrow.height) == (640, 576)
    assert narrow.cx == pytest.approx(332.064, abs=1e-3)
    assert binned == narrow.scaled(0.5)
    assert KNOWN_CAMERAS["d435"].fx == pytest.approx(640 / np.tan(np.radians(43.5)))


@given(st.sampled_from(sorted(PRESETS)), st.integers(0, 30), st.sampled_from("abz059-_ "))
def test_suggestions_never_cross_makers(name: str, place: int, letter: str) -> None:
    place = min(place, len(name))
    for text in (
        name[:place] + letter + name[place:],
        name[:place] + name[place + 1 :],
        name[:place] + letter + name[place + 1 :],
        name.upper(),
    ):
        near = nearest_camera(text)
        assert near is None or PRESETS[near].maker == PRESETS[name].maker


@pytest.mark.parametrize("kind", [list, tuple, np.array])
def test_coefficients_are_given_in_any_form(kind: Callable[..., Any]) -> None:
    values = (0.1, -0.02, 0.0, 0.0, 0.001)
    camera = Camera(285, 285, 160, 120, distortion=kind(values))
    assert camera == Camera(285, 285, 160, 120, distortion=values)
    assert camera.straightened(np.full((240, 320), 500, np.float32)).shape == (240, 320)
    with pytest.raises(CadstnError, match="distortion is"):
        Camera(285, 285, 160, 120, distortion=kind(["a"]) if kind is not np.array else "k1")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "near"),
    [
        ("kinect3", "kinect2"),
        ("Kinect 2", "kinect2"),
        ("D435i", "d435"),
        ("d456", "d455"),
        ("ds525", "ds325"),
        ("SR306", "sr305"),
        ("nyuu", "nyu"),
        ("azure_kinect_nfov", "azure-kinect-nfov"),
        ("oakd", "oak-d"),
        ("zed2", None),
        ("zr300", None),
        ("astra", None),
        ("leap", None),
        ("", None),
    ],
)
def test_suggestions(text: str, near: str | None) -> None:
    assert nearest_camera(text) == near
    if near is not None and text in ("azure_kinect_nfov", "oakd"):  # other spellings of a name
        assert parse_camera(text) == parse_camera(near)
        return
    with pytest.raises(CadstnError) as caught:
        parse_camera(text)
    assert ("did you mean" in str(caught.value)) == (near is not None)
    assert "known: nyu, icvl" in str(caught.value)


def test_a_matrix_keeps_the_unit_and_the_lens_beside_it() -> None:
    k = np.array([[475, 0, 320.5], [0, 476, 240], [0, 0, 1]])
    lens = (0.1, -0.05, 0.001, -0.002, 0.01)
    camera = Camera.from_K(k, 640, 480, depth_unit_mm=0.25, distortion=lens)
    assert camera == Camera(475, 476, 320.5, 240, 640, 480, 0.25, distortion=lens)
    fisheye = Camera.from_K(k, distortion=lens[:4], distortion_model="kannala-brandt")
    assert (fisheye.distortion, fisheye.distortion_model) == (lens[:4], "kannala-brandt")
    wide = Camera.from_fov(640, 480, 90, depth_unit_mm=0.25, fps=60)
    assert wide == Camera(wide.fx, wide.fx, 319.5, 239.5, 640, 480, 0.25, 60)


def test_the_numbers_of_known_cameras() -> None:
    """fx, fy, cx, cy, the size, mm a step, frames a second; of angles width / 2 / tan(half)."""
    known = {
        "kinect1": (575.816, 575.816, 314.5, 235.5, 640, 480, 1, 30),
        "kinect2": (363.9, 363.9, 255.4, 206.3, 512, 424, 1, 30),
        "sr305": (476.007, 476.007, 313.683, 242.755, 640, 480, 0.125, 30),
        "sr300": (476.007, 476.007, 313.683, 242.755, 640, 480, 0.125, 30),
        "d415": (1004.599, 1004.599, 639.5, 359.5, 1280, 720, 1, 30),  # 65 degrees
        "d435": (674.419, 674.419, 639.5, 359.5, 1280, 720, 1, 30),  # 87 degrees
        "d455": (674.419, 674.419, 639.5, 359.5, 1280, 720, 1, 30),
        "l515": (731.212, 731.212, 511.5, 383.5, 1024, 768, 0.25, 30),  # 70 degrees
        "l515-640": (457.007, 457.007, 319.5, 239.5, 640, 480, 0.25, 30),
        "oak-d": (391.7, 391.7, 319.5, 199.5, 640, 400, 1, 30),
        "truedepth": (436.5, 436.5, 321.6, 239.5, 640, 480, 1, 30),
        "azure-kinect-nfov": (503.928, 503.979, 332.064, 325.881, 640, 576, 1, 30),
        "femto-wfov": (503.928, 503.979, 524.064, 505.881, 1024, 1024, 1, 15),
        "femto-wfov-binned": (251.964, 251.9895, 261.782, 252.6905, 512, 512, 1, 30),
    }
    for name, numbers in known.items():
        c = KNOWN_CAMERAS[name]
        found = (c.fx, c.fy, c.cx, c.cy, c.width, c.height, c.depth_unit_mm, c.fps)
        assert found == pytest.approx(numbers, abs=1e-3), name
    for name in ("femto-nfov", "azure-kinect-wfov"):
        assert KNOWN_CAMERAS[name].distortion == (
            3.130577, 2.324939, 0.000081, -0.000051, 0.130416, 3.458652, 3.350115, 0.662942,
        )  # fmt: skip
    names = {"Kinect v1": "kinect1", "kinectv2": "kinect2", "femto-mega": "femto-nfov"}
    for name, same in names.items():
        assert parse_camera(name) is KNOWN_CAMERAS[same]
