"""Crops rotated, scaled and moved on the device, and their labels with them, exactly.

An affine map of the image plane belongs to a map of space that keeps every point's depth: a pixel
shows the direction x/z, y/z from the camera, so a point goes where its new pixel points to, at the
depth it had. Around a centre on the camera's axis that is a rotation; beside it there is some
shear, as there is in the image.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from cadstn.geometry.crop import CENTER_PX
from cadstn.geometry.skeleton import KNUCKLES, WRIST
from cadstn.synth.draws import Draws
from cadstn.train.recipes import Recipe
from cadstn.train.uvd import direction, from_pixels, to_pixels

if TYPE_CHECKING:
    from cadstn.train.source import Batch

# Rotations by 0, 90, 180 and 270 degrees, then flips left-right and upside-down.
_TRANSFORMS = torch.tensor(
    [
        [[1, 0], [0, 1]], [[0, -1], [1, 0]], [[-1, 0], [0, -1]], [[0, 1], [-1, 0]],
        [[-1, 0], [0, 1]], [[1, 0], [0, -1]],
    ],
    dtype=torch.float32,
)  # fmt: skip
_LARGEST_CUT = 0.5  # of a hand's joints
_BARE = 0.2  # of the cuts leave no joint
_WRIST_PX = 20.0  # so far from the last joint that the picture may end
_MIRRORED = 4  # from this one on they are flips
MISTAKEN = 0.05
"""Share of the upright hands that are left ones in spite of it."""


def transform_codes(turns: str, seed: tuple[int, ...], items: Tensor, copy: Tensor) -> Tensor:
    """How each item's extra copy is rotated or flipped: the same way whenever it comes up.

    Args:
        turns: ``none``, ``paper`` (90, 180, 270 degrees, two flips) or ``released`` (no flips).
        seed: names the run.
        items: (B,) int64 number of the image or clip.
        copy: (B,) bool, whether this is the extra copy; the original stays as it is.

    Returns:
        (B,) int64 into the six rotations and flips, 0 for none.
    """
    kinds = {"none": 1, "paper": 5, "released": 3}[turns]
    drawn = 1 + Draws(seed, items).choice([1.0] * kinds)
    return torch.where(copy, drawn, torch.zeros_like(drawn))


def augment(
    batch: Batch, recipe: Recipe, seed: tuple[int, ...], rows: Tensor, codes: Tensor | None
) -> Batch:
    """Rotate, scale, move and shake a batch; all frames of a clip alike.

    Args:
        batch: crops with labels.
        recipe: sets how much.
        seed: names run and stage.
        rows: (B,) int64 sample numbers: draws are a function of them.
        codes: (B,) of `transform_codes`; None to leave all as they are.
    """
    how, device = recipe.augment, batch.crops.device
    draws = Draws(seed, rows.to(device))
    transformed = batch if codes is None else _transformed(batch, codes.to(device))
    if how.edge:  # before any rotation: a picture's edges are upright
        transformed = cut_off(transformed, draws.fork("edge"), how.edge)
    if how.rotate_deg or how.scale or how.shift_mm or how.mirror or how.upright:
        transformed = _recentered(transformed, recipe, draws)
    return shake(transformed, draws.fork("noise"), how.noise_mm) if how.noise_mm else transformed


def _recentered(batch: Batch, recipe: Recipe, draws: Draws) -> Batch:
    """Rotate, mirror, scale and move as much as a recipe sets."""
    how = recipe.augment
    most = torch.full_like(batch.cube_mm, math.radians(how.rotate_deg))
    matrix = mirroring(draws.fork("mirror").chance(0.5 if how.mirror else 0.0))
    if how.upright:
        own, sure = upright_transform(batch)
        # A tracker can take one side for the other, and must see that it did.
        mistaken = mirroring(draws.fork("mistaken").chance(MISTAKEN))
        chosen = draws.fork("upright").chance(how.upright)
        matrix = torch.where(chosen[:, None, None], mistaken @ own, matrix)
        # The rotation of a hand that points at the camera cannot be seen, nor predicted.
        most = torch.where(chosen, most / sure.clamp(min=0.05), math.pi).clamp(max=math.pi)
    angle = draws.fork("rotate").uniform(low=-1.0, high=1.0) * most
    scale = draws.fork("scale").uniform(low=1 - how.scale, high=1 + how.scale)
    shift_mm = draws.fork("shift").normal(3, std=how.shift_mm)
    return recenter(batch, shift_mm, scale, rotation(angle) @ matrix)


def rotation(angle: Tensor) -> Tensor:
    """Rotations (B, 2, 2) of x right, y down, by angles (B,) in radians, clockwise in the image."""
    sine, cosine = angle.sin(), angle.cos()
    return torch.stack([cosine, -sine, sine, cosine], -1).view(-1, 2, 2)


def mirroring(chosen: Tensor) -> Tensor:
    """Transforms (B, 2, 2) that swap left and right where chosen (B,) bool."""
    across = 1.0 - 2.0 * chosen.float()
    return torch.diag_embed(torch.stack([across, torch.ones_like(across)], -1))


def upright_transform(batch: Batch) -> tuple[Tensor, Tensor]:
    """What makes hands right ones that point up, as `cadstn.tracking` shows them to the network.

    Args:
        batch: clips of left and right hands, joints of `cadstn.geometry.skeleton.HAND21`.

    Returns:
        Transforms (B, 2, 2) of the image, and how well one sees which way a hand points (B,): from
        0 where it points at the camera to 1 where across.
    """
    size = batch.crops.shape[-1]
    pixels = to_pixels(batch.joints, batch.centers_mm, batch.cube_mm, size)
    ahead = _ahead(pixels).mean(1)
    sure = ahead.norm(dim=-1) / (size / 2 * _ahead(batch.joints).norm(dim=-1).mean(1))
    handedness = torch.zeros_like(sure) if batch.handedness is None else batch.handedness
    mirror = mirroring(handedness > 0.5)
    across, down = (mirror @ ahead[..., None])[..., 0].unbind(-1)
    # How far it points clockwise of up.
    angle = torch.atan2(across, -down)
    return rotation(-angle) @ mirror, sure.clamp(max=1)


def upright(batch: Batch) -> Batch:
    """Apply `upright_transform` to clips of hands."""
    ones = torch.ones_like(batch.cube_mm)
    return recenter(batch, ones.new_zeros(len(ones), 3), ones, upright_transform(batch)[0])


def _ahead(joints: Tensor) -> Tensor:
    """From the wrist to the middle of the four fingers' knuckles, (..., K, D) -> (..., D)."""
    return joints[..., KNUCKLES, :].mean(-2) - joints[..., WRIST, :]


def _transformed(batch: Batch, codes: Tensor) -> Batch:
    """Rotate or flip each clip by its code (B,) in `_TRANSFORMS`; a flip makes left hands right."""
    linear = _TRANSFORMS.to(codes.device)[codes]
    transformed = transform(batch, linear, torch.zeros(len(codes), 2, device=codes.device))
    if batch.handedness is None:
        return transformed
    flipped = codes >= _MIRRORED
    handedness = torch.where(flipped, 1 - batch.handedness, batch.handedness)
    return transformed._replace(handedness=handedness)


def transform(batch: Batch, linear: Tensor, offset: Tensor) -> Batch:
    """Send the pixel q of each image to ``linear @ q + offset``, and the labels with it.

    Args:
        batch: crops with labels; centres and cubes stay.
        linear: (B, 2, 2) of x right, y down.
        offset: (B, 2) pixels; q counts from the image's middle.
    """
    crops = resample(batch.crops, linear, offset)
    pixel = to_pixels(batch.joints, batch.centers_mm, batch.cube_mm, batch.crops.shape[-1])
    pixel = pixel @ linear.mT[:, None] + offset[:, None, None]
    joints = from_pixels(
        pixel, batch.joints[..., 2], batch.centers_mm, batch.cube_mm, batch.crops.shape[-1]
    )
    return batch._replace(crops=crops, joints=joints, transform=_after(batch, linear))


def _after(batch: Batch, matrix: Tensor) -> Tensor:
    """The transform of a batch after one more."""
    return matrix if batch.transform is None else matrix @ batch.transform


def recenter(batch: Batch, shift_mm: Tensor, scale: Tensor, matrix: Tensor) -> Batch:
    """Cut the cube elsewhere, larger or smaller, then transform the image around the new centre.

    What was outside the old crop is empty in the new one.

    Args:
        batch: crops with labels.
        shift_mm: (B, 3) of the cube's centre.
        scale: (B,) of the cube's edge.
        matrix: (B, 2, 2) rotates, or mirrors, the image around the new centre; see `rotation`.
    """
    size = batch.crops.shape[-1]
    centers_mm = batch.centers_mm + shift_mm[:, None]
    cube_mm = batch.cube_mm * scale
    old, new = (_pixels_per_unit(c, e, size)[..., None] for c, e in
                ((batch.centers_mm, batch.cube_mm), (centers_mm, cube_mm)))  # fmt: skip
    mirrored = matrix[:, 0, 0] * matrix[:, 1, 1] < matrix[:, 0, 1] * matrix[:, 1, 0]
    matrix = matrix[:, None]
    # q -> direction -> pixel of the new crop -> transformed around where its centre is seen.
    linear = matrix * (new / old)[..., None]
    moved = direction(batch.centers_mm) - direction(centers_mm)
    carried = (matrix @ (moved * new)[..., None])[..., 0]
    offset = CENTER_PX - (linear @ linear.new_full((2, 1), CENTER_PX))[..., 0] + carried
    crops = resample(
        batch.crops.flatten(0, 1)[:, None], linear.flatten(0, 1), offset.flatten(0, 1)
    ).view_as(batch.crops)
    half = (batch.cube_mm / 2)[:, None]
    new_half = (cube_mm / 2)[:, None]
    ahead_mm = batch.centers_mm[..., 2] - centers_mm[..., 2]
    depth = (crops * half[..., None, None] + ahead_mm[..., None, None]) / new_half[..., None, None]
    crops = torch.where(crops < 1, depth, 1.0).clamp(-1, 1)
    pixel = to_pixels(batch.joints, batch.centers_mm, batch.cube_mm, size)
    pixel = pixel @ linear.mT + offset[..., None, :]
    deep = (batch.joints[..., 2] * half[..., None] + ahead_mm[..., None]) / new_half[..., None]
    joints = from_pixels(pixel, deep, centers_mm, cube_mm, size)
    handedness = batch.handedness
    if handedness is not None:
        handedness = torch.where(mirrored, 1 - handedness, handedness)
    return batch._replace(
        crops=crops, joints=joints, centers_mm=centers_mm, cube_mm=cube_mm, handedness=handedness,
        transform=_after(batch, matrix[:, 0]),
    )  # fmt: skip


def shake(batch: Batch, draws: Draws, noise_mm: float) -> Batch:
    """Add Gauss noise to the depth of surface pixels; none comes, goes or leaves the cube."""
    crops = batch.crops
    noise = draws.normal(*crops.shape[1:], std=noise_mm) * (2 / batch.cube_mm).view(-1, 1, 1, 1)
    # Just below +1, which means that there is no surface.
    shaken = (crops + noise).clamp(-1, 1 - 2.0**-16)
    return batch._replace(crops=torch.where((crops < 1) & (crops > -1), shaken, crops))


def cut_off(batch: Batch, draws: Draws, share: float) -> Batch:
    """Let the edge of the picture cut through some clips: beyond it nothing is seen.

    Up to half of a hand's joints are then out of sight, or all of them: what is left of it is an
    arm, and no hand. Labels of a hand that is there stay.
    """
    size = batch.crops.shape[-1]
    side = draws.choice([1.0] * 4)
    # To the right, to the left, down, up.
    outward = torch.tensor([[1.0, 0], [-1, 0], [0, 1], [0, -1]], device=side.device)[side]
    pixels = to_pixels(batch.joints, batch.centers_mm, batch.cube_mm, size)
    away = (pixels * outward[:, None, None]).sum(-1).flatten(1).sort(1).values
    seen = 1 - _LARGEST_CUT * draws.uniform()
    within = away.gather(1, (seen * (away.shape[1] - 1)).long()[:, None])[:, 0]
    bare = draws.chance(_BARE)
    if batch.presence is not None:
        within = torch.where(bare, away[:, 0] - _WRIST_PX * draws.uniform(), within)
        elsewhere = draws.uniform(low=-0.1, high=0.5) * size
        within = torch.where(batch.presence > 0, within, elsewhere)
    line = torch.arange(size, device=side.device) - (size - 1) / 2
    place = outward[:, :1, None] * line + outward[:, 1:, None] * line[:, None]
    chosen = draws.chance(share)
    beyond = (place > within[:, None, None]) & chosen[:, None, None]
    crops = batch.crops.masked_fill(beyond[:, None], 1.0)
    if batch.presence is None:
        return batch._replace(crops=crops)
    return batch._replace(crops=crops, presence=batch.presence * ~(chosen & bare))


def resample(images: Tensor, linear: Tensor, offset: Tensor) -> Tensor:
    """Move pixels by an affine map, nearest neighbour; +1 where the map brings nothing.

    Args:
        images: (B, T, M, M).
        linear: (B, 2, 2) and
        offset: (B, 2): the pixel q from the middle goes to linear @ q + offset.
    """
    size = images.shape[-1]
    middle = (size - 1) / 2
    line = torch.arange(size, device=images.device, dtype=torch.float32) - middle
    # Where a target pixel comes from; 2x2 by hand, since a solver would synchronise. Its column is
    # a sum of what the target's column and its row give, so no product for every pixel is needed.
    (a, b), (c, d) = (row.unbind(-1) for row in linear.unbind(-2))
    across, down = offset.unbind(-1)
    determinant = a * d - b * c

    def source(x: Tensor, y: Tensor) -> Tensor:
        x, y = (x / determinant)[:, None], (y / determinant)[:, None]
        columns, rows = x * (line - across[:, None]), y * (line - down[:, None])
        return (columns[:, None] + rows[..., None]).add_(middle).round_()

    column, row = source(d, -b), source(-c, a)
    outside = (column < 0).logical_or_(column >= size)
    outside.logical_or_(row < 0).logical_or_(row >= size)
    index = row.mul_(size).add_(column).clamp_(0, size * size - 1).long().view(len(images), 1, -1)
    found = images.flatten(2).gather(2, index.expand(-1, images.shape[1], -1)).view_as(images)
    return found.masked_fill_(outside[:, None], 1.0)


def _pixels_per_unit(centers_mm: Tensor, cube_mm: Tensor, size: int) -> Tensor:
    """Pixels (B, T) that one unit of x/z spans: the cube's edge spans the image at its centre."""
    return centers_mm[..., 2] * size / cube_mm[:, None]
