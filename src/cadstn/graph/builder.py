"""ONNX graphs written as arithmetic: values with operators, branches, a loop, whole networks.

>>> g = Graph()
>>> x = g.input("x", FLOAT, [2])
>>> model = g.model("double", {"y": (x * 2 + 1, [2], "twice x and one")})
>>> [node.op_type for node in model.graph.node]
['Mul', 'Add', 'Identity']
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FLOAT, DOUBLE, LONG, INT, BOOL = (
    TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.INT64, TensorProto.INT32, TensorProto.BOOL,
)  # fmt: skip
OPSET = 20
"""That of the exported networks, which become part of the graph."""
IR_VERSION = 10  # onnxruntime 1.18

Carried = dict[str, "Value"]


@dataclass(frozen=True, eq=False)
class Value:
    """A tensor of a graph that is being built.

    Attributes:
        graph: its builder.
        name: in the file.
        dtype: ONNX's number of its type.
    """

    graph: Graph
    name: str
    dtype: int

    def __add__(self, other: Any) -> Value:
        return self.graph.op("Add", self, other)

    def __sub__(self, other: Any) -> Value:
        return self.graph.op("Sub", self, other)

    def __rsub__(self, other: Any) -> Value:
        return self.graph.op("Sub", self.graph.constant(other, self.dtype), self)

    def __mul__(self, other: Any) -> Value:
        return self.graph.op("Mul", self, other)

    __radd__, __rmul__ = __add__, __mul__

    def __truediv__(self, other: Any) -> Value:
        return self.graph.op("Div", self, other)

    def __rtruediv__(self, other: Any) -> Value:
        return self.graph.op("Div", self.graph.constant(other, self.dtype), self)

    def __neg__(self) -> Value:
        return self.graph.op("Neg", self)

    def __matmul__(self, other: Value) -> Value:
        return self.graph.op("MatMul", self, other)

    def __and__(self, other: Value) -> Value:
        return self.graph.op("And", self, other)

    def __or__(self, other: Value) -> Value:
        return self.graph.op("Or", self, other)

    def __invert__(self) -> Value:
        return self.graph.op("Not", self)

    def __lt__(self, other: Any) -> Value:
        return self.graph.op("Less", self, other, dtype=BOOL)

    def __le__(self, other: Any) -> Value:
        return self.graph.op("LessOrEqual", self, other, dtype=BOOL)

    def __gt__(self, other: Any) -> Value:
        return self.graph.op("Greater", self, other, dtype=BOOL)

    def __ge__(self, other: Any) -> Value:
        return self.graph.op("GreaterOrEqual", self, other, dtype=BOOL)

    def equals(self, other: Any) -> Value:
        """Elementwise equality."""
        return self.graph.op("Equal", self, other, dtype=BOOL)

    def cast(self, dtype: int) -> Value:
        """The same numbers as another type."""
        return self.graph.op("Cast", self, dtype=dtype, to=dtype) if dtype != self.dtype else self

    def reshape(self, *shape: int) -> Value:
        """The same numbers in another shape."""
        return self.graph.op("Reshape", self, self.graph.constant(list(shape), LONG))

    def transposed(self, rows: int, columns: int) -> Value:
        """A matrix (rows, columns) as (columns, rows).

        Not by Transpose: onnxruntime 1.22 makes one operator of it and a product, which it has in
        32 bits alone.
        """
        order = [row * columns + column for column in range(columns) for row in range(rows)]
        return self.reshape(-1).take(order).reshape(columns, rows)

    def take(self, index: Any, axis: int = 0) -> Value:
        """Elements along an axis, by a constant or a computed index."""
        if not isinstance(index, Value):
            index = self.graph.constant(index, LONG)
        return self.graph.op("Gather", self, index, axis=axis)

    def split(self, *sizes: int, axis: int = 0) -> list[Value]:
        """Parts along an axis."""
        sizes_value = self.graph.constant(list(sizes), LONG)
        return self.graph.ops("Split", self, sizes_value, count=len(sizes), axis=axis)

    def reduced(self, how: str, axis: int | None = None, *, keep: bool = False) -> Value:
        """Sum, Min, Max or Mean along an axis, or of all: then of shape (1,)."""
        if axis is None:
            return self.reshape(-1).reduced(how, 0, keep=True)
        axes = self.graph.constant([axis], LONG)
        return self.graph.op(f"Reduce{how}", self, axes, keepdims=int(keep))

    def sum(self, axis: int | None = None, *, keep: bool = False) -> Value:
        """Sum along an axis."""
        return self.reduced("Sum", axis, keep=keep)

    def any(self, axis: int | None = None) -> Value:
        """Whether any is true along an axis."""
        return self.cast(LONG).reduced("Max", axis) > 0

    def all(self, axis: int | None = None) -> Value:
        """Whether all are true along an axis."""
        return self.cast(LONG).reduced("Min", axis) > 0

    def first(self) -> Value:
        """(1,) index of the first true value of a vector; 0 where none is."""
        return self.graph.op("ArgMax", self.cast(INT), dtype=LONG, axis=0)

    def clip(self, low: Any, high: Any) -> Value:
        """Bounded values."""
        return self.graph.op("Clip", self, low, high)

    def largest(self, other: Any) -> Value:
        """The larger of two, elementwise."""
        return self.graph.op("Max", self, other)

    def least(self, other: Any) -> Value:
        """The smaller of two, elementwise."""
        return self.graph.op("Min", self, other)


@dataclass
class _Scope:
    """A graph or a branch: its nodes, weights, and the shapes that are known."""

    nodes: list[Any] = field(default_factory=list)
    weights: list[Any] = field(default_factory=list)
    infos: list[Any] = field(default_factory=list)


class Graph:
    """Builds one model, node by node, into the innermost open branch."""

    def __init__(self) -> None:
        self._scopes = [_Scope()]
        self._inputs: list[Any] = []
        self._constants: dict[tuple[int, tuple[int, ...], bytes], Value] = {}
        self._count = 0

    def input(self, name: str, dtype: int, shape: Sequence[int | str], doc: str = "") -> Value:
        """An input of the model."""
        self._inputs.append(helper.make_tensor_value_info(name, dtype, shape, doc))
        return Value(self, name, dtype)

    def constant(self, value: Any, dtype: int) -> Value:
        """A constant; equal ones are stored once, outside of all branches."""
        array = np.asarray(value, helper.tensor_dtype_to_np_dtype(dtype))
        key = dtype, array.shape, array.tobytes()
        if key not in self._constants:
            name = f"constant_{len(self._constants)}"
            self._scopes[0].weights.append(numpy_helper.from_array(array, name))
            self._constants[key] = Value(self, name, dtype)
        return self._constants[key]

    def op(self, kind: str, *inputs: Any, dtype: int | None = None, **attributes: Any) -> Value:
        """Add a node of one output; see `ops`."""
        return self.ops(kind, *inputs, dtype=dtype, **attributes)[0]

    def ops(
        self, kind: str, *inputs: Any, dtype: int | None = None, count: int = 1, **attributes: Any
    ) -> list[Value]:
        """Add a node.

        Args:
            kind: ONNX's name of the operator.
            inputs: values; numbers become constants of the first value's type.
            dtype: of its outputs; None for that of its first value.
            count: of its outputs.
            attributes: of the node.
        """
        like = next(item.dtype for item in inputs if isinstance(item, Value))
        values = [i if isinstance(i, Value) else self.constant(i, like) for i in inputs]
        names = [self._name(kind) for _ in range(count)]
        # Named, since onnxruntime 1.18 names what it fuses after nodes, twice the same if unnamed.
        given = [value.name for value in values]
        node = helper.make_node(kind, given, names, name=names[0], **attributes)
        self._scopes[-1].nodes.append(node)
        return [Value(self, name, like if dtype is None else dtype) for name in names]

    def where(self, condition: Value, yes: Any, no: Any) -> Value:
        """One of two values, elementwise; one of them may be a number."""
        like = (yes if isinstance(yes, Value) else no).dtype
        yes, no = (v if isinstance(v, Value) else self.constant(v, like) for v in (yes, no))
        return self.op("Where", condition, yes, no, dtype=like)

    def cat(self, *values: Value, axis: int = 0) -> Value:
        """Values one after the other along an axis."""
        return self.op("Concat", *values, axis=axis)

    def branch(
        self, condition: Value, then: Callable[[], Carried], otherwise: Callable[[], Carried]
    ) -> Carried:
        """Run one of two functions; both give values of the same names."""
        outs, graphs = {}, []
        for function in (then, otherwise):
            self._scopes.append(_Scope())
            outs = function()
            graphs.append(self._close([], list(outs.values())))
        found = self.ops(
            "If", condition, count=len(outs), then_branch=graphs[0], else_branch=graphs[1]
        )
        return _named(outs, found)

    def loop(
        self, most: int, carried: Carried, body: Callable[[Carried], tuple[Value, Carried]]
    ) -> Carried:
        """Run a function until its first value is false, at most so many times.

        Args:
            most: how many times.
            carried: by name, what it gets.
            body: returns whether to go on, and values of the same names.
        """
        self._scopes.append(_Scope())
        names = {name: self._name("carried") for name in carried}
        inside = {n: Value(self, names[n], value.dtype) for n, value in carried.items()}
        going, after = body(inside)
        inputs: list[tuple[str, int]] = [("iteration", LONG), ("going", BOOL)]
        inputs += [(inside[n].name, inside[n].dtype) for n in carried]
        infos = [helper.make_tensor_value_info(self._name(n), t, []) for n, t in inputs[:2]]
        infos += [helper.make_tensor_value_info(n, t, None) for n, t in inputs[2:]]
        graph = self._close(infos, [going.reshape(), *(after[n] for n in carried)])
        start = [self.constant(most, LONG), self.constant(True, BOOL), *carried.values()]
        found = self.ops("Loop", *start, count=len(carried), body=graph)
        return _named(carried, found)

    def inline(
        self, model: Any, feeds: Mapping[str, Value], wanted: Sequence[str]
    ) -> dict[str, Value]:
        """Put a whole network into the innermost branch, with its weights.

        Args:
            model: an ONNX model without branches.
            feeds: values of its inputs.
            wanted: those of its outputs that are needed.
        """
        prefix, nodes = self._name("net"), _needed(model.graph.node, set(wanted))
        names = {name: value.name for name, value in feeds.items()} | {"": ""}
        read = {name for node in nodes for name in node.input}
        for item in (item for item in model.graph.initializer if item.name in read):
            copy = onnx.TensorProto()
            copy.CopyFrom(item)
            names[item.name] = copy.name = f"{prefix}.{item.name}"
            self._scopes[-1].weights.append(copy)
        for node in nodes:
            copy = onnx.NodeProto()
            copy.CopyFrom(node)
            names |= {name: f"{prefix}.{name}" for name in node.output if name}
            copy.name = names[node.output[0]]
            copy.input[:] = [names[name] for name in node.input]
            copy.output[:] = [names[name] for name in node.output]
            self._scopes[-1].nodes.append(copy)
        # Which kernels a runtime takes, and so the last bits of a number, depends on known shapes.
        for item in (*model.graph.value_info, *model.graph.input):
            if item.name in names:
                info = onnx.ValueInfoProto()
                info.CopyFrom(item)
                info.name = names[item.name]
                self._scopes[-1].infos.append(info)
        return {name: Value(self, names[name], FLOAT) for name in wanted}

    def model(self, name: str, outputs: Mapping[str, tuple[Value, Sequence[Any], str]]) -> Any:
        """The finished model.

        Args:
            name: of its graph.
            outputs: by name, a value, its shape and what it is.
        """
        scope, infos = self._scopes.pop(), []
        for key, (value, shape, doc) in outputs.items():
            scope.nodes.append(helper.make_node("Identity", [value.name], [key], name=key))
            infos.append(helper.make_tensor_value_info(key, value.dtype, shape, doc))
        graph = helper.make_graph(
            scope.nodes, name, self._inputs, infos, scope.weights, value_info=scope.infos
        )
        opset = [helper.make_opsetid("", OPSET)]
        return helper.make_model(graph, opset_imports=opset, ir_version=IR_VERSION)

    def _name(self, kind: str) -> str:
        self._count += 1
        return f"{kind}_{self._count}"

    def _close(self, inputs: list[Any], outputs: list[Value]) -> Any:
        """The innermost branch as a graph: what it passes on unchanged goes through a node."""
        scope = self._scopes[-1]
        passed = [self.op("Identity", value) for value in outputs]
        infos = [helper.make_tensor_value_info(v.name, v.dtype, None) for v in passed]
        self._scopes.pop()
        known: Any = {"value_info": scope.infos}
        return helper.make_graph(scope.nodes, "branch", inputs, infos, scope.weights, **known)


def _named(like: Carried, found: list[Value]) -> Carried:
    """Outputs of a node by the names of what went in, with their types."""
    return {
        name: Value(value.graph, out.name, value.dtype)
        for (name, value), out in zip(like.items(), found, strict=True)
    }


def _needed(nodes: Sequence[Any], wanted: set[str]) -> list[Any]:
    """The nodes that lead to some values, in their order."""
    kept = []
    for node in reversed(nodes):
        if wanted.intersection(node.output):
            kept.append(node)
            wanted = wanted.union(node.input)
    return kept[::-1]
