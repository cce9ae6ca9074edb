"""Rendered recordings on disk: a hand in a scene, as a camera would have stored it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from cadstn.camera import Camera
from cadstn.recording import write_recording
from cadstn.skeleton import HAND21
from cadstn.synth.hand import Cones
from cadstn.synth.raster import camera_view, cast
from cadstn.synth.scene import Scene, sample_scene
from cadstn.synth.sensor import degrade

#: A small time-of-flight camera of our own making: what `cadstn synth` records with.
SYNTH_CAMERA = Camera(285.0, 285.0, 160.0, 120.0, 320, 240)
_SPLIT = 2  # recordings never share a random stream with training (0) or validation (1)
_TOGETHER = 8
_FOREARM = slice(-5, -3)  # before body, head and wall, which come last


def write_synthetic(
    path: Path,
    *,
    frames: int,
    seed: int,
    camera: Camera = SYNTH_CAMERA,
    on_frame: Callable[[], None] = lambda: None,
) -> None:
    """Render one recording of a moving hand, with its truth beside it.

    Args:
        path: folder (or ``.npz`` file) to write, see `cadstn.recording.write_recording`.
        frames: how many.
        seed: the recording is a function of it.
        camera: that records; depth16 encoding.
        on_frame: called after each frame, for a progress bar.

    Raises:
        CadstnError: if the path is taken.
    """
    rng = np.random.default_rng((seed, _SPLIT))
    scene = _with_upper_arm(sample_scene(rng, 1, frames, camera.fps))
    noise = int(rng.integers(1 << 62))
    write_recording(
        path,
        _images(scene, camera, noise, on_frame),
        camera,
        truth_xyz_mm=scene.joints_xyz_mm.numpy(),
        skeleton=HAND21,
    )


def _with_upper_arm(scene: Scene) -> Scene:
    """Go on from the elbow, on and down and away: no arm in a frame ends in a stub."""
    cones = scene.cones
    elbow = (cones.b[:, _FOREARM].sum(1) / 2)[:, None]
    forearm = elbow - cones.a[:, _FOREARM].mean(1, keepdim=True)
    upper = torch.nn.functional.normalize(forearm, dim=-1) * 180.0 + torch.tensor(
        [0.0, 150.0, 150.0]
    )
    shoulder = elbow + upper
    radius = cones.rb[:, _FOREARM].amax(1, keepdim=True) * 1.5
    return scene._replace(
        cones=Cones(
            torch.cat([cones.a, elbow], 1),
            torch.cat([cones.b, shoulder], 1),
            torch.cat([cones.ra, radius], 1),
            torch.cat([cones.rb, radius * 1.15], 1),
        )
    )


def _images(
    scene: Scene, camera: Camera, seed: int, on_frame: Callable[[], None]
) -> Iterator[NDArray[np.uint16]]:
    """Raw frames, a few rendered together."""
    generator = torch.Generator().manual_seed(seed)
    for first in range(0, len(scene.joints_xyz_mm), _TOGETHER):
        cones = Cones(*(field[first : first + _TOGETHER] for field in scene.cones))
        depth = cast(cones, camera_view(camera, len(cones.ra)))
        depth = degrade(depth, generator, sensor=torch.Generator().manual_seed(seed))
        units = (depth / camera.depth_unit_mm).round().nan_to_num(posinf=0).clamp(0, 65534)
        for image in units.numpy():
            yield image.astype(np.uint16)
            on_frame()
