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

    def __init__(self, config: PaperConfig) -> None:
        """Build with freshly drawn weights."""
        super().__init__()
        self.config = config
        self.trunk = depth_trunk(config)
        self.head = Head(config, 3 * config.joints, std=OUTPUT_STD)

    def drops(self) -> tuple[Drop, ...]:
        """Every use of dropout in a training pass."""
        return self.head.drops()

    def forward(self, crops: Tensor, masks: Masks = NO_MASKS) -> Tensor:
        """Map crops (B, M, M) to joints (B, K, 3), both normalised by half a cube."""
        joints: Tensor = self.head(self.trunk(as_images(crops, self.config.size)), masks)
        return joints


class Sliced(nn.Module):
    """Sliced 3D Input: slices -> sliced trunk -> FC1 -> FC2 -> joints (section IV, figure 9)."""

    def __init__(self, config: PaperConfig) -> None:
        """Build with freshly drawn weights."""
        super().__init__()
        self.config = config
        self.trunk = sliced_trunk(config)
        self.head = Head(config, 3 * config.joints, std=OUTPUT_STD)

    def drops(self) -> tuple[Drop, ...]:
        """Every use of dropout in a training pass."""
        return self.head.drops()

    def forward(self, crops: Tensor, masks: Masks = NO_MASKS) -> Tensor:
        """Map crops (B, M, M) to joints (B, K, 3), both normalised by half a cube."""
        images = as_images(crops, self.config.size)
        volume = slice_volume(images[:, 0], self.config.slices)
        joints: Tensor = self.head(self.trunk(volume), masks)
        return joints
