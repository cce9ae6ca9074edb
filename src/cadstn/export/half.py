"""Weights in 16 bits: rounded in a model, and stored so in a file."""

from __future__ import annotations

import torch
from onnx import ModelProto, TensorProto, helper, numpy_helper
from torch import nn

from cadstn.errors import CadstnError


def round_to_half(model: nn.Module) -> None:
    """Round in place the weights that a half file stores to the numbers it can hold.

    Afterwards `model` and its export with `half=True` compute with the same weights.

    Raises:
        CadstnError: a weight is too large for float16.
    """
    # Biases are not among them: they are a thousandth of the file.
    weights = {name: w for name, w in model.named_parameters() if w.ndim >= 2}
    with torch.no_grad():
        rounded = {name: weight.half() for name, weight in weights.items()}
        for name, weight in rounded.items():
            if not weight.isfinite().all():
                raise CadstnError(
                    "a weight does not fit into float16", where=name, hint="use half=False"
                )
        for name, weight in weights.items():
            weight.copy_(rounded[name])


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
