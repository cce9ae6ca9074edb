"""A bank of rendered clips, for trainings that see the same frames several times, and for tests."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from cadstn.data.bank import RENDERED_CENTERS, Bank, CropRule, open_bank, quantise, write_bank
from cadstn.errors import CadstnError
from cadstn.geometry.skeleton import skeleton
from cadstn.io.whole import sync
from cadstn.io.workers import signals_end_it, worker_pool
from cadstn.synth import SIMULATOR
from cadstn.synth import mesh as hand_mesh
from cadstn.synth.compiling import check_compiles
from cadstn.synth.motion import DEFAULT_FRUSTUM
from cadstn.synth.render import one_thread
from cadstn.synth.stream import sample_clips
from cadstn.train.recipes import Recipe
from cadstn.train.seeds import Use

_AT_ONCE = 256  # frames rendered together
_PART = 2048  # frames that a process renders before it reports them


class Mine(Protocol):
    """Puts hard negatives into a bank that is being made.

    Attributes:
        name: of whatever decides what is put there.
    """

    name: str

    def __call__(self, bank: Bank) -> object:
        """Write into the bank."""


@dataclass(frozen=True)
class _Order:
    """What to render: all that the clips of a bank are a function of, and where."""

    recipe: Recipe
    rule: CropRule
    seed: tuple[int, ...]
    frames: int
    device: str


def stream_bank(
    path: Path,
    recipe: Recipe,
    *,
    seed: int,
    clips: int,
    frames: int,
    split: int = Use.BANK,
    device: str = "cpu",
    workers: int = 1,
    mine: Mine | None = None,
    wait: bool = False,
    on_frames: Callable[[int], None] = lambda count: None,
) -> Bank:
    """Render clips into a bank, each a shot with a hand and a motion of its own.

    Args:
        path: the file; one that holds these very clips is opened as it is.
        recipe: decides what is rendered, but for the seed; the centre is where a tracker would have
            it, in acquisition as well unless it is for ``followed`` hands alone.
        seed: banks of two seeds share no hand and no motion.
        clips: how many.
        frames: frames a clip.
        split: second word of the seed, see `cadstn.train.seeds.Use`.
        device: where to render.
        workers: processes that render side by side, on a CPU.
        mine: puts hard negatives into the bank before it is closed, see `cadstn.train.mined`.
        wait: for another process that makes the file, rather than raise an error.
        on_frames: called with how many more frames are done.

    Raises:
        CadstnError: if the file holds something else, the disk is full, another process makes it,
            one of the ``workers`` was ended, meshes are to be rendered without ``anny``, or
            ``compiled`` does not work here.

    Interrupted, it goes on with the frames that are not rendered, and then mined, yet; those that
    are lie in ``path`` with ``.part`` after it.
    """
    about: dict[str, object] = {
        "rendered": seed, "clips": clips, "frames": frames, "version": SIMULATOR,
    }  # fmt: skip
    if (recipe.hands, split) != (1.0, Use.BANK):
        about |= {"hands": recipe.hands, "split": split}
    depth_mm = (recipe.near_mm, recipe.far_mm)
    if (recipe.held, depth_mm) != (0.0, DEFAULT_FRUSTUM.depth_mm):
        about |= {"held": recipe.held, "depth_mm": list(depth_mm)}
    if recipe.mesh:
        about["mesh"] = recipe.mesh
    if mine is not None:
        about["mined"] = mine.name
    data = json.dumps(about, sort_keys=True)
    rule = recipe.crop_rule()
    if rule.center not in RENDERED_CENTERS:
        rule = replace(rule, center="tracked")
    if path.exists():
        bank = _same_clips(open_bank(path), rule, about)
        on_frames(len(bank))
        return bank
    if recipe.compiled:
        check_compiles(device)
    order = _Order(recipe, rule, (seed, split), frames, device)
    parts = torch.split(torch.arange(clips), max(1, _PART // frames))

    def fill(bank: Bank) -> None:
        if recipe.mesh and not bank.cube_mm.all() and not hand_mesh.mesh_there():
            if not bank.cube_mm.any():
                bank.path.unlink()
            raise CadstnError(hand_mesh.NEEDED, where=path, hint=hand_mesh.HINT)
        if min(workers, len(parts)) < 2 or device != "cpu":
            for part in parts:
                for count in _render(bank, order, part):
                    on_frames(count)
        else:
            side_by_side(bank)
        if mine is not None:
            try:
                mine(bank)
            except CadstnError:  # other weights are to mine, and make another bank
                bank.path.unlink()
                raise

    def side_by_side(bank: Bank) -> None:
        with worker_pool(workers, one_thread, where=path) as pool:
            jobs = [pool.submit(_render_part, bank.path, order, part.tolist()) for part in parts]
            for job in jobs:
                on_frames(job.result())

    header = {"data": data, "rule": rule.to_json(), "set": "rendered", "split": f"seed {seed}"}
    shape = (clips * frames, rule.size, len(skeleton(rule.skeleton)))
    with signals_end_it():
        bank = write_bank(path, shape, header, fill, answers=True, resumable=True, wait=wait)
    return _same_clips(bank, rule, about)


def _same_clips(bank: Bank, rule: CropRule, about: dict[str, object]) -> Bank:
    """The bank, if it holds these clips; else an error that names what differs."""
    bank.check_rule(rule)
    try:
        theirs = json.loads(bank.about["data"])
        names = sorted(theirs.keys() | about.keys())
        other = [name for name in names if theirs.get(name) != about.get(name)]
    except (ValueError, AttributeError):  # of a data set: its fingerprint
        theirs, other = {}, ["rendered"]
    if other:
        what = ", ".join(f"{n} {theirs.get(n, '-')}, not {about.get(n, '-')}" for n in other)
        raise CadstnError(
            f"a bank of other clips ({what})",
            where=bank.path,
            hint="give the command that made it, or another file or folder; or delete it",
        )
    return bank


def _render_part(path: Path, order: _Order, part: list[int]) -> int:
    """Render clips into a bank that another process is making; returns how many frames."""
    return sum(_render(open_bank(path, "r+"), order, torch.tensor(part)))


def _render(bank: Bank, order: _Order, part: Tensor) -> Iterator[int]:
    """Render clips into their places in a bank; yields how many more frames are done."""
    assert bank.handedness is not None
    assert bank.presence is not None
    recipe, rule, frames = order.recipe, order.rule, order.frames
    for index in torch.split(part, max(1, _AT_ONCE // frames)):
        place = slice(int(index[0]) * frames, (int(index[-1]) + 1) * frames)
        if bank.cube_mm[place].all():  # rendered before an interruption
            yield len(index) * frames
            continue
        batch = sample_clips(
            order.seed, index, frames, cube_mm=rule.cube_mm, size=rule.size,
            skeleton=rule.skeleton, device=order.device, compiled=recipe.compiled,
            hands=recipe.hands, center=rule.center, held=recipe.held, mesh=recipe.mesh,
            depth_mm=(recipe.near_mm, recipe.far_mm),
        )  # fmt: skip
        bank.crops[place] = quantise(batch.crops.flatten(0, 1).cpu().numpy())
        bank.joints[place] = batch.joints.flatten(0, 1).cpu().numpy()
        bank.centers_mm[place] = batch.centers_mm.flatten(0, 1).cpu().numpy()
        bank.shots[place] = index.repeat_interleave(frames).numpy()
        bank.handedness[place] = batch.handedness.cpu().repeat_interleave(frames).numpy()
        bank.presence[place] = batch.presence.cpu().repeat_interleave(frames).numpy()
        sync(bank.path)  # nothing is called rendered that a power failure could take
        bank.cube_mm[place] = rule.cube_mm
        yield len(index) * frames
