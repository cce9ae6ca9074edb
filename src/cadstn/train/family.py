"""What training needs of a family of networks: the one place where families differ."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from cadstn.models import Cadstn, Compact, Masks

if TYPE_CHECKING:
    from cadstn.train.recipes import Recipe
    from cadstn.train.source import Batch

Networks = dict[str, nn.Module]
"""By stage."""

StageMasks = Mapping[str, Masks]
"""Dropout masks by stage: those of the stage that is trained, and of those it reads."""


class Family(ABC):
    """A family of networks, each stage of which is one network.

    Its sizes are a class of `cadstn.models.config.CONFIGS`, the exported form of its whole one of
    `cadstn.export.forms.FORMS`, and what recipes must respect one of
    `cadstn.train.recipes.parts.TRAITS`; all under one name.

    Attributes:
        whole: the class of its networks together, made from its sizes, each part of which is the
            network of the stage of that name.
    """

    whole: type[Any]

    @abstractmethod
    def make(self, stage: str, recipe: Recipe, *, auxiliary: bool = True) -> nn.Module:
        """Make a stage's network from torch's own random numbers.

        Args:
            stage: its name.
            recipe: names the sizes and the gate's start.
            auxiliary: with what only training needs.
        """

    def begin(self, networks: Networks, stage: str, recipe: Recipe) -> None:  # noqa: B027
        """Give a stage the layers of a trained network that its recipe starts from: here none."""

    def assemble(self, networks: Networks, recipe: Recipe) -> Cadstn | Compact:
        """Put the three networks of Algorithm 1 together without copying."""
        with torch.device("meta"):
            whole: Cadstn | Compact = self.whole(recipe.net)
        for stage, _ in whole.named_children():
            setattr(whole, stage, networks[stage])
        return whole

    def masks(self, networks: Networks, stage: str, recipe: Recipe, rows: Tensor) -> StageMasks:
        """Draw the dropout masks of one training step: here none.

        Args:
            networks: by stage.
            stage: that is trained.
            recipe: names the seed.
            rows: (B,) int64 sample numbers, of which alone the masks are a function; on the
                networks' device.
        """
        return {}

    @abstractmethod
    def loss(
        self, networks: Networks, stage: str, batch: Batch, recipe: Recipe, masks: StageMasks
    ) -> Tensor:
        """Loss of one stage on one batch; only its own network takes part in the gradient."""

    @abstractmethod
    def predict(self, networks: Networks, stage: str, batch: Batch) -> Tensor:
        """Joints (B, T, K, 3) that the networks up to a stage see in a batch; labels are unread."""

    def parameters(
        self, network: nn.Module, stage: str, recipe: Recipe
    ) -> list[tuple[nn.Parameter, float]]:
        """List what is trained, always in one order, each with its multiple of the learning rate.

        Here everything, with 1. Layers that stay as they are stop asking for gradients.
        """
        return [(parameter, 1.0) for parameter in network.parameters()]
