"""What a depth camera makes of a clean depth image, in torch: ragged edges, noise, holes.

A first, simple model: amounts are drawn for every image so that a network sees many sensors; none
is fitted to a particular one.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def degrade(
    depth_mm: Tensor, generator: torch.Generator, sensor: torch.Generator | None = None
) -> Tensor:
    """Make clean depth look measured.

    Args:
        depth_mm: (B, H, W) mm, ``inf`` where nothing was hit.
        generator: source of all randomness, on the images' device.
        sensor: source of the amounts, if all images share one sensor: seeded alike, it gives the
            frames of a recording the same amounts of ever new noise.

    Returns:
        (B, H, W) mm, ``inf`` where nothing was measured.
    """
    batch, height, width = depth_mm.shape

    def uniform(low: float, high: float) -> Tensor:
        count, source = (1, sensor) if sensor else (batch, generator)
        draw = torch.rand(count, 1, 1, generator=source, device=depth_mm.device)
        return low + (high - low) * draw

    def rand(n: int = 1) -> Tensor:
        return torch.rand(batch, n, height, width, generator=generator, device=depth_mm.device)

    # A hand's crop has some 60 to 190 pixels of its sensor across; a whole frame has its own.
    pixels, ragged = uniform(60, 190), uniform(0, 1.3)
    if height != width:
        pixels = torch.full_like(pixels, width)
    depth = _resample(depth_mm, pixels, ragged, generator)
    far = depth.nan_to_num(posinf=1e5)
    nearest = -F.max_pool2d(-far[:, None], 3, 1, 1)[:, 0]
    farthest = F.max_pool2d(far[:, None], 3, 1, 1)[:, 0]
    edge = farthest - nearest > 12
    chance, mix = rand(2).unbind(1)
    flying = edge & (chance < uniform(0, 0.15)) & (farthest < 5e4)
    depth = torch.where(flying, nearest + mix * (farthest - nearest), depth)
    lost = edge & (chance > 1 - uniform(0, 0.35))

    noise = torch.randn(
        batch, height, width, generator=generator, device=depth.device, dtype=depth.dtype
    )
    smooth = F.avg_pool2d(noise[:, None], 5, 1, 2)[:, 0] * 5
    depth = depth + uniform(0, 2.5) * noise + uniform(0, 2.0) * smooth
    holes = F.avg_pool2d(rand(), 5, 1, 2)[:, 0] > 0.5 + uniform(0.13, 0.35)
    return torch.where(lost | holes, torch.inf, depth)


def _resample(depth: Tensor, pixels: Tensor, jitter: Tensor, generator: torch.Generator) -> Tensor:
    """Nearest neighbour through a grid of ``pixels`` across, with ragged displacement."""
    batch, height, width = depth.shape
    half = (-(-height // 2), -(-width // 2))
    wobble = torch.randn(batch, 2, *half, generator=generator, device=depth.device)
    wobble = F.interpolate(wobble, size=(height, width), mode="nearest") * jitter[:, None]
    i = (_grid(height, pixels, width)[:, :, None] + wobble[:, 0]).floor().clamp(0, height - 1)
    j = (_grid(width, pixels, width)[:, None, :] + wobble[:, 1]).floor().clamp(0, width - 1)
    return depth.flatten(1).gather(1, (i * width + j).long().flatten(1)).view_as(depth)


def _grid(count: int, pixels: Tensor, width: int) -> Tensor:
    """Middles (B, count) of an image's pixels, as a sensor with ``pixels`` a ``width`` has them."""
    steps = torch.arange(count, device=pixels.device, dtype=pixels.dtype) + 0.5
    coarse = ((steps * pixels[:, 0] / width).floor() + 0.5) * width / pixels[:, 0]
    # A sensor finer than the image leaves the grid as it is.
    return torch.where(pixels[:, 0] < width, coarse, steps)
