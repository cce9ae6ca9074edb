"""Complete training configurations, each a function that returns one."""

from cadstn.train.recipes.named import KINDS, SETS, compact, paper, recipe, released, tiny
from cadstn.train.recipes.parts import Augment, Plan
from cadstn.train.recipes.recipe import NETWORKS, STAGES, Recipe, override

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
