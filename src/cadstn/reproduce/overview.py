"""The report's part on all sets together: data, summary, seeds, size and run time."""

from __future__ import annotations

import platform
import time
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from cadstn.data.dataset import Dataset
from cadstn.evaluate.compare import Entry, difference
from cadstn.evaluate.intervals import resampling_units
from cadstn.evaluate.page import Table
from cadstn.evaluate.sections import number_text
from cadstn.reproduce.evaluated import NAMES, Evaluated
from cadstn.reproduce.predictor import STAGE_OF, Predictor, load_predictor
from cadstn.reproduce.training import Trained

_TIMED_FRAMES = 48
#: Table IV's order by mean error on NYU, best first.
_PAPER_ORDER = ("CADSTN", "Spatial", "Temporal", "Baseline", "Sliced 3D Input")
_SHORT = {"Sliced 3D Input": "Sliced"}


class Speed(NamedTuple):
    """Size and run time of one trained network.

    Attributes:
        network: by the name of the tables.
        parameters: at inference, of everything that a prediction needs.
        ms: median time of one frame, one after the other, from a crop to joints.
    """

    network: str
    parameters: int
    ms: float


def data_table(sets: Sequence[Evaluated]) -> Table:
    """Table I: what was found on disk."""
    rows = []
    for found in sets:
        trains = [fold.train for fold in found.folds]
        tests = [fold.test for fold in found.folds]
        camera = tests[0].camera
        rows.append((
            found.rules.title,
            _frames(trains),
            _frames(tests),
            f"{camera.width} × {camera.height}",
            f"{len(tests[0].skeleton)} ({len(tests[0].scored)} scored)",
            f"{sum(len(d.left_out) for d in (*trains, *tests))}",
        ))  # fmt: skip
    return Table(
        "Data found on disk (table I)",
        ("set", "train", "test", "resolution", "joints", "labels left out"),
        tuple(rows),
        "Frames, in brackets recordings and shots. The paper's table: NYU 72k (1), 8k (2), "
        "640 × 480, 36; ICVL 22k (10), 1.6k (2), 320 × 240, 16.",
    )


def summary_table(sets: Sequence[Evaluated]) -> Table:
    """The results in one row a set: the whole method, what it gains, and the order of the five."""
    rows = []
    orders = [_order("the paper on NYU", _PAPER_ORDER)]
    for found in sets:
        networks = found.networks["truth"]
        errors = {entry.name: entry.scores.mean_error_mm for entry in networks.entries}
        whole, baseline = _entry(found, "CADSTN"), _entry(found, "Baseline")
        single = min((e for e in networks.entries if not e.name.startswith("CADSTN")),
                     key=lambda e: e.scores.mean_error_mm)  # fmt: skip
        lost = found.networks["found"].get("CADSTN")
        assert lost is not None
        orders.append(_order(found.rules.title, sorted(errors, key=errors.__getitem__)))
        rows.append((
            found.rules.title,
            f"{len(networks.truth_xyz_mm):,} ({len(found.rules.cuts) + 1})",
            f"{whole.scores.mean_error_mm:.2f}", str(whole.error),
            difference(whole, baseline, found.rules.cuts).gap,
            f"{_SHORT.get(single.name, single.name)}: "
            f"{difference(whole, single, found.rules.cuts).gap}",
            f"{number_text(lost.scores.mean_error_mm, 2)}, {lost.scores.lost} lost",
        ))  # fmt: skip
    few = [f.rules.title for f in sets
           if resampling_units(len(f.hidden), f.rules.cuts).few]  # fmt: skip
    note = (
        "Crop centre from the truth, but for the column 'centre found'. Differences with 95 % "
        f"intervals; negative is better. Order of the mean errors: {'; '.join(orders)}."
    )
    if few:
        note += f" Too few shots on {' and '.join(few)}: intervals are too narrow."
    header = (
        "set", "test frames (shots)", "CADSTN, mm", "95 %", "minus baseline, mm",
        "minus best single network, mm", "centre found, mm",
    )  # fmt: skip
    return Table("CADSTN in one row a set", header, tuple(rows), note)


def measure_speed(trained: Trained, device: str) -> list[Speed]:
    """Time each network of a run on one frame after the other, and count its parameters."""
    from cadstn.train import load_networks

    speeds = []
    for name, title in NAMES.items():
        stage = STAGE_OF[name]
        networks, _ = load_networks(trained.folder, stage)
        count = sum(p.numel() for part in networks.values() for p in part.parameters())
        speeds.append(Speed(title, count, _frame_ms(load_predictor(trained.folder, name, device))))
    return speeds


def speed_table(title: str, speeds: Sequence[Speed], device: str) -> Table:
    """Parameters and run time (the paper: 60 frames a second)."""
    rows = tuple(
        (one.network, f"{one.parameters:,}", f"{one.ms:.2f}", f"{1000 / one.ms:.0f}")
        for one in speeds
    )
    return Table(
        f"Size and run time, {title}",
        ("network", "parameters", "ms a frame", "frames a second"),
        rows,
        f"Median of {_TIMED_FRAMES} frames one after the other in PyTorch on {device} "
        f"({platform.machine()}), from a crop to joints, without reading and cropping; other "
        "processes of the machine count. The paper: 60 frames a second on a GPU. The authors' log: "
        "1.3 ms a frame on NYU for the whole, in batches on a GPU.",
    )


def _frame_ms(predictor: Predictor) -> float:
    size = predictor.rule.size
    crops = np.random.default_rng(0).uniform(-1, 1, (_TIMED_FRAMES + 3, 1, size, size))
    place = np.array([[0.0, 0.0, 4.0]], np.float32)
    state, times = None, []
    for crop in crops.astype(np.float32):
        begin = time.perf_counter()
        _, state = predictor.run(crop, place, state)
        times.append(time.perf_counter() - begin)
    return 1000 * float(np.median(times[3:]))  # the first ones allocate


def _order(title: str, names: Sequence[str]) -> str:
    return f"{title} {' < '.join(_SHORT.get(name, name) for name in names)}"


def _entry(run: Evaluated, name: str) -> Entry:
    entry = run.networks["truth"].get(name)
    assert entry is not None
    return entry


def _frames(parts: Sequence[Dataset]) -> str:
    recordings = len({sequence for part in parts for sequence in part.sequences})
    shots = sum(len(part.shots()) for part in parts)
    return f"{sum(len(part) for part in parts):,} ({recordings}; {shots})"
