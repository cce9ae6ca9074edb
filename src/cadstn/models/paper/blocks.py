"""Parts of the paper's networks: convolution trunks, dense layers with dropout, initial weights.

Layer sizes are those of figures 3, 4, 5 and 9 of the paper. No batch normalisation anywhere.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise
from typing import NamedTuple

from torch import Tensor, nn
from torch.nn import functional

from cadstn.models.blocks import as_joints
from cadstn.models.config import PaperConfig

POOLS = (4, 2, 2)
"""Size and stride of the max pooling that ends each convolution stage."""

OUTPUT_STD = 0.001
"""Standard deviation of the last layer's initial weights, where the layer regresses a pose."""


class Drop(NamedTuple):
    """One use of dropout in a network's training pass."""

    name: str  # its key in `Masks`
    width: int  # length of the features
    share: float  # of them that is dropped


Masks = Mapping[str, Tensor]
"""By `Drop.name`: (N, width) bool for N rows of features, true where one is kept."""

NO_MASKS: Masks = {}
"""Torch's own dropout in training mode, and none in evaluation mode."""


def dropout(features: Tensor, drop: Drop, masks: Masks, *, training: bool) -> Tensor:
    """Set some of features (..., width) to 0 and the others to 1 / (1 - share) as large.

    Args:
        features: N rows in all leading dimensions together.
        drop: which use.
        masks: the rows' own masks. Where this use has none, torch draws one for the batch in
            training, whose rows depend on how the batch was cut, and nothing is dropped otherwise.
        training: see `masks`.
    """
    mask = masks.get(drop.name)
    if mask is None:
        return functional.dropout(features, drop.share, training)
    return features * mask.view(features.shape) / (1 - drop.share)


def xavier_(layer: nn.Conv2d | nn.Linear) -> None:
    """Set a layer in place to Caffe's "xavier" and zero bias: uniform within sqrt(3 / fan_in).

    Glorot and Bengio's own bound, torch's, also counts the outputs; the paper's Caffe does not.
    """
    bound = math.sqrt(3 / layer.weight[0].numel())
    nn.init.uniform_(layer.weight, -bound, bound)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def convolution(inputs: int, outputs: int, kernel: int) -> nn.Conv2d:
    """Make a Xavier-initialised convolution that keeps the image's size (odd `kernel`)."""
    layer = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)
    xavier_(layer)
    return layer


def linear(inputs: int, outputs: int, *, std: float | None = None) -> nn.Linear:
    """Make a dense layer with zero bias: Xavier weights, or Gaussian ones of a given `std`."""
    layer = nn.Linear(inputs, outputs)
    xavier_(layer)
    if std is not None:
        nn.init.normal_(layer.weight, std=std)
    return layer


class Trunk(nn.Module):
    """Three convolution stages, 3x3 then ReLU then max pooling, flattened at the end.

    With `mixing`, a 1x1 convolution of the same width follows each 3x3 and the ReLU stands only
    after the 1x1: the sliced trunk of figure 3.
    """

    def __init__(self, config: PaperConfig, inputs: int, *, mixing: bool) -> None:
        """Build for images of `inputs` channels."""
        super().__init__()
        widths = (inputs, *config.channels)
        self.spatial = nn.ModuleList(
            convolution(before, after, 3) for before, after in pairwise(widths)
        )
        self.mixing = nn.ModuleList(
            convolution(width, width, 1) if mixing else nn.Identity() for width in config.channels
        )

    def forward(self, images: Tensor) -> Tensor:
        """Map images (N, C, M, M) to features (N, config.features)."""
        for spatial, mixing, pool in zip(self.spatial, self.mixing, POOLS, strict=True):
            # ReLU after the pooling gives the same numbers as before it (both are monotone), on
            # 4 to 16 times fewer elements.
            images = functional.relu(functional.max_pool2d(mixing(spatial(images)), pool))
        return images.flatten(1)


def depth_trunk(config: PaperConfig) -> Trunk:
    """Make the trunk that reads the depth image (N, 1, M, M)."""
    return Trunk(config, 1, mixing=False)


def sliced_trunk(config: PaperConfig) -> Trunk:
    """Make the trunk that reads the slices as channels (N, L, M, M)."""
    return Trunk(config, config.slices, mixing=True)


class Dense(nn.Module):
    """Fully connected layer, ReLU, dropout."""

    def __init__(self, inputs: int, outputs: int, share: float) -> None:
        """Build with Xavier weights."""
        super().__init__()
        self.linear = linear(inputs, outputs)
        self.share = share

    def forward(self, features: Tensor, name: str, masks: Masks = NO_MASKS) -> Tensor:
        """Map (N, inputs) to (N, outputs); `name` is this use's key in `masks`."""
        out = functional.relu(self.linear(features))
        return dropout(out, self.drop(name), masks, training=self.training)

    def drop(self, name: str) -> Drop:
        """Describe this layer's dropout under a name."""
        return Drop(name, self.linear.out_features, self.share)


class Head(nn.Module):
    """Trunk features -> FC1 -> FC2 -> outputs."""

    def __init__(self, config: PaperConfig, outputs: int, *, std: float | None = None) -> None:
        """Build; `std` is of the last layer's Gaussian weights, which are Xavier without it."""
        super().__init__()
        self.fc1 = Dense(config.features, config.width, config.dropout)
        self.fc2 = Dense(config.width, config.width, config.dropout)
        self.output = linear(config.width, outputs, std=std)

    def drops(self) -> tuple[Drop, ...]:
        """Every use of dropout in a training pass."""
        return self.fc1.drop("fc1"), self.fc2.drop("fc2")

    def forward(self, features: Tensor, masks: Masks = NO_MASKS) -> Tensor:
        """Map (N, config.features) to (N, outputs / 3, 3)."""
        hidden = self.fc2(self.fc1(features, "fc1", masks), "fc2", masks)
        return as_joints(self.output(hidden))
