"""The detector: one small network over a whole reduced frame that finds every hand in it.

A frame reduced to some 160x120 pixels goes in as four channels that do not depend on the camera:
the size of a pixel on its surface (depth over focal length, which gives scale), whether anything
was measured, and the surface's slopes. A convolutional network with skips, as in U-Net
(Ronneberger et al., MICCAI 2015), gives a quarter-size map of hand centres and, at every cell, what
a hand there would be like, as CenterNet does (Zhou et al., "Objects as Points", 2019).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from cadstn.models.residual import Normalised

STRIDE = 4
"""Pixels of the reduced frame along a cell of the map."""

MULTIPLE = 32
"""Heights and widths that go in are multiples of this; what is missing is padded with 0 mm."""

_WIDTHS = (16, 24, 40, 64, 64)
_HEAD = 32
_PRIOR = -4.0  # logit of a hand's centre in a cell: rare
_SLOPE = 0.25
_PIXEL_MM = 4.0  # a pixel's size on a surface at half a metre


class Detections(NamedTuple):
    """What the detector gives for B frames at every cell of the (h, w) map."""

    heat: Tensor  # (B, h, w) logit of a hand's centre (its knuckles' mean) in this cell
    offset: Tensor  # (B, 2, h, w) of the centre from the cell's middle, in cells, right and down
    depth: Tensor  # (B, h, w) log of the centre's depth over the cell's own, see `cell_depth`
    size: Tensor  # (B, h, w) log of the hand's length over the mean hand's
    # (B, 2, h, w) where the knuckles lie from the wrist in the image, right and down, about of
    # length 1, shorter where the hand points at the camera
    direction: Tensor
    left: Tensor  # (B, h, w) logit of a left hand


def detector_input(depth_mm: Tensor, focal_px: Tensor) -> Tensor:
    """Channels (B, 4, H, W) that the detector reads of reduced frames.

    Args:
        depth_mm: (B, H, W), 0 where nothing was measured.
        focal_px: (B,) of the reduced frame.
    """
    valid = (depth_mm > 0).float()
    pixel_mm = depth_mm / focal_px[:, None, None]
    scale = (pixel_mm.clamp(min=0.2) / _PIXEL_MM).log() * valid

    def slope(dim: int) -> Tensor:
        """Rise of the surface over a pixel's width, squashed; 0 where either side is unknown."""
        size = depth_mm.shape[dim]
        one, two = depth_mm.narrow(dim, 0, size - 1), depth_mm.narrow(dim, 1, size - 1)
        known = (one > 0) & (two > 0)
        rise = (two - one) / (
            0.5 * (pixel_mm.narrow(dim, 0, size - 1) + pixel_mm.narrow(dim, 1, size - 1))
        ).clamp(min=0.05)
        rise = torch.where(known, (rise * _SLOPE).clamp(-3.0, 3.0).tanh(), 0.0)
        pad = (0, 1) if dim == 2 else (0, 0, 0, 1)
        return functional.pad(rise, pad)

    return torch.stack([scale, valid, slope(2), slope(1)], 1)


def cell_depth(depth_mm: Tensor) -> Tensor:
    """(B, H / 4, W / 4) nearest depth measured in each cell and its neighbours, 0 where none is."""
    far = torch.where(depth_mm > 0, depth_mm, 1e5)
    nearest = -functional.max_pool2d(-far[:, None], 2 * STRIDE, STRIDE, STRIDE // 2)[:, 0]
    return torch.where(nearest < 1e5, nearest, 0.0)


class Detector(nn.Module):
    """See the module's own text; 0.25 M parameters."""

    def __init__(self) -> None:
        super().__init__()
        first, *others = _WIDTHS
        self.stem = _Block(4, first, stride=2)
        self.downs = nn.ModuleList(
            nn.Sequential(_Block(before, after, stride=2), _Residual(after))
            for before, after in zip(_WIDTHS, others, strict=False)
        )
        self.sides = nn.ModuleList(nn.Conv2d(width, _HEAD, 1) for width in others)
        self.merge = _Block(_HEAD, _HEAD)
        self.finer = _Block(_HEAD, _HEAD)
        self.out = nn.Conv2d(_HEAD, 8, 1)
        nn.init.normal_(self.out.weight, std=0.01)
        with torch.no_grad():
            assert self.out.bias is not None
            self.out.bias.zero_()
            self.out.bias[0] = _PRIOR

    def forward(self, inputs: Tensor) -> Detections:
        """Map `detector_input` (B, 4, H, W), H and W multiples of 32, to what is detected."""
        features = self.stem(inputs)
        levels = []
        for down in self.downs:
            features = down(features)
            levels.append(features)
        merged = self.sides[-1](levels[-1])
        for side, level in zip(self.sides[-2::-1], levels[-2::-1], strict=False):
            merged = functional.interpolate(merged, scale_factor=2.0, mode="nearest")
            merged = functional.relu(merged + side(level))
            if level is levels[1]:
                merged = self.merge(merged)
        out = self.out(self.finer(merged)).float()
        return Detections(out[:, 0], out[:, 1:3], out[:, 3], out[:, 4], out[:, 5:7], out[:, 7])


class _Block(Normalised):
    """A 3x3 convolution with batch normalisation and ReLU."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__(inputs, outputs, 3, stride)

    def forward(self, images: Tensor) -> Tensor:
        return functional.relu(super().forward(images))


class _Residual(nn.Module):
    """Two 3x3 convolutions and the way around them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.one = _Block(width, width)
        self.conv = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.norm = nn.BatchNorm2d(width)

    def forward(self, features: Tensor) -> Tensor:
        return functional.relu(features + self.norm(self.conv(self.one(features))))
