"""A hand in a scene: its arm, another hand, what it holds, and what is behind it."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import normalize

from cadstn.geometry.skeleton import KNUCKLES
from cadstn.synth.draws import Draws
from cadstn.synth.grasp import Grasps, carried, over_time, sample_grasps
from cadstn.synth.hand import forward
from cadstn.synth.mesh import pose_mesh
from cadstn.synth.motion import DEFAULT_FRUSTUM, Frustum, Motion, Views, sample_motion
from cadstn.synth.shape import Shape, constant, sample_shape
from cadstn.synth.solids import Solids, solid_cones
from cadstn.synth.surface import CONE_PARTS, Cones, hide, join
from cadstn.synth.surroundings import (
    EVERYDAY,
    HELD_CONES,
    Surroundings,
    sample_held,
    sample_person,
    sample_planes,
    swing_arm,
    upper_arm,
)

PALM_MIDDLE_MM = 75.0
"""From the wrist to what travels and rotates in place, along the palm's y."""

_CLEAR_MM = 80.0  # nothing comes nearer to the camera
_BEHIND_MM = -1e5  # what is hidden is farther behind it
#: How far a cube lies off along each axis, in three sorts of clips, and the share of each. In
#: acquisition most crops follow a good guess; some start from a poor one, as a detector's first
#: may be: half of the places it finds in whole frames are more than 46 mm off (LOG.md). In
#: tracking alone half of a tracker's knuckles are within 4 mm, 19 in 20
#: within 10. Here it is more: a network that knows its centres to be good believes them, and
#: its errors with them (LOG.md, session 13).
_ASIDE_MM = {
    "tracked": ((9.0, 26.0, 50.0), (0.65, 0.22, 0.13)),
    "followed": ((5.5, 13.0, 35.0), (0.8, 0.15, 0.05)),
}
_SHAKE_MM = 2.5
_ARM = 4  # cones of wrist and forearm, a hand's last

#: Cones of a hand without its arm.
HAND_CONES = len(CONE_PARTS) - _ARM

_PERSON = HAND_CONES + _ARM + 1 + HELD_CONES

#: In a scene's cones: the labelled hand with its whole arm, the arm alone from the elbow's side of
#: the forearm on, chest and head, and the other hand.
OWN, OTHER = slice(HAND_CONES + _ARM + 1), slice(_PERSON + 2, _PERSON + 3 + len(CONE_PARTS))
ARM, PERSON = slice(HAND_CONES + 2, HAND_CONES + _ARM + 1), slice(_PERSON, _PERSON + 2)


class Skin(NamedTuple):
    """Hands that are a mesh: ``frames`` (M,) which, and ``vertices_mm`` (M, V, 3), camera frame."""

    frames: Tensor
    vertices_mm: Tensor


class Scene(NamedTuple):
    """Clips of one labelled hand each, flattened to B * T frames, camera frame.

    Attributes:
        joints_xyz_mm: (B * T, 21, 3) mm.
        cones: (B * T, P) of everything but planes: the labelled hand (`HAND_CONES`), its arm, what
            it holds, chest and head, the other hand, and what it grasps where there are grasps;
            what is not there is behind the camera.
        planes: (B * T, 2, 4) wall and table, see `cadstn.synth.raster.cast`.
        left: (B,) 1 for a left hand.
        solids: (B * T, Q) boxes and cylinders of what is grasped; none where there are no grasps.
        skin: labelled hands whose surface is a mesh instead of cones; none where there are none.
        second_xyz_mm: (B * T, 21, 3) joints of the other hand, all NaN where there is none.
        holds: (B,) whether the labelled hand holds something.
    """

    joints_xyz_mm: Tensor
    cones: Cones
    planes: Tensor
    left: Tensor
    solids: Solids | None = None
    skin: Skin | None = None
    second_xyz_mm: Tensor | None = None
    holds: Tensor | None = None


class Hand(NamedTuple):
    """One hand a frame (N frames), camera frame: joints, its cones, and those of its whole arm."""

    joints_xyz_mm: Tensor
    hand: Cones
    arm: Cones


def sample_scene(
    draws: Draws,
    frames: int,
    fps: float = 30.0,
    *,
    frustum: Frustum = DEFAULT_FRUSTUM,
    views: Views | None = None,
    around: Surroundings = EVERYDAY,
    shape: Shape | None = None,
    held: float = 0.0,
    mesh: float = 0.0,
) -> Scene:
    """Draw a clip of ``frames`` frames for every sample: `build_scene`.

    Args:
        draws: B streams.
        frames: of each clip.
        fps: frames a second.
        frustum: where the hand may go.
        views: which directions the palm may take; all if none are given.
        around: what is around the hand.
        shape: whose hands; any if none is given.
        held: share of clips whose hand grasps something; the other clips do not depend on it.
        mesh: share of clips whose hand is a mesh (`cadstn.synth.mesh`); as with ``held``.

    Raises:
        CadstnError: if there is to be a mesh and there is none.
    """
    shape = sample_shape(draws.fork("shape")) if shape is None else shape
    second = draws.fork("second")
    rows = second.chance(around.second).nonzero()[:, 0]
    others = Shape(*(field[rows] for field in shape))
    shape = Shape(*map(torch.cat, zip(shape, others._replace(left=1 - others.left), strict=True)))
    # All hands together: a call for the few second ones would cost as much as one for all.
    moving = draws.fork("motion").join(second.pick(rows).fork("motion"))
    motion = sample_motion(moving, shape, frames, fps, frustum=frustum, views=views)
    grasped = _grasp(draws, motion, shape, frames, fps, held) if held else None
    scene = build_scene(draws, motion, shape, rows, grasped, around)
    return _skinned(draws, scene, motion, shape, mesh) if mesh else scene


def _grasp(
    draws: Draws, motion: Motion, shape: Shape, frames: int, fps: float, held: float
) -> tuple[Tensor, Grasps]:
    """Let a share of the hands grasp something: changes the motion, returns where, and what."""
    own = draws.fork("grasps").chance(held).nonzero()[:, 0]
    some = draws.pick(own).fork("grasp")
    grasps = sample_grasps(some, Shape(*(field[own] for field in shape)))
    digits = over_time(some.fork("lift"), grasps, frames, fps)
    there = grasps.there[:, None, None]
    motion.angles[own, :, :20] = torch.where(there, digits, motion.angles[own, :, :20])
    return own, grasps


def _skinned(draws: Draws, scene: Scene, motion: Motion, shape: Shape, mesh: float) -> Scene:
    """Make a share of the labelled hands a mesh, in the place of their cones."""
    frames = motion.angles.shape[1]
    clips = draws.fork("mesh").chance(mesh).nonzero()[:, 0]
    which = (clips[:, None] * frames + torch.arange(frames, device=clips.device)).flatten()
    hands = Shape(*(field[clips].repeat_interleave(frames, 0) for field in shape))
    skin = pose_mesh(motion.angles[clips].flatten(0, 1), hands)
    rotation = motion.rotation[clips].flatten(0, 1)
    skin = skin @ rotation.mT + scene.joints_xyz_mm[which, :1]
    there = torch.ones_like(scene.cones.ra, dtype=torch.bool)
    there[which, :HAND_CONES] = False
    return scene._replace(cones=hide(scene.cones, there), skin=Skin(which, skin))


def build_scene(
    draws: Draws,
    motion: Motion,
    shape: Shape,
    second: Tensor | None = None,
    grasped: tuple[Tensor, Grasps] | None = None,
    around: Surroundings = EVERYDAY,
) -> Scene:
    """Put hands that move as given into the camera's frame, each in surroundings of its own.

    Args:
        draws: B streams.
        motion: of B clips, and then of R second hands.
        shape: of B + R hands.
        second: (R,) in whose clips the second hands are; none if there are none.
        grasped: (G,) in whose clips hands hold something, and what; none if there are none.
        around: what else is there.
    """
    batch, frames = len(draws), motion.angles.shape[1]
    rows = motion.angles.new_zeros(0, dtype=torch.long) if second is None else second
    # A second hand starts where the first is; from there it is pushed aside.
    position = motion.position_mm
    travel = position[batch:] - position[batch:, :1]
    beside = position[rows, :1] + 0.5 * travel
    hands = place_hands(motion._replace(position_mm=torch.cat([position[:batch], beside])), shape)
    own, other = _cut(hands, slice(batch * frames)), _cut(hands, slice(batch * frames, None))
    rotation = motion.rotation[:batch].flatten(0, 1)
    held = sample_held(draws.fork("held"), own.joints_xyz_mm, own.hand, rotation, frames, around)
    solid = join(own.hand, _first(own.arm, _ARM))
    rods, blocks = None, None
    if grasped is not None:
        rods, blocks, without = carried(
            *grasped, own.joints_xyz_mm[:, 0], rotation, frames, nearest_mm=_CLEAR_MM
        )
        held = hide(held, without)
        solid = join(solid, rods, solid_cones(blocks))
    planes = sample_planes(draws.fork("planes"), solid, frames, around)
    left, shoulder = shape.left[:batch], own.arm.b[:, -1]
    person, shoulders = sample_person(
        draws.fork("person"), own.joints_xyz_mm, shoulder, left, frames, around
    )
    own = _from_shoulder(own, shoulders[:, 0])
    beside_it, second = _second_hands(
        draws.fork("second hand"), own, other, shoulders[:, 1], rows, frames
    )
    holds = (held.a[..., 2] > _BEHIND_MM).any(-1)
    if rods is not None:
        # A second hand keeps clear of the first, not of what it holds.
        beside_it = hide(beside_it, without)
        second = torch.where(without[:, None, None], second, torch.nan)
        holds = holds | ~without
    cones = join(own.hand, own.arm, held, person, beside_it, *([] if rods is None else [rods]))
    planes, holds = planes.repeat_interleave(frames, 0), holds.view(batch, frames).any(1)
    return Scene(own.joints_xyz_mm, cones, planes, left, blocks, None, second, holds)


def place_hands(motion: Motion, shape: Shape) -> Hand:
    """Bend B hands as given and put them where they are, arms and all: B * T frames."""
    frames = motion.angles.shape[1]
    spread = Shape(*(field.repeat_interleave(frames, 0) for field in shape))
    joints, cones = forward(motion.angles.flatten(0, 1), spread)
    rotation = motion.rotation.flatten(0, 1)
    offset = motion.position_mm.flatten(0, 1) - PALM_MIDDLE_MM * rotation[:, :, 1]

    def place(points: Tensor) -> Tensor:
        return points @ rotation.mT + offset[:, None]

    cones = cones._replace(a=place(cones.a), b=place(cones.b))
    joints = place(joints)
    hand, arm = (Cones(*(f[:, rows] for f in cones)) for rows in (slice(-_ARM), slice(-_ARM, None)))
    arm = swing_arm(arm, joints[:, 0])
    return Hand(joints, hand, join(arm, upper_arm(arm)))


def _cut(hand: Hand, rows: slice) -> Hand:
    joints, *cones = hand
    return Hand(joints[rows], *(Cones(*(field[rows] for field in c)) for c in cones))


def _first(cones: Cones, count: int) -> Cones:
    return Cones(*(field[:, :count] for field in cones))


def _from_shoulder(hand: Hand, shoulder: Tensor) -> Hand:
    """Let an arm begin at a shoulder (N, 3) of somebody."""
    ends = torch.cat([hand.arm.b[:, :-1], shoulder[:, None]], 1)
    return hand._replace(arm=hand.arm._replace(b=ends))


def _second_hands(
    draws: Draws, own: Hand, other: Hand, shoulder: Tensor, rows: Tensor, frames: int
) -> tuple[Cones, Tensor]:
    """Push second hands beside, behind or against the first.

    Cones (B * T, P) are behind the camera where there is none, joints (B * T, 21, 3) are NaN.

    Args:
        draws: B streams.
        own: of B * T frames.
        other: of R * T frames, where the first hands are.
        shoulder: (B * T, 3) where their arms begin.
        rows: (R,) in whose clips they are.
        frames: T.
    """
    nothing = own.joints_xyz_mm.new_zeros(len(draws) * frames, len(CONE_PARTS) + 1, 3)
    radius = torch.ones_like(nothing[..., 0])
    cones = hide(Cones(nothing, nothing, radius, radius.clone()), radius < 0)
    draws = draws.pick(rows)
    aside = draws.normal(3) * nothing.new_tensor([1.0, 1.0, 0.5])
    aside = normalize(aside + nothing.new_tensor([0.0, 0.0, 0.3]), dim=-1)
    touching = draws.chance(0.35)
    close, apart = draws.uniform(low=0, high=4), draws.uniform(low=4, high=160)
    gap = torch.where(touching, close, apart)
    spread = (rows[:, None] * frames + torch.arange(frames, device=rows.device)).flatten()
    mine = Cones(*(field[spread] for field in own.hand))
    push = _push(mine, other.hand, aside.repeat_interleave(frames, 0))
    push = push.view(-1, frames).amax(1) + gap
    shift = (push[:, None] * aside).repeat_interleave(frames, 0)[:, None]
    whole = join(other.hand, _from_shoulder(other, shoulder[spread] - shift[:, 0]).arm)
    whole = whole._replace(a=whole.a + shift, b=whole.b + shift)
    nearest = torch.minimum(whole.a[..., 2] - whole.ra, whole.b[..., 2] - whole.rb).amin(1)
    fits = (nearest.view(-1, frames).amin(1) > _CLEAR_MM).repeat_interleave(frames)
    for field, part in zip(cones, hide(whole, fits), strict=True):
        field[spread] = part
    joints = torch.full_like(own.joints_xyz_mm, torch.nan)
    joints[spread] = torch.where(fits[:, None, None], other.joints_xyz_mm + shift, torch.nan)
    return cones, joints


def _push(one: Cones, other: Cones, aside: Tensor) -> Tensor:
    """How far (N,) mm to push other cones along unit vectors (N, 3) so that they clear the first.

    Balls along the cones, pair by pair: ``|p + t aside|`` reaches the sum of the radii at the
    larger root of a quadratic.
    """

    def balls(cones: Cones) -> tuple[Tensor, Tensor]:
        shares = (0.0, 1 / 3, 2 / 3, 1.0)
        centers = [cones.a + share * (cones.b - cones.a) for share in shares]
        radii = [cones.ra + share * (cones.rb - cones.ra) for share in shares]
        return torch.cat(centers, 1), torch.cat(radii, 1)

    # From a point between, so that the squares that are subtracted are small.
    middle = one.a.mean(1, keepdim=True)
    (p, r), (q, s) = balls(one), balls(other)
    p, q = p - middle, q - middle
    along = (q @ aside[..., None]).mT - p @ aside[..., None]
    square = torch.baddbmm((p * p).sum(-1)[:, :, None], p, q.mT, alpha=-2)
    square = along.square() - square.add_((q * q).sum(-1)[:, None])
    square = square.add_((r[:, :, None] + s[:, None]).square_())
    root = torch.where(square > 0, square.clamp_(min=0).sqrt() - along, 0.0)
    return root.flatten(1).amax(1).clamp(min=0)


def sample_centers(
    draws: Draws, joints_xyz_mm: Tensor, frames: int, center: str = "tracked"
) -> Tensor:
    """Where a tracker would put the cube, by the joints of the frame before.

    Args:
        draws: B streams.
        joints_xyz_mm: (B * T, 21, 3).
        frames: T.
        center: ``tracked``, near the joints' mean, as in acquisition; or ``followed``, near the
            knuckles' at a hand that it follows: those are seen where fingers are hidden, so
            that the cube's place reveals nothing of hidden ones that a tracker would not know.

    Returns:
        (B * T, 3) mm.
    """
    aside_mm, shares = _ASIDE_MM[center]
    around = joints_xyz_mm[:, KNUCKLES] if center == "followed" else joints_xyz_mm
    mean = around.mean(1).view(-1, frames, 3)
    before = torch.cat([mean[:, :1], mean[:, :-1]], 1)
    kind = draws.choice(shares, 1, 1)
    bias = draws.normal(1, 3) * constant(aside_mm, mean)[kind]
    shake = draws.normal(frames, 3, std=_SHAKE_MM)
    return (before + bias + shake).flatten(0, 1)
