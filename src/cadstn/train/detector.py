"""Train the detector on rendered whole frames: one command, resumed by the same command."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cadstn.errors import CadstnError, nearest_name
from cadstn.io.arrays import read_regular
from cadstn.io.files import error_context
from cadstn.io.whole import write_text
from cadstn.models.detector import MULTIPLE, Detector, detector_input
from cadstn.synth.whole import ABSENT, FOUND, UNSURE
from cadstn.train.detector_loss import Target, detector_loss
from cadstn.train.guards import interruptible
from cadstn.train.ranks import alone
from cadstn.train.seeds import Use
from cadstn.train.state import below, moments, read_tensors, restore, write_tensors
from cadstn.train.whole_bank import WholeBank, whole_bank

_SAVE_EVERY = 250
_REPORT_EVERY = 50
WEIGHTS = "detector.safetensors"
"""The file of the trained weights in a run's folder."""
_CHECKPOINT = "checkpoint.safetensors"


@dataclass(frozen=True)
class DetectorRecipe:
    """Everything that decides what training the detector gives, besides the code."""

    seed: int = 0  # of frames, order, augmentation and weights
    frames: int = 131_072  # rendered once, then seen several times
    steps: int = 12_000  # of ``batch`` frames each
    again: int = 7_000  # steps of each later round, which begins at half the learning rate
    rounds: int = 1  # how many of them
    batch: int = 64  # frames a step
    learning_rate: float = 2e-3  # at the start; falls to zero along a cosine in every round
    warmup: int = 300  # steps over which it rises
    weight_decay: float = 1e-3  # AdamW's
    average: float = 0.998  # share of the running average of weights that a step keeps
    bf16: bool = True  # whether convolutions run in bfloat16


def detector_recipe(fields: Mapping[str, Any]) -> DetectorRecipe:
    """The recipe with some fields set otherwise.

    Raises:
        CadstnError: for an unknown field, with the nearest, or a value of another type.
    """
    known = asdict(DetectorRecipe())
    for name, value in fields.items():
        if name not in known:
            raise CadstnError(
                f"unknown field '{name}' of recipe detector", hint=nearest_name(name, known)
            )
        like = known[name]
        if type(value) is not type(like) and not (isinstance(like, float) and type(value) is int):
            raise CadstnError(f"detector {name} is {value!r}", hint=f"give a value like {like!r}")
        if value is not True and value is not False and not 0 <= value < 1e9:
            raise CadstnError(f"detector {name} is {value!r}", hint=f"give a value like {like!r}")
    chosen = DetectorRecipe(**{**known, **fields})
    if min(chosen.frames, chosen.batch) < 1 or not chosen.learning_rate > 0 or chosen.average > 1:
        raise CadstnError(
            f"detector frames {chosen.frames}, batch {chosen.batch}, learning_rate "
            f"{chosen.learning_rate}, average {chosen.average}",
            hint="give a frame or more, a rate above 0 and an average of 1 at most",
        )
    return chosen


class Line(NamedTuple):
    """A line of progress: step, of how many, losses, seconds a step."""

    step: int
    steps: int
    loss: float
    centers: float
    step_s: float

    def __str__(self) -> str:
        left = (self.steps - self.step) * self.step_s
        return (
            f"step {self.step}/{self.steps}  loss {self.loss:.3f}  centres {self.centers:.3f}  "
            f"{1 / self.step_s:.1f} steps/s  {left / 60:.0f} min left"
        )


def train_detector(
    recipe: DetectorRecipe,
    out: Path,
    *,
    workers: int = 1,
    on_frames: Callable[[int], None] = lambda count: None,
    on_line: Callable[[Line], None] = lambda line: None,
    stop: Callable[[], bool] = lambda: False,
) -> Path | None:
    """Train; a folder that holds a part of this training goes on from there.

    One that holds the finished weights is left as it is, whatever else of it is still there.

    Args:
        recipe: what to train.
        out: folder of the run: its frames, its checkpoint, the finished ``detector.safetensors``.
        workers: processes that render.
        on_frames: called with how many more frames are rendered.
        on_line: called with lines of progress.
        stop: called after each step; true saves and ends.

    Returns:
        The file of the averaged weights; None if it was stopped before the end.

    Raises:
        CadstnError: if the folder holds the training of another recipe or damaged weights, or
            torchrun started several ranks.
    """
    alone("the detector")
    out.mkdir(parents=True, exist_ok=True)
    _same_recipe(out, recipe)
    path = out / WEIGHTS
    if path.is_file():
        read_tensors(path)
        return path
    with interruptible():
        bank = whole_bank(
            out / "frames",
            seed=(recipe.seed, Use.WHOLE),
            frames=recipe.frames,
            workers=workers,
            on_frames=on_frames,
        )
    torch.manual_seed(recipe.seed)
    model = Detector().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(
        model.parameters(), recipe.learning_rate, weight_decay=recipe.weight_decay, fused=True
    )
    mean = {name: value.clone() for name, value in model.state_dict().items()}
    step = _load(out, model, optimizer, mean)
    began, since = time.perf_counter(), step
    total, centers = 0.0, 0.0
    steps = recipe.steps + recipe.again * recipe.rounds
    while step < steps:
        rate = recipe.learning_rate * _rate(step, recipe)
        for group in optimizer.param_groups:
            group["lr"] = rate
        loss, part = _step(model, bank, recipe, step)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 10.0)
        optimizer.step()
        step += 1
        _average(mean, model, min(recipe.average, 1 - 1 / (step + 1)))
        total, centers = total + float(loss.detach()), centers + float(part)
        ended = step == steps or stop()
        if step % _REPORT_EVERY == 0 or ended:
            count = step - since
            took = (time.perf_counter() - began) / max(count, 1)
            on_line(Line(step, steps, total / count, centers / count, took))
            began, since, total, centers = time.perf_counter(), step, 0.0, 0.0
        if step % _SAVE_EVERY == 0 or ended:
            _save(out, model, optimizer, mean, step)
        if ended and step < steps:
            return None
    write_tensors(path, mean, {})
    return path


def read_detector(path: Path) -> dict[str, Tensor]:
    """Weights of a training's ``detector.safetensors``, or of the run's folder.

    Raises:
        CadstnError: if there is no such file, or it is damaged.
    """
    hint = "cadstn train detector --out RUN makes one"
    file = path / WEIGHTS if path.is_dir() else path
    if not file.is_file():
        raise CadstnError("no trained detector", where=path, hint=hint)
    return read_tensors(file, hint)[0]


def _rate(step: int, recipe: DetectorRecipe) -> float:
    rise = min(1.0, (step + 1) / recipe.warmup) if recipe.warmup else 1.0
    if step < recipe.steps:
        return rise * 0.5 * (1 + math.cos(math.pi * step / recipe.steps))
    done = (step - recipe.steps) % recipe.again / recipe.again
    return 0.25 * (1 + math.cos(math.pi * done))


def _step(
    model: Detector, bank: WholeBank, recipe: DetectorRecipe, step: int
) -> tuple[Tensor, Tensor]:
    """Loss of one step: a pure function of the weights, the frames, the seed and the step."""
    rng = np.random.default_rng((recipe.seed, Use.WHOLE_ORDER, step))
    rows = rng.integers(0, len(bank), recipe.batch)
    depth, focal, target = augmented(bank, rows, rng)
    with torch.autocast("cpu", torch.bfloat16, enabled=recipe.bf16):
        out = model(detector_input(depth, focal).to(memory_format=torch.channels_last))
    return detector_loss(out, target, depth, focal)


def augmented(
    bank: WholeBank, rows: NDArray[np.intp], rng: np.random.Generator
) -> tuple[Tensor, Tensor, Target]:
    """Frames of a bank as cameras of other kinds would show them.

    Nearer or farther (another hand's size), mirrored, upside down or on their side, with a shorter
    range and another noise; padded to what the detector takes.
    """
    depth = torch.from_numpy(bank.depth_mm(rows))
    labels = bank.labels
    focal = torch.from_numpy(labels.focal_px[rows])
    center, direction, size, left, found = (
        torch.from_numpy(field[rows].astype(np.float32)) for field in labels[2:]
    )
    count = len(rows)
    grown = torch.from_numpy(rng.uniform(0.92, 1.09, count).astype(np.float32))
    depth = depth * grown[:, None, None]
    center, size = (
        center * torch.stack([grown * 0 + 1, grown * 0 + 1, grown], -1)[:, None],
        (size * grown[:, None]),
    )
    depth, found = _shorter_range(depth, center, found, rng)
    shake = rng.choice([0.0, 1.0, 4.0], count).astype(np.float32)
    noise = torch.from_numpy(rng.standard_normal(depth.shape, dtype=np.float32))
    depth = torch.where(depth > 0, (depth + noise * torch.from_numpy(shake)[:, None, None])
                        .clamp(min=1.0), 0.0)  # fmt: skip
    height, width = depth.shape[1:]
    across = torch.from_numpy(rng.random(count) < 0.5)
    down = torch.from_numpy(rng.random(count) < 0.25)
    for flip, dim, place, last in ((across, 2, 0, width - 1), (down, 1, 1, height - 1)):
        depth = torch.where(flip[:, None, None], depth.flip(dim), depth)
        center[..., place] = torch.where(
            flip[:, None], last - center[..., place], center[..., place]
        )
        sign = torch.where(flip, -1.0, 1.0)[:, None]
        direction[..., place] = direction[..., place] * sign
        left = torch.where(flip[:, None], 1 - left, left)
    if rng.random() < 0.3:  # a frame on its side: the transpose is a mirror image
        depth = depth.transpose(1, 2)
        center = center[..., [1, 0, 2]]
        direction, left = direction.flip(-1), 1 - left
    high, wide = depth.shape[1:]
    top = int(rng.integers(0, -high % MULTIPLE + 1))
    side = int(rng.integers(0, -wide % MULTIPLE + 1))
    pad = (side, -wide % MULTIPLE - side, top, -high % MULTIPLE - top)
    depth = torch.nn.functional.pad(depth, pad).contiguous()
    center = center + torch.tensor([float(side), float(top), 0.0])
    return depth, focal, Target(center, direction, size, left, found)


def _shorter_range(
    depth: Tensor, center: Tensor, found: Tensor, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Let some frames end at a depth of their own; hands beyond are not there."""
    count = len(depth)
    end = np.where(rng.random(count) < 0.2, np.exp(rng.uniform(6.2, 8.3, count)), np.inf)
    limit = torch.from_numpy(end.astype(np.float32))
    depth = torch.where(depth < limit[:, None, None], depth, 0.0)
    z = center[..., 2]
    gone = z > limit[:, None] + 60.0
    partly = (z > limit[:, None] - 100.0) & ~gone & (found == FOUND)
    found = torch.where(gone, float(ABSENT), torch.where(partly, float(UNSURE), found))
    return depth, found


def _average(mean: dict[str, Tensor], model: Detector, keep: float) -> None:
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if value.is_floating_point():
                mean[name].lerp_(value, 1 - keep)
            else:
                mean[name].copy_(value)


def _same_recipe(out: Path, recipe: DetectorRecipe) -> None:
    path, text = out / "detector.json", json.dumps(asdict(recipe), sort_keys=True)
    with error_context(path):
        if path.exists() and read_regular(path) != text.encode():
            raise CadstnError(
                "a training of another recipe", hint="give another --out, or that recipe"
            )
    write_text(path, text)


def _save(
    out: Path, model: Detector, optimizer: torch.optim.Optimizer, mean: dict[str, Tensor], step: int
) -> None:
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    tensors |= {f"mean.{name}": value for name, value in mean.items()}
    tensors |= moments("optimizer", optimizer)
    write_tensors(out / _CHECKPOINT, tensors, {"step": str(step)})


def _load(
    out: Path, model: Detector, optimizer: torch.optim.Optimizer, mean: dict[str, Tensor]
) -> int:
    path = out / _CHECKPOINT
    if not path.exists():
        return 0
    tensors, about = read_tensors(path)
    try:
        model.load_state_dict(below("model", tensors))
        restore(below("optimizer", tensors), optimizer)
        for name, value in below("mean", tensors).items():
            mean[name].copy_(value)
        return int(about["step"])
    except (LookupError, ValueError, RuntimeError) as error:
        why = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise CadstnError(
            f"not a checkpoint of the detector ({why})",
            where=path,
            hint="delete it and train again",
        ) from None
