"""The paper's networks in training: Algorithm 1, by the text or by the released definitions."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from cadstn.models import (
    Baseline,
    Cadstn,
    Drop,
    Fusion,
    PaperConfig,
    Sliced,
    Spatial,
    Temporal,
    half_squared,
    pose_distance,
    spatial_loss,
)
from cadstn.models.paper.blocks import NO_MASKS
from cadstn.synth.draws import Draws
from cadstn.train.family import Family, Networks, StageMasks
from cadstn.train.seeds import Stage, Use

if TYPE_CHECKING:
    from cadstn.train.recipes import Recipe
    from cadstn.train.source import Batch

EXPERTS = ("temporal", "spatial")
"""The stages whose predictions fusion mixes."""

Distance = Callable[[Tensor, Tensor], Tensor]
_LOSSES: dict[str, Distance] = {"pose_distance": pose_distance, "half_squared": half_squared}
# Dense layers whose bias learns at `Recipe.bias_rate`; the baseline's learn as its weights do.
_BIASES = {
    "sliced": ("head.",),
    "spatial": ("fc1.", "fc1_3d.", "fc2.", "fc2_3d.", "output.", "auxiliary."),
    "temporal": ("output.",),
    "fusion": ("head.",),
    "baseline": (),
}


class _StageNetwork(NamedTuple):
    """How one stage's network is built, run and trained; see `NETWORKS`."""

    build: Callable[[PaperConfig], Any]
    predict: Callable[[Networks, str, Tensor, StageMasks], Tensor]
    loss: Callable[[Networks, str, Batch, Recipe, StageMasks], Tensor]


class PaperFamily(Family):
    """See `cadstn.train.family.Family`."""

    whole = Cadstn

    def make(self, stage: str, recipe: Recipe, *, auxiliary: bool = True) -> nn.Module:
        """See `Family`."""
        made = NETWORKS[stage].build(_sizes(recipe))
        if stage == "spatial" and not auxiliary:
            made.auxiliary = None
        if stage == "fusion":
            made.start_at(recipe.gate)
        network: nn.Module = made
        return network

    def begin(self, networks: Networks, stage: str, recipe: Recipe) -> None:
        """See `Family`."""
        start = recipe.start(stage)
        if start == "scratch":
            return
        for source, target in zip(
            _encoder(networks[start], start), _encoder(networks[stage], stage), strict=True
        ):
            target.load_state_dict(source.state_dict())

    def masks(self, networks: Networks, stage: str, recipe: Recipe, rows: Tensor) -> StageMasks:
        """See `Family`.

        The masks are made here and not where they are used: hashed inside a compiled step, the
        gradients of some steps were a few per cent off the eager ones (torch 2.13, CPU).
        """
        draws = Draws((recipe.seed, Use.DROPOUT, Stage[stage]), rows)
        frames = recipe.frames(stage)
        drawn = {stage: _draw(networks[stage].drops(), draws.repeat(frames))}  # type: ignore[operator]
        if stage == "fusion" and recipe.expert_dropout:
            for name in EXPERTS:
                drops: Iterable[Drop] = networks[name].drops()  # type: ignore[operator]
                drawn[name] = _draw(drops, draws.fork(name).repeat(frames))
        return drawn

    def loss(
        self, networks: Networks, stage: str, batch: Batch, recipe: Recipe, masks: StageMasks
    ) -> Tensor:
        """See `Family`."""
        return NETWORKS[stage].loss(networks, stage, batch, recipe, masks)

    def predict(self, networks: Networks, stage: str, batch: Batch) -> Tensor:
        """See `Family`."""
        return NETWORKS[stage].predict(networks, stage, batch.crops, {})

    def parameters(
        self, network: nn.Module, stage: str, recipe: Recipe
    ) -> list[tuple[nn.Parameter, float]]:
        """See `Family`."""
        if stage == "temporal" and recipe.temporal_frozen:
            for part in _encoder(network, stage):
                part.requires_grad_(False)
        named = [(name, p) for name, p in network.named_parameters() if p.requires_grad]
        # The LSTM's last: checkpoints know parameters by their place in this list.
        named.sort(key=lambda item: item[0].startswith("lstm."))
        return [(parameter, _rate(stage, name, recipe)) for name, parameter in named]


def _rate(stage: str, name: str, recipe: Recipe) -> float:
    """Multiple of the learning rate of one parameter."""
    if name.startswith("lstm."):
        return recipe.lstm_rate * (recipe.lstm_inputs_rate if name.endswith("weight_x") else 1)
    biased = name.endswith("bias") and name.startswith(_BIASES[stage])
    return recipe.bias_rate if biased else 1.0


def _sizes(recipe: Recipe) -> PaperConfig:
    assert isinstance(recipe.net, PaperConfig)
    return recipe.net


def _encoder(network: Any, stage: str) -> tuple[nn.Module, nn.Module]:
    """Return the convolutions on depth and FC1 of a network."""
    if stage == "spatial":
        return network.depth_trunk, network.fc1
    return network.trunk, network.fc1 if stage == "temporal" else network.head.fc1


def _draw(drops: Iterable[Drop], draws: Draws) -> dict[str, Tensor]:
    """Draw a row of each mask for every stream."""
    used = [drop for drop in drops if drop.share]
    widths = [drop.width for drop in used]
    if not used:
        return {}
    parts = torch.split(draws.uniform(sum(widths)), widths, dim=1)
    return {drop.name: part >= drop.share for drop, part in zip(used, parts, strict=True)}


# -- predictions: (B, T, M, M) -> (B, T, K, 3) -----------------------------------------------------


def _each_frame(networks: Networks, stage: str, crops: Tensor, masks: StageMasks) -> Tensor:
    joints: Tensor = networks[stage](crops.flatten(0, 1), masks.get(stage, NO_MASKS))
    return joints.view(*crops.shape[:2], -1, 3)


def _whole_clips(networks: Networks, stage: str, crops: Tensor, masks: StageMasks) -> Tensor:
    joints: Tensor = networks[stage](crops, None, masks.get(stage, NO_MASKS))[0]
    return joints


def _fused(networks: Networks, stage: str, crops: Tensor, masks: StageMasks) -> Tensor:
    with torch.no_grad():
        temporal, spatial = (
            NETWORKS[name].predict(networks, name, crops, masks) for name in EXPERTS
        )
    gate: Any = networks[stage]
    mixed: Tensor = gate.weights(crops.flatten(0, 1), masks.get(stage, NO_MASKS)).mix(
        temporal, spatial
    )
    return mixed


# -- losses ----------------------------------------------------------------------------------------


def _prediction_loss(
    networks: Networks, stage: str, batch: Batch, recipe: Recipe, masks: StageMasks
) -> Tensor:
    """Equation 1 or half the squared error, of what is predicted."""
    joints = NETWORKS[stage].predict(networks, stage, batch.crops, masks)
    return _LOSSES[recipe.loss](joints, batch.joints)


def _spatial_loss(
    networks: Networks, stage: str, batch: Batch, recipe: Recipe, masks: StageMasks
) -> Tensor:
    """Main and auxiliary paths together."""
    network: Any = networks[stage]
    outputs = network.forward_train(batch.crops.flatten(0, 1), masks.get(stage, NO_MASKS))
    return spatial_loss(outputs, batch.joints.flatten(0, 1), _LOSSES[recipe.loss])


def _temporal_loss(
    networks: Networks, stage: str, batch: Batch, recipe: Recipe, masks: StageMasks
) -> Tensor:
    """Divided by the images, or as Caffe does by the first axis of (T, clips, ...) alone."""
    loss = _prediction_loss(networks, stage, batch, recipe, masks)
    clips = recipe.plan(stage).batch // recipe.clip
    return loss * clips if recipe.temporal_divisor == "frames" else loss


NETWORKS = {
    "baseline": _StageNetwork(Baseline, _each_frame, _prediction_loss),
    "sliced": _StageNetwork(Sliced, _each_frame, _prediction_loss),
    "spatial": _StageNetwork(Spatial, _each_frame, _spatial_loss),
    "temporal": _StageNetwork(Temporal, _whole_clips, _temporal_loss),
    "fusion": _StageNetwork(Fusion, _fused, _prediction_loss),
}
"""The registry of the paper's networks, by stage: a new one is a line here."""
