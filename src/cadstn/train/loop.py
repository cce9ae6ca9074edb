"""The training loop: stage after stage, resumable; all randomness is a function of (seed, step).

More exactly of (seed, sample number), where samples are counted through all steps: which process
takes a sample, and in which batch it comes, changes nothing.
"""

from __future__ import annotations

import contextlib
import json
import math
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cadstn._moved import renamed
from cadstn._version import __version__
from cadstn.errors import Stopped
from cadstn.io.whole import alone_in, write_json
from cadstn.train.family import Networks, StageMasks
from cadstn.train.guards import Losses, memory_errors, stoppable
from cadstn.train.memory import keep_memory
from cadstn.train.networks import build, family_of, predict, stage_step
from cadstn.train.optimizers import optimizers
from cadstn.train.ranks import Ranks, join
from cadstn.train.recipes import Recipe, check_used
from cadstn.train.seeds import Stage
from cadstn.train.source import Batch, RenderedSource, Source
from cadstn.train.start import Start, check_start, start_stage
from cadstn.train.state import (
    check_same,
    read_tensors,
    resume,
    save_checkpoint,
    write_tensors,
)
from cadstn.train.watching import Log, Progress

CHECKPOINT_EVERY = 500
_FINAL = 4  # times as many frames are validated at a stage's end
_WINDOW = 20  # steps that the reported speed is of
_START_FRAMES = 512  # whose statistics weights start with that were exported
_LAG = 20  # steps that a GPU may run ahead of the check of its losses

Watcher = Callable[[Progress], None]


@dataclass
class _Run:
    """What one call of `train` works with."""

    recipe: Recipe
    out: Path
    source: Source
    device: str
    ranks: Ranks
    start: Start | None
    checkpoint_every: int
    watch: Watcher
    on_message: Callable[[str], None]
    stop: threading.Event

    @property
    def about(self) -> dict[str, str]:
        return {
            "recipe": self.recipe.to_json(),
            "version": __version__,
            "data": self.source.fingerprint,
            **({"start": self.start.name} if self.start else {}),
        }


@renamed("tell", "on_message")
def train(
    recipe: Recipe,
    out: Path,
    *,
    source: Source | None = None,
    device: str = "cpu",
    start: Start | None = None,
    checkpoint_every: int = CHECKPOINT_EVERY,
    watch: Watcher = lambda progress: None,
    on_message: Callable[[str], None] = lambda line: None,
) -> Networks:
    """Train the stages of a recipe in order, going on from wherever ``out`` stands.

    Under torchrun every process calls it alike; see `cadstn.train.ranks`.

    Args:
        recipe: what to train.
        out: folder for the weights of each stage, ``spatial.safetensors`` and so on, checkpoints
            between, ``recipe.json``, ``log.jsonl`` and TensorBoard's files.
        source: where samples come from; none for hands rendered as they are needed.
        device: where to train and render, see `cadstn.train.devices.pick_device`.
        start: weights to go on from; none begins with those that the seed decides, and so does a
            stage that ``start`` lacks, with a message.
        checkpoint_every: steps between checkpoints and validations.
        watch: called after every step.
        on_message: called with each message for the user, such as a damaged checkpoint passed over.

    Returns:
        The trained networks by stage, in evaluation mode.

    Raises:
        CadstnError: if the recipe sets what its networks make no use of, ``out`` holds another
            recipe's work or another process trains in it, there are more ranks than a step has
            clips or more than one for compact networks, ``start`` has none of the stages, the loss
            stops being finite, a batch does not fit in memory or a file cannot be written.
        Stopped: after SIGTERM or Ctrl-C, with everything saved.
    """
    check_used(recipe)
    ranks, device = join(device)
    ranks.check(recipe, [stage for stage in recipe.stages if not _done(out, stage).is_file()])
    if start:
        check_start(start, recipe)
    if torch.device(device).type == "cpu":
        keep_memory()
    with alone_in(out) if ranks.first else contextlib.nullcontext(), stoppable() as stop:
        run = _Run(
            recipe, out, source or RenderedSource(recipe, device), device, ranks, start,
            checkpoint_every, watch, on_message, stop,
        )  # fmt: skip
        networks = build(recipe, device)
        for stage in recipe.stages:
            _finish_stage(run, networks, stage)
    return {stage: network.eval() for stage, network in networks.items()}


def learning_rate(recipe: Recipe, stage: str, step: int) -> float:
    """The learning rate at a step of a stage."""
    plan = recipe.plan(stage)
    rate = plan.learning_rate * min(1.0, (step + 1) / (recipe.warmup + 1))
    if recipe.schedule == "cosine":
        return rate * 0.5 * (1 + math.cos(math.pi * step / plan.steps))
    return rate * recipe.decay ** (step // recipe.decay_every)


@torch.no_grad()
def validation_error_mm(
    networks: Networks, stage: str, recipe: Recipe, source: Source, frames: int
) -> tuple[float | None, tuple[Batch, Tensor] | None]:
    """Mean joint error in mm on held-out clips; leaves the networks in evaluation mode.

    Returns:
        The error (None where nothing is held out), and the first batch with its predictions.
    """
    for network in networks.values():
        network.eval()
    total, count = 0.0, 0
    first: tuple[Batch, Tensor] | None = None
    for batch in source.validation(frames, recipe.clip):
        joints = predict(networks, stage, batch)
        first = first or (batch, joints)
        half_mm = (batch.cube_mm / 2).view(-1, 1, 1)
        error_mm = (joints - batch.joints).norm(dim=-1) * half_mm
        total, count = total + float(error_mm.sum()), count + error_mm.numel()
    return (total / count if count else None), first


def _done(out: Path, stage: str) -> Path:
    """The file of a stage that is trained to its end."""
    return out / f"{stage}.safetensors"


def _finish_stage(run: _Run, networks: Networks, stage: str) -> None:
    """Load a stage that is done, or train it to its end and write its weights."""
    done = _done(run.out, stage)
    if done.is_file():
        tensors, theirs = read_tensors(done)
        check_same(done, theirs, run.about, stage)
        networks[stage].load_state_dict(tensors)
        return
    family_of(run.recipe).begin(networks, stage, run.recipe)
    with memory_errors(run.recipe, stage):
        _train_stage(run, networks, stage)
    if run.ranks.first:
        state = networks[stage].state_dict()
        write_tensors(done, state, {**run.about, "stage": stage})
        for checkpoint in run.out.glob(f"{stage}.*.checkpoint.safetensors"):
            checkpoint.unlink()
    run.ranks.wait()


def _begin_from(start: Start, run: _Run, network: nn.Module, stage: str) -> None:
    """Give a stage the weights to go on from, or say that there are none."""
    if stage not in start.tensors:
        if run.ranks.first:
            run.on_message(f"{stage}: begins afresh, since {start.name} has no such stage")
        return
    frames = run.recipe.frames(stage)
    batch = run.source.clips(Stage[stage], torch.arange(_START_FRAMES // frames), frames)
    start_stage(network, stage, start, batch.crops.flatten(0, 1))


def _train_stage(run: _Run, networks: Networks, stage: str) -> None:
    recipe, ranks, part = run.recipe, run.ranks, networks[stage]
    plan, frames = recipe.plan(stage), recipe.frames(stage)
    clips = plan.batch // frames
    changing = optimizers(part, stage, recipe, plan.learning_rate)
    start = resume(run.out, stage, part, changing, run.about, run.on_message)
    if ranks.first:  # not before: a recipe that is refused is not the run's
        _write_recipe(run)
    if start == 0 and run.start:  # no checkpoint, or none that is whole
        _begin_from(run.start, run, part, stage)
    log = Log(run.out, stage, start) if ranks.first else None
    losses = Losses(run.out, stage, lag=0 if run.device == "cpu" else _LAG)
    ready(networks, stage)
    step_loss = stage_step(networks, stage, recipe)
    error_mm: float | None = None
    clock = deque([time.perf_counter()], maxlen=_WINDOW + 1)
    for step in range(start, plan.steps):
        rate = learning_rate(recipe, stage, step)
        for optimizer in changing.values():
            for group in optimizer.param_groups:
                group["lr"] = rate * group["rate"]
        rows = ranks.rows(step, clips)
        loss, stop = _gradients(run, networks, stage, step_loss, rows, clips)
        losses.check(step, loss)
        for optimizer in changing.values():
            optimizer.step()
        clock.append(time.perf_counter())
        speed = plan.batch * (len(clock) - 1) / (clock[-1] - clock[0])
        stopping, last = bool(stop), step + 1 == plan.steps
        # The last step is measured whatever happens: nothing is left of it for the next call.
        measured = last or (not stopping and (step + 1) % run.checkpoint_every == 0)
        if measured or stopping:
            losses.check_all()
        if measured and log:
            wanted = recipe.validation_frames * (_FINAL if last else 1)
            error_mm, first = validation_error_mm(networks, stage, recipe, run.source, wanted)
            if error_mm is None and last:
                run.on_message(
                    f"{stage}: not validated, since no held-out recording has {recipe.clip} frames "
                    f"of a hand (holdout={recipe.holdout:g})"
                )
            if first:
                log.sheet(*first, recipe.skeleton, step + 1)
            ready(networks, stage)
        if log:
            progress = Progress(
                stage, step + 1, plan.steps, losses.last, rate, error_mm, speed, measured
            )
            log.write(progress)
        if (measured or stopping) and ranks.first:
            # After its line in the log: a run that is killed in between writes both again.
            save_checkpoint(run.out, stage, part, changing, step + 1, run.about)
        if log:
            run.watch(progress)
        if measured:  # validation is no training
            clock = deque([time.perf_counter()], maxlen=_WINDOW + 1)
        if stopping:
            raise Stopped(stage, step + 1)
    if log:
        log.close()


def ready(networks: Networks, stage: str) -> None:
    """Put one stage's network into training mode; the others stay as they are."""
    for name, network in networks.items():
        network.train(name == stage)


def _gradients(
    run: _Run, networks: Networks, stage: str, step_loss: Callable[[Batch, StageMasks], Tensor],
    rows: Tensor, clips: int,
) -> tuple[Tensor, bool]:  # fmt: skip
    """Leave the global batch's gradients in the network; return its loss, and whether to stop."""
    part = networks[stage]
    part.zero_grad(set_to_none=True)
    batch = run.source.clips(Stage[stage], rows, run.recipe.frames(stage))
    masks = family_of(run.recipe).masks(networks, stage, run.recipe, rows.to(run.device))
    with mixed_precision(run.recipe, run.device):
        loss = step_loss(batch, masks)
    # A mean over the rows of this rank becomes its part of the mean over all.
    loss = loss * (len(rows) / clips)
    torch.autograd.backward(loss)
    whole = loss.detach()
    if run.ranks.size == 1:
        return whole, run.stop.is_set()
    # Every rank must stop after the same step: the wish travels with the gradients.
    flag = torch.tensor(float(run.stop.is_set()), device=run.device)
    gradients = [p.grad for p in part.parameters() if p.grad is not None]
    run.ranks.add_up([*gradients, whole, flag])
    return whole, bool(flag > 0)


def mixed_precision(recipe: Recipe, device: str) -> contextlib.AbstractContextManager[object]:
    """Products in bfloat16 where the recipe has it; sums, weights and moments stay in float32."""
    return torch.autocast(
        torch.device(device).type, torch.bfloat16, enabled=recipe.precision == "bf16"
    )


def _write_recipe(run: _Run) -> None:
    """Put configuration, code version and data beside the weights, for people to read."""
    about: dict[str, Any] = {**run.about, "recipe": json.loads(run.recipe.to_json())}
    write_json(run.out / "recipe.json", about, indent=1, sort_keys=True)
