"""The fusion network: how far to trust each of two predictions (equation 6, figure 5)."""

from __future__ import annotations

from torch import Tensor, nn

from cadstn.models.blocks import Head, as_images, depth_trunk
from cadstn.models.config import NetConfig


class Fusion(nn.Module):
    """A depth trunk of its own -> FC1 -> FC2 -> one weight a joint coordinate, by a sigmoid."""

    def __init__(self, config: NetConfig) -> None:
        """Build with freshly drawn weights."""
        super().__init__()
        self.config = config
        self.trunk = depth_trunk(config)
        self.head = Head(config, regression=False)

    def forward(self, crops: Tensor) -> Tensor:
        """Map crops (B, M, M) to w1 (B, K, 3) in (0, 1), the weight of the temporal prediction."""
        logits: Tensor = self.head(self.trunk(as_images(crops, self.config.size)))
        return logits.sigmoid()


def fuse(w1: Tensor, temporal: Tensor, spatial: Tensor) -> Tensor:
    """Mix two predictions, w1 * temporal + (1 - w1) * spatial (equation 6).

    All three have one shape (..., K, 3). With w1 in [0, 1] each number of the result lies
    between those it was mixed from, up to rounding.
    """
    return w1 * temporal + (1 - w1) * spatial
