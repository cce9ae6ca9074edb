"""Deprecated: `cadstn.geometry.camera`."""

from cadstn._moved import moved

__getattr__ = moved("cadstn.camera", "cadstn.geometry.camera")
