"""Several processes as one: each takes its rows of the global batch, gradients are summed.

Under ``torchrun`` the environment gives each process its rank; without it there is one rank. What a
step computes does not depend on how many there are, but for the order of the sum.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, distributed

from cadstn.errors import CadstnError
from cadstn.train.devices import pick_device

if TYPE_CHECKING:
    from cadstn.train.recipes import Recipe


@dataclass(frozen=True)
class Ranks:
    """Which of how many processes this is."""

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this one writes files and reports progress."""
        return self.rank == 0

    def rows(self, step: int, batch: int) -> Tensor:
        """Sample numbers (int64, on the CPU) that this rank takes of a step's ``batch``."""
        low, high = (batch * (self.rank + i) // self.size for i in (0, 1))
        return torch.arange(step * batch + low, step * batch + high)

    def check(self, recipe: Recipe, stages: Sequence[str]) -> None:
        """Refuse a training that so many ranks cannot share, before its first step.

        Args:
            recipe: what is trained.
            stages: those that are still to train.

        Raises:
            CadstnError: if the networks learn from whole batches, or a rank would get no clip of a
                step.
        """
        if self.size == 1 or not stages:
            return
        if not recipe.traits.shared:
            raise _one_rank_alone(f"networks of a {recipe.net.trunk} trunk", self.size)
        clips = {stage: recipe.plan(stage).batch // recipe.frames(stage) for stage in stages}
        least = min(clips.values())
        if self.size > least:
            short = [stage for stage in stages if clips[stage] < self.size]
            enough = " ".join(
                f"--set {stage}.batch={self.size * recipe.frames(stage)}" for stage in short
            )
            raise CadstnError(
                f"{self.size} ranks for a step of {least} clips in stage {' and '.join(short)}",
                where=recipe.name,
                hint=f"start {least} ranks at most, or give {enough}",
            )

    def add_up(self, tensors: Sequence[Tensor]) -> None:
        """Replace tensors of one device by their sums over all ranks, in one message."""
        if self.size == 1:
            return
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        distributed.all_reduce(flat)
        at = 0
        for tensor in tensors:
            tensor.copy_(flat[at : at + tensor.numel()].view_as(tensor))
            at += tensor.numel()

    def wait(self) -> None:
        """Wait until every rank has come here."""
        if self.size > 1:
            distributed.barrier()


def join(device: str) -> tuple[Ranks, str]:
    """Join the processes that torchrun started; returns the rank and its device.

    Args:
        device: a name that `pick_device` takes.

    Raises:
        CadstnError: if there is no such device, or more ranks on this machine than devices.
    """
    device = pick_device(device)
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        return Ranks(), device
    local = int(os.environ.get("LOCAL_RANK", "0"))
    if device == "cuda":
        if local >= torch.cuda.device_count():
            raise CadstnError(
                f"rank {local} of this machine has no GPU of its own",
                hint=f"torchrun --nproc-per-node {torch.cuda.device_count()}",
            )
        torch.cuda.set_device(local)
        device = f"cuda:{local}"
    if not distributed.is_initialized():
        distributed.init_process_group("nccl" if device.startswith("cuda") else "gloo")
    return Ranks(distributed.get_rank(), size), device


def alone(what: str) -> None:
    """Raise a CadstnError where torchrun started several ranks of what one rank trains."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size > 1:
        raise _one_rank_alone(what, size)


def _one_rank_alone(what: str, size: int) -> CadstnError:
    return CadstnError(f"one rank trains {what}, not {size}", hint="start it without torchrun")


def leave() -> None:
    """Part from the other processes, if there are any."""
    if distributed.is_initialized():
        distributed.destroy_process_group()
