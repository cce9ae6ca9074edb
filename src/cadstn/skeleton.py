"""Deprecated: `cadstn.geometry.skeleton`."""

from cadstn._moved import moved

__getattr__ = moved("cadstn.skeleton", "cadstn.geometry.skeleton")
