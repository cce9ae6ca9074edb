"""Replace fields of a recipe by name, checking names and types."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any, TypeVar

from cadstn.errors import CadstnError, nearest_name
from cadstn.models import CompactConfig, NetConfig, PaperConfig
from cadstn.models.config import CONFIGS, field_names

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T", bound="DataclassInstance")
_MOST = 1e9  # no field is meant to be larger


def replaced(base: T, values: Mapping[str, Any]) -> T:
    """Replace fields of a recipe, those of a part as ``net.FIELD``, ``spatial.steps`` or a mapping.

    Raises:
        CadstnError: for an unknown field, with the nearest name, or a value of the wrong type.
    """
    known = [f.name for f in fields(base)]
    parts: dict[str, dict[str, Any]] = {}
    plain: dict[str, Any] = {}
    for name, value in values.items():
        head, dot, tail = name.partition(".")
        if head not in known:
            raise CadstnError(
                f"unknown recipe field '{name}'", hint=nearest_name(name, _all_names(base))
            )
        if not dataclasses.is_dataclass(getattr(base, head)):
            if dot:
                raise CadstnError(f"unknown recipe field '{name}'", hint=f"set {head}")
            plain[name] = _typed(name, value, getattr(base, name))
        elif dot:
            parts.setdefault(head, {})[tail] = value
        elif isinstance(value, Mapping):
            parts.setdefault(head, {}).update(value)
        else:
            raise CadstnError(f"recipe field '{name}' is {value!r}", hint=f"set {name}.FIELD")
    for head, changes in parts.items():
        plain[head] = _part(head, getattr(base, head), changes)
    return dataclasses.replace(base, **plain)


def _part(head: str, base: Any, changes: Mapping[str, Any]) -> Any:
    """One nested value with some of its fields replaced."""
    if isinstance(base, PaperConfig | CompactConfig):
        whole = {**base.to_dict(), **changes}
        if isinstance(whole["trunk"], str) and whole["trunk"] in CONFIGS:
            own = field_names(CONFIGS[whole["trunk"]])
            for name in changes.keys() - {"trunk", *own}:
                raise CadstnError(
                    f"unknown key '{name}' in a {whole['trunk']} network",
                    where="net",
                    hint=nearest_name(name, own),
                )
        return NetConfig.from_dict(whole)
    known = [f.name for f in fields(base)]
    for name in changes:
        if name not in known:
            raise CadstnError(
                f"unknown recipe field '{head}.{name}'", hint=nearest_name(name, known)
            )
    typed = {n: _typed(f"{head}.{n}", v, getattr(base, n)) for n, v in changes.items()}
    return dataclasses.replace(base, **typed)


def _all_names(base: Any) -> list[str]:
    names = []
    for f in fields(base):
        value = getattr(base, f.name)
        if dataclasses.is_dataclass(value):
            names += [f"{f.name}.{part.name}" for part in fields(value)]
        else:
            names.append(f.name)
    return names


def _typed(name: str, value: Any, like: Any) -> Any:
    """Accept a value of the field's own type, or a whole number for a float."""
    if type(value) in (int, float) and not abs(value) < _MOST:  # nan as well
        raise CadstnError(f"recipe field '{name}' is {str(value)[:40]}", hint=f"like {like!r}")
    if isinstance(value, dict) and not all(
        type(v) in (int, float) and 0 < v < _MOST for v in value.values()
    ):
        raise CadstnError(f"recipe field '{name}' is {value!r}", hint="give numbers above 0")
    if type(value) is type(like):
        return value
    if isinstance(like, float) and type(value) is int:
        return float(value)
    kinds = {"int": "a whole number", "str": "a word", "bool": "true or false"}
    kind = kinds.get(type(like).__name__, f"a {type(like).__name__}")
    raise CadstnError(f"recipe field '{name}' is {value!r}", hint=f"give {kind}, like {like!r}")
