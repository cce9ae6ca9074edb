"""From trained networks to one ONNX file."""

from cadstn.export.half import round_to_half
from cadstn.export.onnx_file import export_onnx

__all__ = ["export_onnx", "round_to_half"]
