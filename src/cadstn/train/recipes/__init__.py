"""Complete training configurations, each a function that returns one."""

from cadstn.train.recipes.checks import check_used, override
from cadstn.train.recipes.named import KINDS, SETS, compact, paper, recipe, released, tiny
from cadstn.train.recipes.parts import NETWORKS, STAGES, TRAITS, Augment, Plan, Traits
from cadstn.train.recipes.recipe import Recipe

__all__ = [
    "KINDS",
    "NETWORKS",
    "SETS",
    "STAGES",
    "TRAITS",
    "Augment",
    "Plan",
    "Recipe",
    "Traits",
    "check_used",
    "compact",
    "override",
    "paper",
    "recipe",
    "released",
    "tiny",
]
