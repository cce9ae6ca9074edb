"""The whole graph as a file: its inputs and outputs, its metadata, and a JSON that lists them."""

from __future__ import annotations

import base64
import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import onnx
from google.protobuf.message import DecodeError
from onnx import TensorProto, helper

from cadstn._version import __version__
from cadstn.errors import CadstnError
from cadstn.geometry.skeleton import skeleton
from cadstn.graph.builder import DOUBLE, FLOAT, LONG, OPSET, Graph, Value
from cadstn.graph.frame import observed
from cadstn.graph.step import Parts
from cadstn.graph.track import read_state, state_length, write_state
from cadstn.graph.views import Scene
from cadstn.io.hashes import BLANK_STAMP, STAMP_KEY, check_stamp, file_sha256, stamp_file
from cadstn.io.whole import keep_inputs, no_file, sync, whole_file, write_bytes, write_json
from cadstn.tracking.detector import DETECTOR_KEY
from cadstn.tracking.network import Wants
from cadstn.tracking.runtime import shipped_weights

WHOLE_KEY = "whole"
"""Key of the file's metadata that holds its description, see `write_whole`."""

_SATURATED = 65535
_HINT = "give an .onnx of 'cadstn export' with --detector, or leave it out for the shipped weights"
_OTHER_VIEWS = "only networks of recipe follow, and the shipped weights, have a whole graph"


def write_whole(
    path: str | Path, weights: Path | None = None, *, hands: int = 1, uint16: bool = False
) -> dict[str, Any]:
    """Write one ONNX file from a depth frame to hands, and a JSON beside it that describes it.

    Args:
        path: the file; the JSON has its name with the suffix ``.json``.
        weights: an exported network with its detector; None for those of the package.
        hands: followed at most, 1 or 2.
        uint16: depth is the sensor's integers, and its unit a further input.

    Returns:
        What the JSON holds.

    Raises:
        CadstnError: if the weights are no compact network with a detector, ``hands`` is
            another number, or the file or its JSON is that of the weights.
    """
    if hands not in (1, 2):
        raise CadstnError(f"hands is {hands}", hint="give 1 or 2")
    path = Path(path)
    description = path.with_suffix(".json")
    if path == description:
        raise CadstnError(
            "the name of the description beside the graph", where=path, hint="give FILE.onnx"
        )
    for written in (path, description):
        keep_inputs(written, [weights])
    with shipped_weights() if weights is None else nullcontext(weights) as file:
        parts, sha256 = _read(file, hands), file_sha256(file)
    model, shapes = _built(parts, uint16)
    about: dict[str, Any] = {
        "cadstn": __version__,
        "weights_sha256": sha256,
        "hands": hands,
        "skeleton": parts.skeleton.name,
        "joints": list(parts.skeleton.joints),
        "bones": [list(bone) for bone in parts.skeleton.bones],
        **shapes,
    }
    helper.set_model_props(model, {WHOLE_KEY: json.dumps(about), STAMP_KEY: BLANK_STAMP})
    model.producer_name, model.producer_version = "cadstn", __version__
    old = description.read_bytes() if description.is_file() else None
    try:
        with whole_file(path) as temporary:
            temporary.write_bytes(model.SerializeToString())
            stamp_file(temporary)
            sync(temporary)  # before the old description goes, which would not be the new graph's
            description.unlink(missing_ok=True)
    except CadstnError:
        if old is not None and not description.exists():  # the graph is still the old one
            write_bytes(description, old)
        raise
    about["sha256"] = file_sha256(path)
    write_json(description, about, indent=2)
    return about


def _read(weights: Path, hands: int) -> Parts:
    """The networks of a file."""
    if not weights.is_file():
        raise CadstnError(no_file(weights, "no such weights file"), where=weights, hint=_HINT)
    check_stamp(weights, hint=_HINT)
    unreadable = (KeyError, ValueError, TypeError, DecodeError, CadstnError)
    try:
        network = onnx.load(weights)
        about = {item.key: item.value for item in network.metadata_props}
        wants = Wants.of_file(about, {item.name for item in network.graph.input})
        joints = skeleton(about["skeleton"])
    except unreadable as error:
        raise CadstnError(f"not an exported network ({error})", where=weights, hint=_HINT) from None
    # Before its detector is missed, which would not help.
    views = wants.upright and wants.center == "knuckles"
    if not (wants.compact and wants.uvd and wants.answers and views):
        raise CadstnError("not a compact network of canonical views",
                          where=weights, hint=_OTHER_VIEWS)  # fmt: skip
    try:
        detector = onnx.load_from_string(base64.b64decode(about[DETECTOR_KEY], validate=True))
    except unreadable as error:
        raise CadstnError(f"a network without its detector ({error})",
                          where=weights, hint=_HINT) from None  # fmt: skip
    # Of ONNX's own operators; to quantise adds other domains, whose operators are not used.
    imports = (item for model in (network, detector) for item in model.opset_import)
    opsets = {item.version for item in imports if item.domain in ("", "ai.onnx")}
    if opsets != {OPSET}:
        raise CadstnError(f"network of ONNX opset {sorted(opsets)}, not {OPSET}",
                          where=weights, hint="export it again")  # fmt: skip
    return Parts(network, detector, wants, joints, hands)


def _built(parts: Parts, uint16: bool) -> tuple[Any, dict[str, Any]]:
    """The model, and its inputs and outputs as plain values."""
    g, hands, joints = Graph(), parts.hands, parts.joints
    memory, bones = sum(parts.memory), parts.bones
    size = state_length(memory, bones)
    kind = TensorProto.UINT16 if uint16 else FLOAT
    unit = "steps of depth_unit_mm; 0 and 65535" if uint16 else "mm; 0, NaN or infinity"
    inputs: dict[str, tuple[int, list[Any], str]] = {
        "depth": (kind, ["H", "W"], f"depth image of a pinhole, {unit}: not measured"),
        "intrinsics": (FLOAT, [4], "fx, fy, cx, cy of that image in pixels"),
        "state": (FLOAT, [hands, size], "new_state of the frame before; zeros: a new stream"),
    }
    if uint16:
        inputs["depth_unit_mm"] = FLOAT, [], "millimetres of a step of depth"
    values = {name: g.input(name, *spec) for name, spec in inputs.items()}
    scene, camera = _scene(g, values)
    before = read_state(g, values["state"], camera, memory, bones)
    found, numbers, after = observed(g, parts, scene, before)
    places, scales, presence, left = numbers.split(*parts.hand, axis=1)
    outputs: dict[str, tuple[Value, list[Any], str]] = {
        "joints_mm": (places.reshape(hands, joints, 3), [hands, joints, 3],
                      "joints in mm, camera frame: x right, y down, z forward; NaN where lost"),
        "found": (found, [hands], "whether there is a hand"),
        "presence": (presence.reshape(hands), [hands],
                     "probability that it is a hand; NaN where lost"),
        "left": (left.reshape(hands) > 0.0, [hands], "a left hand; false where lost"),
        "error_scale_mm": (scales, [hands, joints],
                           "within it lies each joint two times in three; NaN where lost"),
        "new_state": (write_state(g, after, camera, hands, bones), [hands, size],
                      "state for the next frame"),
    }  # fmt: skip
    shapes = {
        "inputs": [_described(n, *spec) for n, spec in inputs.items()],
        "outputs": [_described(n, v.dtype, shape, doc) for n, (v, shape, doc) in outputs.items()],
    }
    return g.model("cadstn_whole", outputs), shapes


def _described(name: str, dtype: int, shape: list[Any], doc: str) -> dict[str, Any]:
    kind = str(helper.tensor_dtype_to_np_dtype(dtype))
    return {"name": name, "type": kind, "shape": shape, "about": doc}


def _scene(g: Graph, values: dict[str, Value]) -> tuple[Scene, Value]:
    """The frame, and its camera as six numbers."""
    depth, intrinsics = values["depth"], values["intrinsics"]
    size = g.op("Shape", depth, dtype=LONG).take([1, 0])
    focal, middle = intrinsics.cast(DOUBLE).split(2, 2)
    unit = values.get("depth_unit_mm")

    def to_mm(part: Value) -> Value:
        if unit is None:
            return part
        steps = part.cast(FLOAT)
        return g.where(steps.equals(float(_SATURATED)), 0.0, steps * unit)

    return Scene(depth, to_mm, size, focal, middle), g.cat(intrinsics, size.cast(FLOAT))
