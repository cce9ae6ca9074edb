"""Deprecated: `cadstn.tracking`."""

from cadstn._moved import moved

__getattr__ = moved("cadstn.track", "cadstn.tracking")
