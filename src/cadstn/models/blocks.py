"""The parts the networks are made of: convolution trunks, dense blocks, the LSTM, initialisation.

Layer sizes are those of figures 3, 4, 5 and 9 of the paper. No batch normalisation anywhere.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from cadstn.errors import CadstnError
from cadstn.models.config import NetConfig

POOLS = (4, 2, 2)
"""Size and stride of the max pooling that ends each convolution stage."""

OUTPUT_STD = 0.001
"""Standard deviation of the last layer's initial weights, where the layer regresses a pose."""

LSTM_BOUND = 0.01
"""Initial LSTM weights are uniform in plus or minus this."""


def as_images(crops: Tensor, size: int) -> Tensor:
    """View crops (..., M, M) as one-channel images (N, 1, M, M).

    Raises:
        CadstnError: the last two dimensions are not the size the network was built for.
    """
    if crops.ndim < 3 or crops.shape[-1] != size or crops.shape[-2] != size:
        raise CadstnError(
            f"crops of shape {tuple(crops.shape)}; this network reads (batch, {size}, {size})",
            where="crops",
        )
    return crops.reshape(-1, 1, size, size)


def xavier_(layer: nn.Conv2d | nn.Linear) -> None:
    """Set a layer to Xavier-uniform weights and zero bias, in place."""
    nn.init.xavier_uniform_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def convolution(inputs: int, outputs: int, kernel: int) -> nn.Conv2d:
    """Make a Xavier-initialised convolution that keeps the image's size (odd `kernel`)."""
    layer = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)
    xavier_(layer)
    return layer


def output_layer(inputs: int, joints: int, *, regression: bool) -> nn.Linear:
    """Make a last layer of 3K outputs.

    Args:
        inputs: length of the features it reads.
        joints: K.
        regression: start from Gaussian weights of `OUTPUT_STD`, so that the first prediction is
            the centre of the cube; otherwise from Xavier.
    """
    layer = nn.Linear(inputs, 3 * joints)
    xavier_(layer)
    if regression:
        nn.init.normal_(layer.weight, std=OUTPUT_STD)
    return layer


class Trunk(nn.Module):
    """Three convolution stages, 3x3 then ReLU then max pooling, flattened at the end.

    With `mixing`, a 1x1 convolution of the same width follows each 3x3 and the ReLU stands only
    after the 1x1: the sliced trunk of figure 3.
    """

    def __init__(self, config: NetConfig, inputs: int, *, mixing: bool) -> None:
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


def depth_trunk(config: NetConfig) -> Trunk:
    """Make the trunk that reads the depth image (N, 1, M, M)."""
    return Trunk(config, 1, mixing=False)


def sliced_trunk(config: NetConfig) -> Trunk:
    """Make the trunk that reads the slices as channels (N, L, M, M)."""
    return Trunk(config, config.slices, mixing=True)


class Dropout(nn.Dropout):
    """Dropout whose masks can be given by the caller.

    Torch's own draws from one generator for the whole batch, so that a row's mask depends on the
    rows before it, and training on two devices on how the batch was cut. Each pass takes the next
    of `masks`, (N, width) bool for N rows of features, if there is a list of them.
    """

    def __init__(self, p: float, width: int) -> None:
        super().__init__(p)
        self.width = width
        self.masks: list[Tensor] | None = None

    def forward(self, features: Tensor) -> Tensor:
        """Map features (..., width) to as many, some of them 0, the others 1 / (1 - p) as large."""
        if self.masks is None or not self.training or not self.p:
            return super().forward(features)
        return features * self.masks.pop(0).view(features.shape) / (1 - self.p)


class Dense(nn.Module):
    """Fully connected layer, ReLU, dropout."""

    def __init__(self, inputs: int, outputs: int, dropout: float) -> None:
        """Build with Xavier weights."""
        super().__init__()
        self.linear = nn.Linear(inputs, outputs)
        self.dropout = Dropout(dropout, outputs)
        xavier_(self.linear)

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, inputs) to (N, outputs)."""
        out: Tensor = self.dropout(functional.relu(self.linear(features)))
        return out


class Head(nn.Module):
    """Trunk features -> FC1 -> FC2 -> 3K numbers, one triple a joint."""

    def __init__(self, config: NetConfig, *, regression: bool) -> None:
        """Build; `regression` chooses the last layer's initialisation (see `output_layer`)."""
        super().__init__()
        self.fc1 = Dense(config.features, config.width, config.dropout)
        self.fc2 = Dense(config.width, config.width, config.dropout)
        self.output = output_layer(config.width, config.joints, regression=regression)

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, config.features) to (N, K, 3)."""
        return as_joints(self.output(self.fc2(self.fc1(features))))


def as_joints(flat: Tensor) -> Tensor:
    """View (..., 3K) as (..., K, 3)."""
    return flat.reshape(*flat.shape[:-1], -1, 3)


class LstmState(NamedTuple):
    """What the recurrent layer remembers: hidden state h and cell c, each (B, H)."""

    h: Tensor
    c: Tensor


class Lstm(nn.Module):
    """One forward LSTM layer with one bias a gate (equation 5).

    Gates are stacked along the rows of the weights in the order input, forget, cell, output:
    that of `torch.nn.LSTM`, which differs in having two biases. Written out because
    `torch.compile` refuses `nn.LSTM`, and because streaming needs a single step.
    """

    def __init__(self, inputs: int, hidden: int) -> None:
        """Build with weights uniform in +-0.01 and zero bias."""
        super().__init__()
        self.weight_x = nn.Parameter(torch.empty(4 * hidden, inputs))
        self.weight_h = nn.Parameter(torch.empty(4 * hidden, hidden))
        self.bias = nn.Parameter(torch.zeros(4 * hidden))
        nn.init.uniform_(self.weight_x, -LSTM_BOUND, LSTM_BOUND)
        nn.init.uniform_(self.weight_h, -LSTM_BOUND, LSTM_BOUND)

    def initial_state(self, batch: int, device: torch.device | str | None = None) -> LstmState:
        """Return zeros; without `device`, where the weights are."""
        # From the weights and not from the input: under mixed precision the cell, which sums
        # over the whole stream, must stay in full precision.
        hidden = self.weight_h.shape[1]
        zeros = self.weight_h.new_zeros(batch, hidden, device=device)
        return LstmState(zeros, torch.zeros_like(zeros))

    def step(self, x: Tensor, h: Tensor, c: Tensor) -> LstmState:
        """Advance by one frame: x (B, D), h and c (B, H) -> the next h and c."""
        return self._advance(self._project(x), h, c)

    def forward(self, x: Tensor, state: LstmState | None = None) -> tuple[Tensor, LstmState]:
        """Run over whole sequences.

        Args:
            x: (B, T, D).
            state: what earlier frames left; none means zeros.

        Returns:
            The hidden states (B, T, H) and the state after the last frame.
        """
        h, c = self.initial_state(x.shape[0]) if state is None else state
        # W_x phi_t does not depend on the past: one product for all frames, not T small ones.
        outputs = []
        for projected in self._project(x).unbind(1):
            h, c = self._advance(projected, h, c)
            outputs.append(h)
        return torch.stack(outputs, dim=1), LstmState(h, c)

    def _project(self, x: Tensor) -> Tensor:
        return functional.linear(x, self.weight_x, self.bias)

    def _advance(self, projected: Tensor, h: Tensor, c: Tensor) -> LstmState:
        gates = projected + functional.linear(h, self.weight_h)
        take_in, forget, candidate, give_out = gates.chunk(4, dim=-1)
        c = forget.sigmoid() * c + take_in.sigmoid() * candidate.tanh()
        return LstmState(give_out.sigmoid() * c.tanh(), c)
