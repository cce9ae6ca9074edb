"""The sliced 3D representation of section III-B: which depth slice each surface pixel lies in."""

from __future__ import annotations

import torch
from torch import Tensor


def slice_volume(crops: Tensor, slices: int) -> Tensor:
    """Cut the visible surface of each crop into equal slices of depth (section III-B, figure 2).

    Between the nearest and the farthest surface pixel of an image, D_min and D_max, lie `slices`
    bins of equal depth; V[l, y, x] is 1 where the pixel's depth falls in bin l. The far edge
    belongs to the last bin, empty pixels to none; a flat surface lies in slice 0.

    This one function serves training, PyTorch inference and the exported ONNX graph.

    Args:
        crops: (B, M, M) normalised depth in [-1, 1]; exactly +1 where there is no surface.
        slices: L, the number of bins.

    Returns:
        (B, L, M, M), 0 or 1, of the type of `crops`.
    """
    # The paper bins millimetres. Normalised depth is an affine map of them, which sends equal
    # bins to equal bins, so the volume is the same and no camera or cube size is needed here.
    surface = crops < 1
    near = crops.amin(dim=(-2, -1), keepdim=True)
    far = torch.where(surface, crops, near).amax(dim=(-2, -1), keepdim=True)
    depth_range = far - near
    # Without a range every pixel is at distance 0 from `near`: any divisor gives slice 0.
    divisor = torch.where(depth_range > 0, depth_range, 1.0)
    # Counting from `near` rather than comparing with D_min + l * bin keeps the nearest pixel in
    # slice 0 and the farthest in slice L-1 however thin the range and whatever the rounding.
    index = torch.floor((crops - near) * slices / divisor).clamp(max=slices - 1)
    index = torch.where(surface, index, -1.0)
    numbers = torch.arange(slices, dtype=crops.dtype, device=crops.device)
    return (index.unsqueeze(-3) == numbers[:, None, None]).to(crops.dtype)
