"""What training of the paper's networks minimises: equation 1, or the released loss."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from cadstn.models.paper.spatial import SpatialOutputs


def pose_distance(pred: Tensor, truth: Tensor) -> Tensor:
    """Mean over images of the un-squared l2 norm of the whole pose error (equation 1).

    Args:
        pred: (..., K, 3); all leading dimensions together are the images.
        truth: the same shape and unit.

    Returns:
        A scalar in the unit of the input. Its gradient is zero, not NaN, at a perfect pose.
    """
    # vector_norm defines its gradient at zero as zero; sqrt of a sum of squares would not.
    distances: Tensor = torch.linalg.vector_norm((pred - truth).flatten(-2), dim=-1)
    return distances.mean()


def half_squared(pred: Tensor, truth: Tensor) -> Tensor:
    """Half the summed squared error over the number of images (the released definitions).

    Args:
        pred: (..., K, 3); all leading dimensions together are the images.
        truth: the same shape and unit.

    Returns:
        A scalar in the squared unit of the input.
    """
    return 0.5 * (pred - truth).square().flatten(-2).sum(-1).mean()


def spatial_loss(
    outputs: SpatialOutputs, truth: Tensor, loss: Callable[[Tensor, Tensor], Tensor]
) -> Tensor:
    """Sum `loss` over the main and the two auxiliary paths, each with weight 1 (section III-B).

    Args:
        outputs: three predictions (B, K, 3).
        truth: (B, K, 3).
        loss: `pose_distance` or `half_squared`.
    """
    return loss(outputs.main, truth) + loss(outputs.depth, truth) + loss(outputs.sliced, truth)
