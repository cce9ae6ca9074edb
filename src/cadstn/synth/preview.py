"""Pictures of what the simulator makes: gestures, hands, sensors, scenes, a strip of motion."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cadstn.geometry.skeleton import HAND21
from cadstn.io.folder import begin_folder
from cadstn.io.png import has_both_ends
from cadstn.io.whole import write_bytes
from cadstn.synth import SIMULATOR
from cadstn.synth.arguments import whole_number
from cadstn.synth.draws import Draws
from cadstn.synth.gestures import GESTURES, gesture
from cadstn.synth.grasp import sample_grasps
from cadstn.synth.hand import ANGLES, forward
from cadstn.synth.motion import orientation
from cadstn.synth.raster import cast, crop_view
from cadstn.synth.sensor import degrade
from cadstn.synth.sensors import SENSORS, sensor
from cadstn.synth.shape import Shape, average_shape, sample_shape
from cadstn.synth.solids import Solids
from cadstn.synth.stream import Clips, sample_clips
from cadstn.synth.surface import Cones, join
from cadstn.synth.things import KINDS, Thing, shown_rods
from cadstn.tracking.views import contact_sheet, draw_joints, shade

Image = NDArray[np.uint8]
#: What `draw_previews` writes, in order.
SHEETS = ("gestures", "shapes", "grasps", "sensors", "stream", "held", "motion")
_BEGUN = "synth.json"
_CUBE_MM = 250.0
_PLASTER_CUBE_MM = 215.0
_DISTANCE_MM = 600.0
_TILE = 240
#: Drawn grasps, of which the first two of each kind are shown.
_GRASPS = 400


def draw_previews(out: str | Path, *, seed: int = 0) -> list[Path]:
    """Write one PNG for each of `SHEETS` into a folder; the same call draws those that it lacks.

    Args:
        out: a new folder, or one that was begun by the same call.
        seed: of the random hands, sensors and motions.

    Returns:
        The files that were drawn, in the order of `SHEETS`.

    Raises:
        CadstnError: if the folder holds anything else, another seed's sheets or another
            simulator's among it, the seed is no whole number, or it cannot be written.
    """
    out = Path(out)
    about = {"simulator": SIMULATOR, "preview": True, "seed": whole_number("seed", seed)}
    begin_folder(out, _BEGUN, about)
    makers = (
        gesture_sheet, shape_sheet, grasp_sheet, sensor_sheet, stream_sheet, held_sheet,
        motion_sheet,
    )  # fmt: skip
    paths = []
    for name, maker in zip(SHEETS, makers, strict=True):
        path = out / f"{name}.png"
        if has_both_ends(path):
            continue
        write_bytes(path, cv2.imencode(".png", maker(seed))[1].tobytes())
        paths.append(path)
    return paths


def gesture_sheet(seed: int) -> Image:
    """Draw every gesture of the vocabulary on an average hand, its palm to the camera."""
    del seed  # the vocabulary is the same for every seed
    names = list(GESTURES)
    angles = torch.stack([gesture(name) for name in names])
    pictures = _shaded(angles, average_shape(len(names)), yaw_deg=25.0)
    return contact_sheet([_titled(p, n) for p, n in zip(pictures, names, strict=True)], 11, 140)


def shape_sheet(seed: int) -> Image:
    """Draw random hands to scale, left and right, a column each: palm, edge and back."""
    count = 10
    shape = sample_shape(Draws((seed,), torch.arange(count)))
    angles = gesture("relaxed")[None].repeat(count, 1)
    views = [_shaded(angles, shape, yaw_deg=yaw) for yaw in (20.0, 90.0, 165.0)]
    return contact_sheet([picture for row in views for picture in row], count, 180)


def grasp_sheet(seed: int) -> Image:
    """Draw two grasps of every kind of thing, each from the palm's side and from the thumb's."""
    draws = Draws((seed,), torch.arange(_GRASPS))
    shape = sample_shape(draws.fork("shape"))
    grasps = sample_grasps(draws.fork("grasp"), shape)
    rows = torch.cat([
        ((grasps.kind == kind) & grasps.there).nonzero()[:2, 0] for kind in range(len(KINDS))
    ])  # fmt: skip
    names, shown = list(KINDS), Shape(*(field[rows] for field in shape))
    angles = torch.nn.functional.pad(grasps.angles[rows], (0, len(ANGLES) - 20))
    views = [
        _shaded(angles, shown, yaw * (1 - 2 * shown.left), grasps.thing.pick(rows))
        for yaw in (25.0, 95.0)
    ]
    pictures = []
    for row, (palm, side) in zip(rows.tolist(), zip(*views, strict=True), strict=True):
        pictures += [_titled(palm, names[int(grasps.kind[row])]), side]
    return contact_sheet(pictures, 12, 150)


def sensor_sheet(seed: int) -> Image:
    """Draw one crop as every named sensor sees it, at three distances."""
    pictures = []
    names = tuple(SENSORS)
    for distance in (400.0, 600.0, 900.0):
        cones, joints, _ = _posed(gesture("relaxed")[None], average_shape(1), 20.0, distance)
        center = joints.mean(1)
        view = crop_view(center, _CUBE_MM, 256)
        clean = cast(cones, view)
        for name in names:
            measured = degrade(
                clean,
                Draws((seed,), torch.tensor([0])),
                sensor(name),
                angle_per_pixel=view.step_x,
            )
            picture = shade(measured[0].nan_to_num(posinf=0.0).numpy(), float(center[0, 2]))
            pictures.append(_titled(picture, f"{name} {distance:.0f} mm"))
    return contact_sheet(pictures, len(names), _TILE)


def stream_sheet(seed: int) -> Image:
    """Draw the first crops of a training stream with their labels: what a network is shown."""
    return contact_sheet(_labelled(sample_clips((seed,), torch.arange(40), 1)), 10, 180)


def held_sheet(seed: int) -> Image:
    """Draw the first crops of a training stream in which every hand grasps something."""
    return contact_sheet(_labelled(sample_clips((seed,), torch.arange(40), 1, held=1.0)), 10, 180)


def motion_sheet(seed: int) -> Image:
    """Draw every second frame of three clips, a row each, 30 frames a second."""
    clips = sample_clips((seed, 1), torch.arange(3), 24)
    return contact_sheet(_labelled(clips, every=2), 12, 150)


def _posed(
    angles: Tensor,
    shape: Shape,
    yaw_deg: float | Tensor,
    distance_mm: float,
    thing: Thing | None = None,
) -> tuple[Cones, Tensor, Solids | None]:
    """Hands held upright before the camera: cones, joints and solids in its frame."""
    joints, cones = forward(angles, shape)
    count = len(angles)
    yaw = (torch.zeros(count) + yaw_deg).deg2rad()
    rotation = orientation(yaw, torch.full_like(yaw, -0.15), torch.zeros_like(yaw))
    middle = joints.mean(1, keepdim=True)
    place = torch.tensor([0.0, 0.0, distance_mm])

    def put(points: Tensor) -> Tensor:
        return (points - middle) @ rotation.mT + place

    cones = Cones(put(cones.a), put(cones.b), cones.ra, cones.rb)
    if thing is None:
        return cones, put(joints), None
    thing = thing.moved(rotation, put(torch.zeros(count, 1, 3))[:, 0])
    return join(cones, shown_rods(thing)), put(joints), thing.blocks


def _shaded(
    angles: Tensor, shape: Shape, yaw_deg: float | Tensor, thing: Thing | None = None
) -> list[Image]:
    """Clean surfaces lit from the camera's side, like a plaster hand."""
    cones, joints, solids = _posed(angles, shape, yaw_deg, _DISTANCE_MM, thing)
    cube_mm = _PLASTER_CUBE_MM if thing is None else 1.2 * _PLASTER_CUBE_MM
    view = crop_view(joints.mean(1), cube_mm, _TILE)
    depth = cast(cones, view, solids=solids)
    return [_plaster(image, float(view.step_x[0])) for image in depth]


def _plaster(depth_mm: Tensor, step: float) -> Image:
    """Light a clean surface by its slope."""
    seen = torch.isfinite(depth_mm)
    solid = depth_mm.where(seen, _DISTANCE_MM + _CUBE_MM)
    dy, dx = torch.gradient(solid)
    scale = step * solid
    slope_x, slope_y = dx / scale, dy / scale
    light = (1 + 0.5 * slope_x + 0.6 * slope_y) / (1 + slope_x**2 + slope_y**2).sqrt() / 1.25
    bright = (35 + 220 * light.clamp(0, 1)).where(seen, torch.tensor(20.0))
    return np.asarray(cv2.cvtColor(bright.byte().numpy(), cv2.COLOR_GRAY2BGR), np.uint8)


def _labelled(clips: Clips, every: int = 1) -> list[Image]:
    """Crops of every so many frames enlarged, with their joints over them."""
    crops, joints, centers_mm = (field[:, ::every].flatten(0, 1) for field in clips[:3])
    size = crops.shape[-1]
    view = crop_view(centers_mm, _CUBE_MM, size)
    points = joints * _CUBE_MM / 2 + centers_mm[:, None]
    slopes = points[..., :2] / points[..., 2:]
    origin = torch.stack([view.x0, view.y0], -1)[:, None]
    step = torch.stack([view.step_x, view.step_y], -1)[:, None]
    places = ((slopes - origin) / step + 0.5) * (_TILE / size)
    pictures = []
    for crop, place in zip(crops.numpy(), places.numpy(), strict=True):
        depth = np.where(crop < 1, 1000 + crop * _CUBE_MM / 2, 0).astype(np.float32)
        large = cv2.resize(shade(depth, 1000.0), (_TILE, _TILE), interpolation=cv2.INTER_NEAREST)
        picture = np.asarray(large, np.uint8)
        draw_joints(picture, place, HAND21, 1)
        pictures.append(picture)
    return pictures


def _titled(picture: Image, title: str) -> Image:
    """Write a name into the upper left corner."""
    white = (255, 255, 255)
    cv2.putText(picture, title, (6, 18), cv2.FONT_HERSHEY_SIMPLEX, 0.5, white, 1, cv2.LINE_AA)
    return picture
