"""Rendered whole frames on disk, in parts: made once, seen several times by the detector."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import BadZipFile

import numpy as np
import torch
from numpy.typing import NDArray

from cadstn.errors import CadstnError
from cadstn.io.hashes import file_sha256
from cadstn.io.whole import write_with
from cadstn.io.workers import worker_pool
from cadstn.synth import SIMULATOR
from cadstn.synth.compiling import why_not_compiled
from cadstn.synth.render import one_thread
from cadstn.synth.whole import Frames, sample_frames

PART = 1024
"""Frames a part."""
_AT_ONCE = 128
_COMPILED_FROM = 4096  # frames; torch.compile takes a quarter of a minute
_LARGEST_MM = 65534
# Among the labels: the depth's hash, and the simulator, which the first one's labels do not name.
_HASH, _SIMULATOR, _FIRST_SIMULATOR = "depth_sha256", "simulator", "0.1.0"


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
    on_frames: Callable[[int], None] = lambda count: None,
) -> WholeBank:
    """Render frames into a folder, or open those that are there; parts that are done are kept.

    Args:
        folder: of the parts.
        seed: names the frames, see `cadstn.synth.whole.sample_frames`.
        frames: how many; rounded up to whole parts of 1,024, if more than one.
        workers: processes that render side by side.
        on_frames: called with how many more frames are done.

    Raises:
        CadstnError: if the folder holds frames of another seed or simulator, parts of another
            size or damaged ones, or the disk is full.
    """
    folder.mkdir(parents=True, exist_ok=True)
    name = "-".join(map(str, seed))
    for path in folder.glob("*.labels.npz"):
        if not path.name.startswith(f"{name}."):
            raise CadstnError("frames of another seed", where=path, hint="give another folder")
    part = min(PART, frames)
    numbers = range(-(-frames // part))
    missing = []
    for n in numbers:
        if _labels_of(folder, name, n).exists() and _depth_of(folder, name, n).exists():
            _labels(folder, name, n, part)  # refused before anything is rendered
        else:
            missing.append(n)
    on_frames((len(numbers) - len(missing)) * part)
    compiled = bool(missing) and frames >= _COMPILED_FROM and why_not_compiled() is None
    if workers < 2 or len(missing) < 2:
        for number in missing:
            on_frames(_render_part(folder, seed, number, part, compiled))
    else:
        with worker_pool(workers, one_thread, where=folder) as pool:
            jobs = [pool.submit(_render_part, folder, seed, n, part, compiled) for n in missing]
            for job in jobs:
                on_frames(job.result())
    return _opened(folder, name, numbers, part)


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
    held = _depth_of(folder, name, number)
    write_with(held, lambda file: np.save(file, depth))
    labels |= {_HASH: file_sha256(held), _SIMULATOR: SIMULATOR}
    write_with(_labels_of(folder, name, number), lambda file: np.savez(file, **labels))
    return count


def _opened(folder: Path, name: str, numbers: range, part: int) -> WholeBank:
    depths, labels = [], []
    for number in numbers:
        path, held = _depth_of(folder, name, number), _labels(folder, name, number, part)
        with _damage(path):
            if str(held[_HASH]) != file_sha256(path):
                raise ValueError("its contents are not those that were written")
            labels.append([held[key] for key in Frames._fields[1:]])
            depths.append(np.load(path, mmap_mode="r"))
    joined = [np.concatenate(one) for one in zip(*labels, strict=True)]
    return WholeBank(tuple(depths), Frames(np.empty(0, np.float32), *joined))


def _labels(folder: Path, name: str, number: int, part: int) -> dict[str, NDArray[Any]]:
    """Labels of a part that is done, and what else is among them.

    Raises:
        CadstnError: if another simulator rendered it, or as many frames as no part has.
    """
    path = _labels_of(folder, name, number)
    with _damage(_depth_of(folder, name, number)):
        with np.load(path, allow_pickle=False) as file:
            labels = dict(file)
        made = str(labels.get(_SIMULATOR, _FIRST_SIMULATOR)), len(labels["focal_px"])
    if made != (SIMULATOR, part):
        raise CadstnError(
            f"{made[1]} frames of simulator {made[0]}, not {part} of {SIMULATOR}",
            where=path,
            hint="give another folder, or delete this one to render all anew",
        )
    return labels


@contextmanager
def _damage(path: Path) -> Iterator[None]:
    """Report in one line a part that cannot be read."""
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, EOFError, BadZipFile) as error:
        raise CadstnError(
            f"damaged frames ({error})",
            where=path,
            hint="delete it and give the same command again",
        ) from None
