"""Boxes and cylinders with flat ends: what held things are made of beside round cones."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from cadstn.synth.surface import Cones


class Solids(NamedTuple):
    """Boxes and elliptic cylinders."""

    center: Tensor  # (B, Q, 3) mm
    axes: Tensor  # (B, Q, 3, 3) unit vectors of the solid's own three axes, a row each
    half: Tensor  # (B, Q, 3) mm, half the extent along each axis; negative: there is no solid
    round: Tensor  # (B, Q) 1 for a cylinder along the first axis, 0 for a box

    def rows(self, which: Tensor | slice) -> Solids:
        """Return some of the B sets."""
        return Solids(*(field[which] for field in self))


def cast_solids(depth_mm: Tensor, grids: Tensor, solids: Solids) -> Tensor:
    """Nearest of a depth image and of solids.

    Args:
        depth_mm: (B, H, W) mm, ``inf`` where nothing is hit.
        grids: (B, 4) x0, y0, step_x, step_y of the rays, see `cadstn.synth.raster.View`.
        solids: (B, Q) in the camera frame; of one that the camera is inside of nothing is seen.

    Returns:
        (B, H, W) mm.
    """
    row = torch.arange(depth_mm.shape[1], device=depth_mm.device)[:, None]
    column = torch.arange(depth_mm.shape[2], device=depth_mm.device)
    x0, y0, step_x, step_y = grids[:, :, None, None].unbind(1)
    dx, dy = x0 + column * step_x, y0 + row * step_y
    origin = -(solids.axes * solids.center[:, :, None]).sum(-1)
    for place in range(solids.center.shape[1]):
        axes = solids.axes[:, place, :, :, None, None]
        enter, leave = [], []
        start, half = origin[:, place], solids.half[:, place]
        along = [axes[:, i, 0] * dx + axes[:, i, 1] * dy + axes[:, i, 2] for i in range(3)]
        for i in range(3):
            one, two = (
                (sign * half[:, i] - start[:, i])[:, None, None] / along[i] for sign in (-1, 1)
            )
            enter.append(torch.minimum(one, two))
            leave.append(torch.maximum(one, two))
        side_in, side_out = enter[1].maximum(enter[2]), leave[1].minimum(leave[2])
        curved = solids.round[:, place, None, None] > 0
        round_in, round_out = _through_cylinder(along[1:], start[:, 1:], half[:, 1:])
        first = enter[0].maximum(torch.where(curved, round_in, side_in))
        last = leave[0].minimum(torch.where(curved, round_out, side_out))
        there = (half[:, :1, None] > 0) & (first > 0) & (first < last) & (first < depth_mm)
        depth_mm = torch.where(there, first, depth_mm)
    return depth_mm


def _through_cylinder(along: list[Tensor], start: Tensor, half: Tensor) -> tuple[Tensor, Tensor]:
    """Where rays enter and leave an endless elliptic cylinder; NaN, which no test passes: never."""
    scale = half.clamp(min=1e-3).reciprocal()
    y, z = ((start * scale)[:, i, None, None] for i in range(2))
    dy, dz = (along[i] * scale[:, i, None, None] for i in range(2))
    qa = (dy * dy + dz * dz).clamp(min=1e-12)
    qb = y * dy + z * dz
    square = qb * qb - qa * (y * y + z * z - 1)
    root = torch.where(square < 0, torch.nan, square.clamp(min=0).sqrt())
    return (-qb - root) / qa, (-qb + root) / qa


def solid_distance_mm(points: Tensor, solids: Solids) -> Tensor:
    """Signed distance to the nearest of some solids, negative inside.

    Args:
        points: (B, N, 3) mm.
        solids: (B, Q); of a cylinder both half widths are one radius.

    Returns:
        (B, N) mm; 10,000 or more where no solid is there.
    """
    away = points[:, :, None] - solids.center[:, None]
    x, y, z = (away[..., None, :] * solids.axes[:, None]).sum(-1).unbind(-1)
    curved = (solids.round > 0)[:, None]
    half_x, half_y, half_z = solids.half[:, None].unbind(-1)
    along = x.abs() - half_x
    across = torch.where(curved, (y * y + z * z).sqrt(), y.abs()) - half_y
    up = torch.where(curved, -1e4, z.abs() - half_z)
    outside = along.clamp(min=0).square() + across.clamp(min=0).square()
    outside = (outside + up.clamp(min=0).square()).sqrt()
    distance = outside + along.maximum(across).maximum(up).clamp(max=0)
    nearest: Tensor = torch.where(half_x > 0, distance, 1e4).amin(-1)
    return nearest


def cone_distance_mm(points: Tensor, cones: Cones) -> Tensor:
    """Signed distance to the nearest of some round cones, negative inside.

    Args:
        points: (B, N, 3) mm.
        cones: (B, P); one with a negative radius is as far away as that.

    Returns:
        (B, N) mm.
    """
    axis, taper = cones.b - cones.a, cones.rb - cones.ra
    length = axis.square().sum(-1).sqrt().clamp(min=1e-3)
    slope = (taper / length).clamp(-0.99, 0.99)
    lean = slope / (1 - slope.square()).sqrt()
    away = points[:, :, None] - cones.a[:, None]
    along = (away * (axis / length[..., None])[:, None]).sum(-1)
    beside = (away.square().sum(-1) - along.square()).clamp(min=0).sqrt()
    # The nearest point of a slanted side lies towards the thicker end.
    share = ((along + beside * lean[:, None]) / length[:, None]).clamp(0, 1)
    off = share * length[:, None] - along
    gap = (off.square() + beside.square()).sqrt() - cones.ra[:, None] - share * taper[:, None]
    nearest: Tensor = gap.amin(-1)
    return nearest


def solid_cones(solids: Solids) -> Cones:
    """Edges along the first axis as cones (B, 4 Q) without thickness: they span each solid.

    Where there is no solid they are behind the camera, with a negative radius.
    """
    there = solids.half[..., :1] > 0
    half = torch.where(there, solids.half, 0.0)
    steps = half[..., None] * solids.axes
    far = solids.center.new_tensor([0.0, 0.0, -1e6])
    middle = torch.where(there, solids.center, far)
    a, b = [], []
    for one, two in ((1, 1), (1, -1), (-1, 1), (-1, -1)):
        corner = middle + one * steps[..., 1, :] + two * steps[..., 2, :]
        a.append(corner - steps[..., 0, :])
        b.append(corner + steps[..., 0, :])
    radius = torch.where(there[..., 0], 0.0, -1.0).repeat(1, 4)
    return Cones(torch.cat(a, 1), torch.cat(b, 1), radius, radius)
