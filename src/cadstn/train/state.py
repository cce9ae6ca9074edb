"""Weights and checkpoints on disk: safetensors, written under a temporary name and renamed."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from cadstn.errors import CadstnError
from cadstn.io.hashes import BLANK_STAMP, STAMP_KEY, check_stamp, stamp_file
from cadstn.io.whole import no_file, whole_file
from cadstn.train.optimizers import Optimizers
from cadstn.train.recipes import NETWORKS, STAGES, Recipe

_KEPT = 2
_HINT = "delete it and run the same command again"
_SUFFIX = ".checkpoint.safetensors"


def write_tensors(path: Path, tensors: Mapping[str, Tensor], about: Mapping[str, str]) -> None:
    """Write tensors and text beside them in one file, whole or not at all.

    Raises:
        CadstnError: if it cannot be written, for instance because the disk is full.
    """
    whole = {name: tensor.detach().contiguous().clone() for name, tensor in tensors.items()}
    with whole_file(path) as temporary:
        try:
            # Its `save_file` has a temporary file of its own, which a killed process would leave.
            temporary.write_bytes(save(whole, metadata={**about, STAMP_KEY: BLANK_STAMP}))
        except (OSError, SafetensorError) as error:
            raise CadstnError(
                f"cannot be written ({error})",
                hint="make room and give the same command again; what was saved before is whole",
            ) from None
        stamp_file(temporary)


def read_tensors(path: Path, hint: str = _HINT) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read what `write_tensors` wrote; nothing in the file is executed.

    Raises:
        CadstnError: if the file is missing, not a safetensors file, or its contents changed since
            it was written.
    """
    if not path.is_file():
        raise CadstnError(
            no_file(path, "no such weights file"), where=path, hint=_why_none(path.parent)
        )
    try:
        check_stamp(path, hint=hint)
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            about = file.metadata() or {}
    # Besides its own errors it raises those of torch, for types that torch has not.
    except (SafetensorError, OSError, ValueError, KeyError, RuntimeError, AttributeError) as error:
        raise CadstnError(f"not a safetensors file ({error})", where=path, hint=hint) from None
    about.pop(STAMP_KEY, None)
    return tensors, about


def _why_none(run: Path) -> str:
    """What to do about weights that are not in a folder."""
    if run.is_file():
        return "give the folder of a run"
    if (run / "detector.safetensors").exists():
        return "it is the run of a detector: give it as --detector, beside that of networks"
    if (run / "recipe.json").exists():
        return "the run is not finished: the same 'cadstn train' goes on"
    return "train first: cadstn train"


def checkpoints(out: Path, stage: str) -> list[Path]:
    """The checkpoints of a stage, newest first."""
    return sorted(out.glob(f"{stage}.*{_SUFFIX}"), reverse=True)


def save_checkpoint(
    out: Path,
    stage: str,
    model: torch.nn.Module,
    optimizers: Optimizers,
    step: int,
    about: Mapping[str, str],
) -> None:
    """Save all that a stage needs to go on: weights, optimizers' moments, the next step's number.

    The newest two are kept: should the last be damaged, there is the one before.
    """
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    for name, optimizer in optimizers.items():
        tensors |= moments(name, optimizer)
    path = out / f"{stage}.{step:08d}{_SUFFIX}"
    write_tensors(path, tensors, {**about, "step": str(step)})
    for old in checkpoints(out, stage)[_KEPT:]:
        old.unlink()


def resume(
    out: Path,
    stage: str,
    model: torch.nn.Module,
    optimizers: Optimizers,
    about: Mapping[str, str],
    on_message: Callable[[str], None],
) -> int:
    """Restore a stage from its newest whole checkpoint and return the step to go on with.

    Args:
        out: the run's folder.
        stage: its name.
        model: takes the weights.
        optimizers: take their moments.
        about: names the recipe and the data, which must be the checkpoint's.
        on_message: called with every damaged checkpoint that is passed over.

    Returns:
        0 where there is no checkpoint.

    Raises:
        CadstnError: if the newest whole one was made by another recipe or with other data.
    """
    for path in checkpoints(out, stage):
        try:
            tensors, theirs = read_tensors(path)
        except CadstnError as error:
            on_message(f"passed over: {path}: {error.what}")
            continue
        check_same(path, theirs, about, stage)
        try:
            step = int(theirs["step"])
            model.load_state_dict(below("model", tensors))
            for name, optimizer in optimizers.items():
                restore(below(name, tensors), optimizer)
        except (LookupError, ValueError, RuntimeError) as error:
            raise CadstnError(
                f"not a checkpoint of these networks ({error})", where=path, hint=_HINT
            ) from None
        return step
    return 0


def moments(name: str, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """An optimizer's tensors as ``NAME.INDEX.KEY``."""
    return {
        f"{name}.{index}.{key}": value
        for index, values in optimizer.state_dict()["state"].items()
        for key, value in values.items()
    }


def below(first: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names begin with a word and a dot, by the rest of their names."""
    start = f"{first}."
    return {n.removeprefix(start): value for n, value in tensors.items() if n.startswith(start)}


def restore(tensors: Mapping[str, Tensor], optimizer: torch.optim.Optimizer) -> None:
    """Give an optimizer its moments back, by ``INDEX.KEY``; raises ValueError for impossible ones.

    Args:
        tensors: of a checkpoint, see `moments`.
        optimizer: takes them.
    """
    held: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        index, key = name.split(".", 1)
        held.setdefault(int(index), {})[key] = value
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    if len({frozenset(own) for own in held.values()}) > 1:
        raise ValueError("its moments are not all there")
    for number, own in held.items():
        for key, value in own.items():
            # A step below 0 or a moment that is no number would spoil the weights, or overflow.
            if not torch.isfinite(value).all() or (key == "step" and not value >= 0):
                raise ValueError(f"its {key} of parameter {number} is out of range")
            if value.shape == parameters[number].shape:
                # Laid out like the parameter: the fused Adam walks both by memory, not by index.
                own[key] = torch.empty_like(parameters[number]).copy_(value)
    optimizer.load_state_dict({**optimizer.state_dict(), "state": held})


_DESCRIPTIVE = ("name", "network", "data", "split", "validation_frames")
# Fields that decide nothing before the first of these stages.
_FROM_STAGE = {
    "temporal": (
        "temporal_start", "temporal_frozen", "lstm_rate", "lstm_inputs_rate", "temporal_divisor",
        "smoothness", "clip",
    ),
    "fusion": ("fusion_start", "gate", "expert_dropout"),
}  # fmt: skip


def stage_fields(recipe: str, stage: str) -> dict[str, object]:
    """The fields of a recipe's JSON that decide what one stage gives.

    Not among them are its name and network, how it is watched, and the stages that it does not
    build on: so spatial weights trained alone serve the whole, and later stages can be changed.
    """
    fields: dict[str, Any] = json.loads(recipe)
    for name in _DESCRIPTIVE:
        fields.pop(name, None)
    needed: set[object] = {stage}
    if stage == "fusion":
        needed = {*STAGES, fields.get("temporal_start"), fields.get("fusion_start")}
    elif stage == "temporal":
        needed.add(fields.get("temporal_start"))
    for other in {*NETWORKS, *STAGES} - needed:
        fields.pop(other, None)
    earlier = {"fusion": (), "temporal": ("fusion",)}.get(stage, ("temporal", "fusion"))
    for later in earlier:
        for name in _FROM_STAGE[later]:
            fields.pop(name, None)
    if stage != "fusion":
        fields["net"].pop("fusion", None)
    return fields


def check_same(path: Path, theirs: Mapping[str, str], ours: Mapping[str, str], stage: str) -> None:
    """Refuse weights of another recipe or other data, naming the first field that differs.

    Args:
        path: where they lie.
        theirs: the text beside them.
        ours: ``recipe`` as JSON and ``data``.
        stage: whose weights they are.
    """
    hint = "use another --out, or the recipe that this folder began with"
    # Through Recipe: fields of other versions are refused by name.
    their_fields = stage_fields(recipe_of(path, theirs).to_json(), stage)
    our_fields = stage_fields(Recipe.from_json(ours["recipe"]).to_json(), stage)
    differ = _differences(their_fields, our_fields)
    if differ:
        name, a, b = differ[0]
        raise CadstnError(f"made with {name} = {a}, not {b}", where=path, hint=hint)
    for name, what in (("data", "the data"), ("start", "the start")):
        if theirs.get(name) != ours.get(name):
            raise CadstnError(
                f"made with {name} {_short(theirs.get(name))}, not {_short(ours.get(name))}",
                where=path,
                hint=f"use another --out, or {what} that this folder began with",
            )


def recipe_of(path: Path, about: Mapping[str, str]) -> Recipe:
    """The recipe that a file's weights were made by.

    Raises:
        CadstnError: if it names none, or one that is damaged.
    """
    if "recipe" not in about:
        raise CadstnError("names no recipe", where=path, hint="give a folder of 'cadstn train'")
    try:
        return Recipe.from_json(about["recipe"])
    except CadstnError as error:
        raise CadstnError(error.what, where=path, hint=error.hint) from None


def _short(fingerprint: str | None) -> str:
    return str(fingerprint)[:30]


def _differences(
    theirs: Mapping[str, object], ours: Mapping[str, object]
) -> list[tuple[str, object, object]]:
    """Fields that differ, those of nested parts by their dotted names."""
    found: list[tuple[str, object, object]] = []
    for name in sorted({*theirs, *ours}):
        a, b = theirs.get(name), ours.get(name)
        if isinstance(a, dict) and isinstance(b, dict):
            found += [(f"{name}.{inner}", x, y) for inner, x, y in _differences(a, b)]
        elif a != b:
            found.append((name, a, b))
    return found
