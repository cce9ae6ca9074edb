"""The two single-input networks the paper compares with: Baseline Regression, Sliced 3D Input."""

from __future__ import annotations

from torch import Tensor, nn

from cadstn.models.blocks import as_images
from cadstn.models.config import PaperConfig
from cadstn.models.paper.blocks import (
    NO_MASKS,
    OUTPUT_STD,
    Drop,
    Head,
    Masks,
    depth_trunk,
    sliced_trunk,
)
from cadstn.models.slices import slice_volume


class Baseline(nn.Module):
    """Baseline Regression: depth trunk -> FC1 -> FC2 -> joints (section IV, figure 9)."""

    make_trunk = staticmethod(depth_trunk)

    def __init__(self, config: PaperConfig) -> None:
        """Build with freshly drawn weights."""
        super().__init__()
        self.config = config
        self.trunk = self.make_trunk(config)
        self.head = Head(config, 3 * config.joints, std=OUTPUT_STD)

    def drops(self) -> tuple[Drop, ...]:
        """Every use of dropout in a training pass."""
        return self.head.drops()

    def forward(self, crops: Tensor, masks: Masks = NO_MASKS) -> Tensor:
        """Map crops (B, M, M) to joints (B, K, 3), both normalised by half a cube."""
        joints: Tensor = self.head(self.trunk(self.seen(crops)), masks)
        return joints

    def seen(self, crops: Tensor) -> Tensor:
        """What the trunk reads of crops (B, M, M): the images (B, 1, M, M)."""
        return as_images(crops, self.config.size)


class Sliced(Baseline):
    """Sliced 3D Input: slices -> sliced trunk -> FC1 -> FC2 -> joints (section IV, figure 9)."""

    make_trunk = staticmethod(sliced_trunk)

    def seen(self, crops: Tensor) -> Tensor:
        """What the trunk reads of crops (B, M, M): their slices (B, L, M, M)."""
        return slice_volume(super().seen(crops)[:, 0], self.config.slices)
