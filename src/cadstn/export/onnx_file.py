"""Write a trained CADSTN as one ONNX file that holds weights, slicing and configuration."""

from __future__ import annotations

import base64
import copy
import json
import logging
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from onnx import ModelProto, helper, load_model
from torch import Tensor, nn

from cadstn._moved import renamed
from cadstn.errors import CadstnError
from cadstn.export.detector_file import detector_graph
from cadstn.export.forms import FORMS, Blend, Form
from cadstn.export.half import round_to_half, store_as_half
from cadstn.io.hashes import BLANK_STAMP, STAMP_KEY, stamp_file
from cadstn.io.whole import whole_file
from cadstn.models import Cadstn, Compact
from cadstn.models.detector import MULTIPLE
from cadstn.tracking.detector import DETECTOR_KEY

CONFIG_KEY = "config"
PRECISION_KEY = "precision"


@renamed("spread", "error_scale")
def export_onnx(
    model: Cadstn | Compact,
    path: str | Path,
    metadata: Mapping[str, str],
    *,
    half: bool = False,
    int8: bool = False,
    blend: Blend | None = None,
    error_scale: float = 1.0,
    detector: Mapping[str, Tensor] | bytes | None = None,
) -> None:
    """Write the streaming step of `model` as one self-contained ONNX file.

    The graph maps `crops` (B, M, M), `h` and `c` (B, H) of one frame of B streams to `joints` and
    `w1` (B, K, 3), `h_next` and `c_next` (B, H). Slicing happens inside it. B is free. Of a compact
    network it also reads `shift` (B, 3), how far the crop's centre moved in half cubes, and
    `before` (B, 3K + 1), and returns `before_next`, `spatial` (B, K, 3), the error scale `spread`
    (B, K) in half cubes, and the probabilities of a hand and of a left one, `present` and `left`
    (B,); its joints are where they are seen, see `cadstn.geometry.crop.Crop.uvd_to_mm`. Its recipe
    (`augment.upright`) states whether its crops are to be made right hands that point up.

    Args:
        model: the network, on any device and in any mode; left as it was.
        path: the file to write. It appears whole or not at all.
        metadata: strings to keep in the file, beside the network's sizes under "config".
        half: store weights as float16, which halves the file; the arithmetic stays float32.
            See `cadstn.export.round_to_half`.
        int8: weights of the fully connected layers and the LSTM in 7 of 8 bits, a scale for each
            output, their inputs rounded to 8 bits frame by frame. At batch 1 these layers are
            bound by reading their weights. Convolutions, slices and the memory stay float32.
        blend: weights of another export of the same compact networks, and their share in what is
            written, see `cadstn.export.compact.CompactStep.blend`.
        error_scale: factor of the error scale that compact networks predict for each joint: one
            number chosen on held-out frames calibrates it (Guo et al., ICML 2017, do so with
            logits).
        detector: weights of the detector that the file carries, as a graph of its own in base 64
            under "detector" and stored as float16; or that graph, as another file carries it.
            Without one a tracker takes that of the package.

    Raises:
        CadstnError: `metadata` has the key "config" or holds something other than strings, or a
            weight is too large for float16, or both `half` and `int8` are wanted, or the weights of
            `blend` are another network's, those of `detector` no detector's, or `error_scale` is
            not positive, or blend or error_scale is given for a paper's network.
    """
    if half and int8:
        raise CadstnError("half and int8 exclude each other", hint="choose one")
    form = FORMS[model.config.trunk]
    properties = _properties(model, metadata)
    properties[PRECISION_KEY] = "int8" if int8 else "float32"
    # A copy: the caller's model keeps its device, its precision and its training flags.
    model = copy.deepcopy(model).cpu().float()
    step = form.step(model, blend, error_scale, half=half)
    proto = _trace(step.eval(), form, model)
    if half:
        store_as_half(proto)
    if int8:
        proto = _dense_in_int8(proto)
    _drop_build_traces(proto)
    if detector is not None:
        carried = detector if isinstance(detector, bytes) else detector_file(detector)
        properties[DETECTOR_KEY] = base64.b64encode(carried).decode()
    helper.set_model_props(proto, {**properties, STAMP_KEY: BLANK_STAMP})
    with whole_file(path) as temporary:
        temporary.write_bytes(proto.SerializeToString())
        stamp_file(temporary)


def detector_file(weights: Mapping[str, Tensor]) -> bytes:
    """A trained detector as an ONNX file of its own, its convolutions stored in 16 bits.

    Of 200 rendered frames half precision moved no centre by more than 0.07 mm.

    Raises:
        CadstnError: if the weights are not a detector's.
    """
    graph = detector_graph(weights)
    round_to_half(graph)
    rows, columns = (torch.export.Dim(name, min=1, max=64) for name in ("rows", "columns"))
    example = (torch.full((1, 96, 128), 700.0), torch.full((1,), 120.0))
    shapes = ({1: MULTIPLE * rows, 2: MULTIPLE * columns}, None)
    proto = _graph(graph, example, ("depth", "focal"), ("hands",), shapes)
    store_as_half(proto)
    _drop_build_traces(proto)
    return bytes(proto.SerializeToString())


def _trace(step: nn.Module, form: Form, model: Cadstn | Compact) -> ModelProto:
    example = form.example(model, batch=2)  # the exporter takes a batch of 1 for a constant
    free = {0: torch.export.Dim("batch")}
    return _graph(step, example, form.inputs, form.outputs, (free,) * len(example))


def _graph(
    module: nn.Module,
    example: tuple[Tensor, ...],
    inputs: Sequence[str],
    outputs: Sequence[str],
    shapes: tuple[Any, ...],
) -> ModelProto:
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            module,
            example,
            dynamo=True,
            input_names=inputs,
            output_names=outputs,
            dynamic_shapes=shapes,
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
