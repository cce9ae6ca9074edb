"""What no training begins with, though files that name it are read: runs of earlier versions."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from cadstn.errors import CadstnError
from cadstn.models import PaperConfig
from cadstn.train.recipes.overriding import replaced
from cadstn.train.recipes.recipe import Recipe

#: Fields that decide how frames are rendered; `compact` sets two of them for every set.
_RENDERED_BY = ("hands", "held", "mesh", "near_mm", "far_mm", "prepared", "compiled")


def override(recipe: Recipe, values: Mapping[str, Any]) -> Recipe:
    """Replace fields of a recipe, those of a part as ``net.FIELD``, ``spatial.steps`` or a mapping.

    Raises:
        CadstnError: for an unknown field, with the nearest name, or a value of the wrong type; if
            it is of rendering, and the recipe is for other frames; as `check_used`.
    """
    made = replaced(recipe, values)
    check_used(made)
    idle = [name for name in _RENDERED_BY if getattr(made, name) != getattr(recipe, name)]
    if idle and made.data != "rendered":
        raise CadstnError(
            f"{', '.join(idle)} would do nothing for {made.data}, whose frames are not rendered",
            where=made.name,
            hint="leave that out",
        )
    return made


def check_used(recipe: Recipe) -> None:
    """Refuse a recipe with a field that would do nothing, or fail after hours.

    Raises:
        CadstnError: if a field is set that its networks, its data or its schedule have no use for,
            or if the free gate, which is wider, is to begin with another network's layers.
    """
    plain = {field.name: field.default for field in dataclasses.fields(Recipe)}
    unused = {
        f"for networks of a {recipe.net.trunk} trunk": recipe.traits.unused,
        f"under the {recipe.schedule} schedule": ("decay", "decay_every")
        if recipe.schedule == "cosine"
        else (),
    }
    for what, names in unused.items():
        idle = [name for name in names if getattr(recipe, name) != plain[name]]
        if idle:
            back = " ".join(f"{name}={plain[name]}".lower() for name in idle)
            raise CadstnError(
                f"{', '.join(idle)} would do nothing {what}", where=recipe.name, hint=f"set {back}"
            )
    if recipe.augment.upright and not recipe.wanted().upright:
        raise CadstnError(
            "augment.upright is for compact networks of rendered hands: others do not learn sides",
            where=recipe.name,
            hint="set augment.upright=0",
        )
    free = isinstance(recipe.net, PaperConfig) and recipe.net.fusion == "free"
    if free and recipe.fusion_start != "scratch" and recipe.network == "cadstn":
        raise CadstnError(
            f"the free gate is too wide for the layers of the {recipe.fusion_start} network",
            where=recipe.name,
            hint="set fusion_start=scratch",
        )
