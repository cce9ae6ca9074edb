"""What the detector is trained to give: maps of hand centres, and the loss (Zhou et al., 2019)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from cadstn.models.detector import STRIDE, Detections, cell_depth
from cadstn.synth.whole import FOUND, UNSURE

_LENGTH_MM = 180.0  # of a hand: twice from the wrist to the middle knuckle
_SIGMA = 0.12  # of a hand's length in the image: the width of its centre on the map
_LEAST_SIGMA = 0.7  # cells
_NEAR = 1.5  # cells from the centre in which a hand is described
_WEIGHTS = {"offset": 0.5, "depth": 3.0, "size": 1.0, "direction": 1.0, "left": 0.3}


class Target(NamedTuple):
    """Labelled hands of B frames, two a frame; fields as in `cadstn.synth.whole.Frames`."""

    center_uvd: Tensor
    direction: Tensor
    size: Tensor
    left: Tensor
    found: Tensor


def detector_loss(
    out: Detections, target: Target, depth_mm: Tensor, focal_px: Tensor
) -> tuple[Tensor, Tensor]:
    """Focal loss of centres, and what describes each hand around its centre.

    Args:
        out: of the detector.
        target: what is there.
        depth_mm: (B, H, W) what went in.
        focal_px: (B,) of it.

    Returns:
        The loss, and the part of it that is the centres' alone.
    """
    height, width = out.heat.shape[1:]
    rows = torch.arange(height, device=out.heat.device).view(1, 1, -1, 1)
    columns = torch.arange(width, device=out.heat.device).view(1, 1, 1, -1)
    # A pixel's middle is at its whole number, a cell's at 1.5 of its first pixel.
    cell = (target.center_uvd[..., :2] - (STRIDE - 1) / 2) / STRIDE
    u, v = (part[..., None, None] for part in cell.unbind(-1))
    right, down = torch.broadcast_tensors(u - columns, v - rows)  # type: ignore[no-untyped-call]  # (B, 2, h, w)
    z = target.center_uvd[..., 2].clamp(min=1.0)
    length = target.size * _LENGTH_MM * focal_px[:, None] / z / STRIDE
    sigma = (_SIGMA * length).clamp(min=_LEAST_SIGMA)[..., None, None]
    square = right.square() + down.square()
    there = (target.found == FOUND)[..., None, None]
    unsure = (target.found == UNSURE)[..., None, None]
    bump = torch.where(there, torch.exp(-square / (2 * sigma * sigma)), 0.0)
    middle = there & (right.abs() <= 0.5) & (down.abs() <= 0.5)
    heat = torch.where(middle, 1.0, bump).amax(1)
    ignored = (unsure & (square < (0.6 * length + 1)[..., None, None].square())).any(1)

    probability = out.heat.sigmoid().clamp(1e-5, 1 - 1e-5)
    positive = heat == 1.0
    losses = torch.where(
        positive,
        -(1 - probability).square() * probability.log(),
        -(1 - heat).pow(4) * probability.square() * (1 - probability).log(),
    )
    centers = torch.where(ignored & ~positive, 0.0, losses).sum() / positive.sum().clamp(min=1)

    near = there & (square < _NEAR**2)
    nearest = torch.where(near, square, torch.inf)
    which = nearest.argmin(1, keepdim=True)
    near = near.any(1)
    weight = near.float() / near.sum().clamp(min=1)

    def of(field: Tensor) -> Tensor:
        """The field (B, 2) of the hand that each cell belongs to."""
        return field[..., None, None].expand(-1, -1, height, width).gather(1, which)[:, 0]

    def chosen(field: Tensor) -> Tensor:
        return field.gather(1, which)[:, 0]

    base = cell_depth(depth_mm)
    known = weight * (base > 0)
    depth = (of(z) / base.clamp(min=1.0)).log().clamp(-0.7, 0.7)
    parts = {
        "offset": (out.offset - torch.stack([chosen(right), chosen(down)], 1)).abs().sum(1),
        "size": (out.size - of(target.size.clamp(min=0.3)).log()).abs(),
        "direction": (
            (out.direction[:, 0] - of(target.direction[..., 0])).abs()
            + (out.direction[:, 1] - of(target.direction[..., 1])).abs()
        ),
        "left": functional.binary_cross_entropy_with_logits(
            out.left, of(target.left), reduction="none"
        ),
    }
    loss = centers + sum(_WEIGHTS[name] * (part * weight).sum() for name, part in parts.items())
    loss = loss + _WEIGHTS["depth"] * ((out.depth - depth).abs() * known).sum()
    return loss, centers.detach()
