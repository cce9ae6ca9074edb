"""The networks of a run, by stage: how they begin, what each stage minimises, what it predicts."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from cadstn.errors import CadstnError
from cadstn.models import Cadstn, Compact
from cadstn.synth.compiling import check_compiles
from cadstn.train.compact import CompactFamily
from cadstn.train.family import Family, Networks, StageMasks
from cadstn.train.paper import PaperFamily
from cadstn.train.recipes import Recipe
from cadstn.train.seeds import Stage, torch_seed
from cadstn.train.source import Batch

FAMILIES: dict[str, Family] = {"paper": PaperFamily(), "residual": CompactFamily()}
"""The registry of families, by the name that their sizes have in files."""


def family_of(recipe: Recipe) -> Family:
    """Return the family of a recipe's networks."""
    return FAMILIES[recipe.net.trunk]


def build(recipe: Recipe, device: str) -> Networks:
    """Make the networks of a recipe's stages, each with weights that its seed and name decide.

    Raises:
        CadstnError: if their steps are to be captured and there is no GPU.
    """
    if recipe.step_mode == "captured" and torch.device(device).type != "cuda":
        raise CadstnError(
            "steps are captured on a GPU only",
            where=recipe.name,
            hint="give --device cuda, or set step_mode=compiled",
        )
    networks: Networks = {}
    for stage in recipe.stages:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(torch_seed(recipe.seed, Stage[stage]))
            network = family_of(recipe).make(stage, recipe)
        # On a CPU a training step takes two thirds of the time with channels last.
        networks[stage] = network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # not in its stubs
    return networks


def stage_step(
    networks: Networks, stage: str, recipe: Recipe
) -> Callable[[Batch, StageMasks], Tensor]:
    """Return the loss of a stage as a training computes it: eager, compiled or captured.

    The first compiled step takes a minute. A captured one is replayed from CUDA graphs, so that
    the host need not launch every kernel. Evaluation stays eager: it comes in many
    shapes, each of which would be compiled anew.
    """
    family = family_of(recipe)

    def step(batch: Batch, masks: StageMasks) -> Tensor:
        return family.loss(networks, stage, batch, recipe, masks)

    if recipe.step_mode == "eager":
        return step
    check_compiles(next(networks[stage].parameters()).device.type)
    mode = "reduce-overhead" if recipe.step_mode == "captured" else "default"
    fused: Callable[[Batch, StageMasks], Tensor] = torch.compile(step, dynamic=False, mode=mode)
    return fused


def predict(networks: Networks, stage: str, batch: Batch) -> Tensor:
    """Joints (B, T, K, 3) that the networks up to a stage see in a batch; labels are unread."""
    trunk: str = networks[stage].config.trunk  # type: ignore[assignment,union-attr]
    return FAMILIES[trunk].predict(networks, stage, batch)


def assemble(networks: Networks, recipe: Recipe) -> Cadstn | Compact:
    """Put the three networks of Algorithm 1 together, in evaluation mode, without copying."""
    return family_of(recipe).assemble(networks, recipe).eval()
