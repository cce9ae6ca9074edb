"""Rendered sequences of any camera: a moving hand in a scene, with its truth."""

from __future__ import annotations

import copy
import reprlib
from collections.abc import Iterable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cadstn.errors import CadstnError
from cadstn.geometry.camera import Camera
from cadstn.synth.arguments import whole_number
from cadstn.synth.draws import Draws
from cadstn.synth.motion import Frustum, Views
from cadstn.synth.raster import camera_view, check_pinhole
from cadstn.synth.render import cast_scene
from cadstn.synth.scene import sample_scene
from cadstn.synth.sensor import degrade
from cadstn.synth.sensors import Sensor, sample_sensor
from cadstn.synth.shape import Shape
from cadstn.synth.surroundings import EVERYDAY, Surroundings

DISTANCE_MM = (250.0, 1200.0)
"""How far the palm's middle is from the camera, nearest and farthest."""

_NEAREST_MM, _FARTHEST_MM = 180.0, 5000.0  # a hand reaches 180 mm from its middle
_SEES_MM = 160.0  # what a camera must see at the farthest distance for a hand to be in view
_INSIDE = 0.75  # share of the way from the image's middle to its edge that the palm's middle goes
_PIXELS = 4096
_LARGEST_UNIT = 65534  # 65535 is what a saturated sensor writes


def check_renders(camera: Camera) -> None:
    """Refuse a camera that frames are not rendered for.

    Raises:
        CadstnError: if its lens distorts, or its files are of floats.
    """
    check_pinhole(camera)
    if camera.encoding == "metres":
        raise CadstnError(
            "frames are rendered as whole numbers, and the camera's are floats in metres",
            hint="give a camera with the millimetres of a step",
        )


def view_frustum(camera: Camera, distance_mm: tuple[float, float] = DISTANCE_MM) -> Frustum:
    """Where a hand may go to be in a camera's view.

    Raises:
        CadstnError: distances inside the hand or without end, a camera without a size or with an
            absurd one, one that has no hand in view, or whose unit cannot hold the distances.
    """
    hint = f"give two rising distances from {_NEAREST_MM:g} to {_FARTHEST_MM:g} mm"
    try:
        near, far = map(float, distance_mm)
    except (TypeError, ValueError):
        raise CadstnError(f"distance_mm is {reprlib.repr(distance_mm)}", hint=hint) from None
    if not (_NEAREST_MM <= near < far <= _FARTHEST_MM):
        raise CadstnError(f"a hand from {near:g} to {far:g} mm away", hint=hint)
    if not (0 < camera.width <= _PIXELS and 0 < camera.height <= _PIXELS):
        raise CadstnError(
            f"a camera of {camera.width}x{camera.height} pixels",
            hint=f"give width and height from 1 to {_PIXELS}",
        )
    across = min(camera.cx, camera.width - 1 - camera.cx) / camera.fx
    down = min(camera.cy, camera.height - 1 - camera.cy) / camera.fy
    if min(across, down) * 2 * far < _SEES_MM:
        raise CadstnError(
            f"no hand in view: at {far:g} mm the camera sees {2 * far * across:.0f} x "
            f"{2 * far * down:.0f} mm around its axis",
            hint="check fx, fy, cx, cy, width and height, or let the hand be farther away",
        )
    if far > _LARGEST_UNIT * camera.depth_unit_mm:
        raise CadstnError(
            f"16-bit depths in units of {camera.depth_unit_mm:g} mm end before {far:g} mm",
            hint="give a larger depth_unit_mm, or let the hand be nearer",
        )
    return Frustum((near, far), _INSIDE * across, _INSIDE * down)


class Sequence:
    """One hand, one motion, one room, one sensor: a pure function of its arguments.

    Its motion is made at once; its frames are rendered when they are requested, any of them, in
    any order, and are the same whatever was requested before.

    Args:
        seed: names the data set, for instance (seed, split).
        index: which sequence.
        camera: that records, with its size and frame rate.
        frames: how many.
        sensor: of batch 1, what measures; drawn at random if none is given.
        distance_mm: nearest and farthest distance of the hand.
        frustum: where the hand may go, instead of anywhere in view at these distances.
        views: which directions the palm may take; all if none are given.
        around: what is around the hand.
        shape: of batch 1, whose hand; drawn at random if none is given.
        held: chance that the hand grasps something.

    Attributes:
        joints_xyz_mm: (frames, 21, 3) float32 truth in MediaPipe's order, camera frame.
        left: whether it is a left hand.
        holds: whether something is in the hand.

    Raises:
        CadstnError: see `view_frustum`; if the camera's lens distorts, its files are floats, or a
            number is no whole one.
    """

    def __init__(
        self,
        seed: tuple[int, ...],
        index: int,
        camera: Camera,
        frames: int,
        *,
        sensor: Sensor | None = None,
        distance_mm: tuple[float, float] = DISTANCE_MM,
        frustum: Frustum | None = None,
        views: Views | None = None,
        around: Surroundings = EVERYDAY,
        shape: Shape | None = None,
        held: float = 0.0,
    ) -> None:
        check_renders(camera)
        frames = whole_number("frames", frames, 1)
        frustum = view_frustum(camera, distance_mm) if frustum is None else frustum
        draws = Draws(seed, torch.tensor([whole_number("index", index)]))
        self.camera = camera
        self._scene = sample_scene(
            draws.fork("scene"), frames, camera.fps, frustum=frustum, views=views, around=around,
            shape=shape, held=held,
        )  # fmt: skip
        self.joints_xyz_mm: NDArray[np.float32] = self._scene.joints_xyz_mm.numpy()
        self.left = bool(self._scene.left[0])
        self.holds = self._scene.holds is not None and bool(self._scene.holds[0])
        # The camera's own pixels are the sensor's.
        drawn = sample_sensor(draws.fork("sensor"))._replace(step=torch.zeros(1))
        # A hand out of its sensor's range would be a label without an image.
        farthest = self._scene.joints_xyz_mm[..., 2].max() + 50.0
        drawn = drawn.covering(farthest)
        self._sensor = drawn if sensor is None else sensor
        self._noise = draws.fork("noise").repeat(frames)

    def __len__(self) -> int:
        return len(self.joints_xyz_mm)

    @property
    def second_xyz_mm(self) -> NDArray[np.float32]:
        """Joints (frames, 21, 3) of the second hand, of the other side; all NaN without one."""
        second = self._scene.second_xyz_mm
        if second is None:
            return np.full_like(self.joints_xyz_mm, np.nan)
        return np.asarray(second.numpy(), np.float32)

    def seen_from(
        self, place_mm: NDArray[np.float64], rotation: NDArray[np.float64], name: str
    ) -> Sequence:
        """Return the same hand at the same moments, as another camera of the same kind sees it.

        Args:
            place_mm: (3,) where it stands, in this camera's frame.
            rotation: (3, 3) from this camera's axes to its own.
            name: of its sensor's noise.
        """
        place, axes = (torch.from_numpy(array).float() for array in (place_mm, rotation))
        scene, other = self._scene, copy.copy(self)

        def move(points: Tensor) -> Tensor:
            return (points - place) @ axes.T

        solids, skin = scene.solids, scene.skin
        normals, offsets = scene.planes[..., :3], scene.planes[..., 3:]
        offsets = offsets - (normals * place).sum(-1, keepdim=True)
        other._scene = scene._replace(
            joints_xyz_mm=move(scene.joints_xyz_mm),
            cones=scene.cones._replace(a=move(scene.cones.a), b=move(scene.cones.b)),
            planes=torch.cat([normals @ axes.T, offsets], -1),
            skin=skin and skin._replace(vertices_mm=move(skin.vertices_mm)),
            solids=solids
            and solids._replace(center=move(solids.center), axes=solids.axes @ axes.T),
            second_xyz_mm=None if scene.second_xyz_mm is None else move(scene.second_xyz_mm),
        )
        other.joints_xyz_mm = other._scene.joints_xyz_mm.numpy()
        other._noise = self._noise.fork(name)
        return other

    def render(
        self, only: Iterable[int] | None = None, *, compiled: bool = False, together: int = 8
    ) -> Iterator[NDArray[np.uint16]]:
        """Yield raw frames (H, W) in the camera's unit, 0 where nothing was measured.

        Args:
            only: which frames; all.
            compiled: see `cadstn.synth.raster.cast`.
            together: frames rendered at once; changes nothing but memory and speed.
        """
        wanted = torch.arange(len(self))
        if only is not None:
            wanted = wanted[list(only)]
        for first in range(0, len(wanted), together):
            rows = wanted[first : first + together]
            view = camera_view(self.camera, len(rows))
            depth = cast_scene(self._scene, view, rows=rows, compiled=compiled)
            sensor = Sensor(*(field.expand(len(rows)) for field in self._sensor))
            noise = self._noise.pick(rows)
            depth = degrade(depth, noise, sensor, angle_per_pixel=view.step_x, compiled=compiled)
            units = (depth / self.camera.depth_unit_mm).round()
            # What is not measured, and what 16 bits cannot hold, is 0.
            units = torch.where(units <= _LARGEST_UNIT, units, 0.0)
            yield from units.numpy().astype(np.uint16)
