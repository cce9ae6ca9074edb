"""Rendered whole frames on disk, in parts: made once, seen several times by the detector."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from cadstn.errors import CadstnError
from cadstn.synth.whole import Frames, sample_frames

PART = 1024
"""Frames a part."""
_AT_ONCE = 32
_LARGEST_MM = 65534


class WholeBank(NamedTuple):
    """Frames of several parts; fields as in `cadstn.synth.whole.Frames`, depth in uint16 mm."""

    parts: tuple[NDArray[np.uint16], ...]
    labels: Frames

    @property
    def part(self) -> int:
        """Frames a part."""
        return len(self.parts[0])

    def __len__(self) -> int:
        return len(self.labels.focal_px)

    def depth_mm(self, rows: NDArray[np.intp]) -> NDArray[np.float32]:
        """Depth (B, H, W) of some frames."""
        return np.stack([self.parts[r // self.part][r % self.part] for r in rows]).astype(
            np.float32
        )


def whole_bank(
    folder: Path,
    *,
    seed: tuple[int, ...],
    frames: int,
    workers: int = 1,
    compiled: bool = False,
    on_frames: Callable[[int], None] = lambda count: None,
) -> WholeBank:
    """Render frames into a folder, or open those that are there; parts that are done are kept.

    Args:
        folder: of the parts.
        seed: names the frames, see `cadstn.synth.whole.sample_frames`.
        frames: how many; rounded up to whole parts of 1,024, if more than one.
        workers: processes that render side by side.
        compiled: render with torch.compile.
        on_frames: called with how many more frames are done.

    Raises:
        CadstnError: if the folder holds frames of another seed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    name = "-".join(map(str, seed))
    for path in folder.glob("*.labels.npz"):
        if not path.name.startswith(f"{name}."):
            raise CadstnError("frames of another seed", where=path, hint="give another folder")
    part = min(PART, frames)
    numbers = range(-(-frames // part))
    missing = [n for n in numbers if not _labels_of(folder, name, n).exists()]
    on_frames((len(numbers) - len(missing)) * part)
    if workers < 2 or len(missing) < 2:
        for number in missing:
            on_frames(_render_part(folder, seed, number, part, compiled))
    else:
        fresh = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(workers, fresh, _one_thread) as pool:
            jobs = [pool.submit(_render_part, folder, seed, n, part, compiled) for n in missing]
            for job in jobs:
                on_frames(job.result())
    return _opened(folder, name, numbers)


def _one_thread() -> None:
    torch.set_num_threads(1)


def _labels_of(folder: Path, name: str, number: int) -> Path:
    return folder / f"{name}.{number:04d}.labels.npz"


def _depth_of(folder: Path, name: str, number: int) -> Path:
    return folder / f"{name}.{number:04d}.depth.npy"


def _render_part(
    folder: Path, seed: tuple[int, ...], number: int, count: int, compiled: bool
) -> int:
    """Render one part; its labels are written last, so that a part without them is not done."""
    name = "-".join(map(str, seed))
    index = torch.arange(number * count, (number + 1) * count)
    batches = [
        sample_frames(seed, part, compiled=compiled) for part in torch.split(index, _AT_ONCE)
    ]
    fields = [np.concatenate(part) for part in zip(*batches, strict=True)]
    depth = fields[0].clip(0, _LARGEST_MM).round().astype(np.uint16)
    labels: dict[str, Any] = dict(zip(Frames._fields[1:], fields[1:], strict=True))
    _write(_depth_of(folder, name, number), lambda file: np.save(file, depth))
    _write(_labels_of(folder, name, number), lambda file: np.savez(file, **labels))
    return count


def _write(path: Path, write: Callable[[Any], None]) -> None:
    work = path.with_suffix(f".{os.getpid()}.part")
    with work.open("wb") as file:
        write(file)
    work.replace(path)


def _opened(folder: Path, name: str, numbers: range) -> WholeBank:
    depths, labels = [], []
    for number in numbers:
        depths.append(np.load(_depth_of(folder, name, number), mmap_mode="r"))
        with np.load(_labels_of(folder, name, number)) as file:
            labels.append([file[key] for key in Frames._fields[1:]])
    joined = [np.concatenate(part) for part in zip(*labels, strict=True)]
    return WholeBank(tuple(depths), Frames(np.empty(0, np.float32), *joined))
