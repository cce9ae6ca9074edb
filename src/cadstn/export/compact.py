"""The streaming step of the compact networks with flat inputs and outputs, for export."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from cadstn.errors import CadstnError
from cadstn.models import Compact, Memory

_Model = TypeVar("_Model", bound=nn.Module)


class CompactStep(nn.Module):
    """`Compact.step` with flat inputs and outputs, and its batch normalisation in its convolutions.

    Args:
        model: whose weights are taken; it is left as it was.
        error_scale: factor of the error scales it predicts.
    """

    def __init__(self, model: Compact, error_scale: float = 1.0) -> None:
        super().__init__()
        self.error_scale = error_scale
        self.model = folded(copy.deepcopy(model))

    @torch.no_grad()
    def blend(self, other: Mapping[str, Mapping[str, Tensor]], share: float) -> None:
        """Move all weights by a share of the way to those of another export.

        Of two trainings of which one went on from the other the mean can be better than either
        (Wortsman et al., "Model soups", ICML 2022).

        Args:
            other: weights by stage and name, with the normalisation inside the convolutions.
            share: of the other's, from 0 to 1.

        Raises:
            CadstnError: if they are those of other sizes.
        """
        own = dict(self.model.named_parameters())
        theirs = {f"{stage}.{n}": t for stage, part in other.items() for n, t in part.items()}
        for name in sorted(own.keys() | theirs.keys()):
            if name not in own or name not in theirs or own[name].shape != theirs[name].shape:
                raise CadstnError(
                    f"weights of another network cannot be blended in ({name})",
                    hint="give an export of the same recipe",
                )
        for name, weight in own.items():
            weight.lerp_(theirs[name], share)

    def forward(
        self, crops: Tensor, shift: Tensor, h: Tensor, c: Tensor, before: Tensor
    ) -> tuple[Tensor, ...]:
        """Map a frame to what `cadstn.tracking.network.Step` holds, answers as probabilities."""
        out = self.model.step(crops, shift, Memory(h, c, before))
        answers = (out.presence.sigmoid(), out.handedness.sigmoid())
        error_scale = out.error_scale * self.error_scale
        return (out.joints, out.w1, *out.memory, out.spatial, error_scale, *answers)


def folded(model: _Model) -> _Model:
    """Put batch normalisation into the convolutions before it, in place."""
    for layer in list(model.eval().modules()):
        if isinstance(getattr(layer, "norm", None), nn.BatchNorm2d):
            layer.conv = fuse_conv_bn_eval(layer.conv, layer.norm)  # type: ignore[type-var, arg-type]
            layer.norm = nn.Identity()
    return model
