"""Where samples come from: rendered as they are needed, or a bank of crops on the device.

A source returns samples by number, which counts on from the first step of a stage to its last.
What number n is depends on nothing else: not on the batch it is in, nor on which rank reads it.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from cadstn.data.bank import Bank
from cadstn.errors import CadstnError
from cadstn.synth import mesh as hand_mesh
from cadstn.synth.compiling import check_compiles
from cadstn.synth.stream import sample_clips
from cadstn.train.augment import augment, transform_codes, upright
from cadstn.train.recipes import Plan, Recipe
from cadstn.train.seeds import Stage, Use

_AT_ONCE = 4  # clips validated together: 64 frames, the size that training renders


class Batch(NamedTuple):
    """A labelled batch, as the networks take it."""

    crops: Tensor  # (B, T, M, M) normalised depth in [-1, 1], +1 where empty or behind the cube
    joints: Tensor  # (B, T, K, 3) relative to the crop's centre, in units of half a cube
    centers_mm: Tensor  # (B, T, 3) centre of each crop's cube, camera frame
    cube_mm: Tensor  # (B,) edge of the cube
    # (B,) 1 for a left hand, 0 for a right one; None where the data does not hold it
    handedness: Tensor | None = None
    # (B,) 1 where there is a hand, 0 where there is none and the joints mean nothing; None where
    # all show one
    presence: Tensor | None = None
    # (B, 2, 2) how the images were rotated or mirrored, None for not at all; the centres are where
    # they were before
    transform: Tensor | None = None


class Source(Protocol):
    """What the loop needs of data."""

    @property
    def fingerprint(self) -> str:
        """Names the data: another one means other data."""

    def clips(self, stage: int, rows: Tensor, frames: int) -> Batch:
        """Return training samples by number.

        Args:
            stage: number of the stage, which has an order of its own.
            rows: (B,) int64 on the CPU, sample numbers.
            frames: frames a sample.
        """

    def validation(self, frames: int, clip: int) -> Iterator[Batch]:
        """Yield at most ``frames`` held-out frames in clips of ``clip``, always the same ones.

        All show a hand: where there is none, joints mean nothing and have no error.
        """


class RenderedSource:
    """Hands rendered as they are needed; no frame is ever seen twice.

    Args:
        recipe: names seed, cube, size and skeleton.
        device: where to render.

    Raises:
        CadstnError: if the recipe is compiled and that does not work here; in use, if it has meshes
            and ``anny`` is not there.
    """

    def __init__(self, recipe: Recipe, device: str) -> None:
        if recipe.compiled:
            check_compiles(device)
        self.recipe, self.device = recipe, device
        self.fingerprint = "rendered"

    def clips(self, stage: int, rows: Tensor, frames: int) -> Batch:
        """See `Source`."""
        recipe = self.recipe
        batch = self._render((recipe.seed, Use.TRAIN, stage), rows, frames, recipe.hands)
        if recipe.augment.continuous and _plan(recipe, stage).augment:
            batch = augment(batch, recipe, (recipe.seed, Use.AUGMENT, stage), rows, None)
        return _clipped(batch, recipe)

    def validation(self, frames: int, clip: int) -> Iterator[Batch]:
        """See `Source`."""
        for rows in torch.split(torch.arange(max(1, frames // clip)), _AT_ONCE):
            batch = self._render((self.recipe.seed, Use.VALIDATE), rows, clip)
            yield _as_shown(batch, self.recipe)

    def _render(
        self, seed: tuple[int, ...], rows: Tensor, frames: int, hands: float = 1.0
    ) -> Batch:
        recipe = self.recipe
        if recipe.mesh and not hand_mesh.mesh_there():
            raise CadstnError(hand_mesh.NEEDED, where=recipe.name, hint=hand_mesh.HINT)
        clips = sample_clips(
            seed,
            rows,
            frames,
            cube_mm=recipe.cube_mm,
            size=recipe.net.size,
            skeleton=recipe.skeleton,
            device=self.device,
            compiled=recipe.compiled,
            hands=hands,
            center=recipe.center,
            held=recipe.held,
            mesh=recipe.mesh,
            depth_mm=(recipe.near_mm, recipe.far_mm),
        )
        cubes = clips.joints.new_full((len(rows),), recipe.cube_mm)
        return Batch(
            clips.crops, clips.joints, clips.centers_mm, cubes, clips.handedness, clips.presence
        )


class BankSource:
    """Crops prepared once, all on the device (on a CPU: mapped from the file).

    Args:
        bank: crops with labels and shots; its last shots by a fixed shuffle are held out.
        recipe: names seed, augmentation and the share that is held out.
        device: where samples go.

    Raises:
        CadstnError: if frames show no hand and the recipe's networks have no use for those.
    """

    def __init__(self, bank: Bank, recipe: Recipe, device: str) -> None:
        handless = bank.presence is not None and not bank.presence.all()
        if handless and "hands" in recipe.traits.unused:
            raise CadstnError(
                f"holds frames without a hand, of which {recipe.name} learns nothing",
                where=bank.path,
                hint="make one of hands alone: cadstn bank --set hands=1",
            )
        self.bank, self.recipe, self.device = bank, recipe, device
        self.fingerprint = bank.fingerprint
        # Signed, because torch cannot index the unsigned type everywhere.
        crops = torch.from_numpy(bank.crops.view(np.int16))
        self._crops = crops.to(device)
        self._joints = torch.from_numpy(bank.joints).to(device)
        self._centers_mm = torch.from_numpy(bank.centers_mm).to(device)
        self._cube_mm = torch.from_numpy(bank.cube_mm).to(device)
        self._handedness, self._presence = (
            None if answer is None else torch.from_numpy(answer).to(device)
            for answer in (bank.handedness, bank.presence)
        )
        self._held_out = np.isin(bank.shots, held_out_shots(bank.shots, recipe.holdout))
        # Frames to train on as one recording; None where clips keep to shots, which are whole.
        self._joined = (
            torch.from_numpy(np.flatnonzero(~self._held_out)) if recipe.across_shots else None
        )
        self._starts = lru_cache(maxsize=4)(self._find_starts)
        self._order = lru_cache(maxsize=4)(self._shuffle)

    def clips(self, stage: int, rows: Tensor, frames: int) -> Batch:
        """See `Source`."""
        recipe, plan = self.recipe, _plan(self.recipe, stage)
        turns = recipe.augment.turns if plan.augment else "none"
        starts = self._starts(frames, plan.order == "windows")
        count = len(starts) * (1 if turns == "none" else 2)
        if plan.order == "windows":
            chosen = rows % count
        else:
            chosen = torch.empty_like(rows)
            for epoch in range(int(rows[0]) // count, int(rows[-1]) // count + 1):
                mine = rows.div(count, rounding_mode="floor") == epoch
                chosen[mine] = self._order(stage, epoch, count)[rows[mine] % count]
        # The second half of the items are the rotated or flipped copies, always the same way.
        place, copy = chosen % len(starts), chosen >= len(starts)
        index = starts[place][:, None] + torch.arange(frames)
        batch = self._gather(index if self._joined is None else self._joined[index])
        if turns != "none" or (recipe.augment.continuous and plan.augment):
            codes = transform_codes(turns, (recipe.seed, Use.AUGMENT), place, copy)
            batch = augment(batch, recipe, (recipe.seed, Use.AUGMENT, stage), rows, codes)
        return _clipped(batch, recipe)

    def validation(self, frames: int, clip: int) -> Iterator[Batch]:
        """See `Source`; nothing where no held-out shot with a hand is as long as a clip."""
        starts = _clip_starts(self.bank.shots, self._held_out, clip, apart=True)
        if self.bank.presence is not None:
            starts = starts[torch.from_numpy(self.bank.presence[starts.numpy()] > 0)]
        if not len(starts):
            return
        # Clips spread over all that is held out, not its first shot alone.
        wanted = max(1, min(len(starts), frames // clip))
        picked = torch.linspace(0, len(starts) - 1, wanted).long()
        for part in torch.split(starts[picked], _AT_ONCE):
            yield _as_shown(self._gather(part[:, None] + torch.arange(clip)), self.recipe)

    def _gather(self, index: Tensor) -> Batch:
        """Frames (B, T) of the bank."""
        index = index.to(self.device)
        crops, first = self._crops[index].int().bitwise_and_(0xFFFF), index[:, 0]
        answers = (
            None if answer is None else answer[first]
            for answer in (self._handedness, self._presence)
        )
        return Batch(
            crops.float().mul_(2 / 0xFFFF).sub_(1),
            self._joints[index],
            self._centers_mm[index],
            self._cube_mm[first],
            *answers,
        )

    def _find_starts(self, frames: int, apart: bool) -> Tensor:
        """Where clips to train on start, in the bank, or in `_joined` where there is one."""
        if self._joined is None:
            starts = _clip_starts(self.bank.shots, ~self._held_out, frames, apart=apart)
        else:
            starts = torch.arange(0, len(self._joined) - frames + 1, frames if apart else 1)
        if not len(starts):
            raise CadstnError(
                f"no shot of {frames} frames to train on",
                where=self.bank.path,
                hint="give longer recordings, or set clip lower",
            )
        return starts

    def _shuffle(self, stage: int, epoch: int, count: int) -> Tensor:
        seed = np.random.SeedSequence((self.recipe.seed, Use.ORDER, stage, epoch)).generate_state(1)
        return torch.randperm(count, generator=torch.Generator().manual_seed(int(seed[0])))


def _clip_starts(shots: np.ndarray, chosen: np.ndarray, frames: int, *, apart: bool) -> Tensor:
    """First frames of the clips inside shots: at every place, or one after another (``apart``).

    Args:
        shots: (N,) shot number of every frame.
        chosen: (N,) bool, the same for all frames of a shot.
        frames: T.
        apart: whether clips may not overlap.
    """
    first, last = shot_bounds(shots)
    mine, step = chosen[first], frames if apart else 1
    places = [
        np.arange(a, b - frames + 1, step) for a, b in zip(first[mine], last[mine], strict=True)
    ]
    starts = np.concatenate(places) if places else np.empty(0, np.int64)
    return torch.from_numpy(starts.astype(np.int64))


def _plan(recipe: Recipe, stage: int) -> Plan:
    return recipe.plan(Stage(stage).name)


def _clipped(batch: Batch, recipe: Recipe) -> Batch:
    """A batch with its joints inside the cube, if the recipe wants that."""
    return batch._replace(joints=batch.joints.clamp(-1, 1)) if recipe.clip_labels else batch


def _as_shown(batch: Batch, recipe: Recipe) -> Batch:
    """A batch in the view that a tracker shows: upright, if the recipe has it so."""
    return upright(batch) if recipe.augment.upright else batch


def shot_bounds(shots: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First index of every run of equal shot numbers (N,), and the index after its last."""
    first = np.flatnonzero(np.concatenate([[True], shots[1:] != shots[:-1]]))
    return first, np.append(first[1:], len(shots))


def held_out_shots(shots: np.ndarray, share: float) -> np.ndarray:
    """Shot numbers kept for validation: the same for every seed, so that runs can be compared.

    Args:
        shots: (N,) shot number of every frame.
        share: of the shots; at least one is taken, unless it is 0 or there is only one shot.
    """
    numbers = np.unique(shots)
    count = min(max(round(share * len(numbers)), 1), len(numbers) - 1) if share else 0
    shuffled: np.ndarray = np.random.default_rng(0).permutation(numbers)
    return shuffled[:count]
