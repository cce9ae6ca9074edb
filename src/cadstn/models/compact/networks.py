"""The compact networks of the shipped weights: the paper's three, with trunks and heads of today.

What they keep: one frame's depth image and slices are fused by their mean (equation 2), an LSTM
carries the memory of earlier frames (equation 5), a gate for each coordinate weighs the two
predictions (equation 6). What is new:

- One trunk for all three, residual (He et al. 2016), with batch normalisation (Ioffe and Szegedy
  2015). Of deep fusion phi_0 is left: two branches of half the width each, averaged, are one
  residual block of the whole width.
- Dense offsets: every cell of a 16x16 grid predicts each joint, as an offset from the cell and a
  depth, and the weight of its prediction (as A2J, Xiong et al. 2019, does from anchors).
- A joint is predicted where it is seen and as deep as it is (uvd), because a crop does not show
  where it lies: how far aside that is grows with depth by the direction its cube is seen in.
- It predicts the error scale of each joint, presence and handedness.
- The temporal network knows how far the crop has moved since the frame before, and predicts from
  the prediction made then.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from cadstn.models.blocks import Lstm, as_images, as_joints, fuse
from cadstn.models.config import PATCH, CompactConfig
from cadstn.models.residual import Ascent, Normalised, Stage
from cadstn.models.slices import slice_volume

GRID_STAGE = 1
"""The stage of the grid cells that predict offsets: an eighth of the crop's edge."""

_VOTE_STD = 0.01
_SHARPNESS = 4.0
_CLOSE = 10.0  # differences of joints are some hundredths of half a cube
_ERROR_SCALE_START = 3.0  # softplus(-3), times half a cube of 125 mm, is 6 mm


class FrameOutputs(NamedTuple):
    """Predictions of the spatial network for N crops."""

    # (N, K, 3) where they are seen and how deep they lie, from the crop's centre, in half cubes as
    # those appear at its depth (`cadstn.geometry.crop.Crop.uvd_to_mm`)
    joints: Tensor
    error_scale: Tensor  # (N, K) within which a joint lies two times in three, in half cubes
    presence: Tensor  # (N,) logit of there being a hand in the middle of the crop
    handedness: Tensor  # (N,) logit of its being a left one
    phi: Tensor  # (N, width) features


class Memory(NamedTuple):
    """What a stream of B clips remembers."""

    # h, c: (B, H) of the LSTM
    h: Tensor
    c: Tensor
    # (B, 3K + 1) the last predicted joints, relative to the crop of then, and 1; all zero where
    # there is no last frame
    before: Tensor


class CompactOutputs(NamedTuple):
    """One prediction and what it was made of; joints as in `FrameOutputs`."""

    # joints, w1, spatial, temporal: (..., K, 3), see `cadstn.models.CadstnOutputs`
    joints: Tensor
    w1: Tensor
    spatial: Tensor
    temporal: Tensor
    # (..., K) within which a joint of ``joints`` lies two times in three, in half cubes
    error_scale: Tensor
    # presence, handedness: (...) logits
    presence: Tensor
    handedness: Tensor
    memory: Memory  # for the next frame


class CompactSpatial(nn.Module):
    """One frame: depth image and slices, fused in phi_0 (equation 2); joints from dense offsets."""

    def __init__(self, config: CompactConfig) -> None:
        super().__init__()
        self.config = config
        widths, joints = config.channels, config.joints
        self.depth_stem = Normalised(1, widths[0], PATCH, PATCH)
        self.sliced_stem = Normalised(config.slices, widths[0], PATCH, PATCH)
        self.stages = nn.ModuleList(
            Stage(widths[max(0, k - 1)], width, blocks, halve=k > 0)
            for k, (width, blocks) in enumerate(zip(widths, config.blocks, strict=True))
        )
        self.ascents = nn.ModuleList(
            Ascent(widths[k], widths[k - 1]) for k in range(len(widths) - 1, GRID_STAGE, -1)
        )
        self.votes = nn.Conv2d(widths[GRID_STAGE], 4 * joints, 1)
        nn.init.normal_(self.votes.weight, std=_VOTE_STD)
        nn.init.zeros_(self.votes.bias)  # type: ignore[arg-type]  # it has one
        self.phi = _dense(config.features, config.width)
        self.says = _dense(config.width, joints + 2)
        side = config.size // (PATCH * 2**GRID_STAGE)
        line = (torch.arange(side) + 0.5) / side * 2 - 1
        # Where each cell's middle is, in half cubes; depth counts from the cube's centre.
        cells = torch.stack([line.repeat(side), line.repeat_interleave(side), torch.zeros(side**2)])
        self.cells: Tensor
        self.register_buffer("cells", cells.view(1, 3, 1, -1), persistent=False)

    def forward(self, crops: Tensor) -> Tensor:
        """Map crops (B, M, M) to joints (B, K, 3), see `FrameOutputs`."""
        return self.encode(crops).joints

    def encode(self, crops: Tensor) -> FrameOutputs:
        """Predict all that crops (B, M, M) show.

        Raises:
            CadstnError: the crops have not the size that the network was built for.
        """
        images = as_images(crops, self.config.size)
        volume = slice_volume(images[:, 0], self.config.slices)
        depth = functional.relu(self.depth_stem(images))
        features = 0.5 * (depth + functional.relu(self.sliced_stem(volume)))
        levels = []
        for stage in self.stages:
            features = stage(features)
            levels.append(features)
        phi = functional.relu(self.phi(features.flatten(1)))
        # Sums over cells and what is compared with millimetres stay in full precision.
        answers = self.says(phi).float()  # its name is in files of weights
        for ascent, finer in zip(self.ascents, levels[-2::-1], strict=False):
            features = ascent(features, finer)
        joints = self._count(self.votes(features).float())
        error_scale = functional.softplus(answers[:, :-2] - _ERROR_SCALE_START)
        return FrameOutputs(joints, error_scale, answers[:, -2], answers[:, -1], phi)

    def _count(self, votes: Tensor) -> Tensor:
        """Average the predictions of all cells (N, 4K, G, G) for each joint: (N, K, 3)."""
        votes = votes.view(votes.shape[0], 4, self.config.joints, -1)
        weight = (_SHARPNESS * votes[:, :1]).softmax(-1)
        joints: Tensor = (weight * (votes[:, 1:] + self.cells)).sum(-1).mT
        return joints


class CompactTemporal(nn.Module):
    """What frames before suggest: an LSTM that corrects the last prediction (equations 3 to 5)."""

    def __init__(self, config: CompactConfig) -> None:
        super().__init__()
        self.config = config
        joints = config.joints
        self.fc1 = _dense(config.width + 7 * joints + 3, config.width)
        self.lstm = Lstm(config.width, config.hidden)
        self.output = _dense(config.hidden + config.width, 3 * joints)
        nn.init.zeros_(self.output.weight)

    def initial_state(self, batch: int) -> Memory:
        """Return the memory of streams that have seen nothing."""
        h, c = self.lstm.initial_state(batch)
        return Memory(h, c, h.new_zeros(batch, 3 * self.config.joints + 1))

    def step(self, frame: FrameOutputs, shift: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        """Predict one frame of B streams.

        Args:
            frame: the spatial network's outputs.
            shift: (B, 3) how far the crop's centre moved since the frame before, in half cubes.
            memory: what the frames before left.

        Returns:
            Joints (B, K, 3) relative to this frame's crop, and the memory for the next frame.
        """
        last, seen = memory.before[:, :-1], memory.before[:, -1:]
        now = frame.joints.flatten(1)
        before = seen * (last - shift.repeat(1, self.config.joints)) + (1 - seen) * now
        news = now - before
        error_scale = frame.error_scale * _CLOSE
        trust = (news.view(-1, self.config.joints, 3) / frame.error_scale[..., None]).clamp(-3, 3)
        moved = seen * shift * _CLOSE
        read = torch.cat([frame.phi, news * _CLOSE, trust.flatten(1), error_scale, moved], 1)
        x = functional.relu(self.fc1(read))
        h, c = self.lstm.step(x, memory.h, memory.c)
        # Without any learning: an exponential average that takes half of the news.
        joints = before + 0.5 * news + self.output(torch.cat([h, x], 1)).float() / _CLOSE
        return as_joints(joints), Memory(h, c, torch.cat([joints, torch.ones_like(seen)], 1))


class CompactFusion(nn.Module):
    """How far to trust each of two predictions (equation 6), and the result."""

    def __init__(self, config: CompactConfig) -> None:
        super().__init__()
        self.config = config
        self.fc1 = _dense(config.width + config.hidden + 4 * config.joints, config.width)
        self.output = _dense(config.width, 4 * config.joints)

    def forward(self, frame: FrameOutputs, temporal: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """Weigh B frames.

        Args:
            frame: the spatial network's outputs.
            temporal: (B, K, 3) the temporal prediction.
            h: (B, H) the LSTM's output.

        Returns:
            The temporal prediction's weight (B, K, 3) in (0, 1), and the error scale (B, K) of the
            sum.
        """
        apart = (temporal - frame.joints).flatten(1) * _CLOSE
        read = torch.cat([frame.phi, h, apart, frame.error_scale * _CLOSE], 1)
        logits = self.output(functional.relu(self.fc1(read))).float()
        count = 3 * self.config.joints
        error_scale = frame.error_scale * logits[:, count:].clamp(-2, 2).exp()
        return as_joints(logits[:, :count].sigmoid()), error_scale


class Compact(nn.Module):
    """The three compact networks together: what `cadstn.models.Cadstn` is to the paper's."""

    def __init__(self, config: CompactConfig) -> None:
        super().__init__()
        self.config = config
        self.spatial = CompactSpatial(config)
        self.temporal = CompactTemporal(config)
        self.fusion = CompactFusion(config)

    def initial_state(self, batch: int) -> Memory:
        """Return the memory of streams that have seen nothing."""
        return self.temporal.initial_state(batch)

    def step(self, crops: Tensor, shift: Tensor, memory: Memory) -> CompactOutputs:
        """Predict one frame of B streams.

        Args:
            crops: (B, M, M).
            shift: (B, 3) how far the crop's centre moved since the frame before, in half cubes.
            memory: what the frames before left.
        """
        frame = self.spatial.encode(crops)
        temporal, memory = self.temporal.step(frame, shift, memory)
        w1, error_scale = self.fusion(frame, temporal, memory.h)
        joints = fuse(w1, temporal, frame.joints)
        return CompactOutputs(
            joints,
            w1,
            frame.joints,
            temporal,
            error_scale,
            frame.presence,
            frame.handedness,
            memory,
        )

    def forward(self, clips: Tensor, shifts: Tensor) -> CompactOutputs:
        """Predict all frames of clips from a fresh start.

        Args:
            clips: (B, T, M, M).
            shifts: (B, T, 3) how far the crop has moved since the frame before, in half cubes.
        """
        batch, frames = clips.shape[:2]
        frame = self.spatial.encode(clips.flatten(0, 1))
        temporal, h, memory = run_temporal(self.temporal, frame, shifts)
        w1, error_scale = self.fusion(frame, temporal.flatten(0, 1), h.flatten(0, 1))
        spatial = frame.joints.view_as(temporal)
        w1 = w1.view_as(temporal)
        return CompactOutputs(
            fuse(w1, temporal, spatial),
            w1,
            spatial,
            temporal,
            error_scale.view(batch, frames, -1),
            frame.presence.view(batch, frames),
            frame.handedness.view(batch, frames),
            memory,
        )


def run_temporal(
    network: CompactTemporal, frame: FrameOutputs, shifts: Tensor
) -> tuple[Tensor, Tensor, Memory]:
    """Run the temporal network over whole clips from a fresh start.

    Args:
        network: the temporal network.
        frame: the spatial network's outputs for B * T frames.
        shifts: (B, T, 3) how far the crop has moved since the frame before, in half cubes.

    Returns:
        Joints (B, T, K, 3), the LSTM's outputs (B, T, H) and the memory after the last frame.
    """
    batch, frames = shifts.shape[:2]
    parts = [field.view(batch, frames, *field.shape[1:]) for field in frame]
    memory = network.initial_state(batch)
    joints, hidden = [], []
    for t in range(frames):
        now, memory = network.step(
            FrameOutputs(*(part[:, t] for part in parts)), shifts[:, t], memory
        )
        joints.append(now)
        hidden.append(memory.h)
    return torch.stack(joints, 1), torch.stack(hidden, 1), memory


def _dense(inputs: int, outputs: int) -> nn.Linear:
    layer = nn.Linear(inputs, outputs)
    nn.init.xavier_uniform_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
