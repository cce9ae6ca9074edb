"""Names of modules before 0.2: they work for one more release, with a warning."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable
from typing import Any


def moved(old: str, new: str) -> Callable[[str], Any]:
    """Return a module's ``__getattr__`` that takes names from where the module is now."""

    def getattr_(name: str) -> Any:
        value = getattr(importlib.import_module(new), name)
        warnings.warn(f"{old} is now {new}", DeprecationWarning, stacklevel=2)
        return value

    return getattr_
