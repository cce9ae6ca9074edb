"""What a depth camera makes of a clean depth image, in torch: ragged edges, noise, holes.

A first, simple model: amounts are drawn for every image so that a network sees many sensors; none
is fitted to a particular one.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def degrade(depth_mm: Tensor, generator: torch.Generator) -> Tensor:
    """Make clean depth look measured.

    Args:
        depth_mm: (B, M, M) mm, ``inf`` where nothing was hit.
        generator: source of all randomness, on the images' device.

    Returns:
        (B, M, M) mm, ``inf`` where nothing was measured.
    """
    batch, size, _ = depth_mm.shape

    def uniform(low: float, high: float) -> Tensor:
        draw = torch.rand(batch, 1, 1, generator=generator, device=depth_mm.device)
        return low + (high - low) * draw

    def rand(n: int = 1) -> Tensor:
        return torch.rand(batch, n, size, size, generator=generator, device=depth_mm.device)

    depth = _resample(depth_mm, uniform(60, 190), uniform(0, 1.3), generator)
    far = depth.nan_to_num(posinf=1e5)
    nearest = -F.max_pool2d(-far[:, None], 3, 1, 1)[:, 0]
    farthest = F.max_pool2d(far[:, None], 3, 1, 1)[:, 0]
    edge = farthest - nearest > 12
    chance, mix = rand(2).unbind(1)
    flying = edge & (chance < uniform(0, 0.15)) & (farthest < 5e4)
    depth = torch.where(flying, nearest + mix * (farthest - nearest), depth)
    lost = edge & (chance > 1 - uniform(0, 0.35))

    noise = torch.randn(
        batch, size, size, generator=generator, device=depth.device, dtype=depth.dtype
    )
    smooth = F.avg_pool2d(noise[:, None], 5, 1, 2)[:, 0] * 5
    depth = depth + uniform(0, 2.5) * noise + uniform(0, 2.0) * smooth
    holes = F.avg_pool2d(rand(), 5, 1, 2)[:, 0] > 0.5 + uniform(0.13, 0.35)
    return torch.where(lost | holes, torch.inf, depth)


def _resample(depth: Tensor, pixels: Tensor, jitter: Tensor, generator: torch.Generator) -> Tensor:
    """Nearest neighbour through a grid of ``pixels`` across, with ragged displacement."""
    batch, size, _ = depth.shape
    wobble = torch.randn(batch, 2, size // 2, size // 2, generator=generator, device=depth.device)
    wobble = F.interpolate(wobble, size=(size, size), mode="nearest") * jitter[:, None]
    steps = torch.arange(size, device=depth.device, dtype=depth.dtype) + 0.5
    coarse = ((steps * pixels[:, 0] / size).floor() + 0.5) * size / pixels[:, 0]
    # A sensor finer than the crop leaves the grid as it is.
    line = torch.where(pixels[:, 0] < size, coarse, steps)
    i = (line[:, :, None] + wobble[:, 0]).floor().clamp(0, size - 1).long()
    j = (line[:, None, :] + wobble[:, 1]).floor().clamp(0, size - 1).long()
    return depth.flatten(1).gather(1, (i * size + j).flatten(1)).view_as(depth)
