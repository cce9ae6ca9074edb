from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from cadstn.models import SpatialOutputs, half_squared, pose_distance, spatial_loss

Loss = Callable[[Tensor, Tensor], Tensor]


def poses(*shape: int) -> tuple[Tensor, Tensor]:
    pred, truth = torch.randn(2, *shape, generator=torch.Generator().manual_seed(1))
    return pred, truth


def squared_errors(pred: Tensor, truth: Tensor) -> list[float]:
    pairs = zip(pred.flatten(0, -3), truth.flatten(0, -3), strict=True)
    return [
        sum((a - b) ** 2 for a, b in zip(p.flatten().tolist(), q.flatten().tolist(), strict=True))
        for p, q in pairs
    ]


@pytest.mark.parametrize("shape", [(4, 5, 3), (2, 3, 5, 3)])
def test_pose_distance_is_equation_1(shape: tuple[int, ...]) -> None:
    pred, truth = poses(*shape)
    errors = [math.sqrt(error) for error in squared_errors(pred, truth)]
    assert pose_distance(pred, truth).item() == pytest.approx(sum(errors) / len(errors), rel=1e-5)


@pytest.mark.parametrize("shape", [(4, 5, 3), (2, 3, 5, 3)])
def test_half_squared_is_the_released_loss(shape: tuple[int, ...]) -> None:
    pred, truth = poses(*shape)
    errors = squared_errors(pred, truth)
    expected = sum(errors) / (2 * len(errors))
    assert half_squared(pred, truth).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("loss", [pose_distance, half_squared])
def test_gradient_at_a_perfect_pose_is_zero(loss: Loss) -> None:
    pred, truth = poses(3, 5, 3)
    truth[1] = pred[1]
    pred.requires_grad_()
    torch.autograd.backward(loss(pred, truth))
    assert pred.grad is not None
    assert pred.grad.isfinite().all()
    assert not pred.grad[1].any()
    assert pred.grad[0].all()


def test_pose_distance_pulls_all_images_equally_hard() -> None:
    pred, truth = poses(3, 5, 3)
    pred[0] *= 100
    pred.requires_grad_()
    torch.autograd.backward(pose_distance(pred, truth))
    assert pred.grad is not None
    torch.testing.assert_close(pred.grad.flatten(1).norm(dim=1), torch.full((3,), 1 / 3))


@pytest.mark.parametrize("loss", [pose_distance, half_squared])
def test_spatial_loss_sums_three_paths_with_weight_one(loss: Loss) -> None:
    main, truth = poses(4, 5, 3)
    outputs = SpatialOutputs(main, main * 2, main * 3)
    expected = sum(loss(main * scale, truth).item() for scale in (1, 2, 3))
    assert spatial_loss(outputs, truth, loss).item() == pytest.approx(expected, rel=1e-6)
