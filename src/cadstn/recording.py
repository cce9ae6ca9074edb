"""Deprecated: `cadstn.io`."""

from cadstn._moved import moved

__getattr__ = moved("cadstn.recording", "cadstn.io")
