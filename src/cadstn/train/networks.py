"""The networks of a run, by stage: how they begin, what each stage minimises, what it predicts."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from cadstn.errors import CadstnError
from cadstn.models import (
    Baseline,
    Cadstn,
    Compact,
    CompactFusion,
    CompactSpatial,
    CompactTemporal,
    Dropout,
    Fusion,
    Sliced,
    Spatial,
    Temporal,
    fuse,
    half_squared,
    pose_distance,
    spatial_loss,
)
from cadstn.synth.draws import Draws
from cadstn.train.compact import compact_loss, compact_predict
from cadstn.train.recipes import Recipe
from cadstn.train.source import DROPOUT, Batch

NUMBERS = {"spatial": 0, "temporal": 1, "fusion": 2, "baseline": 3, "sliced": 4}
"""What a stage is called in a seed."""

Networks = dict[str, nn.Module]


def build(recipe: Recipe, device: str) -> Networks:
    """Make the networks of a recipe's stages, each with weights that its seed and name decide.

    Raises:
        CadstnError: if their steps are to be captured and there is no GPU.
    """
    if recipe.step_mode == "captured" and torch.device(device).type != "cuda":
        raise CadstnError(
            "steps are captured on a GPU only",
            where=recipe.name,
            mend="give --device cuda, or set step_mode=compiled",
        )
    networks: Networks = {}
    for stage in recipe.stages:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(_seed(recipe.seed, NUMBERS[stage]))
            network = make(stage, recipe)
        # On a CPU a training step takes two thirds of the time with channels last.
        networks[stage] = network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # not in its stubs
    return networks


def begin(networks: Networks, stage: str, recipe: Recipe) -> None:
    """Give a stage the convolutions and FC1 of the trained network that it starts from."""
    start = getattr(recipe, f"{stage}_start", "scratch")
    if start == "scratch" or recipe.compact:  # compact networks share one trunk
        return
    part, other = networks[stage], networks[start]
    trunk = other.depth_trunk if isinstance(other, Spatial) else other.trunk
    first = other.fc1 if isinstance(other, Spatial) else other.head.fc1  # type: ignore[union-attr]
    _copy(trunk, part.trunk)
    _copy(first, part.fc1 if isinstance(part, Temporal) else part.head.fc1)  # type: ignore[union-attr]


def set_dropout(network: nn.Module, recipe: Recipe, stage: str, rows: Tensor) -> None:
    """Let the next pass drop what is a function of seed, stage, layer and sample number.

    The masks are made here and not where they are used: hashed inside a compiled step, the
    gradients of some steps were a few per cent off the eager ones (torch 2.13, CPU).

    Args:
        network: of the stage.
        recipe: names the seed.
        stage: its name.
        rows: (B,) int64 sample numbers, on the network's device.
    """
    layers = [layer for layer in network.modules() if isinstance(layer, Dropout) and layer.p]
    if not layers:
        return
    # The spatial network's layers run twice in training: in the main path and in an auxiliary one.
    passes = 2 if isinstance(network, Spatial) else 1
    draws = Draws((recipe.seed, DROPOUT, NUMBERS[stage]), rows).repeat(recipe.frames(stage))
    widths = [layer.width for layer in layers for _ in range(passes)]
    parts = iter(torch.split(draws.uniform(sum(widths)), widths, dim=1))
    for layer in layers:
        layer.masks = [next(parts) >= layer.p for _ in range(passes)]


def stage_loss(networks: Networks, stage: str, batch: Batch, recipe: Recipe) -> Tensor:
    """Loss of one stage on one batch; only that stage's network takes part in the gradient."""
    if recipe.compact:
        return compact_loss(networks, stage, batch, recipe)
    distance = {"pose_distance": pose_distance, "half_squared": half_squared}[recipe.loss]
    network, crops = networks[stage], batch.crops
    if isinstance(network, Spatial):
        outputs = network.forward_train(crops.flatten(0, 1))
        return spatial_loss(outputs, batch.joints.flatten(0, 1), distance)
    if isinstance(network, Temporal):
        joints, _ = network(crops)
        return distance(joints, batch.joints)
    if isinstance(network, Fusion):
        with torch.no_grad():
            temporal, spatial = (
                predict(networks, other, batch) for other in ("temporal", "spatial")
            )
        w1 = network(crops.flatten(0, 1)).view_as(temporal)
        return distance(fuse(w1, temporal, spatial), batch.joints)
    return distance(network(crops.flatten(0, 1)), batch.joints.flatten(0, 1))


def stage_step(
    networks: Networks, stage: str, recipe: Recipe, device: str
) -> Callable[[Batch], Tensor]:
    """Return `stage_loss` of a stage as a training takes it: eager, compiled or captured.

    The first compiled step takes a minute. A captured one is replayed from CUDA graphs, so that
    the host need not launch every kernel. Evaluation stays eager: it comes in many
    shapes, each of which would be compiled anew.
    """

    def step(batch: Batch) -> Tensor:
        return stage_loss(networks, stage, batch, recipe)

    if recipe.step_mode == "eager":
        return step
    mode = "reduce-overhead" if recipe.step_mode == "captured" else "default"
    fused: Callable[[Batch], Tensor] = torch.compile(step, dynamic=False, mode=mode)
    return fused


def predict(networks: Networks, stage: str, batch: Batch) -> Tensor:
    """Joints (B, T, K, 3) that the networks up to a stage see in a batch; its labels are not read.

    The paper's networks read the crops alone, the compact ones also where those are.
    """
    network, crops = networks[stage], batch.crops
    if isinstance(network, (CompactSpatial, CompactTemporal, CompactFusion)):
        return compact_predict(networks, stage, batch)
    if isinstance(network, Temporal):
        joints: Tensor = network(crops)[0]
        return joints
    found: Tensor = network(crops.flatten(0, 1)).view(*crops.shape[:2], -1, 3)
    if isinstance(network, Fusion):
        others = (predict(networks, other, batch) for other in ("temporal", "spatial"))
        return fuse(found, *others)
    return found


def assemble(networks: Networks, recipe: Recipe) -> Cadstn | Compact:
    """Put the three networks of Algorithm 1 together, in evaluation mode, without copying."""
    with torch.device("meta"):
        model = Compact(recipe.net) if recipe.compact else Cadstn(recipe.net, auxiliary=True)
    for stage in ("spatial", "temporal", "fusion"):
        setattr(model, stage, networks[stage])
    return model.eval()


def make(stage: str, recipe: Recipe, *, auxiliary: bool = True) -> nn.Module:
    """Make a stage's network from torch's own random numbers.

    Args:
        stage: its name.
        recipe: names the sizes and the gate's start.
        auxiliary: with the paths that only the spatial network's training needs.
    """
    # The gate's weight before it has seen anything: sigmoid(bias).
    gate = math.log(recipe.gate / (1 - recipe.gate))
    if recipe.compact:
        return _make_compact(stage, recipe, gate)
    if stage == "spatial":
        return Spatial(recipe.net, auxiliary=auxiliary)
    if stage == "fusion":
        network = Fusion(recipe.net)
        nn.init.constant_(network.head.output.bias, gate)
        return network
    kinds = {"baseline": Baseline, "sliced": Sliced, "temporal": Temporal}
    made: nn.Module = kinds[stage](recipe.net)
    return made


def _make_compact(stage: str, recipe: Recipe, gate: float) -> nn.Module:
    if stage == "fusion":
        network = CompactFusion(recipe.net)
        nn.init.zeros_(network.output.weight)
        nn.init.constant_(network.output.bias[: 3 * recipe.net.joints], gate)
        return network
    return CompactSpatial(recipe.net) if stage == "spatial" else CompactTemporal(recipe.net)


def _copy(source: object, target: object) -> None:
    assert isinstance(source, nn.Module)
    assert isinstance(target, nn.Module)
    target.load_state_dict(source.state_dict())


def _seed(*words: int) -> int:
    return int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0] >> 2)
