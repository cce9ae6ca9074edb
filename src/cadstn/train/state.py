"""Weights and checkpoints on disk: safetensors, written under a temporary name and renamed."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from cadstn.errors import CadstnError


def write_tensors(path: Path, tensors: Mapping[str, Tensor], about: Mapping[str, str]) -> None:
    """Write tensors and text beside them in one file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        whole = {name: tensor.detach().contiguous().clone() for name, tensor in tensors.items()}
        save_file(whole, temporary, metadata=dict(about))
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read what `write_tensors` wrote; nothing in the file is executed.

    Raises:
        CadstnError: if the file is missing or not a safetensors file.
    """
    if not path.is_file():
        raise CadstnError("no such weights file", where=path, mend="train first: cadstn train")
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except SafetensorError as error:
        raise CadstnError(
            f"not a safetensors file ({error})",
            where=path,
            mend="delete it and run the same command again",
        ) from None


def save_checkpoint(
    path: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer, step: int, recipe: str
) -> None:
    """Save all that a stage needs to go on: weights, Adam's moments, the next step's number."""
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    for index, values in optimizer.state_dict()["state"].items():
        tensors |= {f"adam.{index}.{key}": value for key, value in values.items()}
    write_tensors(path, tensors, {"step": str(step), "recipe": recipe})


def load_checkpoint(
    path: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer, recipe: str
) -> int:
    """Restore a stage and return the step to go on with.

    Raises:
        CadstnError: if the file is damaged or was made by another recipe.
    """
    tensors, about = read_tensors(path)
    check_recipe(path, about, recipe)
    model.load_state_dict(
        {name[6:]: value for name, value in tensors.items() if name.startswith("model.")}
    )
    moments: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith("adam."):
            _, index, key = name.split(".", 2)
            moments.setdefault(int(index), {})[key] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": moments})
    return int(about["step"])


def check_recipe(path: Path, about: Mapping[str, str], recipe: str) -> None:
    """Refuse weights of another recipe, naming the first field that differs."""
    theirs, ours = json.loads(about.get("recipe", "{}")), json.loads(recipe)
    differ = [name for name in ours if theirs.get(name) != ours[name]]
    if differ:
        name = differ[0]
        raise CadstnError(
            f"made with {name} = {theirs.get(name)}, not {ours[name]}",
            where=path,
            mend="use another --out, or the recipe that this folder began with",
        )
