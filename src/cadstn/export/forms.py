"""The exported form of each family of networks: names of inputs and outputs, and the step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from cadstn.errors import CadstnError
from cadstn.export.compact import CompactStep
from cadstn.export.half import round_to_half
from cadstn.export.paper import FusedStep
from cadstn.io.onnx_check import COMPACT_OUTPUTS, PAPER_OUTPUTS


@dataclass(frozen=True, eq=False)
class Extras:
    """What an export of compact networks can hold besides; see `cadstn.export.export_onnx`."""

    blend: tuple[Mapping[str, Mapping[str, Tensor]], float] | None = None
    error_scale: float = 1.0


class Form(Protocol):
    """How a family's whole model is exported.

    Attributes:
        inputs, outputs: names in the file.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    def check(self, extras: Extras) -> None:
        """Raise a CadstnError where the family has no use for extras, or they make no sense."""

    def example(self, model: Any, batch: int) -> tuple[Tensor, ...]:
        """Return inputs of a fresh stream."""

    def step(self, model: Any, extras: Extras, *, half: bool) -> nn.Module:
        """Make the step of one frame.

        Args:
            model: the caller's own copy, which may change.
            extras: what else the file holds.
            half: round the weights that a half file stores.
        """


class PaperForm:
    """See `Form`."""

    inputs: tuple[str, ...] = ("crops", "h", "c")
    outputs: tuple[str, ...] = PAPER_OUTPUTS

    def check(self, extras: Extras) -> None:
        """See `Form`."""
        if extras.blend is not None or extras.error_scale != 1.0:
            raise CadstnError(
                "only compact networks are blended or have an error scale",
                hint="leave blend and error_scale out",
            )

    def example(self, model: Any, batch: int) -> tuple[Tensor, ...]:
        """See `Form`."""
        size = model.config.size
        return torch.ones(batch, size, size), *model.initial_state(batch)

    def step(self, model: Any, extras: Extras, *, half: bool) -> nn.Module:
        """See `Form`."""
        if half:  # before layers are put together: the file computes what `round_to_half` gives
            round_to_half(model)
        return FusedStep(model)


class CompactForm:
    """See `Form`."""

    inputs: tuple[str, ...] = ("crops", "shift", "h", "c", "before")
    outputs: tuple[str, ...] = COMPACT_OUTPUTS

    def check(self, extras: Extras) -> None:
        """See `Form`."""
        if not extras.error_scale > 0:
            raise CadstnError(f"error_scale is {extras.error_scale}", hint="give a factor above 0")

    def example(self, model: Any, batch: int) -> tuple[Tensor, ...]:
        """See `Form`."""
        size = model.config.size
        crops, still = torch.ones(batch, size, size), torch.zeros(batch, 3)
        return crops, still, *model.initial_state(batch)

    def step(self, model: Any, extras: Extras, *, half: bool) -> nn.Module:
        """See `Form`."""
        step = CompactStep(model, extras.error_scale)
        if extras.blend:
            step.blend(*extras.blend)
        if half:  # what is stored are the convolutions with their normalisation inside
            round_to_half(step)
        return step


FORMS: dict[str, Form] = {"paper": PaperForm(), "residual": CompactForm()}
"""The registry, by the name that a family's sizes have in files."""
