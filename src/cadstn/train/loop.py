"""The training loop: one stage at a time, resumable, randomness a function of (seed, step)."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from cadstn._version import __version__
from cadstn.errors import CadstnError
from cadstn.models import (
    Cadstn,
    fuse,
    half_squared,
    inference_state,
    pose_distance,
    spatial_loss,
)
from cadstn.recipes import STAGES, Recipe
from cadstn.synth.scene import Clips, sample_clips
from cadstn.train.state import (
    check_recipe,
    load_checkpoint,
    read_tensors,
    save_checkpoint,
    write_tensors,
)

_TRAIN, _VALIDATE = 0, 1
_VALIDATION_CLIPS = 16


@dataclass(frozen=True)
class Progress:
    """What a watcher is told after a step.

    Attributes:
        stage: ``spatial``, ``temporal`` or ``fusion``.
        step, steps: how far it is, and how far it goes.
        loss: of this step, in units of half a cube.
        error_mm: mean joint error on held-out rendered clips, when it was measured last.
        images_per_s: images of the last steps over the time they took, rendering included.
    """

    stage: str
    step: int
    steps: int
    loss: float
    error_mm: float
    images_per_s: float


Watcher = Callable[[Progress], None]


def train(
    recipe: Recipe,
    out: Path,
    *,
    device: str = "cpu",
    checkpoint_every: int = 500,
    watch: Watcher = lambda progress: None,
) -> Cadstn:
    """Run the three stages of Algorithm 1, going on from wherever ``out`` stands.

    Args:
        recipe: what to train.
        out: folder for the weights of each stage, ``spatial``, ``temporal`` and
            ``fusion.safetensors``, the checkpoints between and ``log.jsonl``.
        device: where to train and render.
        checkpoint_every: steps between checkpoints and validations.
        watch: called after every step.

    Returns:
        The trained model in evaluation mode.

    Raises:
        CadstnError: if ``out`` holds another recipe's work, or the loss stops being finite.
    """
    torch.manual_seed(recipe.seed)
    # On a CPU a training step takes two thirds of the time with channels last.
    model = Cadstn(recipe.net, auxiliary=True).to(device)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # not in its stubs
    for number, stage in enumerate(STAGES):
        done = out / f"{stage}.safetensors"
        part = getattr(model, stage)
        if done.is_file():
            tensors, about = read_tensors(done)
            check_recipe(done, about, recipe.to_json())
            part.load_state_dict(tensors)
        else:
            _start_from_spatial(model, stage, recipe)
            _train_stage(model, stage, number, recipe, out, device, checkpoint_every, watch)
            about = {"recipe": recipe.to_json(), "version": __version__, "stage": stage}
            write_tensors(done, part.state_dict(), about)
            (out / f"{stage}.checkpoint.safetensors").unlink(missing_ok=True)
    return model.eval()


def load_model(out: Path) -> tuple[Cadstn, Recipe]:
    """Read a finished run: the model as it is at inference, and its recipe.

    Raises:
        CadstnError: if a stage is missing or damaged.
    """
    path = out / "spatial.safetensors"
    _, about = read_tensors(path)
    if "recipe" not in about:
        raise CadstnError("names no recipe", where=path, mend="give a folder of 'cadstn train'")
    recipe = Recipe.from_json(about["recipe"])
    model = Cadstn(recipe.net)
    for stage in STAGES:
        tensors, about = read_tensors(out / f"{stage}.safetensors")
        check_recipe(out / f"{stage}.safetensors", about, recipe.to_json())
        getattr(model, stage).load_state_dict(inference_state(tensors))
    return model.eval(), recipe


def stage_loss(model: Cadstn, stage: str, clips: Clips, recipe: Recipe) -> Tensor:
    """Loss of one stage on one batch; only that stage's network takes part in the gradient.

    Args:
        model: all three networks.
        stage: which one is trained.
        clips: crops (B, T, M, M) with their joints.
        recipe: names the loss.
    """
    distance = {"pose_distance": pose_distance, "half_squared": half_squared}[recipe.loss]
    if stage == "spatial":
        outputs = model.spatial.forward_train(clips.crops.flatten(0, 1))
        return spatial_loss(outputs, clips.joints.flatten(0, 1), distance)
    if stage == "temporal":
        joints, _ = model.temporal(clips.crops)
        return distance(joints, clips.joints)
    frames = clips.crops.flatten(0, 1)
    with torch.no_grad():
        temporal, _ = model.temporal(clips.crops)
        spatial = model.spatial(frames).view_as(temporal)
    w1 = model.fusion(frames).view_as(temporal)
    return distance(fuse(w1, temporal, spatial), clips.joints)


def learning_rate(recipe: Recipe, step: int, steps: int) -> float:
    """Adam's learning rate at a step of a stage that has ``steps``."""
    if recipe.schedule == "cosine":
        return recipe.learning_rate * 0.5 * (1 + math.cos(math.pi * step / steps))
    return recipe.learning_rate * recipe.decay ** (step // recipe.decay_every)


@torch.no_grad()
def validation_error_mm(model: Cadstn, stage: str, recipe: Recipe, device: str) -> float:
    """Mean joint error in mm of one stage's network on rendered clips that are never trained on.

    Leaves the model in evaluation mode.
    """
    clips = _batch(recipe, (recipe.seed, _VALIDATE), _VALIDATION_CLIPS, 16, device)
    model.eval()
    if stage == "spatial":
        joints = model.spatial(clips.crops.flatten(0, 1)).view_as(clips.joints)
    elif stage == "temporal":
        joints = model.temporal(clips.crops)[0]
    else:
        joints = model(clips.crops).joints
    return float((joints - clips.joints).norm(dim=-1).mean()) * recipe.cube_mm / 2


def _train_stage(
    model: Cadstn,
    stage: str,
    number: int,
    recipe: Recipe,
    out: Path,
    device: str,
    checkpoint_every: int,
    watch: Watcher,
) -> None:
    part: nn.Module = getattr(model, stage)
    optimizer = torch.optim.Adam(
        part.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay
    )
    path = out / f"{stage}.checkpoint.safetensors"
    start = load_checkpoint(path, part, optimizer, recipe.to_json()) if path.is_file() else 0
    steps = recipe.steps(stage)
    # The networks of the other stages are frozen: no dropout, no gradient, no change.
    model.eval()
    part.train()
    frames = 1 if stage == "spatial" else recipe.clip
    error_mm, began, last = math.nan, time.perf_counter(), start
    for step in range(start, steps):
        seed = (recipe.seed, _TRAIN, number, step)
        torch.manual_seed(_mix(seed))
        clips = _batch(recipe, seed, recipe.batch // frames, frames, device)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(recipe, step, steps)
        optimizer.zero_grad()
        loss = stage_loss(model, stage, clips, recipe)
        torch.autograd.backward(loss)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise CadstnError(
                f"loss is {value} at step {step} of the {stage} stage",
                where=out,
                mend="lower learning_rate; the last checkpoint is still good",
            )
        optimizer.step()
        speed = recipe.batch * (step + 1 - last) / (time.perf_counter() - began)
        if (step + 1) % checkpoint_every == 0 or step + 1 == steps:
            error_mm = validation_error_mm(model, stage, recipe, device)
            part.train()
            save_checkpoint(path, part, optimizer, step + 1, recipe.to_json())
            _log(out, stage, step + 1, value, error_mm, speed)
            began, last = time.perf_counter(), step + 1
        watch(Progress(stage, step + 1, steps, value, error_mm, speed))


def _batch(recipe: Recipe, seed: tuple[int, ...], clips: int, frames: int, device: str) -> Clips:
    return sample_clips(
        seed,
        clips,
        frames,
        cube_mm=recipe.cube_mm,
        size=recipe.net.size,
        device=device,
        compiled=recipe.compiled,
    )


def _start_from_spatial(model: Cadstn, stage: str, recipe: Recipe) -> None:
    """Begin a later stage with the convolutions and FC1 that the spatial network has learned."""
    if recipe.temporal_start != "spatial" or stage == "spatial":
        return
    spatial, part = model.spatial, getattr(model, stage)
    part.trunk.load_state_dict(spatial.depth_trunk.state_dict())
    first = part.fc1 if stage == "temporal" else part.head.fc1
    first.load_state_dict(spatial.fc1.state_dict())


def _mix(seed: tuple[int, ...]) -> int:
    """One number for torch's generator from the numbers that name a step."""
    mixed = 0
    for part in seed:
        mixed = (mixed * 1_000_003 + part + 1) % (1 << 62)
    return mixed


def _log(out: Path, stage: str, step: int, loss: float, error_mm: float, speed: float) -> None:
    line = {
        "stage": stage,
        "step": step,
        "loss": round(loss, 5),
        "error_mm": round(error_mm, 3),
        "images_per_s": round(speed, 1),
    }
    with (out / "log.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
