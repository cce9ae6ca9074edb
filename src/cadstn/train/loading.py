"""Finished runs, read back as they are at inference."""

from __future__ import annotations

from pathlib import Path

from cadstn.models import Cadstn, Compact, inference_state
from cadstn.train.family import Networks
from cadstn.train.networks import assemble, family_of
from cadstn.train.recipes import Recipe
from cadstn.train.state import check_same, read_tensors


def load_networks(out: Path, stage: str) -> tuple[Networks, Recipe]:
    """Read a finished stage and those that its predictions need, as they are at inference.

    Args:
        out: a run's folder.
        stage: ``baseline``, ``sliced``, ``spatial``, ``temporal`` or ``fusion`` (the whole).

    Raises:
        CadstnError: if a file is missing, damaged, or another recipe's than the stage's own.
    """
    path = out / f"{stage}.safetensors"
    _, about = read_tensors(path)
    check_same(path, about, about, stage)
    recipe = Recipe.from_json(about["recipe"])
    networks: Networks = {}
    for name in recipe.traits.needed(stage):
        path = out / f"{name}.safetensors"
        tensors, theirs = read_tensors(path)
        check_same(path, theirs, about, name)
        part = family_of(recipe).make(name, recipe, auxiliary=False)
        part.load_state_dict(inference_state(tensors))
        networks[name] = part.eval()
    return networks, recipe


def load_model(out: Path) -> tuple[Cadstn | Compact, Recipe]:
    """Read a finished run of all three stages: the whole model at inference, and its recipe.

    Raises:
        CadstnError: if a stage is missing or damaged.
    """
    networks, recipe = load_networks(out, "fusion")
    return assemble(networks, recipe), recipe
