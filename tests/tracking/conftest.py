"""The packaged recording, as it is and as a camera that is held otherwise sees it."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from cadstn.geometry.camera import Camera, DepthMm
from cadstn.io import Frame, open_recording


@pytest.fixture(scope="module")
def frames() -> list[Frame]:
    """All frames of the packaged recording."""
    return list(open_recording("demo"))


def held(frame: Frame, quarters: int, mirror: bool) -> tuple[DepthMm, Camera, NDArray[np.float32]]:
    """Depth, camera and truth (K, 3) of a frame mirrored, if so, and then turned clockwise."""
    depth = np.rot90(frame.depth[:, ::-1] if mirror else frame.depth, -quarters)
    assert frame.truth_xyz_mm is not None
    x, y, z = frame.truth_xyz_mm.T
    x = -x if mirror else x
    for _ in range(quarters):
        x, y = -y, x
    height, width = depth.shape
    focal = frame.camera.fx
    camera = Camera(focal, focal, (width - 1) / 2, (height - 1) / 2, width, height)
    return np.ascontiguousarray(depth), camera, np.stack([x, y, z], -1)
