"""The fusion network: how far to trust each of two predictions (equation 6, figure 5)."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

from torch import Tensor, nn

from cadstn.models.blocks import as_images
from cadstn.models.config import PaperConfig
from cadstn.models.paper.blocks import NO_MASKS, Drop, Head, Masks, depth_trunk

FREE_WIDTH = 2
"""The free gate's layers are so many times as wide as those of the other networks."""


class Weights(NamedTuple):
    """Weights (B, K, 3) of the temporal and of the spatial prediction."""

    w1: Tensor
    w2: Tensor

    def mix(self, temporal: Tensor, spatial: Tensor) -> Tensor:
        """Return the weighted sum of two predictions of one shape (..., K, 3)."""
        w1, w2 = (weight.view_as(temporal) for weight in self)
        return w1 * temporal + w2 * spatial


class Fusion(nn.Module):
    """A depth trunk of its own -> FC1 -> FC2 -> weights of both predictions, a pair a coordinate.

    With ``config.fusion`` of ``gate`` the last layer has 3K outputs; a sigmoid of them is w1, and
    w2 = 1 - w1 (equation 6). With ``free`` it is the gate that the authors' published predictions
    were most likely made with (branch `dev` of their repository): all layers twice as wide, 6K
    linear outputs, the first 3K for w1 and the others for w2, neither bounded nor summing to 1.
    """

    def __init__(self, config: PaperConfig) -> None:
        """Build with freshly drawn weights."""
        super().__init__()
        self.config = config
        self.free = config.fusion == "free"
        sizes = config
        if self.free:
            wide = tuple(FREE_WIDTH * count for count in config.channels)
            sizes = replace(config, channels=wide, width=FREE_WIDTH * config.width)
        self.trunk = depth_trunk(sizes)
        self.head = Head(sizes, (6 if self.free else 3) * config.joints)

    def drops(self) -> tuple[Drop, ...]:
        """Every use of dropout in a training pass."""
        return self.head.drops()

    def start_at(self, w1: float) -> None:
        """Set the last layer's bias so that w1 starts around a share, and w2 around the rest."""
        bias = self.head.output.bias
        if not self.free:
            nn.init.constant_(bias, math.log(w1 / (1 - w1)))
            return
        nn.init.constant_(bias[: len(bias) // 2], w1)
        nn.init.constant_(bias[len(bias) // 2 :], 1 - w1)

    def weights(self, crops: Tensor, masks: Masks = NO_MASKS) -> Weights:
        """Map crops (B, M, M) to both predictions' weights."""
        out: Tensor = self.head(self.trunk(as_images(crops, self.config.size)), masks)
        if self.free:
            return Weights(*out.chunk(2, 1))
        w1 = out.sigmoid()
        return Weights(w1, 1 - w1)

    def forward(self, crops: Tensor, masks: Masks = NO_MASKS) -> Tensor:
        """Map crops (B, M, M) to w1 (B, K, 3), the weight of the temporal prediction."""
        return self.weights(crops, masks).w1
