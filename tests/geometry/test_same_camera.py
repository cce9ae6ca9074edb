"""Which cameras count as one from frame to frame."""

from dataclasses import replace
from typing import Any

import pytest

from cadstn.geometry.camera import Camera
from cadstn.geometry.same_camera import is_same_camera

CAMERA = Camera(475, 475, 320, 240, 640, 480, distortion=(0.1, 0, 0, 0))


@pytest.mark.parametrize(
    "change",
    [{"fx": 475.01}, {"fy": 479.0}, {"cx": 316.0}, {"fps": 60.0}, {"distortion": (0.11, 0, 0, 0)}],
    ids=str,
)
def test_a_camera_that_is_measured_anew_is_the_same(change: dict[str, Any]) -> None:
    assert is_same_camera(CAMERA, replace(CAMERA, **change))


@pytest.mark.parametrize(
    "change",
    [
        {"fx": 481.0}, {"fy": 481.0}, {"cx": 326.0}, {"cy": 246.0}, {"width": 641},
        {"height": 481}, {"depth_unit_mm": 0.5}, {"distortion": ()},
        {"distortion_model": "inverse-brown-conrady"},
    ],
    ids=str,
)  # fmt: skip
def test_another_camera_is_not(change: dict[str, Any]) -> None:
    assert not is_same_camera(CAMERA, replace(CAMERA, **change))
