"""Two ONNX graphs of one interface as one file, with an input that says which of them runs."""

from __future__ import annotations

from collections.abc import Iterator

from onnx import GraphProto, ModelProto, TensorProto, helper


def either(name: str, yes: ModelProto, no: ModelProto) -> ModelProto:
    """Return a graph that runs ``yes`` where the scalar input ``name`` is true, else ``no``.

    What is not run costs nothing: it is a branch of ONNX's If.

    Args:
        name: of the bool input, which comes after the graphs' own.
        yes: its inputs and outputs have the names, and the order, of ``no``'s.
        no: keeps its metadata.
    """
    graphs = {"yes": yes.graph, "no": no.graph}
    branches = {key: _branch(graph, key) for key, graph in graphs.items()}
    outputs = [output.name for output in no.graph.output]
    node = helper.make_node(
        "If", [name], outputs, then_branch=branches["yes"], else_branch=branches["no"]
    )
    flag = helper.make_tensor_value_info(name, TensorProto.BOOL, [])
    graph = helper.make_graph([node], no.graph.name, [*no.graph.input, flag], no.graph.output)
    model = ModelProto()
    model.CopyFrom(no)
    model.graph.CopyFrom(graph)
    return model


def _branch(graph: GraphProto, prefix: str) -> GraphProto:
    """Return a graph that reads the inputs around it; what it makes itself has names of its own."""
    branch = GraphProto()
    branch.CopyFrom(graph)
    branch.name = prefix
    outside = {item.name for item in graph.input}

    def own(name: str) -> str:
        return name if not name or name in outside else f"{prefix}.{name}"

    del branch.input[:]
    del branch.value_info[:]  # of shapes that runtimes infer again
    for item in (*branch.initializer, *branch.output):
        item.name = own(item.name)
    for index, node in enumerate(branch.node):
        node.name = f"{prefix}.{index}"
        node.input[:] = [own(name) for name in node.input]
        node.output[:] = [own(name) for name in node.output]
    return branch


def initializers(graph: GraphProto) -> Iterator[tuple[str, TensorProto]]:
    """Yield a graph's weights by name, those of `either`'s two graphs by the names they had."""
    yield from ((item.name, item) for item in graph.initializer)
    for node in graph.node:
        if node.op_type == "If":
            for item in (item for a in node.attribute for item in a.g.initializer):
                yield item.name.partition(".")[2], item
