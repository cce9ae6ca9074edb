"""Write a trained CADSTN as one ONNX file that holds weights, slicing and configuration."""

from __future__ import annotations

import copy
import json
import logging
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from onnx import ModelProto, TensorProto, helper, load_model, numpy_helper
from torch import Tensor, nn

from cadstn.errors import CadstnError
from cadstn.export.branch import either
from cadstn.export.fused import FIRST, CompactStep, FirstStep, FusedStep
from cadstn.io.hashes import BLANK_STAMP, STAMP_KEY, stamp_file
from cadstn.io.whole import whole_file
from cadstn.models import Cadstn, Compact

INPUTS = ("crops", "h", "c")
OUTPUTS = ("joints", "w1", "h_next", "c_next")
COMPACT_INPUTS = ("crops", "shift", "h", "c", "before")
COMPACT_OUTPUTS = (*OUTPUTS, "before_next", "spatial", "spread", "present", "left")
CONFIG_KEY = "config"
PRECISION_KEY = "precision"


def export_onnx(
    model: Cadstn | Compact,
    path: str | Path,
    metadata: Mapping[str, str],
    *,
    half: bool = False,
    int8: bool = False,
    blend: tuple[Mapping[str, Mapping[str, Tensor]], float] | None = None,
    first: Mapping[str, Tensor] | None = None,
    spread: float = 1.0,
) -> None:
    """Write the streaming step of `model` as one self-contained ONNX file.

    The graph maps `crops` (B, M, M), `h` and `c` (B, H) of one frame of B streams to `joints` and
    `w1` (B, K, 3), `h_next` and `c_next` (B, H). Slicing happens inside it. B is free. Of a compact
    network it also reads `shift` (B, 3), how far the crop's centre moved in half cubes, and
    `before` (B, 3K + 1), and says `before_next`, `spatial` (B, K, 3), `spread` (B, K) in half
    cubes, and the probabilities `present` and `left` (B,); its joints are where they are seen, see
    `cadstn.geometry.crop.Crop.uvd_to_mm`. Whether its crops should be turned to right hands that
    point up, as `cadstn.tracking.turn` does, its recipe says (`augment.upright`).

    Args:
        model: the network, on any device and in any mode; left as it was.
        path: the file to write. It appears whole or not at all.
        metadata: strings to keep in the file, beside the network's sizes under "config".
        half: store weights as float16, which halves the file; the arithmetic stays float32.
            See `round_to_half`.
        int8: weights of the fully connected layers and the LSTM in 7 of 8 bits, a scale for each
            output, their inputs rounded to 8 bits frame by frame. At batch 1 these layers are
            bound by reading their weights. Convolutions, slices and the memory stay float32.
        blend: weights of another export of the same compact networks, and their share in what is
            written, see `cadstn.export.fused.CompactStep.blend`.
        first: weights of a spatial network of the same sizes that looks where no hand is followed
            yet, see `cadstn.export.fused.FirstStep`. The file then has one more input, `first`, a
            single bool, that says which of the two is to look.
        spread: what compact networks say of how sure they are of each joint, times this: one number
            chosen on held-out frames calibrates it (Guo et al., ICML 2017, do so with logits).

    Raises:
        CadstnError: `metadata` has the key "config" or holds something other than strings, or a
            weight is too large for float16, or both `half` and `int8` are asked for, or what is to
            be blended in or to look first is of another network, or `spread` is not positive.
    """
    if half and int8:
        raise CadstnError("half and int8 exclude each other", mend="choose one")
    if (blend or first is not None or spread != 1) and not isinstance(model, Compact):
        raise CadstnError(
            "only compact networks are blended, have another that looks first, or say spreads",
            mend="leave blend, first and spread out",
        )
    if not spread > 0:
        raise CadstnError(f"spread is {spread}", mend="give a factor above 0")
    properties = _properties(model, metadata)
    properties[PRECISION_KEY] = "int8" if int8 else "float32"
    # A copy: the caller's model keeps its device, its precision and its training flags.
    model = copy.deepcopy(model).cpu().float()
    step: nn.Module
    if isinstance(model, Compact):
        step = CompactStep(model, spread)
        if blend:
            step.blend(*blend)
        if half:  # what is stored are the convolutions with their normalisation inside
            round_to_half(step)
    else:
        if half:  # before layers are put together: the file computes what `round_to_half` says
            round_to_half(model)
        step = FusedStep(model)
    proto = _written(step, model, half=half, int8=int8)
    if first is not None:
        look = FirstStep(model.config, first, spread)
        if half:
            round_to_half(look)
        proto = either(FIRST, _written(look, model, half=half, int8=int8), proto)
    helper.set_model_props(proto, {**properties, STAMP_KEY: BLANK_STAMP})
    with whole_file(path) as temporary:
        temporary.write_bytes(proto.SerializeToString())
        stamp_file(temporary)


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
                    "a weight does not fit into float16", where=name, mend="use half=False"
                )
            pairs.append((weight, rounded))
    return pairs


def _written(step: nn.Module, model: Cadstn | Compact, *, half: bool, int8: bool) -> ModelProto:
    """Return a step of one frame as a graph, its weights stored as asked for."""
    proto = _trace(step.eval(), model)
    if half:
        _store_as_half(proto)
    if int8:
        proto = _dense_in_int8(proto)
    _drop_build_traces(proto)
    return proto


def _trace(step: nn.Module, model: Cadstn | Compact) -> ModelProto:
    config = model.config
    batch = 2  # the exporter takes an example batch of 1 for a constant
    crops, memory = torch.ones(batch, config.size, config.size), model.initial_state(batch)
    compact = isinstance(model, Compact)
    example = (crops, torch.zeros(batch, 3), *memory) if compact else (crops, *memory)
    free = {0: torch.export.Dim("batch")}
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            step,
            example,
            dynamo=True,
            input_names=COMPACT_INPUTS if compact else INPUTS,
            output_names=COMPACT_OUTPUTS if compact else OUTPUTS,
            dynamic_shapes=(free,) * len(example),
            external_data=False,
            verbose=False,
        )
    if program is None:  # only the old exporter returns nothing
        raise RuntimeError("torch.onnx.export returned no program")
    return program.model_proto


@contextmanager
def _quiet() -> Iterator[None]:
    # The exporter reports on its own future, not on the model; none of it is for the user.
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _properties(model: Cadstn | Compact, metadata: Mapping[str, str]) -> dict[str, str]:
    for taken in (CONFIG_KEY, PRECISION_KEY):
        if taken in metadata:
            raise CadstnError(
                f"the key {taken!r} is taken by the network's own sizes", where="metadata"
            )
    for key, value in metadata.items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise CadstnError(f"{key!r} is not text with text: {value!r}", where="metadata")
    return {**metadata, CONFIG_KEY: json.dumps(model.config.to_dict())}


def _store_as_half(proto: ModelProto) -> None:
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


def _dense_in_int8(proto: ModelProto) -> ModelProto:
    """Quantise every matrix product, with weights in 8 bits and inputs scaled as they come."""
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with tempfile.TemporaryDirectory() as folder, _quiet():
        before, ready, after = (Path(folder) / name for name in ("a.onnx", "b.onnx", "c.onnx"))
        before.write_bytes(proto.SerializeToString())
        quant_pre_process(str(before), str(ready), skip_symbolic_shape=True)
        quantize_dynamic(
            str(ready),
            str(after),
            per_channel=True,
            # 7 bits: sums of 8-bit products overflow 16 bits where a CPU lacks VNNI.
            reduce_range=True,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=["Gemm", "MatMul"],
        )
        return load_model(str(after))


def _drop_build_traces(proto: ModelProto) -> None:
    # The exporter notes on each node the source lines it came from, with the paths of the
    # machine it ran on; they do not belong in a file one gives away.
    graph = proto.graph
    del graph.metadata_props[:]
    for item in (*graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer):
        del item.metadata_props[:]
        item.doc_string = ""
