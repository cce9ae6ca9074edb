"""Weights in 16 bits: rounded in a model, and stored so in a file."""

from __future__ import annotations

import torch
from onnx import ModelProto, TensorProto, helper, numpy_helper
from torch import Tensor, nn

from cadstn.errors import CadstnError


def round_to_half(model: nn.Module) -> None:
    """Round in place the weights that a half file stores to the numbers it can hold.

    Afterwards `model` and its export with `half=True` compute with the same weights.

    Raises:
        CadstnError: a weight is too large for float16.
    """
    with torch.no_grad():
        for weight, rounded in _half_weights(model):
            weight.copy_(rounded)


def _half_weights(model: nn.Module) -> list[tuple[nn.Parameter, Tensor]]:
    """Pair each weight that a half file stores as float16 with its float16 value.

    Biases are not among them: they are a thousandth of the file.
    """
    pairs = []
    for name, weight in model.named_parameters():
        if weight.ndim >= 2:
            rounded = weight.detach().half()
            if not rounded.isfinite().all():
                raise CadstnError(
                    "a weight does not fit into float16", where=name, hint="use half=False"
                )
            pairs.append((weight, rounded))
    return pairs


def store_as_half(proto: ModelProto) -> None:
    """Replace each float32 weight by a float16 one and a Cast back, which runtimes fold at load.

    Only those that float16 holds exactly: the sliced trunk's few, products of weights, stay.
    """
    graph = proto.graph
    casts = []
    for tensor in graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or len(tensor.dims) < 2:
            continue
        name = tensor.name
        exact = numpy_helper.to_array(tensor)
        rounded = exact.astype("float16")
        if (rounded != exact).any():
            continue
        tensor.CopyFrom(numpy_helper.from_array(rounded, f"{name}.half"))
        casts.append(helper.make_node("Cast", [tensor.name], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *graph.node]  # a graph lists its nodes in the order they can run
    del graph.node[:]
    graph.node.extend(nodes)
