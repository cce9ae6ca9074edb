"""Complete training configurations, each a function that returns one."""

from cadstn.recipes.named import KINDS, SETS, compact, paper, recipe, released, tiny
from cadstn.recipes.parts import Augment, Plan
from cadstn.recipes.recipe import NETWORKS, STAGES, Recipe, override

__all__ = [
    "KINDS",
    "NETWORKS",
    "SETS",
    "STAGES",
    "Augment",
    "Plan",
    "Recipe",
    "compact",
    "override",
    "paper",
    "recipe",
    "released",
    "tiny",
]
