"""The whole method: spatial, temporal and fusion network side by side (figure 1, algorithm 1)."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from cadstn.models.blocks import LstmState
from cadstn.models.config import PaperConfig
from cadstn.models.paper.fusion import Fusion
from cadstn.models.paper.spatial import Spatial
from cadstn.models.paper.temporal import Temporal


class CadstnOutputs(NamedTuple):
    """One prediction and all it was made of.

    Joints and weights are (B, K, 3) for a step and (B, T, K, 3) for clips, joints in units of
    half a cube; `w1` is the weight of the temporal prediction, `w2` that of the spatial one, which
    is 1 - w1 but for the free gate; `state` goes into the next call.
    """

    joints: Tensor
    w1: Tensor
    w2: Tensor
    spatial: Tensor
    temporal: Tensor
    state: LstmState


class Cadstn(nn.Module):
    """Fuse what one frame shows with what the frames before it suggest (equation 6)."""

    def __init__(self, config: PaperConfig, *, auxiliary: bool = False) -> None:
        """Build; `auxiliary` adds the paths that only the spatial network's training needs."""
        super().__init__()
        self.config = config
        self.spatial = Spatial(config, auxiliary=auxiliary)
        self.temporal = Temporal(config)
        self.fusion = Fusion(config)

    def initial_state(self, batch: int) -> LstmState:
        """Return the zero state of `batch` streams, where the weights are."""
        return self.temporal.initial_state(batch)

    def step(self, crops: Tensor, state: LstmState) -> CadstnOutputs:
        """Predict one frame of B streams from crops (B, M, M) and the state before it."""
        temporal, state = self.temporal.step(crops, state)
        return self._fused(crops, temporal, state)

    def forward(self, clips: Tensor, state: LstmState | None = None) -> CadstnOutputs:
        """Predict all frames of clips (B, T, M, M); without `state`, from a fresh start."""
        temporal, state = self.temporal(clips, state)
        return self._fused(clips.flatten(0, 1), temporal, state)

    def _fused(self, frames: Tensor, temporal: Tensor, state: LstmState) -> CadstnOutputs:
        spatial: Tensor = self.spatial(frames).view_as(temporal)
        weights = self.fusion.weights(frames)
        w1, w2 = (weight.view_as(temporal) for weight in weights)
        return CadstnOutputs(weights.mix(temporal, spatial), w1, w2, spatial, temporal, state)
