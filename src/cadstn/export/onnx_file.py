"""Write a trained CADSTN as one ONNX file that holds weights, slicing and configuration."""

from __future__ import annotations

import copy
import json
import logging
import os
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from onnx import ModelProto, helper, load_model
from torch import Tensor, nn

from cadstn.errors import CadstnError
from cadstn.export.branch import either
from cadstn.export.compact import FIRST
from cadstn.export.forms import FORMS, Extras, Form
from cadstn.export.half import store_as_half
from cadstn.models import Cadstn, Compact

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
    `before` (B, 3K + 1), and returns `before_next`, `spatial` (B, K, 3), `spread` (B, K) in half
    cubes, and the probabilities `present` and `left` (B,); its joints are where they are seen, see
    `cadstn.geometry.crop.Crop.uvd_to_mm`. Its recipe (`augment.upright`) tells whether its crops
    are to be made right hands that point up.

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
        first: weights of a spatial network of the same sizes for acquisition, where no hand is
            tracked yet, see `cadstn.export.compact.FirstStep`. The file then has one more input,
            `first`, a single bool that selects it.
        spread: factor of the error scale that compact networks predict for each joint: one number
            chosen on held-out frames calibrates it (Guo et al., ICML 2017, do so with logits).

    Raises:
        CadstnError: `metadata` has the key "config" or holds something other than strings, or a
            weight is too large for float16, or both `half` and `int8` are wanted, or the weights of
            `blend` or `first` are another network's, or `spread` is not positive, or one of these
            three is given for a paper's network.
    """
    if half and int8:
        raise CadstnError("half and int8 exclude each other", mend="choose one")
    form, extras = FORMS[model.config.trunk], Extras(blend, first, spread)
    form.check(extras)
    properties = _properties(model, metadata)
    properties[PRECISION_KEY] = "int8" if int8 else "float32"
    # A copy: the caller's model keeps its device, its precision and its training flags.
    model = copy.deepcopy(model).cpu().float()
    step, acquisition = form.steps(model, extras, half=half)
    proto = _written(step, form, model, half=half, int8=int8)
    if acquisition is not None:
        proto = either(FIRST, _written(acquisition, form, model, half=half, int8=int8), proto)
    helper.set_model_props(proto, properties)
    _write_whole(proto.SerializeToString(), Path(path))


def _written(
    step: nn.Module, form: Form, model: Cadstn | Compact, *, half: bool, int8: bool
) -> ModelProto:
    """Return a step of one frame as a graph, with weights of the wanted precision."""
    proto = _trace(step.eval(), form, model)
    if half:
        store_as_half(proto)
    if int8:
        proto = _dense_in_int8(proto)
    _drop_build_traces(proto)
    return proto


def _trace(step: nn.Module, form: Form, model: Cadstn | Compact) -> ModelProto:
    example = form.example(model, batch=2)  # the exporter takes a batch of 1 for a constant
    free = {0: torch.export.Dim("batch")}
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            step,
            example,
            dynamo=True,
            input_names=form.inputs,
            output_names=form.outputs,
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


def _write_whole(data: bytes, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.chmod(temporary, 0o644)  # mkstemp's 0600 is for secrets
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
