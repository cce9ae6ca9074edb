"""What changes the weights: Adam, or Muon for a compact trunk's convolutions and Adam for the rest.

Muon (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon) replaces the gradient of a
matrix by the nearest matrix that stretches nothing, so that all directions of it are learned at one
speed. Its steps are scaled to be as long as Adam's (Liu et al. 2025, arXiv:2502.16982), so both
take the recipe's learning rate.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby
from operator import itemgetter

import torch
from torch import Tensor, nn

from cadstn.models.config import PATCH
from cadstn.models.residual import Normalised
from cadstn.train.networks import family_of
from cadstn.train.recipes import Recipe

Optimizers = dict[str, torch.optim.Optimizer]
"""By the name that their state has in a checkpoint."""


def optimizers(network: nn.Module, stage: str, recipe: Recipe, learning_rate: float) -> Optimizers:
    """Make what trains one stage's network.

    Args:
        network: of the stage, on its device and in its memory format: neither may change after.
        stage: its name.
        recipe: names the optimizer, its weight decay, and what of the network is trained.
        learning_rate: at the start; each group has its own multiple of it as ``rate``.
    """
    convolutions = _convolutions(network) if recipe.optimizer == "muon" else []
    matrices = {id(parameter) for parameter in convolutions}
    rated = family_of(recipe).parameters(network, stage, recipe)
    # Groups of neighbours: a checkpoint knows each parameter by its place in the whole list.
    groups = groupby(((p, rate) for p, rate in rated if id(p) not in matrices), itemgetter(1))
    adam = torch.optim.Adam(
        [{"params": [p for p, _ in members], "rate": rate} for rate, members in groups],
        lr=learning_rate,
        weight_decay=recipe.weight_decay,
        fused=True,
    )
    made: Optimizers = {"adam": adam}
    if convolutions:
        made["muon"] = ConvolutionMuon(convolutions, learning_rate)
    return made


class ConvolutionMuon(torch.optim.Muon):
    """Torch's Muon, which knows matrices alone: filters are rows, inputs and places columns.

    Args:
        weights: (outputs, inputs, k, k) each, of convolutions.
        learning_rate: at the start.
    """

    def __init__(self, weights: list[Tensor], learning_rate: float) -> None:
        self._weights = weights
        self._matrices = [nn.Parameter(_matrix(w.detach(), w)) for w in weights]
        super().__init__(
            [{"params": self._matrices, "rate": 1.0}],
            lr=learning_rate,
            weight_decay=0.0,
            adjust_lr_fn="match_rms_adamw",
        )

    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Change the weights by their gradients."""
        for matrix, weight in zip(self._matrices, self._weights, strict=True):
            matrix.grad = None if weight.grad is None else _matrix(weight.grad, weight)
        super().step(closure)  # type: ignore[no-untyped-call]


def _convolutions(network: nn.Module) -> list[Tensor]:
    """Weights of the convolutions between features: Adam has the first and last ones."""
    layers = [layer.conv for layer in network.modules() if isinstance(layer, Normalised)]
    return [layer.weight for layer in layers if layer.stride != (PATCH, PATCH)]


def _matrix(tensor: Tensor, like: Tensor) -> Tensor:
    """A weight or its gradient (O, I, k, k) as (O, I k k), columns in the weight's own order.

    Of the weight itself it is a view: what changes it changes the weight.
    """
    return tensor.flatten(1) if like.is_contiguous() else tensor.permute(0, 2, 3, 1).flatten(1)
