"""Depth of round cones and planes by closed-form ray casting, in plain torch: one path everywhere.

A pixel's ray is ``p = z (dx, dy, 1)``, so the ray parameter is the depth itself. What must be cast
where is found from coarse to fine: a cone blown up by the width of a tile is met by the ray through
the tile's middle wherever the cone itself is met by any ray of the tile. So the one formula culls
blocks, then tiles, and then gives the depth of the few (tile, cone) pairs that are left. A tile's
cones are ranked, and rank by rank the nearest depth is kept: no scattering, no padding.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from cadstn.errors import CadstnError
from cadstn.geometry.camera import Camera
from cadstn.synth.cone import coefficients, enter
from cadstn.synth.solids import Solids, cast_solids
from cadstn.synth.surface import Cones, hide

_FLOORED = 0.75
_TILE, _BLOCK = 8, 4  # pixels along a tile, tiles along a block
# Frames are cast a few at a time: memory stays bounded, and a processor's cache is of use.
_PIXELS_AT_ONCE = {"cpu": 1 << 20, "cuda": 1 << 25}
_RAYS_AT_ONCE = 1 << 16  # uncompiled: the intermediates of one piece stay in the cache


class View(NamedTuple):
    """A grid of rays: pixel (i, j) sees along ``(x0 + j * step_x, y0 + i * step_y, 1)``.

    ``x0``, ``y0``, ``step_x``, ``step_y`` are (B,); ``height``, ``width`` are in pixels.
    """

    x0: Tensor
    y0: Tensor
    step_x: Tensor
    step_y: Tensor
    height: int
    width: int


def camera_view(camera: Camera, batch: int = 1, device: torch.device | str = "cpu") -> View:
    """Rays through the pixels of a camera, pixel (0, 0) at u = v = 0.

    Raises:
        CadstnError: if its lens distorts, see `check_pinhole`.
    """
    check_pinhole(camera)
    one = torch.ones(batch, device=device)
    return View(
        -camera.cx / camera.fx * one,
        -camera.cy / camera.fy * one,
        one / camera.fx,
        one / camera.fy,
        camera.height,
        camera.width,
    )


def check_pinhole(camera: Camera) -> None:
    """Refuse a camera whose lens distorts: pictures are a pinhole's, and readers would bend them.

    Raises:
        CadstnError: if it has distortion.
    """
    if camera.distortion:
        raise CadstnError(
            "a camera with lens distortion, which is not rendered",
            hint="give the camera of the straightened image, camera.pinhole",
        )


def crop_view(centers_mm: Tensor, cube_mm: float, size: int) -> View:
    """Rays of the crop of a cube: what `cadstn.geometry.crop` sees, without a frame between.

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


def cast(
    cones: Cones,
    view: View,
    *,
    planes: Tensor | None = None,
    solids: Solids | None = None,
    far_mm: Tensor | None = None,
    compiled: bool = False,
) -> Tensor:
    """Nearest depth of anything along every ray.

    Args:
        cones: (B, P) round cones in the camera frame; what lies behind the camera is not seen, and
            the camera must not be inside of one.
        view: the rays, (B,).
        planes: (B, Q, 4) nx, ny, nz and offset in mm: the plane ``n . p = offset``; an infinite
            offset leaves it out.
        solids: (B, Q) boxes and cylinders.
        far_mm: (B,) cones that lie wholly beyond may be left out.
        compiled: use torch.compile, several times faster after a quarter of a minute; needs a C++
            compiler.

    Returns:
        (B, height, width) depth in mm, ``inf`` where nothing is hit.
    """
    budget = _PIXELS_AT_ONCE.get(cones.ra.device.type, _PIXELS_AT_ONCE["cpu"])
    at_once = max(1, budget // (view.height * view.width))
    if far_mm is not None:
        nearest = torch.minimum(cones.a[..., 2] - cones.ra, cones.b[..., 2] - cones.rb)
        cones = hide(cones, ~(nearest > far_mm[:, None]))
    if planes is None:
        planes = cones.ra.new_zeros(len(cones.ra), 0, 4)
    grids = torch.stack(view[:4], 1)
    parts = []
    for first in range(0, len(grids), at_once):
        rows = slice(first, first + at_once)
        some = Cones(*(field[rows] for field in cones))
        size = view.height, view.width
        parts.append(_cast(some, planes[rows], grids[rows], size, compiled))
    image = (
        parts[0]
        if len(parts) == 1
        else torch.cat([grids.new_empty(0, view.height, view.width), *parts])
    )
    if solids is not None:
        # Few frames have any.
        some_rows = (solids.half[..., 0] > 0).any(1).nonzero()[:, 0]
        if len(some_rows):
            near = run(cast_solids, compiled)
            image[some_rows] = near(image[some_rows], grids[some_rows], solids.rows(some_rows))
    return image


def _cast(
    cones: Cones, planes: Tensor, grids: Tensor, size: tuple[int, int], compiled: bool
) -> Tensor:
    """Cast a few frames with the rays of ``grids`` (B, 4); see the module's own text."""
    batch, count = cones.ra.shape
    device = cones.ra.device
    edge, inner = _TILE * _BLOCK, _BLOCK * _BLOCK
    high, wide = -(-size[0] // edge), -(-size[1] // edge)
    blocks = high * wide

    # Which blocks may each cone touch? Rows are (frame, cone), columns blocks.
    rays = _rays(grids, 0, 0, edge).repeat_interleave(count, 0)
    fat = coefficients(_blown_up(cones, grids, edge))
    met = _depths(rays, _grid(high, wide, device), fat, -torch.inf, compiled) < torch.inf
    met = met.view(batch, count, blocks).transpose(1, 2)
    frame, block, cone = met.nonzero().unbind(1)
    cone = frame * count + cone
    group = frame * blocks + block
    group_start = _starts(met.sum(-1).flatten())

    # Which tiles of those blocks? Rows are (frame, block, cone), columns tiles.
    top, left = block // wide * edge, block % wide * edge
    fat = coefficients(_blown_up(cones, grids, _TILE))
    rays, fat = run(_block_rows, compiled)(grids, frame, top, left, fat, cone)
    within = _depths(rays, _grid(_BLOCK, _BLOCK, device), fat, -torch.inf, compiled) < torch.inf

    # Rank of each cone among those of its tile, by counting down the columns.
    below = torch.cat([within.new_zeros(1, inner, dtype=torch.long), within.cumsum(0)])
    start = below.index_select(0, group_start)
    seen = (start[1:] - start[:-1]).flatten()
    # Tiles with many cones first: those that have an r-th cone are then the first so many.
    order = seen.argsort(descending=True)
    place = torch.empty_like(order)
    place[order] = torch.arange(len(order), device=device)
    ranked = _at_least(seen)
    pairs = within.flatten().nonzero()[:, 0]
    row = run(_row_of, compiled)(pairs, below, start, group, _starts(ranked), place)
    pairs = torch.empty_like(pairs).scatter_(0, row, pairs)

    exact = coefficients(cones)
    rays, exact = run(_tile_rows, compiled)(grids, frame, top, left, exact, cone, pairs)
    depths = _depths(rays, _grid(_TILE, _TILE, device), exact, 0.0, compiled)
    nearest = depths.new_full((len(order), _TILE * _TILE), torch.inf)
    first = 0
    for many in ranked.tolist():
        torch.minimum(nearest[:many], depths[first : first + many], out=nearest[:many])
        first += many
    tiles = run(_pick, compiled)(nearest, place)
    whole = tiles.view(batch, high, wide, _BLOCK, _BLOCK, _TILE, _TILE)
    whole = whole.permute(0, 1, 3, 5, 2, 4, 6).reshape(batch, high * edge, wide * edge)
    image: Tensor = whole[:, : size[0], : size[1]]
    if planes.shape[1]:
        image = run(_before_planes, compiled)(image, grids, planes)
    return image


def _rays(grids: Tensor, top: Tensor | int, left: Tensor | int, edge: int) -> Tensor:
    """Rays (N, 4) through the middles of squares of ``edge`` pixels, from a pixel on."""
    x0, y0, step_x, step_y = grids.unbind(1)
    middle = (edge - 1) / 2
    x, y = x0 + (left + middle) * step_x, y0 + (top + middle) * step_y
    return torch.stack([x, y, edge * step_x, edge * step_y], 1)


def _block_rows(
    grids: Tensor, frame: Tensor, top: Tensor, left: Tensor, table: Tensor, cone: Tensor
) -> tuple[Tensor, Tensor]:
    """Rays (N, 4) and coefficients (N, 13) for the tiles of each (block, cone)."""
    return _rays(grids[frame], top, left, _TILE), table[cone]


def _tile_rows(
    grids: Tensor, frame: Tensor, top: Tensor, left: Tensor, table: Tensor, cone: Tensor,
    pairs: Tensor,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Rays (N, 4) and coefficients (N, 13) for the pixels of each (tile, cone)."""
    pair, tile = pairs // _BLOCK**2, pairs % _BLOCK**2
    down, across = tile // _BLOCK * _TILE, tile % _BLOCK * _TILE
    return _rays(grids[frame[pair]], top[pair] + down, left[pair] + across, 1), table[cone[pair]]


def _row_of(
    pairs: Tensor, below: Tensor, start: Tensor, group: Tensor, rank_start: Tensor, place: Tensor
) -> Tensor:
    """Where (N,) each (tile, cone) belongs: rank by rank, each in the order of the tiles."""
    pair, tile = pairs // _BLOCK**2, pairs % _BLOCK**2
    mine = group[pair]
    rank = below[pair, tile] - start[mine, tile]
    return rank_start[rank] + place[mine * _BLOCK**2 + tile]


def _pick(rows: Tensor, order: Tensor) -> Tensor:
    return rows[order]


def _before_planes(depth: Tensor, grids: Tensor, planes: Tensor) -> Tensor:
    """Nearest of a depth (B, H, W) and of planes (B, Q, 4)."""
    row = torch.arange(depth.shape[1], device=depth.device)[:, None]
    column = torch.arange(depth.shape[2], device=depth.device)
    x0, y0, step_x, step_y = grids[:, :, None, None].unbind(1)
    dx, dy = x0 + column * step_x, y0 + row * step_y
    for plane in planes.unbind(1):
        nx, ny, nz, offset = plane[:, :, None, None].unbind(1)
        hit = offset / (nx * dx + ny * dy + nz)
        depth = torch.where((hit > 0) & (hit < depth), hit, depth)
    return depth


def _grid(high: int, wide: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Rows and columns (high * wide,) of a grid's cells, as floats."""
    cell = torch.arange(high * wide, device=device)
    return (cell // wide).float(), (cell % wide).float()


def _at_least(counts: Tensor) -> Tensor:
    """How many of the counts are at least 1, at least 2, ... up to the largest."""
    return torch.bincount(counts).flip(0).cumsum(0).flip(0)[1:]


def _starts(counts: Tensor) -> Tensor:
    """Where each of some groups begins that lie one behind the other, and where the last ends."""
    return torch.cat([counts.new_zeros(1), counts.cumsum(0)])


def _blown_up(cones: Cones, grids: Tensor, edge: int) -> Cones:
    """Cones that the ray through a square's middle meets where any ray of the square met one.

    ``edge`` pixels along the square. At depth z its rays lie within z times half its diagonal.
    """
    half = torch.hypot(grids[:, 2:3], grids[:, 3:4]) * ((edge - 1) / 2 * 1.001)
    far = torch.maximum(cones.a[..., 2] + cones.ra, cones.b[..., 2] + cones.rb).clamp(min=0)
    more = half * far + 0.02
    return cones._replace(ra=cones.ra + more, rb=cones.rb + more)


def _depths(
    rays: Tensor, grid: tuple[Tensor, Tensor], cones: Tensor, least: float, compiled: bool
) -> Tensor:
    """Depth (N, M) of N cones (N, 13) along M rays each, of grids (N, 4); see `enter`."""
    floor = torch.full((), least, device=rays.device)
    if compiled:
        found: Tensor = run(enter, True)(rays, *grid, cones, floor)
        return found
    at_once = max(1, _RAYS_AT_ONCE // len(grid[0]))
    rows = zip(torch.split(rays, at_once), torch.split(cones, at_once), strict=True)
    return torch.cat([enter(part, *grid, own, floor) for part, own in rows])


def run(function: Callable[..., Any], compiled: bool) -> Callable[..., Any]:
    """Return a function as it is, or compiled for tensors of any size."""
    return _compiled(function) if compiled else function


@functools.cache
def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """One compiled kernel for any number of rows and pixels."""
    return torch.compile(function, dynamic=True)
