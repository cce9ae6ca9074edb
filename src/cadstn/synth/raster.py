"""Depth of round cones by closed-form ray casting, in plain torch: one path for CPU and GPU.

A pixel's ray is ``p = z (dx, dy, 1)``, so the ray parameter is the depth itself. Every cone is cast
only into a window around its own image, and the windows meet in one z-buffer.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from cadstn.camera import Camera
from cadstn.synth.hand import Cones

# Small enough that the intermediates of one piece stay in a processor's cache.
_PIXELS_AT_ONCE = 1 << 16

_FLOORED = 0.75


class View(NamedTuple):
    """A grid of rays: pixel (i, j) looks along ``(x0 + j * step_x, y0 + i * step_y, 1)``.

    ``x0``, ``y0``, ``step_x``, ``step_y`` are (B,); ``height``, ``width`` are in pixels.
    """

    x0: Tensor
    y0: Tensor
    step_x: Tensor
    step_y: Tensor
    height: int
    width: int


def camera_view(camera: Camera, batch: int = 1) -> View:
    """Rays through the pixels of a camera, pixel (0, 0) at u = v = 0."""
    one = torch.ones(batch)
    return View(
        -camera.cx / camera.fx * one,
        -camera.cy / camera.fy * one,
        one / camera.fx,
        one / camera.fy,
        camera.height,
        camera.width,
    )


def crop_view(centers_mm: Tensor, cube_mm: float, size: int) -> View:
    """Rays of the crop of a cube: what `cadstn.crop` sees, without a frame between.

    DeepPrior's crop floors its box and its steps, so that a crop's pixel shows, on average over
    cameras and distances, what lies 0.75 pixels to the left of and above its own corner.

    Args:
        centers_mm: (B, 3) centres of the cubes, camera frame.
        cube_mm: edge of the cube.
        size: pixels along an edge of the crop.
    """
    z = centers_mm[:, 2]
    step = cube_mm / size / z
    left = (-_FLOORED - size / 2) * step
    return View(centers_mm[:, 0] / z + left, centers_mm[:, 1] / z + left, step, step, size, size)


def cast(cones: Cones, view: View, *, tile: int = 16, compiled: bool = False) -> Tensor:
    """Nearest depth of any cone along every ray.

    Args:
        cones: (B, P) round cones in the camera frame, wholly in front of the camera.
        view: the rays.
        tile: windows are rounded up to a multiple of this, so that few sizes occur.
        compiled: use torch.compile, several times faster after half a minute; needs a C++ compiler.

    Returns:
        (B, height, width) depth in mm, ``inf`` where no cone is hit.
    """
    batch, count = cones.ra.shape
    device = cones.ra.device
    solve = _compiled_cone_depth() if compiled else _cone_depth
    at_once = _PIXELS_AT_ONCE << 4 if compiled else _PIXELS_AT_ONCE
    depth = cones.ra.new_full((batch * view.height * view.width,), torch.inf)
    lo, hi = _bounds(cones, view)
    limit = torch.tensor([view.width, view.height], device=device)
    need = ((hi - lo).clamp(min=1) + tile - 1).div(tile, rounding_mode="floor").long() * tile
    need = torch.minimum(need, limit)
    corner = torch.minimum(lo.clamp(min=0).long(), limit - need)
    seen = ((hi > 0) & (lo < limit)).all(-1)
    # Cones whose windows have one size are cast together, whichever hand they belong to.
    for wide, high in torch.unique(need[seen], dim=0).tolist():
        chosen = (seen & (need[..., 0] == wide) & (need[..., 1] == high)).flatten().nonzero()[:, 0]
        for part in chosen.split(max(1, at_once // (wide * high))):
            owner = part.div(count, rounding_mode="floor")
            left, top = corner.view(-1, 2)[part].unbind(-1)
            j = left[:, None] + torch.arange(wide, device=device)
            i = top[:, None] + torch.arange(high, device=device)
            dx = view.x0[owner, None] + j * view.step_x[owner, None]
            dy = view.y0[owner, None] + i * view.step_y[owner, None]
            hit = solve(
                dx[:, None, :], dy[:, :, None],
                cones.a.flatten(0, 1)[part], cones.b.flatten(0, 1)[part],
                cones.ra.flatten()[part], cones.rb.flatten()[part],
            )  # fmt: skip
            row = (owner[:, None] * view.height + i) * view.width
            index = row[:, :, None] + j[:, None, :]
            depth.scatter_reduce_(0, index.flatten(), hit.flatten(), "amin")
    return depth.view(batch, view.height, view.width)


def _bounds(cones: Cones, view: View) -> tuple[Tensor, Tensor]:
    """First and one-past-last pixel (B, P, 2) that a cone can touch, unclamped."""
    # A ball at lateral distance x, depth z reaches at most to the slope (|x| + r) / (z - r).
    lows, highs = [], []
    for axis, origin, step in ((0, view.x0, view.step_x), (1, view.y0, view.step_y)):
        ends = []
        for point, radius in ((cones.a, cones.ra), (cones.b, cones.rb)):
            x, near, far = point[..., axis], point[..., 2] - radius, point[..., 2] + radius
            low, high = x - radius, x + radius
            ends.append(torch.stack([low / near, low / far, high / near, high / far]))
        slopes = (torch.cat(ends) - origin[None, :, None]) / step[None, :, None]
        lows.append(slopes.amin(0).floor())
        highs.append(slopes.amax(0).ceil() + 1)
    return torch.stack(lows, -1), torch.stack(highs, -1)


def _cone_depth(dx: Tensor, dy: Tensor, a: Tensor, b: Tensor, ra: Tensor, rb: Tensor) -> Tensor:
    """Depth (B, h, w) at which rays meet one round cone a batch entry; ``inf`` where they miss.

    The surface is the envelope of balls with centre ``a + s (b - a)`` and radius
    ``ra - s (ra - rb)``. A point on it makes ``f(s) = |p - c(s)|^2 - r(s)^2`` zero at the ``s``
    where ``f`` is smallest, which leaves a quadratic in the depth; beyond the ends it is a ball.
    """
    a, b, ra, rb = a[:, None, None], b[:, None, None], ra[:, None, None], rb[:, None, None]
    axis = b - a
    taper = ra - rb
    k = (axis * axis).sum(-1) - taper * taper
    k = torch.where(k > 1e-6, k, torch.nan)  # one ball inside the other: there is no side between
    # Depth is counted from a's own depth, so that squares stay small and float32 suffices.
    wx, wy = dx * a[..., 2] - a[..., 0], dy * a[..., 2] - a[..., 1]
    dd = dx * dx + dy * dy + 1
    wd = wx * dx + wy * dy
    ww = wx * wx + wy * wy
    m0 = wx * axis[..., 0] + wy * axis[..., 1] - ra * taper
    m1 = dx * axis[..., 0] + dy * axis[..., 1] + axis[..., 2]

    qa = dd - m1 * m1 / k
    qb = wd - m0 * m1 / k
    qc = ww - ra * ra - m0 * m0 / k
    root = _root(qb * qb - qa * qc)
    best = torch.full_like(root, torch.inf)
    for s in ((-qb - root) / qa, (-qb + root) / qa):
        along = (m0 + s * m1) / k
        best = torch.where((along >= 0) & (along <= 1) & (s < best), s, best)
    ball_a = (-wd - _root(wd * wd - dd * (ww - ra * ra))) / dd
    best = torch.where(ball_a < best, ball_a, best)
    vx, vy, vz = wx - axis[..., 0], wy - axis[..., 1], -axis[..., 2]
    vd = vx * dx + vy * dy + vz
    vv = vx * vx + vy * vy + vz * vz
    ball_b = (-vd - _root(vd * vd - dd * (vv - rb * rb))) / dd
    best = torch.where(ball_b < best, ball_b, best)
    depth = best + a[..., 2]
    return torch.where(depth > 0, depth, torch.inf)


@functools.cache
def _compiled_cone_depth() -> Callable[..., Tensor]:
    """One compiled kernel for windows of every size."""
    return torch.compile(_cone_depth, dynamic=True)


def _root(square: Tensor) -> Tensor:
    """Square root, NaN below zero: a ray that misses then fails every comparison.

    Processors take the root of a negative number many times slower than that of zero.
    """
    return torch.where(square < 0, torch.nan, square.clamp(min=0).sqrt())
