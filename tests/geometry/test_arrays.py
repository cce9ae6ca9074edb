"""Depth in every form that callers have it in, and every way to get it wrong in one line."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from cadstn.errors import CadstnError
from cadstn.geometry.arrays import as_depth_mm
from cadstn.geometry.camera import KNOWN_CAMERAS, Camera

CAMERA = Camera(24.0, 24.0, 15.5, 11.5, 32, 24)
STEPS = np.random.default_rng(0).integers(400, 900, (24, 32)).astype(np.uint16)
MM = STEPS.astype(np.float32)


class OnlyDlpack:
    """What has no ``__array__``."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array

    def __dlpack__(self, **options: Any) -> Any:
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self) -> Any:
        return self.array.__dlpack_device__()


class OnlyArray:
    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return STEPS.astype(dtype) if dtype else STEPS


def forms() -> dict[str, Any]:
    return {
        **{name: STEPS.astype(name) for name in ("uint16", ">u2", "int32", "int64", "uint32")},
        **{name: STEPS.astype(name) for name in ("float16", "float32", "float64", ">f4")},
        "int16": STEPS.astype(np.int16),
        "(H, W, 1)": STEPS[..., None],
        "(1, H, W)": STEPS[None],
        "(1, H, W, 1)": STEPS[None, ..., None],
        "lists": STEPS.tolist(),
        "lists of floats": MM.tolist(),
        "memoryview": STEPS.data,
        "not contiguous": np.repeat(STEPS, 2, axis=1)[:, ::2],
        "Fortran order": np.asfortranarray(MM),
        "masked": np.ma.masked_array(STEPS, mask=False),
        "__array__": OnlyArray(),
        "__dlpack__": OnlyDlpack(MM),
        "a camera library's frame": SimpleNamespace(get_data=lambda: STEPS.data),
    }


@pytest.mark.parametrize("name", forms())
def test_every_form_is_the_same_depth(name: str) -> None:
    depth = as_depth_mm(forms()[name], CAMERA)
    assert depth.dtype == np.float32
    assert depth.flags.c_contiguous
    np.testing.assert_array_equal(depth, MM)


def test_torch_tensors_of_every_kind() -> None:
    torch = pytest.importorskip("torch")
    for tensor in (
        torch.tensor(MM),
        torch.tensor(MM, requires_grad=True),
        torch.tensor(STEPS.astype(np.int32)),
        torch.tensor(MM)[None],
        torch.tensor(MM).to(torch.float16),
    ):
        np.testing.assert_array_equal(as_depth_mm(tensor, CAMERA), MM)
    coarse = as_depth_mm(torch.tensor(MM).to(torch.bfloat16), CAMERA)
    np.testing.assert_allclose(coarse, MM, rtol=0.01)


def test_pillow_images() -> None:
    pillow = pytest.importorskip("PIL.Image")
    np.testing.assert_array_equal(as_depth_mm(pillow.fromarray(STEPS), CAMERA), MM)
    np.testing.assert_array_equal(as_depth_mm(pillow.fromarray(STEPS.astype(np.int32)), CAMERA), MM)
    np.testing.assert_array_equal(as_depth_mm(pillow.fromarray(MM), CAMERA), MM)
    with pytest.raises(CadstnError, match="8-bit 1-channel image where 16-bit depth"):
        as_depth_mm(pillow.fromarray(STEPS.astype(np.uint8)), CAMERA)


def test_what_opencv_reads_by_mistake() -> None:
    with pytest.raises(CadstnError, match=r"shape \(24, 32, 3\).*cv2\.IMREAD_UNCHANGED"):
        as_depth_mm(np.zeros((24, 32, 3), np.uint8), CAMERA)
    with pytest.raises(CadstnError, match=r"depth is None; cv2\.imread returns it"):
        as_depth_mm(None, CAMERA)


def test_whole_numbers_are_steps_and_floats_are_millimetres() -> None:
    eighths = replace(CAMERA, depth_unit_mm=0.125, invalid=(450,))
    steps = np.full((24, 32), 4000, np.int64)
    steps[0, :3] = 450, 65535, 0
    depth = as_depth_mm(steps, eighths)
    assert depth[0, :4].tolist() == [0, 0, 0, 500]
    np.testing.assert_array_equal(as_depth_mm(MM, eighths), MM)


@pytest.mark.parametrize(
    ("unit", "scale"), [("m", 1e-3), ("cm", 0.1), ("mm", 1.0), ("um", 1e3), (0.25, 4.0)]
)
def test_a_unit_that_is_given_is_taken(unit: str | float, scale: float) -> None:
    depth = as_depth_mm(MM.astype(np.float64) * scale, CAMERA, unit=unit)
    np.testing.assert_allclose(depth, MM, rtol=1e-6)
    if scale >= 1:
        whole = (STEPS.astype(np.int64) * scale).astype(np.int64)
        np.testing.assert_allclose(as_depth_mm(whole, CAMERA, unit=unit), MM, rtol=1e-6)


@pytest.mark.parametrize("unit", [None, "mm", "m"])
def test_more_than_float32_holds_is_not_measured(unit: str | None) -> None:
    far = MM.astype(np.float64)
    far[0, :2] = 1e300, -1e300
    assert as_depth_mm(far, CAMERA, unit=unit)[0, :2].tolist() == [np.inf, -np.inf]  # no warning


def test_marks_of_nothing_stay_nothing_in_a_given_unit() -> None:
    marked = replace(CAMERA, invalid=(32001,))
    raw = np.full((24, 32), 5000, np.uint16)
    raw[0, :3] = 32001, 65535, 0
    for kind in (np.uint16, np.int32, np.uint32, np.int64):
        assert as_depth_mm(raw.astype(kind), marked, unit=0.1)[0, :4].tolist() == [0, 0, 0, 500]
    micrometres = raw.astype(np.int32) * 100  # wider than a sensor's: 65535 is a distance there
    micrometres[0, 1] = 65535
    assert as_depth_mm(micrometres, CAMERA, unit="um")[0, 1] == pytest.approx(65.535)


def test_metres_of_16_bits_are_widened_before_the_product() -> None:
    metres = np.full((24, 32), 2.001, np.float16)
    depth = as_depth_mm(metres, CAMERA, unit="m")
    np.testing.assert_allclose(depth, metres.astype(float) * 1000, rtol=1e-6)
    far = np.full((24, 32), 70, np.float16)  # 70000 mm are more than 16 bits hold
    assert as_depth_mm(far, CAMERA, unit="m")[0, 0] == 70000


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("kind", ["whole", "nan", "inf", "sparse"])
def test_metres_are_recognised(dtype: type, kind: str) -> None:
    metres: np.ndarray = np.random.default_rng(1).uniform(0.4, 3.0, (480, 640)).astype(dtype)
    if kind == "sparse":  # one pixel alone is measured
        metres[:] = 0
        metres[201, 333] = 0.6
    elif kind != "whole":
        metres[::2] = float(kind)
    camera = replace(CAMERA, width=640, height=480)
    with pytest.raises(CadstnError, match=r"metres.*depth \* 1000.*unit='m'") as caught:
        as_depth_mm(metres, camera)
    assert "\n" not in str(caught.value)
    assert np.nanmax(as_depth_mm(metres, camera, unit="m"), initial=0, where=metres < 9) > 500


def test_a_picture_scaled_to_one_is_guessed_too() -> None:
    with pytest.raises(CadstnError, match=r"0\.\.1"):
        as_depth_mm(MM / 1000, CAMERA)


def test_empty_and_unmeasured_frames_are_no_metres() -> None:
    for nothing in (0.0, np.nan, np.inf):
        assert as_depth_mm(np.full((24, 32), nothing, np.float32), CAMERA).shape == (24, 32)
    one_hand = np.zeros((24, 32), np.float32)
    one_hand[3, 3] = 25.0
    assert as_depth_mm(one_hand, CAMERA)[3, 3] == 25


@pytest.mark.parametrize(
    ("depth", "message"),
    [
        (None, "depth is None"),
        ("frame.png", "str"),
        (b"\0" * 64, "bytes"),
        ([[1, 2], [3]], "list"),
        ({"depth": 1}, "dict|object"),
        (np.array([[object()]]), "object"),
        (MM > 0, "bool"),
        (MM.astype(complex), "complex"),
        (MM.ravel(), r"shape \(768,\): give|shape \(768,\); give one \(height, width\)"),
        (np.zeros((24, 0)), "shape"),
        (np.zeros((2, 24, 32), np.float32), "shape"),
        (np.zeros((24, 32, 3), np.uint8), "shape"),
        (np.float32(3), "shape"),
        (STEPS.astype(np.uint8), "8-bit"),
        (STEPS.astype(np.int32) - 500, "clip negatives"),
        (STEPS.astype(np.int64) * 1000, "micrometres"),
        (iter([1, 2]), "iterator|object"),
    ],
)
def test_what_is_no_depth_is_one_line(depth: Any, message: str) -> None:
    with pytest.raises(CadstnError, match=message) as caught:
        as_depth_mm(depth, CAMERA)
    assert "\n" not in str(caught.value)
    assert caught.value.hint
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize("unit", ["metre", -1.0, float("nan"), 0.0])
def test_units_that_are_none(unit: Any) -> None:
    with pytest.raises(CadstnError):
        as_depth_mm(MM, CAMERA, unit=unit)


def test_a_gradient_that_fails_is_one_line() -> None:
    class Broken:
        def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
            raise RuntimeError("the device\nis gone")

    with pytest.raises(CadstnError, match=r"Broken .*the device is gone"):
        as_depth_mm(Broken(), CAMERA)


@pytest.mark.parametrize(("unit", "factor"), [("mm", 1), ("cm", 10), (0.5, 0.5)])
def test_nyus_packing_is_unpacked_in_a_given_unit(unit: str | float, factor: float) -> None:
    packed = np.zeros((4, 5, 3), np.uint8)
    packed[..., 1], packed[..., 0] = 2, 88
    packed[0, 0] = 0
    packed[0, 1] = (255, 255, 0)  # 65535, which is never a distance
    depth = as_depth_mm(packed, KNOWN_CAMERAS["nyu"], unit=unit)
    assert depth.shape == (4, 5)
    assert depth[1, 1] == 600 * factor
    assert depth[0, :2].tolist() == [0, 0]


def test_nyus_packing_passes() -> None:
    packed = np.zeros((480, 640, 3), np.uint8)
    packed[..., 1], packed[..., 0] = 3, 32
    assert (as_depth_mm(packed, KNOWN_CAMERAS["nyu"]) == 800).all()


@pytest.mark.parametrize(
    ("scale", "dtype", "unit"),
    [
        (1, np.float32, None), (1, np.float64, "mm"), (1e-3, np.float64, "m"),
        (1, np.uint16, None), (2, np.uint16, 0.5), (1000, np.int32, "um"),
    ],
)  # fmt: skip
def test_the_lens_is_undone_whatever_the_numbers_are(
    scale: float, dtype: type, unit: str | float | None
) -> None:
    # 12 px right of the centre x / z is 12 / 24, which a lens of k1 = 1 shows 1 + 0.5^2 times as
    # far: at 15 px. 16 px right it is (1 + 4 / 9) * 16 = 23.1 px, and the frame ends at 16.
    lens = Camera(24, 24, 15, 11, 32, 24, distortion=(1.0, 0, 0, 0))
    mm = np.tile(500 + np.arange(32), (24, 1))
    depth = as_depth_mm((mm * scale).astype(dtype), lens, unit)
    assert depth[11, [15, 27, 31]] == pytest.approx([515, 530, 0])
