"""From trained networks to one ONNX file."""

from cadstn.export.onnx_file import export_onnx, round_to_half

__all__ = ["export_onnx", "round_to_half"]
