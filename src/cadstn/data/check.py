"""Open every file of a data set and say what is there, what is missing and what is wrong."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cadstn.data import msra, nyu
from cadstn.data.dataset import Dataset, Sample
from cadstn.errors import CadstnError

#: At most this many files of one kind are named; all of them are counted, and in the JSON.
NAMED = 5
#: Frames handed to the threads at once: bounds the memory of a set of any size.
_TOGETHER = 2048
#: NYU's script used 588.036865 and 587.075073 px, which moves no joint by more.
_APART_MM = 1.0


class Problem(NamedTuple):
    """Something wrong with one file.

    Attributes:
        kind: ``missing``, ``damaged``, ``known faulty``, ``left out``, ``without label`` or
            ``disagrees``.
        name: of the file, relative to the data set's folder.
        what: is wrong, in words.
    """

    kind: str
    name: str
    what: str


@dataclass(frozen=True)
class Report:
    """What checking one split found.

    Attributes:
        dataset: that was checked.
        opened: frames that could be read.
        megabytes: that their files hold.
        behind_mm: how far the centre joint lies behind the surface at its pixel (p5, median, p95)
            over the frames read; None where it never falls on something measured. A hand's is some
            5 to 30 mm: far off, labels and pictures do not belong together.
        problems: everything wrong.
    """

    dataset: Dataset
    opened: int
    megabytes: float
    behind_mm: tuple[float, float, float] | None
    problems: tuple[Problem, ...]

    @property
    def usable(self) -> bool:
        """Whether every frame that is offered can be read."""
        return self.opened == len(self.dataset)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        data = self.dataset
        return {
            "set": data.name,
            "split": data.split,
            "layout": data.layout,
            "folder": str(data.folder),
            "frames": len(data),
            "opened": self.opened,
            "megabytes": round(self.megabytes, 3),
            "joints": len(data.skeleton),
            "scored_joints": len(data.scored),
            "sequences": len(set(data.sequences)),
            "subjects": sorted(set(data.subjects)),
            "shots": len(data.shots()),
            "cut_rule": data.cut_rule,
            "behind_mm": None if self.behind_mm is None else list(self.behind_mm),
            "fingerprint": data.fingerprint(),
            "problems": [problem._asdict() for problem in self.problems],
        }


def check_dataset(
    dataset: Dataset, on_frames: Callable[[int], None] = lambda count: None, workers: int = 0
) -> Report:
    """Open every frame of a split.

    Args:
        dataset: to check.
        on_frames: called with how many more frames were looked at, for a progress bar.
        workers: threads; 0 for one a core. Reading and decoding leave Python's lock.
    """
    problems = [Problem("left out", name, why) for name, why in dataset.left_out]
    problems += [
        Problem("known faulty", name, "its picture or label is wrong") for name in dataset.faulty
    ]
    problems += _without_label(dataset)
    problems += _disagreeing(dataset)
    behind: list[float] = []
    opened = size = 0
    indices = iter(range(len(dataset)))
    with ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:
        while part := list(islice(indices, _TOGETHER)):
            for problem, bytes_read, distance in pool.map(
                lambda index: _look(dataset, index), part, chunksize=8
            ):
                if problem is not None:
                    problems.append(problem)
                else:
                    opened += 1
                    size += bytes_read
                    if distance is not None:
                        behind.append(distance)
                on_frames(1)
    percentiles = np.percentile(behind, (5, 50, 95)).tolist() if behind else None
    return Report(
        dataset=dataset,
        opened=opened,
        megabytes=size / 1e6,
        behind_mm=None if percentiles is None else (percentiles[0], percentiles[1], percentiles[2]),
        problems=tuple(problems),
    )


def describe(report: Report) -> Iterator[str]:
    """Say what was found, in lines for people."""
    data = report.dataset
    sequences, subjects = len(set(data.sequences)), sorted(set(data.subjects))
    yield f"{data.name} {data.split}: {data.layout}, in {data.folder}"
    yield (
        f"  {_count(len(data), 'frame')}, {report.opened} of them readable "
        f"({report.megabytes:.0f} MB); {len(data.skeleton)} joints, {len(data.scored)} scored"
    )
    yield (
        f"  {_count(sequences, 'sequence')}, {_count(len(subjects), 'subject')}"
        f" ({', '.join(subjects[:NAMED])}{', ...' if len(subjects) > NAMED else ''}), "
        f"{_count(len(data.shots()), 'shot')} ({data.cut_rule})"
    )
    if report.behind_mm is None:
        yield "  the centre joint never falls on something measured: labels of other pictures?"
    else:
        low, middle, high = report.behind_mm
        yield (
            f"  the centre joint lies {middle:.0f} mm behind the surface "
            f"(90 % within {low:.0f} to {high:.0f})"
        )
    groups = Counter((problem.kind, _reason(problem)) for problem in report.problems)
    for (kind, reason), count in groups.items():
        names = [p.name for p in report.problems if (p.kind, _reason(p)) == (kind, reason)]
        more = f" and {count - NAMED} more" if count > NAMED else ""
        yield f"  {kind}: {count}, {reason}: {', '.join(names[:NAMED])}{more}"
    if not report.problems:
        yield "  nothing missing, nothing damaged"


def _look(dataset: Dataset, index: int) -> tuple[Problem | None, int, float | None]:
    """Open one frame: what is wrong with it, its bytes, how far its centre is behind the skin."""
    sample = dataset[index]
    file = dataset.folder / sample.name
    try:
        size = file.stat().st_size
        depth_mm = sample.depth_mm
    except FileNotFoundError:
        return Problem("missing", sample.name, "no such file"), 0, None
    except OSError as error:
        return Problem("damaged", sample.name, str(error.strerror or error)), 0, None
    except CadstnError as error:
        return Problem("damaged", sample.name, error.what), 0, None
    return None, size, _behind_mm(sample, depth_mm, dataset.center_joint)


def _behind_mm(sample: Sample, depth_mm: NDArray[np.float32], joint: int) -> float | None:
    """Depth of a joint minus that of the surface at its pixel; None where nothing was measured."""
    u, v, d = sample.joints_uvd[joint]
    column, row = round(float(u)), round(float(v))
    height, width = depth_mm.shape
    if not (0 <= column < width and 0 <= row < height and depth_mm[row, column] > 0):
        return None
    return float(d - depth_mm[row, column])


def _without_label(dataset: Dataset) -> Iterable[Problem]:
    """Frames on disk that no label belongs to, where a set's names say which these are."""
    why = "a frame beyond the labels"
    if dataset.name == "nyu":
        beyond = nyu.frame_name(len(dataset))
        for file in sorted(dataset.folder.glob("depth_1_*.png")):
            if len(file.name) == len(beyond) and file.name >= beyond:
                yield Problem("without label", file.name, why)
    elif dataset.name == "msra":
        for sequence, count in Counter(dataset.sequences).items():
            for file in sorted((dataset.folder / sequence).glob("*_depth.bin")):
                if file.name >= msra.frame_name(count):
                    yield Problem("without label", f"{sequence}/{file.name}", why)


def _disagreeing(dataset: Dataset) -> Iterable[Problem]:
    """Whether NYU's two copies of its labels say the same, as they are the same in the real set."""
    if dataset.name != "nyu":
        return
    theirs = nyu.read_labels(dataset.folder / nyu.LABELS, "joint_xyz", cameras=(0,))[0]
    theirs[..., 1] *= -1
    apart_mm = np.abs(theirs - dataset.joints_xyz_mm).max((1, 2))
    for index in np.flatnonzero(apart_mm > _APART_MM).tolist():
        what = f"joint_uvd and joint_xyz are {apart_mm[index]:.0f} mm apart"
        yield Problem("disagrees", dataset.names[index], what)


def _reason(problem: Problem) -> str:
    """What is wrong, without what differs from file to file."""
    return re.sub(r"\d+", "N", problem.what)


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"
