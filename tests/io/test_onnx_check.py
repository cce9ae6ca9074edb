"""Networks are run once before use: every kind of wrong file is refused in one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

from cadstn.errors import CadstnError
from cadstn.io.onnx_check import check_network
from cadstn.tracking.runtime import shipped_weights

pytest.importorskip("onnx")
from onnx import TensorProto, helper, numpy_helper

SIZES = {"crops": ("b", 8, 8), "h": ("b", 4), "c": ("b", 4)}


def constant(name: str, shape: tuple[int, ...], value: float = 0.0) -> Any:
    return numpy_helper.from_array(np.full(shape, value, np.float32), name)


def session(change: Callable[[dict[str, Any]], None] = lambda parts: None) -> Any:
    """A network that predicts nothing but zeros, with parts of it changed."""
    parts: dict[str, Any] = {
        "about": {"config": json.dumps({"size": 8, "hidden": 4, "joints": 2}), "cube_mm": "250"},
        "inputs": dict(SIZES),
        "outputs": {"joints": (1, 2, 3), "w1": (1, 2, 3), "h_next": (1, 4), "c_next": (1, 4)},
        "value": 0.0,
        "nodes": [],
    }
    change(parts)
    nodes = [
        helper.make_node("Identity", [f"{name}.value"], [name]) for name in parts["outputs"]
    ] + parts["nodes"]
    graph = helper.make_graph(
        nodes,
        "g",
        [
            helper.make_tensor_value_info(n, TensorProto.FLOAT, s)
            for n, s in parts["inputs"].items()
        ],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in parts["outputs"]],
        [constant(f"{n}.value", s, parts["value"]) for n, s in parts["outputs"].items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, parts["about"])
    options = ort.SessionOptions()
    options.log_severity_level = 4
    return ort.InferenceSession(model.SerializeToString(), options)


def test_the_shipped_network_and_a_plain_one_pass() -> None:
    with shipped_weights() as path:
        check_network(ort.InferenceSession(str(path)))
    check_network(session())


def test_the_older_file_passes() -> None:
    older = Path(__file__).parents[1] / "tracking" / "pins" / "older.onnx"
    if not older.is_file():
        pytest.skip("no older file")
    check_network(ort.InferenceSession(str(older)))


CHANGES: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "no config": (lambda p: p["about"].pop("config"), "metadata is damaged"),
    "config no object": (lambda p: p["about"].update(config="[1]"), "metadata is damaged"),
    "config deep": (lambda p: p["about"].update(config="[" * 99999), "metadata is damaged"),
    "size huge": (
        lambda p: p["about"].update(config='{"size": 99999, "hidden": 4, "joints": 2}'),
        "makes no sense",
    ),
    "cube nan": (lambda p: p["about"].update(cube_mm="nan"), "makes no sense"),
    "cube 1e300": (lambda p: p["about"].update(cube_mm="1e300"), "makes no sense"),
    "another input": (lambda p: p["inputs"].update(other=(1,)), "with the unknown input 'other'"),
    "no c": (lambda p: p["inputs"].pop("c"), "without the input 'c'"),
    "no w1": (lambda p: p["outputs"].pop("w1"), "without the output 'w1'"),
    "joints short": (lambda p: p["outputs"].update(joints=(1, 1, 3)), "joints is float32 of shape"),
    "h scalar": (lambda p: p["outputs"].update(h_next=()), "h_next is float32 of shape"),
    "crops of another size": (lambda p: p["inputs"].update(crops=(1, 9, 9)), "does not run"),
    "nan": (lambda p: p.update(value=float("nan")), "joints of an empty crop is not finite"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_wrong_networks(name: str) -> None:
    change, what = CHANGES[name]
    with pytest.raises(CadstnError, match=what) as caught:
        check_network(session(change))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600
