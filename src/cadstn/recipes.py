"""Deprecated: `cadstn.train.recipes`."""

from cadstn._moved import moved

__getattr__ = moved("cadstn.recipes", "cadstn.train.recipes")
