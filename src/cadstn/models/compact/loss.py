"""What training of the compact networks minimises, of weighted clips."""

from __future__ import annotations

import torch
from torch import Tensor

_QUANTILE = 2 / 3


def joint_distance(pred: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
    """Mean over joints of their distance: what equation 8 measures, of weighted clips.

    Args:
        pred: (B, T, K, 3).
        truth: the same shape and unit.
        weight: (B,) of the clips; their sum is 1, or less where some have no hand.
    """
    distances: Tensor = torch.linalg.vector_norm(pred - truth, dim=-1)
    total: Tensor = (distances.mean((1, 2)) * weight).sum()
    return total


def acceleration_distance(pred: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
    """Mean distance of second differences over time: the acceleration error of clips.

    Args:
        pred: (B, T, K, 3), T of 3 or more; each frame may have an origin of its own, as its crop
            has, since only differences from the truth count.
        truth: the same shape, unit and origins.
        weight: (B,) of the clips; their sum is 1.
    """
    away = pred - truth
    second = away[:, 2:] - 2 * away[:, 1:-1] + away[:, :-2]
    distances: Tensor = torch.linalg.vector_norm(second, dim=-1)
    total: Tensor = (distances.mean((1, 2)) * weight).sum()
    return total


def quantile_loss(error_scale: Tensor, distance: Tensor, weight: Tensor) -> Tensor:
    """Quantile loss: least where two of three distances lie within their error scale.

    Source: Koenker and Bassett 1978.

    Args:
        error_scale: (B, T, K) predicted.
        distance: (B, T, K) true, without gradient.
        weight: (B,) of the clips; their sum is 1.
    """
    beyond = distance - error_scale
    loss = torch.maximum(_QUANTILE * beyond, (_QUANTILE - 1) * beyond)
    return (loss.mean((1, 2)) * weight).sum()


def worst_joint_loss(
    distance: Tensor, limit: Tensor, weight: Tensor, *, sharpness: float = 4.0
) -> Tensor:
    """Share of frames whose worst joint is farther off than a limit, made smooth.

    The usual measure of success (Taylor et al. 2012), as a sigmoid of a soft maximum over the
    joints: frames near the limit pull most, hopeless ones hardly.

    Args:
        distance: (B, T, K) of the joints, in any unit.
        limit: (B,) in the same unit.
        weight: (B,) of the clips; their sum is 1.
        sharpness: slope of the sigmoid, in 1 / limit; the soft maximum's is twice that.
    """
    scaled = distance / limit.view(-1, 1, 1)
    worst = (2 * sharpness * scaled).logsumexp(-1) / (2 * sharpness)
    beyond = (sharpness * (worst - 1)).sigmoid()
    return (beyond.mean(1) * weight).sum()
