"""The compact networks in training: what each stage minimises, and what the networks predict."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from cadstn.models import (
    Compact,
    CompactConfig,
    CompactFusion,
    CompactSpatial,
    CompactTemporal,
    FrameOutputs,
    Memory,
    fuse,
    run_temporal,
)
from cadstn.models.compact.loss import (
    acceleration_distance,
    joint_distance,
    quantile_loss,
    worst_joint_loss,
)
from cadstn.train.family import Family, Networks, StageMasks
from cadstn.train.uvd import from_uvd, shifts, to_uvd

if TYPE_CHECKING:
    from cadstn.train.recipes import Recipe
    from cadstn.train.source import Batch

NETWORKS = {"spatial": CompactSpatial, "temporal": CompactTemporal, "fusion": CompactFusion}
"""The registry of the compact networks, by stage."""

# Weights of the losses besides the joints' own, which is some tenths of half a cube. Handedness
# decides which finger is which: its weight is large.
_ERROR_SCALE, _PRESENCE, _HANDEDNESS = 0.3, 0.05, 0.1
_WORST_MM = 30.0  # a frame counts as right whose joints are all less than this off


class _Parts(NamedTuple):
    """Outputs of the networks up to a stage for clips; (B, T, K, 3) and (B, T, K)."""

    frame: FrameOutputs
    joints: Tensor
    error_scale: Tensor


class CompactFamily(Family):
    """See `cadstn.train.family.Family`; one trunk and no dropout: nothing to copy, no masks."""

    whole = Compact

    def make(self, stage: str, recipe: Recipe, *, auxiliary: bool = True) -> nn.Module:
        """See `Family`."""
        sizes = recipe.net
        assert isinstance(sizes, CompactConfig)
        network = NETWORKS[stage](sizes)
        if isinstance(network, CompactFusion):
            # The gate's weight before any training: sigmoid(bias).
            gate = math.log(recipe.gate / (1 - recipe.gate))
            nn.init.zeros_(network.output.weight)
            nn.init.constant_(network.output.bias[: 3 * sizes.joints], gate)
        return network

    def loss(
        self, networks: Networks, stage: str, batch: Batch, recipe: Recipe, masks: StageMasks
    ) -> Tensor:
        """See `Family`.

        The spatial stage: joints, their error scale, presence and handedness. The other two:
        joints, and how they accelerate; of fusion, the error scale of the sum as well. All: the
        worst joint of every frame, if the recipe has a weight for it.
        """
        parts = _run(networks, stage, batch)
        shown = _shown(batch)
        truth = to_uvd(batch.joints, batch.centers_mm, batch.cube_mm)
        distance = (parts.joints - truth).norm(dim=-1)
        loss = joint_distance(parts.joints, truth, shown)
        if recipe.worst_joint:
            limit = _WORST_MM / (batch.cube_mm / 2)
            loss = loss + recipe.worst_joint * worst_joint_loss(distance, limit, shown)
        if stage != "temporal":
            loss = loss + _ERROR_SCALE * quantile_loss(parts.error_scale, distance.detach(), shown)
        if stage != "spatial":
            return loss + recipe.smoothness * acceleration_distance(parts.joints, truth, shown)
        return loss + _answers(parts.frame, batch, shown)

    def predict(self, networks: Networks, stage: str, batch: Batch) -> Tensor:
        """See `Family`; the compact networks also read where the crops are."""
        return from_uvd(_run(networks, stage, batch).joints, batch.centers_mm, batch.cube_mm)


def shifts_seen(batch: Batch) -> Tensor:
    """Motion of a batch's crops (B, T, 3), along their images' axes; see `shifts`."""
    moved = shifts(batch.centers_mm, batch.cube_mm)
    if batch.transform is None:
        return moved
    return torch.cat([moved[..., :2] @ batch.transform.mT, moved[..., 2:]], -1)


def _run(networks: Networks, stage: str, batch: Batch) -> _Parts:
    """Run the networks up to a stage; those before it without gradients."""
    spatial, crops = networks["spatial"], batch.crops
    assert isinstance(spatial, CompactSpatial)
    shape = crops.shape[:2]
    with torch.set_grad_enabled(stage == "spatial" and torch.is_grad_enabled()):
        frame = spatial.encode(crops.flatten(0, 1))
    joints, error_scale = frame.joints.view(*shape, -1, 3), frame.error_scale.view(*shape, -1)
    if stage == "spatial":
        return _Parts(frame, joints, error_scale)
    temporal = networks["temporal"]
    assert isinstance(temporal, CompactTemporal)
    with torch.set_grad_enabled(stage == "temporal" and torch.is_grad_enabled()):
        suggested, h, _ = run_temporal(temporal, frame, shifts_seen(batch))
    if stage == "temporal":
        return _Parts(frame, suggested, error_scale)
    fusion = networks["fusion"]
    assert isinstance(fusion, CompactFusion)
    w1, error_scale = fusion(frame, suggested.flatten(0, 1), h.flatten(0, 1))
    fused = fuse(w1.view(*shape, -1, 3), suggested, joints)
    return _Parts(frame, fused, error_scale.view(*shape, -1))


def _shown(batch: Batch) -> Tensor:
    """(B,) weight of each clip in losses of a hand: 0 where there is none; their sum is 1."""
    if batch.presence is None:
        return batch.cube_mm.new_full((len(batch.crops),), 1 / len(batch.crops))
    return batch.presence / batch.presence.sum().clamp(min=1)


def _answers(frame: FrameOutputs, batch: Batch, shown: Tensor) -> Tensor:
    """Cross entropies of presence and handedness, where the batch has them."""
    loss = frame.presence.new_zeros(())
    frames = batch.crops.shape[1]
    if batch.presence is not None:
        presence = batch.presence.repeat_interleave(frames)
        wrong = functional.binary_cross_entropy_with_logits(frame.presence, presence)
        loss = loss + _PRESENCE * wrong
    if batch.handedness is not None:
        wrong = functional.binary_cross_entropy_with_logits(
            frame.handedness, batch.handedness.repeat_interleave(frames), reduction="none"
        )
        loss = loss + _HANDEDNESS * (wrong.view(-1, frames).mean(1) * shown).sum()
    return loss


class Parts(NamedTuple):
    """Outputs of the compact networks that there are for one frame of B streams."""

    joints: Tensor  # (B, K, 3) of the last of them
    # handedness, presence: (B,) probabilities of a left hand, and of there being one
    handedness: Tensor
    presence: Tensor
    error_scale: Tensor  # (B, K) error scales of the spatial network's joints, in half cubes
    # spatial, temporal, w1: (B, K, 3), what fusion mixed; None without it
    spatial: Tensor | None = None
    temporal: Tensor | None = None
    w1: Tensor | None = None
    memory: Memory | None = None  # for the next frame; None of the spatial network alone


def compact_step(networks: Networks, crops: Tensor, shift: Tensor, memory: Memory | None) -> Parts:
    """Run those compact networks that there are on one frame of B streams.

    Args:
        networks: ``spatial`` alone, with ``temporal``, or all three.
        crops: (B, M, M).
        shift: (B, 3), see `cadstn.models.CompactTemporal.step`.
        memory: after the frames before; None begins afresh.
    """
    spatial, temporal, fusion = (networks.get(stage) for stage in NETWORKS)
    assert isinstance(spatial, CompactSpatial)
    frame = spatial.encode(crops)
    answers = frame.handedness.sigmoid(), frame.presence.sigmoid(), frame.error_scale
    if not isinstance(temporal, CompactTemporal):
        return Parts(frame.joints, *answers)
    memory = temporal.initial_state(len(crops)) if memory is None else memory
    suggested, memory = temporal.step(frame, shift, memory)
    if not isinstance(fusion, CompactFusion):
        return Parts(suggested, *answers, memory=memory)
    w1, _ = fusion(frame, suggested, memory.h)
    joints = fuse(w1, suggested, frame.joints)
    return Parts(joints, *answers, frame.joints, suggested, w1, memory)
