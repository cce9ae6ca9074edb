"""Deprecated: `cadstn.geometry.crop`."""

from cadstn._moved import moved

__getattr__ = moved("cadstn.crop", "cadstn.geometry.crop")
