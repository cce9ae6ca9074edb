"""The weights of an exported graph, also of those of 0.1.0, which held two networks."""

from __future__ import annotations

from collections.abc import Iterator

from onnx import GraphProto, TensorProto


def initializers(graph: GraphProto) -> Iterator[tuple[str, TensorProto]]:
    """Yield a graph's weights by name, those of the branches of 0.1.0 by the names they had."""
    yield from ((item.name, item) for item in graph.initializer)
    for node in graph.node:
        if node.op_type == "If":
            for item in (item for a in node.attribute for item in a.g.initializer):
                yield item.name.partition(".")[2], item
