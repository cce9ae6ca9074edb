"""Whole small frames with any number of hands, none included: what the detector is trained on.

A frame holds hands of the simulator (one, two or none; their arms, what they hold, who they belong
to) in a room full of what is no hand, through a random sensor, as any camera would show it reduced
to some 160x120 pixels: landscape, portrait or upside down. Sample i of a seed is the same whatever
the batch, on one machine.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cadstn.geometry.skeleton import KNUCKLES, WRIST
from cadstn.synth.boxes import Grid, draw_boxes
from cadstn.synth.draws import Draws
from cadstn.synth.motion import Motion, sample_motion
from cadstn.synth.raster import View, cast, crop_view
from cadstn.synth.room_batch import room_beside, room_cones, room_planes
from cadstn.synth.rooms import MOST_BOXES
from cadstn.synth.scene import ARM, OTHER, OWN, PERSON, Scene, build_scene
from cadstn.synth.sensor import degrade
from cadstn.synth.sensors import sample_sensor
from cadstn.synth.shape import Shape, sample_shape
from cadstn.synth.surface import Cones, hide, join

HEIGHT, WIDTH = 120, 160
HANDS = 2
"""Hands a frame at most."""

NEAR_MM, FAR_MM = 170.0, 2800.0
"""How far hands are from the camera."""

#: Whether a hand is to be found: 1 yes, 0 there is none, -1 too much of it is hidden to decide.
FOUND, ABSENT, UNSURE = 1, 0, -1

_LEAST_PX = 5.0  # length of a hand, wrist to middle knuckle twice, that can still be seen
_SKIN_MM = 55.0  # from a joint to the measured surface before it
_NO_HAND = 0.4  # share of frames without a hand
_TWO_HANDS = 0.3  # share of frames with hands that have two
_MEAN_LENGTH_MM = 90.0
"""From the wrist to the middle knuckle."""


class Frames(NamedTuple):
    """A batch of small frames with the hands in them."""

    depth_mm: NDArray[np.float32]  # (B, H, W) float32 mm, 0 where nothing was measured
    focal_px: NDArray[np.float32]  # (B,) of the small frame; its centre is the image's
    # (B, 2, 3) column, row and depth in mm of each hand's knuckles' mean
    center_uvd: NDArray[np.float32]
    # (B, 2, 2) where the knuckles' mean is seen from the wrist, a unit vector of x right, y down,
    # times how much of its length is seen (0 where it points at the camera)
    direction: NDArray[np.float32]
    # (B, 2) length from the wrist to the middle knuckle over the mean hand's
    size: NDArray[np.float32]
    left: NDArray[np.float32]  # (B, 2) 1 for a left hand
    found: NDArray[np.int8]  # (B, 2) `FOUND`, `ABSENT` or `UNSURE`


class WholeScene(NamedTuple):
    """What B frames show, before anything is rendered."""

    hands: tuple[Scene, Scene]  # the first and the second hand's scene
    shapes: tuple[Shape, Shape]  # of these hands
    present: NDArray[np.bool_]  # (B, 2) whether they are there
    # cones, planes: of all that is round, and of walls and floors, see `cast`
    cones: Cones
    planes: Tensor
    boxes: list[NDArray[np.float64]]  # of each frame (N, 15), see `draw_boxes`
    focal: Tensor  # (B,) px of the reduced frame
    draws: Draws  # streams of the frames' sensors and noise

    def pick(self, rows: Tensor) -> WholeScene:
        """Return some of the scenes, (R,) int64, which may repeat."""
        assert all(hand.skin is None for hand in self.hands)  # which lists its frames
        picked: WholeScene = _pick(self, rows)
        return picked


def sample_whole(
    seed: tuple[int, ...], index: Tensor, *, hands: float = 1 - _NO_HAND
) -> WholeScene:
    """Draw whole scenes; each is a function of (seed, its index).

    Args:
        seed: for instance (seed of the run, split).
        index: (B,) int64, which samples.
        hands: share of frames with a hand.
    """
    draws = Draws(seed, index)
    focal = draws.uniform(low=math.log(78.0), high=math.log(190.0)).exp()
    some = draws.uniform() < hands
    two = draws.chance(_TWO_HANDS) & some
    one, first = _hand(draws.fork("one"), focal, None)
    other, second = _hand(draws.fork("two"), focal, one.joints_xyz_mm)
    one = _bare_arms(draws.fork("bare"), one, some)
    apart = (one.joints_xyz_mm.mean(1) - other.joints_xyz_mm.mean(1)).norm(dim=-1)
    two = two & (apart > 110.0)
    other = other._replace(cones=hide(other.cones, two))
    middles = zip(one.joints_xyz_mm.mean(1), other.joints_xyz_mm.mean(1), two, strict=True)
    rooms = [room_beside(seed, i, some) for i, some in zip(index.tolist(), middles, strict=True)]
    return WholeScene(
        (one, other),
        (first, second),
        torch.stack([some, two], 1).numpy(),
        join(one.cones, other.cones, room_cones(rooms)),
        torch.cat([one.planes, room_planes(rooms)], 1),
        [np.array(room.boxes[:MOST_BOXES]).reshape(-1, 15) for room in rooms],
        focal,
        draws,
    )


def _pick(value: Any, rows: Tensor) -> Any:
    """Some rows of everything in a scene: arrays, lists and streams of numbers, in tuples."""
    if isinstance(value, tuple):
        parts = [_pick(part, rows) for part in value]
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    if isinstance(value, list):
        return [value[row] for row in rows.tolist()]
    if isinstance(value, Draws):
        return value.pick(rows)
    if isinstance(value, np.ndarray):
        return value[rows.numpy()]
    return None if value is None else value[rows]


def sample_frames(
    seed: tuple[int, ...], index: Tensor, *, compiled: bool = False, hands: float = 1 - _NO_HAND
) -> Frames:
    """Render labelled whole frames; see `sample_whole`.

    Args:
        seed: see `sample_whole`.
        index: (B,) int64, which samples.
        hands: share of frames with a hand.
        compiled: see `cadstn.synth.raster.cast`.
    """
    scene = sample_whole(seed, index, hands=hands)
    return frames_of(scene, seed, index, compiled=compiled)


def frames_of(
    scene: WholeScene, seed: tuple[int, ...], index: Tensor, *, compiled: bool = False
) -> Frames:
    """Render and label the whole frames of scenes; see `sample_frames`."""
    step = 1 / scene.focal
    view = View(-(WIDTH - 1) / 2 * step, -(HEIGHT - 1) / 2 * step, step, step, HEIGHT, WIDTH)
    depth = measured(scene, view, compiled=compiled)
    image = torch.where(depth.isfinite(), depth, 0.0).numpy().astype(np.float32)
    for k, i in enumerate(index.tolist()):
        _tear(image[k], np.random.default_rng((*seed, i, 1)))
    return place_labels(scene, image)


def place_labels(scene: WholeScene, depth_mm: NDArray[np.float32]) -> Frames:
    """Label the hands of reduced frames (B, H, W) mm of scenes."""
    labels = [
        _labels(hand, shape, scene.focal, depth_mm, scene.present[:, k])
        for k, (hand, shape) in enumerate(zip(scene.hands, scene.shapes, strict=True))
    ]
    center, direction, size, left, found = (np.stack(part, 1) for part in zip(*labels, strict=True))
    found = found.astype(np.int8)
    return Frames(depth_mm, scene.focal.numpy(), center, direction, size, left, found)


def crops_at(
    scene: WholeScene, centers_mm: Tensor, cube_mm: float, size: int, *, compiled: bool = False
) -> Tensor:
    """Crops (B, M, M) of a cube in each scene, normalised as `cadstn.geometry.crop` has them.

    Args:
        scene: B scenes.
        centers_mm: (B, 3) of the cubes.
        cube_mm: their edge.
        size: M, pixels along an edge.
        compiled: see `cadstn.synth.raster.cast`.
    """
    view = crop_view(centers_mm, cube_mm, size)
    depth = measured(scene, view, compiled=compiled)
    center = centers_mm[:, 2, None, None]
    return ((depth - center) / (cube_mm / 2)).clamp(-1, 1)


def measured(
    scene: WholeScene, view: View, *, noise: str = "noise", compiled: bool = False
) -> Tensor:
    """Depth (B, H, W) mm along rays as the scenes' sensors measure it, ``inf`` where they do not.

    Args:
        scene: B scenes.
        view: B grids of rays.
        noise: name of the sensors' noise: another name, another moment.
        compiled: see `cadstn.synth.raster.cast`.
    """
    depth = cast(scene.cones, view, planes=scene.planes, compiled=compiled)
    grids = [
        Grid(1 / step, -x0 / step, -y0 / step, view.height, view.width)
        for x0, y0, step in zip(
            view.x0.tolist(), view.y0.tolist(), view.step_x.tolist(), strict=True
        )
    ]
    flat = [draw_boxes(boxes, grid) for boxes, grid in zip(scene.boxes, grids, strict=True)]
    depth = torch.minimum(depth, torch.from_numpy(np.stack(flat)))
    sensor = sample_sensor(scene.draws.fork("sensor"))
    shaken = scene.draws.fork(noise)
    return degrade(depth, shaken, sensor, angle_per_pixel=view.step_x, compiled=compiled)


def _hand(draws: Draws, focal: Tensor, beside: Tensor | None) -> tuple[Scene, Shape]:
    """One hand a frame anywhere in view with its arm and person; some close to another's joints."""
    shape = sample_shape(draws.fork("shape"))
    motion = sample_motion(draws.fork("motion"), shape, 1)
    z = draws.uniform(low=math.log(NEAR_MM), high=math.log(FAR_MM)).exp()
    # As often near as far, but most in between: twice as many draws below a metre and a half.
    again = draws.uniform(low=math.log(250.0), high=math.log(1400.0)).exp()
    z = torch.where(draws.chance(0.45), z, again)
    reach = torch.stack([focal.new_full((len(draws),), WIDTH / 2), focal * 0 + HEIGHT / 2], -1)
    slope = (draws.uniform(2, low=-1.0, high=1.0) * reach * 1.05) / focal[:, None]
    position = torch.cat([slope * z[:, None], z[:, None]], -1)
    if beside is not None:
        push = draws.normal(3) * position.new_tensor([1.0, 0.7, 0.4])
        push = push / push.norm(dim=-1, keepdim=True).clamp(min=1e-3)
        near = beside.mean(1) + push * draws.uniform(1, low=110.0, high=260.0)
        position = torch.where(draws.chance(0.5)[:, None], near, position)
        position[:, 2] = position[:, 2].clamp(min=NEAR_MM)
    motion = Motion(motion.angles, motion.rotation, position[:, None])
    return build_scene(draws.fork("scene"), motion, shape), shape


def _bare_arms(draws: Draws, scene: Scene, present: Tensor) -> Scene:
    """Where there is no hand: hide all, or leave the person, or the arm from the elbow on."""
    kind = draws.choice([0.45, 0.3, 0.25])
    there = torch.ones_like(scene.cones.ra, dtype=torch.bool)
    gone = ~present
    there[:, OWN] = ~gone[:, None]
    there[:, ARM] = (~gone | (kind == 2))[:, None]
    # The forearm's wrist half would be a stump: of an arm without its hand the elbow's half stays.
    there[:, ARM.start] = ~gone
    there[:, PERSON] = (~gone | (kind > 0))[:, None]
    there[:, OTHER] = False
    keep_planes = (~gone | (kind > 0))[:, None, None]
    planes = scene.planes.clone()
    planes[..., 3:] = torch.where(keep_planes, planes[..., 3:], torch.inf)
    return scene._replace(cones=hide(scene.cones, there), planes=planes)


def _labels(
    scene: Scene,
    shape: Shape,
    focal: Tensor,
    depth_mm: NDArray[np.float32],
    present: NDArray[np.bool_],
) -> tuple[NDArray[np.float32], ...]:
    """Place, direction, size and side of one hand a frame, and whether it can be found.

    A hand counts as seen by its joints that were measured: a sensor's range ends, others cover it.
    """
    joints = scene.joints_xyz_mm.numpy()
    f = focal.numpy()[:, None]
    uv = joints[..., :2] / joints[..., 2:] * f[..., None]
    uv = uv + np.array([(WIDTH - 1) / 2, (HEIGHT - 1) / 2], np.float32)
    middle = joints[:, KNUCKLES].mean(1)
    center = middle[:, :2] / middle[:, 2:] * f + [(WIDTH - 1) / 2, (HEIGHT - 1) / 2]
    ahead = middle - joints[:, WRIST]
    pixels = joints[:, KNUCKLES, :2] / joints[:, KNUCKLES, 2:]
    across = pixels.mean(1) - joints[:, WRIST, :2] / joints[:, WRIST, 2:]
    seen = np.linalg.norm(across, axis=-1) * joints[:, WRIST, 2] / np.linalg.norm(ahead, axis=-1)
    direction = across / np.maximum(np.linalg.norm(across, axis=-1, keepdims=True), 1e-9)
    direction = direction * np.clip(seen, 0, 1)[:, None]
    middle_knuckle = KNUCKLES[1]
    size = np.linalg.norm(joints[:, middle_knuckle] - joints[:, WRIST], axis=-1) / _MEAN_LENGTH_MM
    column, row = np.rint(uv[..., 0]).astype(int), np.rint(uv[..., 1]).astype(int)
    inside = (column >= 0) & (column < WIDTH) & (row >= 0) & (row < HEIGHT)
    batch = np.arange(len(joints))[:, None]
    surface = depth_mm[batch, row.clip(0, HEIGHT - 1), column.clip(0, WIDTH - 1)]
    visible = (inside & (np.abs(surface - joints[..., 2]) < _SKIN_MM)).mean(1)
    middle_in = ((center >= 0) & (center <= [WIDTH - 1, HEIGHT - 1])).all(1)
    length_px = 2 * size * _MEAN_LENGTH_MM / middle[:, 2] * f[:, 0]
    found = np.where(middle_in & (visible > 0.45) & (length_px > _LEAST_PX), FOUND, UNSURE)
    found = np.where((visible < 0.08) & ~inside.any(1), ABSENT, found)
    found = np.where(present, found, ABSENT)
    uvd = np.concatenate([center, middle[:, 2:]], 1)
    left = shape.left.numpy()
    return (
        uvd.astype(np.float32), direction.astype(np.float32), size.astype(np.float32),
        left.astype(np.float32), found.astype(np.float32),
    )  # fmt: skip


def _tear(image: NDArray[np.float32], rng: np.random.Generator) -> None:
    """Leave out patches of a frame (H, W), in place: torn edges and smooth holes."""
    if rng.random() > 0.3:
        return
    coarse = rng.normal(size=(rng.integers(4, 12), rng.integers(5, 16))).astype(np.float32)
    fine = rng.normal(size=(HEIGHT // 3, WIDTH // 3)).astype(np.float32)
    size = (WIDTH, HEIGHT)
    wave = cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC)
    wave = wave + 0.5 * cv2.resize(fine, size, interpolation=cv2.INTER_LINEAR)
    if rng.random() < 0.5:  # near edges alone
        filled = np.where(image > 0, image, 1e5).astype(np.float32)
        jump = cv2.dilate(filled, np.ones((3, 3))) - cv2.erode(filled, np.ones((3, 3)))
        edge = cv2.dilate((jump > 40).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
        image[edge & (wave > rng.uniform(0.2, 1.0))] = 0
    else:
        image[wave > rng.uniform(1.1, 2.4)] = 0
