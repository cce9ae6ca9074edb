"""Going on from weights that are trained already: those of a run, or of an exported file."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cadstn.errors import CadstnError
from cadstn.io.whole import no_file
from cadstn.models.residual import Normalised
from cadstn.train.recipes import STAGES, Recipe
from cadstn.train.state import read_tensors

_HINT = "give a folder of 'cadstn train', or a file of 'cadstn export' that is not int8"


@dataclass(frozen=True, eq=False)
class Start:
    """Weights by stage."""

    name: str  # of the file or folder, with the first digits of its SHA-256
    tensors: Mapping[str, Mapping[str, Tensor]]  # by stage, and the name in the stage's network
    folded: bool  # whether batch normalisation is inside the convolutions, as an export has it


def read_start(path: Path) -> Start:
    """Read weights to go on from.

    Args:
        path: a folder of a run, of which the stages that are done are taken, or an ONNX file of
            the compact networks.

    Raises:
        CadstnError: if there is nothing, or nothing that training can go on from.
    """
    if path.is_dir():
        files = [path / f"{stage}.safetensors" for stage in STAGES]
        tensors = {file.stem: read_tensors(file)[0] for file in files if file.is_file()}
        if not tensors:
            raise CadstnError("holds no trained stage", where=path, hint=_HINT)
        return Start(_name(path, [file for file in files if file.is_file()]), tensors, False)
    if not path.is_file():
        raise CadstnError(no_file(path, "no such weights"), where=path, hint=_HINT)
    return Start(_name(path, [path]), _exported(path), True)


def check_start(start: Start, recipe: Recipe) -> None:
    """Raise a CadstnError if no stage of a recipe could go on from these weights."""
    if not set(recipe.stages) & set(start.tensors):
        raise CadstnError(
            f"has no {' or '.join(recipe.stages)} network to go on from",
            where=start.name,
            hint=f"it has {', '.join(start.tensors)}",
        )


def start_stage(network: nn.Module, stage: str, start: Start, crops: Tensor) -> None:
    """Give a stage's network the weights of `start`.

    Args:
        network: of the stage, on the crops' device; its mode does not change.
        stage: its name, which `start` has.
        start: of the same sizes.
        crops: (N, M, M) some hundreds. Training normalises by its batches, so weights with the
            normalisation inside need to know what batches are like.

    Raises:
        CadstnError: if the weights are those of other sizes.
    """
    given = start.tensors[stage]
    own = network.state_dict()
    layers = {n: m for n, m in network.named_modules() if isinstance(m, Normalised)}
    inside = {f"{n}.norm.{key}" for n, m in layers.items() for key in m.norm.state_dict()}
    biases = {f"{n}.conv.bias" for n in layers} if start.folded else set()
    wanted = set(own) - inside if start.folded else set(own)
    shapes = {n: tuple(t.shape) for n, t in given.items() if n not in biases}
    differ = sorted(wanted.symmetric_difference(shapes)) or [
        name for name in sorted(wanted) if shapes[name] != tuple(own[name].shape)
    ]
    if differ:
        raise CadstnError(
            f"is of another network ({stage}.{differ[0]})",
            where=start.name,
            hint="give the recipe that it was trained with",
        )
    network.load_state_dict({name: given[name] for name in wanted}, strict=False)
    if start.folded and layers:
        _unfold(network, {m: given[f"{n}.conv.bias"] for n, m in layers.items()}, crops)


@torch.no_grad()
def _unfold(network: nn.Module, biases: Mapping[Normalised, Tensor], crops: Tensor) -> None:
    """Take the normalisation out of convolutions again: on these crops nothing changes.

    Where a filter is normalised its size means nothing but how fast it learns: each gets the size
    that sums of its inputs keep theirs with.
    """

    def fit(norm: nn.Module, inputs: tuple[Tensor]) -> None:
        assert isinstance(norm, nn.BatchNorm2d)
        layer = layers[norm]
        variance, mean = torch.var_mean(inputs[0].float(), (0, 2, 3), correction=0)
        norm.weight.copy_((variance + norm.eps).sqrt() / scale[layer])
        norm.bias.copy_(mean / scale[layer] + biases[layer].to(mean))
        assert norm.running_mean is not None
        assert norm.running_var is not None
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)

    layers: dict[nn.Module, Normalised] = {layer.norm: layer for layer in biases}
    scale = {}
    for layer in biases:
        weight = layer.conv.weight
        size = weight[0].numel() ** 0.5 * weight.square().mean((1, 2, 3)).sqrt()
        scale[layer] = 1 / size.clamp(min=1e-6)
        weight.mul_(scale[layer].view(-1, 1, 1, 1))
    hooks = [norm.register_forward_pre_hook(fit) for norm in layers]
    training = network.training
    network.train()(crops)
    network.train(training)
    for hook in hooks:
        hook.remove()


def _exported(path: Path) -> dict[str, dict[str, Tensor]]:
    """Weights by stage of an exported file of compact networks, whose names it keeps."""
    from onnx import load_model, numpy_helper

    try:
        graph = load_model(str(path)).graph
    except Exception as error:  # protobuf's own, which it does not export
        raise CadstnError(f"not an ONNX file ({error})", where=path, hint=_HINT) from None
    tensors: dict[str, dict[str, Tensor]] = {stage: {} for stage in STAGES}
    for name, item in initializers(graph):
        stage, _, rest = name.removesuffix(".half").removeprefix("model.").partition(".")
        if rest and rest != "cells" and stage in STAGES:  # cells are a constant
            value = np.asarray(numpy_helper.to_array(item), np.float32)
            tensors[stage][rest] = torch.from_numpy(value.copy())
    if not all(tensors.values()):
        raise CadstnError("holds no compact networks to train on", where=path, hint=_HINT)
    return tensors


def initializers(graph: Any) -> Iterator[tuple[str, Any]]:
    """Yield a graph's weights by name, those of the branches of 0.1.0 by the names they had."""
    yield from ((item.name, item) for item in graph.initializer)
    for node in graph.node:
        if node.op_type == "If":
            for item in (item for a in node.attribute for item in a.g.initializer):
                yield item.name.partition(".")[2], item


def _name(path: Path, files: list[Path]) -> str:
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
    return f"{path.name} {digest[:12]}"
