"""Open every file of a data set and list what is there, missing or wrong."""

from __future__ import annotations

import math
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
from cadstn.errors import CadstnError, printable
from cadstn.geometry.arrays import METRES_BELOW
from cadstn.geometry.camera import DepthMm
from cadstn.io.text import counted

#: At most this many files of one kind are named; all of them are counted, and in the JSON.
NAMED = 5
#: Frames handed to the threads at once: bounds the memory of a set of any size.
_TOGETHER = 2048
#: NYU's script used 588.036865 and 587.075073 px, which moves no joint by more.
_APART_MM = 1.0
#: A joint lies inside the hand, so behind the surface; labels are this precise.
_FRONT_MM = 25.0
#: Where over this share of the joints of the middle frame cannot be on the surface, labels and
#: pictures do not belong together. A right set has a few percent: fingertips beside their pixel.
_MOST_OFF = 0.4
#: A centre joint deeper than this behind the surface at its pixel is not that hand's.
_DEEPEST_MM = 200.0


class Problem(NamedTuple):
    """Something wrong with one file."""

    # ``missing``, ``damaged``, ``known faulty``, ``left out``, ``without label`` or ``disagrees``
    kind: str
    name: str  # of the file, relative to the data set's folder
    what: str  # is wrong, in words


@dataclass(frozen=True)
class Report:
    """What checking one split found."""

    dataset: Dataset  # that was checked
    opened: int  # frames that could be read
    megabytes: float  # that their files hold
    # how far the centre joint lies behind the surface at its pixel (p5, median, p95) over the
    # frames read; None where it never falls on something measured. A hand's is some 5 to 40 mm
    behind_mm: tuple[float, float, float] | None
    # share of a frame's joints at whose pixel nothing was measured, or that lie in front of the
    # surface there; the median over the frames read, NaN where none was
    off_surface: float
    problems: tuple[Problem, ...]  # everything wrong

    @property
    def usable(self) -> bool:
        """Whether every frame that is offered can be read, and its labels belong to it."""
        return self.opened == len(self.dataset) and not self.mismatch

    @property
    def mismatch(self) -> str:
        """Why labels and pictures do not belong together; empty where they do."""
        depths = self.dataset.joints_xyz_mm[..., 2]
        if (np.median(depths, axis=0) == 0).any():
            return "the labels' depth is 0 at a joint: relative to it, not to the camera"
        depth = float(np.median(depths))
        if 0 < depth < METRES_BELOW:
            return f"the labels' middle depth is {depth:.3g}: metres, not mm"
        if self.off_surface > _MOST_OFF:
            return (
                f"{100 * self.off_surface:.0f} % of the joints lie in front of the surface or where"
                " nothing was measured: an axis points the other way, or other frames' labels"
            )
        if self.behind_mm is None and self.opened:
            return "the centre joint never falls on anything measured"
        if self.behind_mm is not None and self.behind_mm[1] > _DEEPEST_MM:
            return f"the centre joint lies {self.behind_mm[1]:.0f} mm behind the surface"
        return ""

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
            "off_surface": None if np.isnan(self.off_surface) else round(self.off_surface, 3),
            "mismatch": self.mismatch,
            "fingerprint": data.fingerprint(),
            "problems": [problem._asdict() for problem in self.problems],
        }


def check_dataset(
    dataset: Dataset, on_frames: Callable[[int], None] = lambda count: None
) -> Report:
    """Open every frame of a split, in threads: reading and decoding leave Python's lock.

    Args:
        dataset: to check.
        on_frames: called with how many more frames were opened, for a progress bar.
    """
    faulty = "its picture or label is wrong"
    problems = [
        *(Problem("left out", name, why) for name, why in dataset.left_out),
        *(Problem("known faulty", name, faulty) for name in dataset.faulty),
        *_without_label(dataset),
        *_disagreeing(dataset),
    ]
    opened: list[_Opened] = []
    indices = iter(range(len(dataset)))
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        while part := list(islice(indices, _TOGETHER)):
            for found in pool.map(lambda index: _open(dataset, index), part, chunksize=8):
                problems += [found] if isinstance(found, Problem) else []
                opened += [found] if isinstance(found, _Opened) else []
                on_frames(1)
    behind = [frame.behind_mm for frame in opened if not math.isnan(frame.behind_mm)]
    low, middle, high = np.percentile(behind, (5, 50, 95)).tolist() if behind else [0.0] * 3
    return Report(
        dataset=dataset,
        opened=len(opened),
        megabytes=sum(frame.size for frame in opened) / 1e6,
        behind_mm=(low, middle, high) if behind else None,
        off_surface=float(np.median([f.off_surface for f in opened])) if opened else math.nan,
        problems=tuple(problems),
    )


def describe(report: Report) -> Iterator[str]:
    """Describe what was found, in lines for people."""
    data = report.dataset
    sequences, subjects = len(set(data.sequences)), sorted(set(data.subjects))
    yield f"{data.name} {data.split}: {data.layout}, in {data.folder}"
    yield (
        f"  {counted(len(data), 'frame')}, {report.opened} of them readable "
        f"({report.megabytes:.0f} MB); {len(data.skeleton)} joints, {len(data.scored)} scored"
    )
    yield (
        f"  {counted(sequences, 'sequence')}, {counted(len(subjects), 'subject')}"
        f" ({', '.join(map(printable, subjects[:NAMED]))}"
        f"{', ...' if len(subjects) > NAMED else ''}), "
        f"{counted(len(data.shots()), 'shot')} ({data.cut_rule})"
    )
    if report.behind_mm is not None:
        low, middle, high = report.behind_mm
        yield (
            f"  the centre joint lies {abs(middle):.0f} mm {'behind' if middle >= 0 else 'before'} "
            f"the surface (90 % within {low:.0f} to {high:.0f} mm behind it)"
        )
    if report.mismatch:
        yield f"  labels and pictures do not belong together: {report.mismatch}"
    groups: dict[tuple[str, str], list[str]] = {}
    for kind, name, what in report.problems:  # without what differs from file to file
        groups.setdefault((kind, re.sub(r"\d+", "N", what)), []).append(name)
    for (kind, reason), names in groups.items():
        more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
        yield f"  {kind}: {len(names)}, {reason}: {', '.join(map(printable, names[:NAMED]))}{more}"
    if not report.problems and not report.mismatch:
        yield "  nothing missing, nothing damaged"


class _Opened(NamedTuple):
    """One frame that could be read: its bytes, and where its joints are against the surface."""

    size: int
    behind_mm: float  # of the centre joint, NaN without a surface
    off_surface: float


def _open(dataset: Dataset, index: int) -> Problem | _Opened:
    sample = dataset[index]
    try:
        size = (dataset.folder / sample.name).stat().st_size
        depth_mm = sample.depth_mm
    except FileNotFoundError:
        return Problem("missing", sample.name, "no such file")
    except OSError as error:
        return Problem("damaged", sample.name, str(error.strerror or error))
    except CadstnError as error:
        return Problem("damaged", sample.name, error.what)
    behind = _behind_mm(sample, depth_mm)
    off = float(np.mean(~(behind > -_FRONT_MM)))
    return _Opened(size, float(behind[dataset.center_joint]), off)


def _behind_mm(sample: Sample, depth_mm: DepthMm) -> NDArray[np.float64]:
    """Depth of each joint minus that of the surface at its pixel: (K,), NaN without a surface."""
    uvd = sample.joints_uvd
    column, row = (np.rint(np.clip(np.nan_to_num(uvd[:, i], nan=-1), -1, 1e6)) for i in (0, 1))
    height, width = depth_mm.shape
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    surface = np.full(len(uvd), np.nan)
    surface[inside] = depth_mm[row[inside].astype(int), column[inside].astype(int)]
    return np.where(surface > 0, uvd[:, 2] - surface, np.nan)


def _without_label(dataset: Dataset) -> Iterable[Problem]:
    """Frames on disk that no label belongs to, where a set numbers its files."""
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
    """Frames where NYU's two copies of its labels differ; in the real set none does."""
    if dataset.name != "nyu":
        return
    theirs = nyu.read_labels(dataset.folder / nyu.LABELS, "joint_xyz", cameras=(0,))[0]
    theirs[..., 1] *= -1
    apart_mm = np.abs(theirs - dataset.joints_xyz_mm).max((1, 2))
    for index in np.flatnonzero(apart_mm > _APART_MM).tolist():
        what = f"joint_uvd and joint_xyz are {apart_mm[index]:.0f} mm apart"
        yield Problem("disagrees", dataset.names[index], what)
