"""Networks are run once before use: every kind of wrong file is refused in one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cadstn.errors import CadstnError
from cadstn.tracking.network import Network, Wants
from cadstn.tracking.runtime import load_network

pytest.importorskip("onnx")
from onnx import TensorProto, helper, numpy_helper

SIZES = {"crops": ("b", 8, 8), "h": ("b", 4), "c": ("b", 4)}


def constant(name: str, shape: tuple[int, ...], value: float = 0.0) -> Any:
    return numpy_helper.from_array(np.full(shape, value, np.float32), name)


def network(change: Callable[[dict[str, Any]], Any] = lambda parts: None) -> bytes:
    """A network that predicts nothing but zeros, with parts of it changed."""
    parts: dict[str, Any] = {
        "about": {
            "config": json.dumps({"size": 8, "hidden": 4, "joints": 16}),
            "cube_mm": "250",
            "skeleton": "icvl16",
        },
        "inputs": dict(SIZES),
        "outputs": {"joints": (1, 16, 3), "w1": (1, 16, 3), "h_next": (1, 4), "c_next": (1, 4)},
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
    return bytes(model.SerializeToString())


def load(model: bytes, folder: Path) -> Network:
    (folder / "net.onnx").write_bytes(model)
    return load_network(folder / "net.onnx")


def test_the_shipped_network_and_a_plain_one_pass(tmp_path: Path) -> None:
    assert load_network().wants.compact
    assert load(network(), tmp_path).wants == Wants(size=8, cube_mm=250.0, hidden=4)


def test_the_older_file_passes() -> None:
    older = Path(__file__).parents[1] / "tracking" / "pins" / "older.onnx"
    if not older.is_file():
        pytest.skip("no older file")
    load_network(older)


CHANGES: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "no config": (lambda p: p["about"].pop("config"), "metadata is not cadstn's"),
    "config no object": (lambda p: p["about"].update(config="[1]"), "metadata is not cadstn's"),
    "config deep": (lambda p: p["about"].update(config="[" * 99999), "metadata is not cadstn's"),
    "size huge": (
        lambda p: p["about"].update(config='{"size": 99999, "hidden": 4, "joints": 16}'),
        "size is 99999",
    ),
    "no hidden": (
        lambda p: p["about"].update(config='{"size": 8, "hidden": 0, "joints": 16}'),
        "hidden is 0",
    ),
    "cube nan": (lambda p: p["about"].update(cube_mm="nan"), "cube_mm is nan"),
    "cube 1e300": (lambda p: p["about"].update(cube_mm="1e300"), r"cube_mm is 1e\+300"),
    "another input": (lambda p: p["inputs"].update(other=(1,)), "with the unknown input 'other'"),
    "no c": (lambda p: p["inputs"].pop("c"), "without the input 'c'"),
    "no w1": (lambda p: p["outputs"].pop("w1"), "without the output 'w1'"),
    "joints short": (lambda p: p["outputs"].update(joints=(1, 1, 3)), "joints is float32 of shape"),
    "h scalar": (lambda p: p["outputs"].update(h_next=()), "h_next is float32 of shape"),
    "crops of another size": (lambda p: p["inputs"].update(crops=(1, 9, 9)), "does not run"),
    "nan": (lambda p: p.update(value=float("nan")), "joints of an empty crop is not finite"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_wrong_networks(name: str, tmp_path: Path) -> None:
    change, what = CHANGES[name]
    with pytest.raises(CadstnError, match=what) as caught:
        load(network(change), tmp_path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600
