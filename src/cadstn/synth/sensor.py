"""What a depth sensor makes of a clean depth image, in torch.

All randomness is a hash of (sample, sensor pixel), computed where it is needed: nothing is stored,
an image never depends on its batch, and the whole model is arithmetic on single pixels that a
compiler turns into one kernel. Sources of the shape of the errors, structured light: Khoshelham and
Elberink, "Accuracy and resolution of Kinect depth data" (Sensors 2012); Nguyen, Izadi and Lovell,
"Modeling Kinect sensor noise" (3DIMPVT 2012). Time of flight: Sarbolandi, Lefloch and Kolb,
"Kinect range sensing" (CVIU 2015).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from cadstn.synth.draws import Draws
from cadstn.synth.sensors import Sensor

# Images are measured a few at a time: memory stays bounded, and a processor's cache is of use.
_PIXELS_AT_ONCE = {"cpu": 1 << 17, "cuda": 1 << 25}
_MARGIN = 8
_KEYS = 5  # aim, wobble, grain, texture, holes
_NOWHERE_MM = 1e6
_LEAST_JUMP_MM = 10.0  # neighbours farther apart than this, and than steep skin, are two surfaces
_STEEP = 3.0
BEHIND_MM = 400.0  # no farther behind do mixtures of two surfaces lie
_SPECKLE_MM = 2000.0
_DOT_MM = 40.0  # so much too near or too far do wrong dots read, at most
# Odd words as signed ones; the first two part the lattice's axes, the others are the mixer's.
_ACROSS, _DOWN = 0x9E3779B1 - (1 << 32), 0x85EBCA77 - (1 << 32)
_FIRST, _SECOND = 0x7FEB352D, 0x846CA68B - (1 << 32)


def degrade(
    depth_mm: Tensor,
    draws: Draws,
    sensor: Sensor,
    *,
    angle_per_pixel: Tensor,
    compiled: bool = False,
) -> Tensor:
    """Make clean depth like measured depth.

    Args:
        depth_mm: (B, H, W) mm, ``inf`` where nothing was hit.
        draws: B streams, on the images' device.
        sensor: what measures each image.
        angle_per_pixel: (B,) tangent between neighbouring pixels of each image.
        compiled: use torch.compile, many times faster after a minute; needs a C++ compiler.

    Returns:
        (B, H, W) mm, ``inf`` where nothing was measured.
    """
    # The upper half of a 64-bit word is a signed word of 32 bits as it stands.
    keys = (draws.bits(_KEYS) >> 32).int()
    fields = torch.stack(list(sensor), 1)
    measure = _compiled_measure() if compiled else _measure
    batch, height, width = depth_mm.shape
    at_once = _PIXELS_AT_ONCE.get(depth_mm.device.type, _PIXELS_AT_ONCE["cpu"])
    together = max(1, at_once // (height * width))
    columns = torch.arange(width, device=depth_mm.device)
    rows = torch.arange(height, device=depth_mm.device)[:, None]
    measured = []
    for first in range(0, batch, together):
        part = slice(first, first + together)
        angle = angle_per_pixel[part, None, None]
        seen = _lit(depth_mm[part], angle, sensor.baseline_mm[part, None, None])
        measured.append(measure(seen, columns, rows, keys[part], fields[part], angle))
    return torch.cat(measured)


@functools.cache
def _compiled_measure() -> Callable[..., Tensor]:
    """One compiled kernel for batches and images of every size."""
    # Places are clamped where they are made, and need not be checked again.
    return torch.compile(_measure, dynamic=True, options={"assert_indirect_indexing": False})


def _measure(
    clean: Tensor, columns: Tensor, rows: Tensor, keys: Tensor, fields: Tensor, angle: Tensor
) -> Tensor:
    """Degrade (B, H + 2 m, W + 2 m) in its margin, for columns (W) and rows (H, 1) inside of it.

    Takes keys (B, 5), a sensor's fields (B, 26) and angles (B, 1, 1), and returns (B, H, W).
    """
    s = Sensor(*fields[:, :, None, None].unbind(1))
    aim_key, wobble_key, grain_key, texture_key, hole_key = keys[:, :, None, None].unbind(1)

    # Which of the sensor's pixels each of the image's shows; ``coarse`` image pixels make one.
    coarse = torch.where(s.step > 0, s.step / angle, 1.0)
    coarse = torch.where((coarse - 1).abs() < 1e-3, 1.0, coarse)
    x = ((columns + 0.5) * coarse.reciprocal()).floor()
    y = ((rows + 0.5) * coarse.reciprocal()).floor()

    aim = _hash(aim_key, x, y)
    each = s.wobble_size_px.reciprocal()
    right, down, patchy = _waves(wobble_key, x * each, y * each)
    right = s.lateral_px * _triangle(aim) + s.wobble_px * right
    down = s.lateral_px * _triangle(aim >> 16) + s.wobble_px * down
    reach = (s.reach_px * coarse).round().clamp(1, _MARGIN)
    view = _look(clean, (x, y), (right, down), coarse, reach, reach * angle)
    value, oblique = _surface(view, s, reach * angle * view.z)

    # Two surfaces in one pixel: their echoes mix, or it is given up.
    before, behind = view.z - view.nearest > view.jump, view.farthest - view.z > view.jump
    chance, mix = _unit(aim, 8), _unit(aim >> 8, 8)
    flying = before & (chance < s.flying)
    # The nearer one is brighter, so that most mixtures lie near it.
    between = mix.square() * (view.z - view.nearest).clamp(max=BEHIND_MM)
    value = torch.where(flying, view.nearest + between, value)
    far, near = _normal_edge(s.lost_far), _normal_edge(s.lost_near)
    lost = ((before & (patchy < far)) | (behind & (patchy < near))) & ~flying
    lost = lost | (oblique * s.slant_lost > 1)
    holes, dot = _holes(hole_key, x / s.hole_px, y / s.hole_px, s.holes, s.wrong)
    value = value + dot
    lost = lost | holes
    # Light of one modulation measures depth only up to whole wavelengths.
    wrapped = (s.wrap_mm > 0) & (value < _NOWHERE_MM / 2)
    value = torch.where(wrapped, value.remainder(s.wrap_mm.clamp(min=1.0)), value)
    nothing = value > s.range_mm.clamp(max=_NOWHERE_MM / 2)
    ghost = nothing & (chance < s.speckle)
    value = torch.where(ghost, mix * _SPECKLE_MM, value)
    lost = (lost | nothing) & ~ghost

    sigma = s.noise_mm + s.noise_mm_1m * (value * 1e-3).square()
    sigma = sigma * (1 - s.oblique + s.oblique * oblique)
    grain = _normal(_hash(grain_key, x, y))
    texture = _texture(texture_key, x / s.texture_px, y / s.texture_rows_px)
    value = value + sigma * (s.grain.sqrt() * grain + (1 - s.grain).sqrt() * texture)
    value = _rounded(value, s.disparity_mm, s.unit_mm)
    return torch.where(lost | (value <= 0), torch.inf, value)


class _Looked(NamedTuple):
    """What pixels (B, H, W) see: their depth, their neighbours', and from where on one is apart."""

    z: Tensor
    around: tuple[Tensor, Tensor, Tensor, Tensor]
    nearest: Tensor
    farthest: Tensor
    jump: Tensor


def _look(
    clean: Tensor,
    pixel: tuple[Tensor, Tensor],
    aside_px: tuple[Tensor, Tensor],
    coarse: Tensor,
    reach: Tensor,
    spread: Tensor,
) -> _Looked:
    """Read the depth where each sensor pixel aims, and left, right, above and below of it.

    Args:
        clean: (B, H + 2 m, W + 2 m) mm.
        pixel: column (B, 1, W) and row (B, H, 1) of the sensor's pixel.
        aside_px: (B, H, W) each, how far beside it aims.
        coarse: (B, 1, 1) image pixels a sensor's pixel.
        reach: (B, 1, 1) image pixels to the neighbours.
        spread: (B, 1, 1) tangent between pixel and neighbour.
    """
    batch, high, stride = clean.shape
    flat = clean.flatten()
    first = torch.arange(batch, device=clean.device)[:, None, None] * (high * stride)

    def place(u: Tensor, v: Tensor) -> Tensor:
        column = u.int().clamp(0, stride - 2 * _MARGIN - 1) + _MARGIN
        row = v.int().clamp(0, high - 2 * _MARGIN - 1) + _MARGIN
        return row * stride + column + first

    middle_x, middle_y = ((at + 0.5) * coarse for at in pixel)
    here = place(middle_x, middle_y)
    aimed = flat[place(middle_x + coarse * aside_px[0], middle_y + coarse * aside_px[1])]
    # Aim decides which surface is seen; along one surface a matcher does not waver.
    z = flat[here]
    z = torch.where((aimed - z).abs() < _LEAST_JUMP_MM + _STEEP * spread * z, z, aimed)
    beside, below = reach.int(), reach.int() * stride
    a, b, c, d = flat[here - beside], flat[here + beside], flat[here - below], flat[here + below]
    nearest = z.minimum(a.minimum(b)).minimum(c.minimum(d))
    farthest = z.maximum(a.maximum(b)).maximum(c.maximum(d))
    return _Looked(z, (a, b, c, d), nearest, farthest, _LEAST_JUMP_MM + _STEEP * spread * z)


def _surface(view: _Looked, s: Sensor, apart_mm: Tensor) -> tuple[Tensor, Tensor]:
    """Depth read on the pixels' own surface, and 1 / cos of its slant; neighbours are apart_mm."""
    away = [t - view.z for t in view.around]
    beyond = sum(((t > view.jump).float() for t in away), torch.zeros_like(view.z))
    on = [t.abs() < view.jump for t in away]
    a, b, c, d = (torch.where(same, t, 0.0) for same, t in zip(on, away, strict=True))
    value = view.z + s.smooth * 0.2 * (a + b + c + d) + s.bleed_mm * beyond
    across = _rise(on[0], on[1], away[0], away[1], apart_mm)
    along = _rise(on[2], on[3], away[2], away[3], apart_mm)
    slope = (across.square() + along.square()) / apart_mm.square()
    return value, (1 + slope).sqrt()


def _rise(on_a: Tensor, on_b: Tensor, a: Tensor, b: Tensor, apart_mm: Tensor) -> Tensor:
    """Rise in mm to the flatter of two neighbours: at an outline the other is another surface.

    Where both are off, a nearer one means a surface too steep to follow; if both are behind, what
    is between is narrow, and nothing is known of its slope.
    """
    steep = _STEEP * apart_mm
    rise = torch.where(on_a, a.abs(), steep).minimum(torch.where(on_b, b.abs(), steep))
    return torch.where(on_a | on_b | (a.minimum(b) < 0), rise, 0.0)


def _lit(depth_mm: Tensor, angle: Tensor, baseline_mm: Tensor) -> Tensor:
    """Put a large number where nothing was hit or something stands in the light.

    A light ``baseline_mm`` to the right of the camera sees what the camera sees at tangent ``x`` at
    ``x - baseline / z``. A pixel is lit if nothing on its right is seen farther left: rays of light
    keep their order, which is strict on what shows through between fingers far in front.

    Returns:
        (B, H + 2 m, W + 2 m) mm with a margin m that repeats the border.
    """
    width = depth_mm.shape[2]
    # A light on the left is one on the right of the mirror image.
    mirrored = baseline_mm < 0
    ahead = torch.where(mirrored, depth_mm.flip(2), depth_mm)
    seen = torch.arange(width, device=depth_mm.device) * angle - baseline_mm.abs() / ahead
    least, spare, reach = seen.clone(), seen.clone(), 1
    # The least of all to the right, by doubling: cummin takes five times as long.
    while reach < width:
        torch.minimum(least[..., :-reach], least[..., reach:], out=spare[..., :-reach])
        spare[..., -reach:] = least[..., -reach:]
        least, spare, reach = spare, least, 2 * reach
    lit = seen - least <= 0.25 * angle
    lit = torch.where(mirrored, lit.flip(2), lit) & (depth_mm < _NOWHERE_MM)
    clean = torch.where(lit, depth_mm, _NOWHERE_MM)
    return F.pad(clean[:, None], (_MARGIN,) * 4, mode="replicate")[:, 0]


def _rounded(depth_mm: Tensor, disparity_mm: Tensor, unit_mm: Tensor) -> Tensor:
    """Depth in steps of disparity, then in units; a step or unit of 0 leaves it."""
    # Disparity counts 1e6 / z, so that one step of it is ``disparity_mm`` of depth at 1 m.
    step = disparity_mm.clamp(min=1e-6)
    steps = (1e6 / (depth_mm.clamp(min=1.0) * step)).round().clamp(min=1.0)
    depth_mm = torch.where(disparity_mm > 0, 1e6 / (steps * step), depth_mm)
    unit = unit_mm.clamp(min=1e-6)
    return torch.where(unit_mm > 0, (depth_mm / unit).round() * unit, depth_mm)


def _holes(
    key: Tensor, x: Tensor, y: Tensor, chance: Tensor, wrong: Tensor
) -> tuple[Tensor, Tensor]:
    """Round holes in a share ``chance`` of unit squares, each in its square, of 0.1 on average.

    A share ``wrong`` of them are no holes: they read so many mm too near or too far,
    the second result.
    """
    cell_x, cell_y = x.floor(), y.floor()
    bits = _hash(key, cell_x, cell_y)
    # The mean of (a + (b - a) u)^2 pi is 0.1 for radii from 0.08 to 0.26.
    radius = 0.08 + 0.18 * ((bits >> 16) & 15).float() / 15
    middle_x = 0.26 + 0.48 * ((bits >> 20) & 63).float() / 63
    middle_y = 0.26 + 0.48 * ((bits >> 26) & 63).float() / 63
    away = (x - cell_x - middle_x).square() + (y - cell_y - middle_y).square()
    inside = (_unit(bits, 16) < chance) & (away < radius.square())
    # What chooses dots among holes is what is left of the chance that chose the hole.
    dots = inside & (_unit(bits, 16) < chance * wrong)
    off = (((bits >> 16) & 1023).float() - 511.5) * (2 * _DOT_MM / 1023)
    return inside & ~dots, torch.where(dots, off, 0.0)


def _waves(key: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Three smooth fields of unit variance and unit length, x (B, 1, W) and y (B, H, 1)."""
    corners = _corners(key, x, y)

    def field(shift: int) -> Tensor:
        values = (((corner >> shift) & 1023).float() for corner in corners)
        return _between(x, y, *values, mean=511.5) * (12**0.5 / 1024)

    return field(0), field(10), field(20)


def _texture(key: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """One smooth field of unit variance and unit length."""
    return _between(x, y, *map(_normal, _corners(key, x, y)), mean=0.0)


def _corners(key: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Hashes of the four lattice points around each pixel."""
    left, up = x.floor(), y.floor()
    right, down = left + 1, up + 1
    return (
        _hash(key, left, up),
        _hash(key, right, up),
        _hash(key, left, down),
        _hash(key, right, down),
    )


def _between(
    x: Tensor, y: Tensor, v00: Tensor, v10: Tensor, v01: Tensor, v11: Tensor, *, mean: float
) -> Tensor:
    """Bilinear interpolation of independent values, less their mean, that keeps their variance."""
    right, down = x - x.floor(), y - y.floor()
    even = torch.rsqrt(right.square() + (1 - right).square())
    even_down = torch.rsqrt(down.square() + (1 - down).square())
    above, below = v00 + right * (v10 - v00), v01 + right * (v11 - v01)
    return (above + down * (below - above) - mean) * even * even_down


def _normal_edge(share: Tensor) -> Tensor:
    """Below which a standard normal number lies with this chance, to 0.01 (logistic)."""
    return torch.logit(share) / 1.702


def _hash(key: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Thirty-two fair bits for every key and lattice point (Wellons's lowbias32)."""
    word = key + x.int() * _ACROSS + y.int() * _DOWN
    word = (word ^ ((word >> 16) & 0xFFFF)) * _FIRST
    word = (word ^ ((word >> 15) & 0x1FFFF)) * _SECOND
    return word ^ ((word >> 16) & 0xFFFF)


def _unit(bits: Tensor, count: int) -> Tensor:
    """The lowest ``count`` bits as a number in (0, 1)."""
    return ((bits & ((1 << count) - 1)).float() + 0.5) * 2.0**-count


def _triangle(bits: Tensor) -> Tensor:
    """A number of unit variance from the lowest 16 bits: the sum of two even ones."""
    return (((bits & 255) + ((bits >> 8) & 255)).float() - 255) * (6**0.5 / 256)


def _normal(bits: Tensor) -> Tensor:
    """A number of unit variance from 32 bits: the sum of four even ones, at most 3.46."""
    pairs = (bits & 0xFF00FF) + ((bits >> 8) & 0xFF00FF)
    total = (pairs & 0xFFFF) + ((pairs >> 16) & 0xFFFF)
    return (total.float() - 510) * (3**0.5 / 256)
