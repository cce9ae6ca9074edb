"""The two single-input networks the paper compares with: Baseline Regression, Sliced 3D Input."""

from __future__ import annotations

from torch import Tensor, nn

from cadstn.models.blocks import Head, as_images, depth_trunk, sliced_trunk
from cadstn.models.config import NetConfig
from cadstn.models.slices import slice_volume


class Baseline(nn.Module):
    """Baseline Regression: depth trunk -> FC1 -> FC2 -> joints (section IV, figure 9)."""

    def __init__(self, config: NetConfig) -> None:
        """Build with freshly drawn weights."""
        super().__init__()
        self.config = config
        self.trunk = depth_trunk(config)
        self.head = Head(config, regression=True)

    def forward(self, crops: Tensor) -> Tensor:
        """Map crops (B, M, M) to joints (B, K, 3), both normalised by half a cube."""
        joints: Tensor = self.head(self.trunk(as_images(crops, self.config.size)))
        return joints


class Sliced(nn.Module):
    """Sliced 3D Input: slices -> sliced trunk -> FC1 -> FC2 -> joints (section IV, figure 9)."""

    def __init__(self, config: NetConfig) -> None:
        """Build with freshly drawn weights."""
        super().__init__()
        self.config = config
        self.trunk = sliced_trunk(config)
        self.head = Head(config, regression=True)

    def forward(self, crops: Tensor) -> Tensor:
        """Map crops (B, M, M) to joints (B, K, 3), both normalised by half a cube."""
        images = as_images(crops, self.config.size)
        joints: Tensor = self.head(self.trunk(slice_volume(images[:, 0], self.config.slices)))
        return joints
