"""The exported form of each family of networks: names of inputs and outputs, and the step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from cadstn.errors import CadstnError
from cadstn.export.compact import CompactStep
from cadstn.export.half import round_to_half
from cadstn.export.paper import FusedStep
from cadstn.io.onnx_check import COMPACT_OUTPUTS, PAPER_OUTPUTS

Blend = tuple[Mapping[str, Mapping[str, Tensor]], float]
"""Weights by stage and name, and their share; see `cadstn.export.compact.CompactStep.blend`."""


class Form(Protocol):
    """How a family's whole model is exported.

    Attributes:
        inputs, outputs: names in the file.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    def example(self, model: Any, batch: int) -> tuple[Tensor, ...]:
        """Return inputs of a fresh stream."""

    def step(self, model: Any, blend: Blend | None, error_scale: float, *, half: bool) -> nn.Module:
        """Make the step of one frame.

        Args:
            model: the caller's own copy, which may change.
            blend: of compact networks, as `error_scale`; see `cadstn.export.export_onnx`.
            error_scale: 1 changes nothing.
            half: round the weights that a half file stores.

        Raises:
            CadstnError: the family has no use for blend or error_scale, or they make no sense.
        """


class PaperForm:
    """See `Form`."""

    inputs: tuple[str, ...] = ("crops", "h", "c")
    outputs: tuple[str, ...] = PAPER_OUTPUTS

    def example(self, model: Any, batch: int) -> tuple[Tensor, ...]:
        """See `Form`."""
        size = model.config.size
        return torch.ones(batch, size, size), *model.initial_state(batch)

    def step(self, model: Any, blend: Blend | None, error_scale: float, *, half: bool) -> nn.Module:
        """See `Form`."""
        if blend is not None or error_scale != 1.0:
            raise CadstnError(
                "only compact networks are blended or have an error scale",
                hint="leave blend and error_scale out",
            )
        if half:  # before layers are put together: the file computes what `round_to_half` gives
            round_to_half(model)
        return FusedStep(model)


class CompactForm:
    """See `Form`."""

    inputs: tuple[str, ...] = ("crops", "shift", "h", "c", "before")
    outputs: tuple[str, ...] = COMPACT_OUTPUTS

    def example(self, model: Any, batch: int) -> tuple[Tensor, ...]:
        """See `Form`."""
        size = model.config.size
        crops, still = torch.ones(batch, size, size), torch.zeros(batch, 3)
        return crops, still, *model.initial_state(batch)

    def step(self, model: Any, blend: Blend | None, error_scale: float, *, half: bool) -> nn.Module:
        """See `Form`."""
        if not error_scale > 0:
            raise CadstnError(f"error_scale is {error_scale}", hint="give a factor above 0")
        step = CompactStep(model, error_scale)
        if blend:
            step.blend(*blend)
        if half:  # what is stored are the convolutions with their normalisation inside
            round_to_half(step)
        return step


FORMS: dict[str, Form] = {"paper": PaperForm(), "residual": CompactForm()}
"""The registry, by the name that a family's sizes have in files."""
