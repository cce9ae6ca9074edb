"""One ONNX graph from a depth frame to hands: `cadstn.tracking.observe` for any language."""
