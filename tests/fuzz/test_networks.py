"""Broken networks: refused in one line when they are loaded, or they track.

The files here carry no stamp, as those of 0.1.0: one that does is refused for any changed bit, see
``tests/io/test_rot.py``, before anything else of it is read.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume
from hypothesis import strategies as st

import cadstn
from cadstn.tracking import runtime
from cadstn.tracking.network import Wants

OLDER = Path(__file__).parents[1] / "tracking" / "pins" / "older.onnx"
DEMO = Path(cadstn.__file__).parent / "demo"


@pytest.fixture(scope="module")
def frame() -> Any:
    return next(iter(cadstn.open_recording(DEMO)))


@pytest.fixture
def one_detector(monkeypatch: pytest.MonkeyPatch) -> None:
    """Load the detector of the package, for files that have none, once for all cases."""
    monkeypatch.setattr(runtime, "_shipped_detector", lru_cache(runtime._shipped_detector))


def tracks(path: Path, frame: Any) -> None:
    """Load a network and track with it; joints that are found are numbers."""
    tracker = cadstn.Tracker(path, threads=1)
    for _ in range(2):
        hand = tracker.update(frame.depth, frame.camera)
        assert not hand.found or np.isfinite(hand.joints_mm).all()


def test_networks_of_broken_bytes(
    fuzz: Any, tmp_path: Path, frame: Any, one_detector: None
) -> None:
    path = tmp_path / "net.onnx"

    def check(data: bytes) -> None:
        path.write_bytes(data)
        fuzz.accepts(lambda: tracks(path, frame), "net.onnx")

    check(OLDER.read_bytes())
    fuzz.run(fuzz.damages(OLDER.read_bytes()), check, 0.25)


def graphs_of(graph: Any) -> list[Any]:
    """A graph and those inside its nodes: the branches of an If."""
    inner = [a.g for node in graph.node for a in node.attribute if a.HasField("g")]
    return [graph, *(deeper for one in inner for deeper in graphs_of(one))]


def change_graph(
    draw: st.DrawFn, model: Any, changed: Callable[[Any], st.SearchStrategy[Any]]
) -> None:
    """Break one part of a network: weights, shapes, names, types, nodes or metadata."""
    onnx = pytest.importorskip("onnx")
    graph, graphs = model.graph, graphs_of(model.graph)
    kind = draw(st.sampled_from(["weights", "shape", "name", "node", "input", "output", "text"]))

    def pick(items: Any) -> Any:
        assume(len(items))
        return items[draw(st.integers(0, len(items) - 1))]

    if kind in ("weights", "shape", "name"):
        item = pick(
            [t for g in graphs for t in g.initializer]
            + [a.t for g in graphs for n in g.node for a in n.attribute if a.HasField("t")]
        )
        if kind == "name":
            item.name = draw(st.sampled_from(["crops", "joints", "", "x\x1b[31m"]))
            return
        array = np.array(onnx.numpy_helper.to_array(item))
        if kind == "shape":
            array = draw(st.sampled_from([array.ravel(), array[None], array.ravel()[:0], array.T]))
        elif array.dtype.kind == "f":
            value = draw(st.sampled_from([np.nan, np.inf, -np.inf, 6e4, 0, 1e-6]))
            array = np.full_like(array, value)
        else:
            array = np.full_like(array, draw(st.sampled_from([0, 1, 7, 100])))
        kept = onnx.numpy_helper.from_array(np.ascontiguousarray(array), item.name)
        item.CopyFrom(kept)
    elif kind == "node":
        inner = pick([g for g in graphs if g.node])
        node = pick(inner.node)
        way = draw(st.sampled_from(["op", "drop", "inputs", "attributes"]))
        if way == "op":
            node.op_type = draw(
                st.sampled_from(["Identity", "Relu", "Loop", "Conv", "None", "Tile"])
            )
        elif way == "drop":
            inner.node.remove(node)
        elif way == "inputs":
            del node.input[draw(st.integers(0, len(node.input))) :]
        else:
            for attribute in node.attribute:
                attribute.i = draw(st.sampled_from([-1, 0, 7, 1 << 40]))
                for place in range(len(attribute.ints)):
                    attribute.ints[place] = draw(st.sampled_from([-1, 0, 3, 1 << 40]))
    elif kind in ("input", "output"):
        item = pick(graph.input if kind == "input" else graph.output)
        way = draw(st.sampled_from(["name", "type", "shape", "drop"]))
        if way == "name":
            item.name = draw(st.sampled_from(["first", "x", "", "h"]))
        elif way == "type":
            item.type.tensor_type.elem_type = draw(st.integers(0, 20))
        elif way == "drop":
            (graph.input if kind == "input" else graph.output).remove(item)
        else:
            for size in item.type.tensor_type.shape.dim:
                size.dim_value = draw(st.sampled_from([0, 1, 7, 1 << 40, -1]))
    else:
        entry = pick(model.metadata_props)
        try:
            value = json.loads(entry.value)
        except ValueError:
            value = entry.value
        value = draw(changed(value))
        text = value if isinstance(value, str) else json.dumps(value)
        entry.value = text.encode("utf-8", "replace").decode()


class Quiet(bytes):
    """Bytes that a report of a failure leaves out: a network has megabytes."""

    def __repr__(self) -> str:
        return f"{len(self)} bytes"


def broken(fuzz: Any, base: bytes, most: int = 2) -> st.SearchStrategy[Quiet]:
    """A network with one part or more of it broken."""
    onnx = pytest.importorskip("onnx")

    @st.composite
    def models(draw: st.DrawFn) -> Quiet:
        model = onnx.ModelProto()
        model.ParseFromString(base)
        for _ in range(draw(st.integers(1, most))):
            change_graph(draw, model, fuzz.changed)
        return Quiet(model.SerializeToString())

    return models()


def with_metadata(model: Any) -> Any:
    """The older network with the fields that newer files have, a detector of its own among them."""
    onnx = pytest.importorskip("onnx")
    shipped = onnx.load_model(str(Path(cadstn.__file__).parent / "weights" / "hand21.onnx"))
    detector = next(p.value for p in shipped.metadata_props if p.key == "detector")
    about = {p.key: p.value for p in model.metadata_props}
    about["wants"] = Wants.of_file(about, {i.name for i in model.graph.input}).to_json()
    onnx.helper.set_model_props(model, {**about, "detector": detector})
    return model


@pytest.mark.parametrize("newer", [False, True], ids=["of 0.1.0", "with its wants"])
def test_networks_with_broken_parts(
    fuzz: Any, tmp_path: Path, frame: Any, one_detector: None, newer: bool
) -> None:
    onnx = pytest.importorskip("onnx")
    path = tmp_path / "net.onnx"
    whole = onnx.load_model(str(OLDER))
    if newer:
        whole = with_metadata(whole)
    base = whole.SerializeToString()

    def check(data: bytes) -> None:
        path.write_bytes(data)
        fuzz.accepts(lambda: tracks(path, frame), "net.onnx")

    check(base)
    fuzz.run(broken(fuzz, base), check, 0.25)


def test_detectors_with_broken_parts(fuzz: Any, tmp_path: Path, frame: Any) -> None:
    onnx = pytest.importorskip("onnx")
    path = tmp_path / "net.onnx"
    whole = with_metadata(onnx.load_model(str(OLDER)))
    about = {p.key: p.value for p in whole.metadata_props}
    inner = onnx.ModelProto.FromString(base64.b64decode(about["detector"]))
    onnx.helper.set_model_props(inner, {"note": "x"})

    def check(data: bytes) -> None:
        onnx.helper.set_model_props(whole, {**about, "detector": base64.b64encode(data).decode()})
        path.write_bytes(whole.SerializeToString())
        fuzz.accepts(lambda: tracks(path, frame), "net.onnx", "detector")

    fuzz.run(broken(fuzz, inner.SerializeToString(), 1), check, 0.25)
