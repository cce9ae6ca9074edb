"""The temporal network: one LSTM over the features of successive frames (equations 3 to 5)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cadstn.models.blocks import Lstm, LstmState, as_images, as_joints
from cadstn.models.config import PaperConfig
from cadstn.models.paper.blocks import (
    NO_MASKS,
    Dense,
    Drop,
    Masks,
    depth_trunk,
    dropout,
    linear,
)


class Temporal(nn.Module):
    """Depth trunk -> FC1 = phi_t -> LSTM = h_t -> output layer on [h_t, phi_t] (figure 4).

    Three parts: `encode` has no memory, `lstm` is the only place with one, and `head` again has
    none; so the two outer parts can run on all frames of all clips at once, and be compiled. The
    state is a value that the caller holds.
    """

    def __init__(self, config: PaperConfig) -> None:
        """Build with freshly drawn weights."""
        super().__init__()
        self.config = config
        self.trunk = depth_trunk(config)
        self.fc1 = Dense(config.features, config.width, config.dropout)
        self.lstm = Lstm(config.width, config.hidden)
        self.output = linear(config.hidden + config.width, 3 * config.joints)
        self._recurrent = Drop("hidden", config.hidden, config.dropout_recurrent)

    def drops(self) -> tuple[Drop, ...]:
        """Every use of dropout in a training pass."""
        return self.fc1.drop("fc1"), self._recurrent

    def initial_state(self, batch: int) -> LstmState:
        """Return the zero state of `batch` streams, where the weights are."""
        return self.lstm.initial_state(batch)

    def encode(self, crops: Tensor, masks: Masks = NO_MASKS) -> Tensor:
        """Map crops (..., M, M) to features phi (..., width), each frame alone (equation 4)."""
        phi: Tensor = self.fc1(self.trunk(as_images(crops, self.config.size)), "fc1", masks)
        return phi.reshape(*crops.shape[:-2], self.config.width)

    def head(self, phi: Tensor, hidden: Tensor, masks: Masks = NO_MASKS) -> Tensor:
        """Map phi (..., width) and h (..., hidden) of the same frames to joints (..., K, 3)."""
        hidden = dropout(hidden, self._recurrent, masks, training=self.training)
        return as_joints(self.output(torch.cat((hidden, phi), dim=-1)))

    def forward(
        self, clips: Tensor, state: LstmState | None = None, masks: Masks = NO_MASKS
    ) -> tuple[Tensor, LstmState]:
        """Predict all frames of clips.

        Args:
            clips: (B, T, M, M) normalised depth, frames in order.
            state: after the frames before; none means a fresh start.
            masks: of dropout, a row a frame.

        Returns:
            Joints (B, T, K, 3), in units of half a cube, and the state after the last frame.
        """
        phi = self.encode(clips, masks)
        hidden, state = self.lstm(phi, state)
        return self.head(phi, hidden, masks), state

    def step(self, crops: Tensor, state: LstmState) -> tuple[Tensor, LstmState]:
        """Predict one frame of B streams: crops (B, M, M) -> joints (B, K, 3), next state."""
        phi = self.encode(crops)
        state = self.lstm.step(phi, *state)
        return self.head(phi, state.h), state
