"""How fast training is, where its time goes, and how a plain loop does beside it."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import nn

from cadstn.io.text import duration
from cadstn.train.family import Networks, StageMasks
from cadstn.train.loop import mixed_precision, ready
from cadstn.train.memory import keep_memory
from cadstn.train.networks import build, family_of, stage_step
from cadstn.train.optimizers import Optimizers, optimizers
from cadstn.train.recipes import Recipe
from cadstn.train.seeds import Stage
from cadstn.train.source import Batch, Source

PARTS = ("data", "forward", "backward", "optimiser")


@dataclass(frozen=True)
class StageSpeed:
    """One stage's step, medians over the rounds."""

    stage: str  # its name
    batch: int  # images a step
    images_per_s: float  # of our loop, data included
    # of the plain loop, measured in between; none if it was left out
    plain_images_per_s: float | None
    seconds: dict[str, float]  # of a step of ours: data, forward, backward, optimiser
    schedule_s: float  # how long the recipe's steps of this stage would take


class _Loop:
    """A step of a stage, ours or plain, with the time of each part."""

    def __init__(self, recipe: Recipe, stage: str, source: Source, device: str, plain: bool):
        self.recipe, self.stage, self.source = recipe, stage, source
        self.device, self.plain, self.step = device, plain, 0
        self.networks: Networks = build(recipe, device)
        self.part: nn.Module = self.networks[stage]
        if plain:
            for network in self.networks.values():
                network.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        else:
            family_of(recipe).begin(self.networks, stage, recipe)
        ready(self.networks, stage)
        if plain:
            # As one would write it: torch's defaults, nothing frozen.
            self.optimizers: Optimizers = {
                "adam": torch.optim.Adam(self.part.parameters(), lr=1e-5)
            }
        else:
            self.optimizers = optimizers(self.part, stage, recipe, 1e-5)
        self.loss = stage_step(self.networks, stage, recipe)

    def __call__(self) -> dict[str, float]:
        if torch.device(self.device).type == "cpu":
            keep_memory(not self.plain)
        recipe, stage = self.recipe, self.stage
        frames = recipe.frames(stage)
        clips = recipe.plan(stage).batch // frames
        rows = torch.arange(self.step * clips, (self.step + 1) * clips)
        self.step += 1
        times = [self._now()]
        batch: Batch = self.source.clips(Stage[stage], rows, frames)
        times.append(self._now())
        self.part.zero_grad(set_to_none=True)
        masks: StageMasks = {}  # torch's own dropout
        if not self.plain:
            masks = family_of(recipe).masks(self.networks, stage, recipe, rows.to(self.device))
        with mixed_precision(recipe, self.device):
            loss = self.loss(batch, masks)
        times.append(self._now())
        torch.autograd.backward(loss)
        times.append(self._now())
        for optimizer in self.optimizers.values():
            optimizer.step()
        times.append(self._now())
        return {name: times[i + 1] - times[i] for i, name in enumerate(PARTS)}

    def _now(self) -> float:
        if torch.device(self.device).type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()


def bench_train(
    recipe: Recipe,
    source: Source,
    *,
    rounds: int = 5,
    device: str = "cpu",
    plain: bool = True,
    on_stage: Callable[[StageSpeed], None] = lambda speed: None,
) -> list[StageSpeed]:
    """Time the stages of a recipe, ours and the plain loop turn by turn.

    The plain loop is eager fp32 with torch's defaults: channels first, its own Adam and allocator,
    the same networks, loss, batch and data.

    Args:
        recipe: what would be trained.
        source: where samples come from.
        rounds: steps measured of each, after one to warm up.
        device: ``cpu`` or ``cuda``.
        plain: measure the plain loop too.
        on_stage: called with each stage as it is done.
    """
    found = []
    for stage in recipe.stages:
        loops = [_Loop(recipe, stage, source, device, False)]
        if plain:
            eager = replace(recipe, precision="fp32", step_mode="eager")
            loops.append(_Loop(eager, stage, source, device, True))
        steps: list[list[dict[str, float]]] = [[] for _ in loops]
        for turn in range(rounds + 1):
            for loop, seen in zip(loops, steps, strict=True):
                loop()  # a step that pays for the change of allocator
                seconds = loop()
                if turn:
                    seen.append(seconds)
        plan = recipe.plan(stage)
        whole = [statistics.median(sum(s.values()) for s in seen) for seen in steps]
        speed = StageSpeed(
            stage,
            plan.batch,
            plan.batch / whole[0],
            plan.batch / whole[1] if plain else None,
            {name: statistics.median(s[name] for s in steps[0]) for name in PARTS},
            plan.steps * whole[0],
        )
        found.append(speed)
        on_stage(speed)
    if torch.device(device).type == "cpu":
        keep_memory()
    return found


def format_speeds(speeds: list[StageSpeed]) -> str:
    """A table of `bench_train`, and the whole schedule below it."""
    head = f"{'stage':<9}{'batch':>6}{'images/s':>10}{'plain':>8}{'ratio':>7}"
    head += "".join(f"{name + ' ms':>14}" for name in PARTS) + f"{'schedule':>12}"
    lines = [head]
    for speed in speeds:
        plain = speed.plain_images_per_s
        line = f"{speed.stage:<9}{speed.batch:>6}{speed.images_per_s:>10.1f}"
        line += f"{plain:>8.1f}{speed.images_per_s / plain:>7.2f}" if plain else f"{'-':>8}{'-':>7}"
        line += "".join(f"{1e3 * speed.seconds[name]:>14.1f}" for name in PARTS)
        lines.append(line + f"{duration(speed.schedule_s):>12}")
    total = sum(speed.schedule_s for speed in speeds)
    return "\n".join([*lines, f"the whole schedule: {duration(total)}"])
