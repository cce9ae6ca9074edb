"""The ablation (tables IV and V, figure 10b): five networks, fixed weights, and learned fusion."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import numpy as np

from cadstn.evaluate import plots
from cadstn.evaluate.analysis import (
    FIXED_WEIGHTS,
    best_fixed_weight,
    exponential_average,
    fixed_weight_errors_mm,
    share_outside,
)
from cadstn.evaluate.compare import Comparison, Entry, difference, make_entry
from cadstn.evaluate.intervals import bootstrap, resampling_units
from cadstn.evaluate.metrics import ACCURACY_MM
from cadstn.evaluate.page import Block, Picture, Table, Text
from cadstn.evaluate.protocol import Protocol
from cadstn.evaluate.published import (
    AUTHORS_LOG_MM,
    FREE_GATE,
    FREE_NAME,
    NETWORKS,
    PAPER_FIXED_WEIGHT_MM,
    PAPER_NETWORKS_MM,
    authors_log_mm,
)
from cadstn.evaluate.sections import WITHIN, number_text, short_note
from cadstn.io.joints import FloatArray

_EMA_WEIGHTS = (0.9, 0.7)


def ablation_blocks(comparison: Comparison) -> list[Block]:
    """Tables IV and V of the authors' files and ours, and the authors' log of a published test."""
    blocks: list[Block] = []
    for suffix in (" (authors)", ""):
        if comparison.get(f"Spatial{suffix}") and comparison.get(f"Temporal{suffix}"):
            blocks.append(networks_table(comparison, suffix))
            blocks += fusion_bars(comparison, suffix)
    return [*blocks, *authors_blocks(comparison)]


def networks_table(comparison: Comparison, suffix: str = "") -> Table:
    """Table IV: the five networks, with how much each differs from the baseline."""
    rules = comparison.rules
    base = comparison.get(f"Baseline{suffix}")
    where, quoted = "NYU", PAPER_NETWORKS_MM
    if rules.name in AUTHORS_LOG_MM and rules.name != "nyu":
        where = rules.title
        quoted = {name: sum(mm) / len(mm) for name, mm in AUTHORS_LOG_MM[rules.name].items()}
    rows: list[tuple[str, ...]] = []
    strong = []
    for network in (*NETWORKS, FREE_NAME):
        entry = comparison.get(f"{network}{suffix}")
        if entry is None:
            continue
        gap = difference(entry, base, rules.cuts).gap if base and entry is not base else ""
        if network == "CADSTN":
            strong.append(len(rows))
        rows.append((
            entry.name,
            f"{quoted[network]:.2f}" if network in quoted else "",
            number_text(entry.scores.mean_error_mm, 3),
            str(entry.error),
            gap,
            *(f"{100 * entry.scores.accuracy[mm]:.1f}" for mm in ACCURACY_MM),
            number_text(entry.scores.acceleration_error_mm_frame2, 3),
            str(entry.acceleration),
        ))  # fmt: skip
    header = (
        "network", f"authors ({where}), mm", "mean error, mm", "95 %", "minus baseline, mm",
        *WITHIN, "accel. error, mm/frame²", "95 %",
    )  # fmt: skip
    return Table(
        f"The five networks on {rules.title} (table IV)", header, tuple(rows),
        short_note(comparison), tuple(strong),
    )  # fmt: skip


def seeds_table(runs: Sequence[Comparison]) -> Table:
    """Table IV over several trainings that differ in their seed alone; shots and seeds vary.

    Args:
        runs: one comparison a seed, each with the five networks on the same frames.
    """
    rules = runs[0].rules
    rows = []
    base = _frame_errors_mm(runs, "Baseline")
    for name in (*NETWORKS, FREE_NAME):
        if runs[0].get(name) is None:
            continue
        errors = _frame_errors_mm(runs, name)
        found = [entry for run in runs if (entry := run.get(name))]
        means = np.array([entry.scores.mean_error_mm for entry in found])
        motion = [entry.scores.acceleration_error_mm_frame2 for entry in found]
        rows.append((
            name,
            ", ".join(f"{mm:.2f}" for mm in means),
            f"{means.mean():.2f} ± {means.std(ddof=1):.2f}",
            str(bootstrap(errors, rules.cuts)),
            "" if name == "Baseline" else bootstrap(errors - base, rules.cuts).gap,
            f"{np.mean(motion):.2f}",
        ))  # fmt: skip
    units = resampling_units(len(runs[0].truth_xyz_mm), rules.cuts)
    return Table(
        f"The five networks over {len(runs)} seeds, {rules.title} (table IV)",
        ("network", "each seed, mm", "mean ± deviation", "95 %", "minus baseline, mm",
         "accel. error, mm/frame²"),
        tuple(rows),
        f"Intervals are 95 % ones from {units}, and over the seeds together. All other tables are "
        f"of the first seed. {short_note(runs[0])}",
    )  # fmt: skip


def _frame_errors_mm(runs: Sequence[Comparison], name: str) -> FloatArray:
    """Mean error of each frame in each run: (S, N)."""
    entries = [entry for run in runs if (entry := run.get(name))]
    return np.stack([entry.errors_mm.mean(axis=1) for entry in entries])


def authors_blocks(comparison: Comparison) -> list[Block]:
    """The authors' log: table IV and figure 10b beside our networks, and what their gate was."""
    rules = comparison.rules
    log = authors_log_mm(rules.name) if comparison.published else {}
    if not log:
        return []
    joints: dict[str, Sequence[float]] = dict(log)
    rows = []
    for network in NETWORKS:
        logged = log[f"{network} (authors)"]
        ours = comparison.get(network)
        if ours:
            joints[network] = ours.scores.per_joint_error_mm
        rows.append((
            network, f"{sum(logged) / len(logged):.3f}",
            number_text(ours.scores.mean_error_mm, 3) if ours else "",
            *(f"{logged[k]:.1f}" for k in rules.skeleton.tips),
        ))  # fmt: skip
    fingers = tuple(f"{finger} tip" for finger in rules.skeleton.fingers)
    title = f"{rules.title}: mean error of each joint of the five networks in the authors' log"
    both = f"{title}{' and of ours' if len(joints) > len(log) else ''}"
    return [
        Table(
            f"The authors' log of the five networks, {rules.title} (table IV), mm",
            ("network", "log, mean", "ours, mean", *fingers), tuple(rows),
            "The tips are the log's. " + short_note(comparison),
        ),
        Picture(
            f"{rules.name}-authors-per-joint.png",
            partial(plots.per_joint, joints, rules.skeleton, both),
            f"{both} (figure 10).",
        ),
        Text(FREE_GATE + _measured_outside(comparison)),
    ]  # fmt: skip


def fusion_bars(
    comparison: Comparison, suffix: str = "", chosen: float | None = None
) -> list[Block]:
    """Table V: fixed weights and exponential averages, which a learned fusion should beat.

    Args:
        comparison: holds Spatial and Temporal, and CADSTN if it is to be judged.
        suffix: of their names.
        chosen: the fixed weight that was best on validation, if it was chosen there.
    """
    rules = comparison.rules
    spatial, temporal = comparison.get(f"Spatial{suffix}"), comparison.get(f"Temporal{suffix}")
    assert spatial is not None
    assert temporal is not None
    free = None if suffix else comparison.get(FREE_NAME)
    learned = comparison.get(f"CADSTN{suffix}")
    # Mixtures have the frames that both files hold, and so must what stands beside them.
    count = min(len(e.pred_xyz_mm) for e in (spatial, temporal, free, learned) if e)
    truth = comparison.truth_xyz_mm[:count]
    spatial, temporal = (_first_frames(entry, truth, rules) for entry in (spatial, temporal))
    free, learned = (e and _first_frames(e, truth, rules) for e in (free, learned))
    both = temporal.pred_xyz_mm, spatial.pred_xyz_mm
    swept = fixed_weight_errors_mm(*both, truth)
    oracle = best_fixed_weight(*both, truth)

    def mixed(w: float, name: str) -> Entry:
        return make_entry(name, w * both[0] + (1 - w) * both[1], truth, rules)

    bars = [spatial, temporal, mixed(0.5, "fixed weight 0.5")]
    if chosen is not None:
        bars.append(mixed(chosen, f"fixed weight {chosen:.2f}, best on validation"))
    bars.append(mixed(oracle, f"fixed weight {oracle:.2f}, best on this test (oracle)"))
    for weight in _EMA_WEIGHTS:
        smooth = exponential_average(both[1], weight, rules.cuts)
        bars.append(make_entry(f"Spatial, exponential average {weight:g}", smooth, truth, rules))
    bars += [gate for gate in (free, learned) if gate]
    rows = tuple(
        (
            bar.name, number_text(bar.scores.mean_error_mm, 3), str(bar.error),
            difference(bar, learned, rules.cuts).gap if learned and bar is not learned else "",
            number_text(bar.scores.acceleration_error_mm_frame2, 3), str(bar.acceleration),
        )
        for bar in bars
    )  # fmt: skip
    note = (
        "w multiplies the temporal prediction, 1 - w the spatial one; the exponential average is "
        "causal, its number the weight of the new frame, and restarts at each shot. "
    )
    if count < len(comparison.truth_xyz_mm):
        note += f"All rows are of the first {count} frames. "
    levels = {e.name: e.scores.mean_error_mm for e in (spatial, temporal, learned) if e}
    title = f"{rules.title}: a fixed weight against learned fusion"
    learned_mm = number_text(learned.scores.mean_error_mm, 2) if learned else ""
    paper = (f"{PAPER_FIXED_WEIGHT_MM[w]:.2f}" for w in FIXED_WEIGHTS)
    return [
        Table(
            f"Fixed weights against fusion, mean error in mm, {rules.title} (table V)",
            ("w", *(f"{w:g}" for w in FIXED_WEIGHTS), "learned fusion"),
            (
                ("these files", *(number_text(mm, 2) for mm in swept), learned_mm),
                ("paper (NYU) [quoted]", *paper, f"{PAPER_NETWORKS_MM['CADSTN']:.2f}"),
            ),
            "w multiplies the temporal prediction. " + short_note(comparison),
        ),
        Picture(
            f"{rules.name}-fixed-weights{'-authors' if suffix else ''}.png",
            partial(plots.fixed_weights, FIXED_WEIGHTS, swept.tolist(), levels, title),
            f"Mean error over the fixed weight of the temporal prediction, {rules.title} "
            "(table V).",
        ),
        Table(
            f"Simple mixtures that a learned fusion should beat, {rules.title}",
            ("", "mean error, mm", "95 %", "minus learned fusion, mm", "accel. error, mm/frame²",
             "95 %"),
            rows, note + short_note(comparison), (len(rows) - 1,) if learned else (),
        ),
    ]  # fmt: skip


def _first_frames(entry: Entry, truth_xyz_mm: FloatArray, rules: Protocol) -> Entry:
    """A method on the frames of a truth that was cut short."""
    count = len(truth_xyz_mm)
    if len(entry.pred_xyz_mm) == count:
        return entry
    return make_entry(entry.name, entry.pred_xyz_mm[:count], truth_xyz_mm, rules, entry.center)


def _measured_outside(comparison: Comparison) -> str:
    """How often the authors' fused files leave the interval between their two experts."""
    fused, one, other = (
        comparison.get(f"{n} (authors)") for n in ("CADSTN", "Temporal", "Spatial")
    )
    if fused is None or one is None or other is None:
        return ""
    three = [entry.pred_xyz_mm for entry in (fused, one, other)]
    count = min(map(len, three))
    share, most_mm = share_outside(*(joints[:count] for joints in three))
    if math.isnan(share):
        return ""
    return (
        f" In the authors' files on {comparison.rules.title}, {100 * share:.1f} % of the fused "
        f"coordinates lie outside both experts' by over 0.01 mm, at most {most_mm:.2f} mm."
    )
