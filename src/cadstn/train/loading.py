"""Finished runs, read back as they are at inference."""

from __future__ import annotations

from pathlib import Path

from cadstn.errors import CadstnError
from cadstn.models import Cadstn, Compact, inference_state
from cadstn.train.family import Networks
from cadstn.train.networks import assemble, family_of
from cadstn.train.recipes import Recipe
from cadstn.train.state import check_same, read_tensors, recipe_of

_HINT = "delete it and train again, or give the run that it was copied from"


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
    recipe = recipe_of(path, about)
    networks: Networks = {}
    for name in recipe.traits.needed(stage):
        path = out / f"{name}.safetensors"
        tensors, theirs = read_tensors(path)
        check_same(path, theirs, about, name)
        part = family_of(recipe).make(name, recipe, auxiliary=False)
        try:
            part.load_state_dict(inference_state(tensors))
        except (RuntimeError, KeyError) as error:  # of another shape, or missing
            raise CadstnError(
                f"not weights of its recipe ({str(error).splitlines()[0]})", where=path, hint=_HINT
            ) from None
        networks[name] = part.eval()
    return networks, recipe


def load_model(out: Path) -> tuple[Cadstn | Compact, Recipe]:
    """Read a finished run of all three stages: the whole model at inference, and its recipe.

    Raises:
        CadstnError: if a stage is missing or damaged.
    """
    networks, recipe = load_networks(out, "fusion")
    return assemble(networks, recipe), recipe
