"""What both families of networks are made of: images, joints, equation 6's sum, the LSTM."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from cadstn.errors import CadstnError

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


def as_joints(flat: Tensor) -> Tensor:
    """View (..., 3K) as (..., K, 3)."""
    return flat.reshape(*flat.shape[:-1], -1, 3)


def fuse(w1: Tensor, temporal: Tensor, spatial: Tensor) -> Tensor:
    """Mix two predictions, w1 * temporal + (1 - w1) * spatial (equation 6).

    All three have one shape (..., K, 3). With w1 in [0, 1] each number of the result lies
    between those it was mixed from, up to rounding.
    """
    return w1 * temporal + (1 - w1) * spatial


class LstmState(NamedTuple):
    """State of the recurrent layer: hidden state h and cell c, each (B, H)."""

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

    def initial_state(self, batch: int) -> LstmState:
        """Return zeros, where the weights are."""
        # From the weights and not from the input: under mixed precision the cell, which sums
        # over the whole stream, must stay in full precision.
        hidden = self.weight_h.shape[1]
        zeros = self.weight_h.new_zeros(batch, hidden)
        return LstmState(zeros, torch.zeros_like(zeros))

    def step(self, x: Tensor, h: Tensor, c: Tensor) -> LstmState:
        """Advance by one frame: x (B, D), h and c (B, H) -> the next h and c."""
        return self._advance(self._project(x), h, c)

    def forward(self, x: Tensor, state: LstmState | None = None) -> tuple[Tensor, LstmState]:
        """Run over whole sequences.

        Args:
            x: (B, T, D).
            state: after the frames before; none means zeros.

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
