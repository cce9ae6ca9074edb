"""The tables and figures of a comparison, as blocks of a page."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from cadstn.evaluate import plots
from cadstn.evaluate.analysis import (
    Bin,
    error_by_speed,
    speeds_mm,
)
from cadstn.evaluate.compare import Comparison, Entry
from cadstn.evaluate.intervals import resampling_units
from cadstn.evaluate.metrics import ACCURACY_MM, METRICS
from cadstn.evaluate.page import Block, Picture, Table, Text
from cadstn.evaluate.protocol import Protocol
from cadstn.evaluate.published import PAPER_MM, PAPER_TABLE, authors_log_mm, paper_rows
from cadstn.io.text import counted

_AUTHORS_CADSTN = "CADSTN (authors)"
# A joint with less than this share of the mean error was not estimated.
_GIVEN = 0.15

#: Headings of the accuracies.
WITHIN = tuple(f"≤ {mm} mm, %" for mm in ACCURACY_MM)


def rules_text(comparison: Comparison) -> Text:
    """Camera, joints, cuts, centre and how intervals were made, once for a page."""
    rules = comparison.rules
    # Of a truth that is shorter than the set's test only the cuts within it.
    units = resampling_units(len(comparison.truth_xyz_mm), rules.cuts)
    cut = f", cut where {rules.cut_rule}" if units.shots > 1 else ", not cut"
    other = rules.note_of_cuts(len(comparison.truth_xyz_mm))
    gone = f" (without {comparison.unlabelled} in which the truth has no hand)"
    return Text(
        f"Rules of every number on {rules.title}: {len(comparison.truth_xyz_mm)} frames"
        f"{gone if comparison.unlabelled else ''}; "
        f"{len(rules.skeleton)} joints ({rules.joint_subset}); camera {rules.camera_text}; "
        f"{counted(units.shots, 'shot')}{cut}, "
        f"and nothing is measured across a cut; crop centre: {_centers(comparison)}. "
        f"Intervals are 95 % ones from {units}. Acceleration error: "
        "mean of |a_pred - a_true|, a = x[t-1] - 2 x[t] + x[t+1]; jitter: mean of |a_pred|."
        f"{f' Note: {other}.' if other else ''}"
    )


def short_note(comparison: Comparison) -> str:
    """The same in a few words, to stand under each table."""
    rules = comparison.rules
    units = resampling_units(len(comparison.truth_xyz_mm), rules.cuts)
    return (
        f"{rules.title}: {len(rules.skeleton)} joints, {rules.camera_text.split(',')[0]} px, "
        f"{counted(units.shots, 'shot')}, crop centre {_centers(comparison)}."
        f"{' Too few shots: intervals are too narrow.' if units.few else ''}"
    )


def comparison_blocks(comparison: Comparison, *, quoted: bool = True) -> list[Block]:
    """What any methods can be compared by, as blocks; see also `ablation_blocks`.

    Args:
        comparison: at least one method.
        quoted: add the paper's rows whose files are not there; only right for the published test.
    """
    blocks: list[Block] = [rules_text(comparison), methods_table(comparison, quoted=quoted)]
    blocks += curves(comparison, "6", quoted=quoted)
    blocks += motion(comparison)
    return blocks


def methods_table(comparison: Comparison, *, quoted: bool = True) -> Table:
    """Mean error, accuracy and motion of every method: tables II and III, and what they lack."""
    rules = comparison.rules
    printed = PAPER_MM.get(rules.name, {}) if quoted else {}
    others = paper_rows(rules.name, (e.name for e in comparison.entries)) if quoted else []
    rows = [(e.scores.mean_error_mm, _method_row(e, printed.get(e.name))) for e in
            comparison.entries]  # fmt: skip
    more = tuple(metric.title for metric in METRICS.values())
    empty = [""] * (8 + len(more))
    rows += [(mm, (f"{name} [quoted]", f"{mm:.2f}", *empty)) for name, mm in others]
    rows.sort(key=lambda row: (math.isnan(row[0]), row[0]))  # where all frames are lost: last
    header = (
        "method", "paper, mm", "mean error, mm", "95 %", *WITHIN, *more, "accel. error, mm/frame²",
        "jitter, mm/frame²", "frames",
    )  # fmt: skip
    own = number_text(comparison.truth_jitter_mm_frame2, 2)
    note = f"{short_note(comparison)} The truth's own jitter is {own} mm/frame²."
    if others:
        note += " [quoted]: printed in the paper; these methods' files are not at hand."
    note += "".join(f" {words}." for e in comparison.entries if (words := given_joints(e, rules)))
    number = f" (table {PAPER_TABLE[rules.name]})" if quoted and rules.name in PAPER_TABLE else ""
    cells = tuple(row for _, row in rows)
    if not quoted:
        header, cells = header[:1] + header[2:], tuple(row[:1] + row[2:] for row in cells)
    return Table(f"Methods on {rules.title}{number}", header, cells, note)


def curves(
    comparison: Comparison, figure: str, prefix: str = "", *, quoted: bool = False
) -> list[Block]:
    """Good frames over thresholds, by largest and by mean error, and the error of each joint.

    Args:
        comparison: the methods.
        figure: number of the paper's figure that shows the same.
        prefix: of the pictures' names.
        quoted: add the authors' log of CADSTN to the joints' figure; only right for the published
            test.
    """
    name = comparison.rules.name
    errors = {entry.name: entry.errors_mm for entry in comparison.entries}
    joints: dict[str, Sequence[float]] = {
        entry.name: entry.scores.per_joint_error_mm for entry in comparison.entries
    }
    log = authors_log_mm(name).get(_AUTHORS_CADSTN) if quoted else None
    if log and _AUTHORS_CADSTN not in joints:
        joints[_AUTHORS_CADSTN] = log
    upper = comparison.rules.title
    largest = f"{upper}: proportion of frames with all joints within a threshold"
    mean = f"{upper}: proportion of frames with their mean error within a threshold"
    each = f"{upper}: mean error of each joint"
    return [
        Picture(
            f"{prefix}{name}-good-frames.png",
            partial(plots.good_frames, errors, largest),
            f"{largest} (figure {figure}).",
        ),
        Picture(
            f"{prefix}{name}-good-frames-mean.png",
            partial(plots.good_frames, errors, mean, of="mean"),
            f"{mean}.",
        ),
        Picture(
            f"{prefix}{name}-per-joint.png",
            partial(plots.per_joint, joints, comparison.rules.skeleton, each),
            f"{each} (figure {figure}).",
        ),
    ]


def motion(comparison: Comparison) -> list[Block]:
    """Error by speed of the true hand, and the acceleration error: what the paper lacks."""
    rules = comparison.rules
    name, upper = rules.name, rules.title
    speed = speeds_mm(comparison.truth_xyz_mm, rules.cuts)
    title = f"{upper}: mean error by the speed of the true hand"
    table, values = bins_table(
        comparison,
        lambda entry: error_by_speed(entry.errors_mm, speed[: len(entry.errors_mm)]),
        f"{title}, mm",
        "Speed in mm a frame: mean over joints of how far each moved since the frame before.",
    )
    groups = [column.split(" mm/frame")[0] for column in table.header[1:]]
    steady = {
        entry.name: (entry.scores.acceleration_error_mm_frame2, entry.scores.jitter_mm_frame2)
        for entry in comparison.entries
    }
    own = number_text(comparison.truth_jitter_mm_frame2, 2)
    moves = f"{upper}: how steadily predictions move (the truth's jitter: {own})"
    return [
        table,
        Picture(
            f"{name}-by-speed.png",
            partial(
                plots.bars, groups, values, title, "speed of the true hand, mm/frame",
                "mean joint error, mm",
            ),
            f"{title}.",
        ),
        Picture(
            f"{name}-acceleration.png",
            partial(
                plots.bars, ["acceleration error", "jitter"], steady, moves, "", "mm/frame²"
            ),
            f"{moves}.",
        ),
    ]  # fmt: skip


def bins_table(
    comparison: Comparison, split: Callable[[Entry], Sequence[Bin]], title: str, note: str
) -> tuple[Table, dict[str, list[float]]]:
    """Table of every method's error in each bin, with the share of joints in it, and its numbers.

    Args:
        comparison: whose methods.
        split: gives one method's bins, the same ones for each.
        title: of the table.
        note: under it, before the rules.
    """
    bins = {entry.name: split(entry) for entry in comparison.entries}
    first = bins[max(comparison.entries, key=lambda e: len(e.errors_mm)).name]
    total = sum(b.count for b in first) or 1
    header = ("method", *(f"{b.name} ({100 * b.count / total:.0f} %)" for b in first))
    rows = tuple(
        (name, *(number_text(b.mean_error_mm, 2) for b in parts)) for name, parts in bins.items()
    )
    values = {name: [b.mean_error_mm for b in parts] for name, parts in bins.items()}
    return Table(title, header, rows, f"{note} {short_note(comparison)}"), values


def given_joints(entry: Entry, rules: Protocol) -> str:
    """Name joints that are far too good to have been estimated, and the mean error without them.

    A network that crops around a true joint and then writes that joint down has not found it.

    Returns:
        A sentence without its full stop; empty where every joint was estimated.
    """
    errors = np.array(entry.scores.per_joint_error_mm)
    given = errors < _GIVEN * errors.mean()
    if not given.any():
        return ""
    names = " and ".join(
        f"{rules.skeleton.joints[k]} ({errors[k]:.2f} mm)" for k in np.flatnonzero(given)
    )
    return (
        f"{entry.name} was given the truth of, or is suspiciously good at, {names}; without it "
        f"its mean error is {errors[~given].mean():.2f} mm"
    )


def _method_row(entry: Entry, printed: float | None) -> tuple[str, ...]:
    s = entry.scores
    return (
        entry.name,
        "" if printed is None else f"{printed:.2f}",
        number_text(s.mean_error_mm, 3),
        str(entry.error),
        *(f"{100 * s.accuracy[mm]:.1f}" for mm in ACCURACY_MM),
        *(number_text(s.more[name], 3) for name in METRICS),
        number_text(s.acceleration_error_mm_frame2, 2),
        number_text(s.jitter_mm_frame2, 2),
        f"{s.frames}" + (f" ({s.lost} lost)" if s.lost else ""),
    )


def _centers(comparison: Comparison) -> str:
    return " and ".join(sorted({entry.center for entry in comparison.entries}))


def number_text(value: float, digits: int) -> str:
    """Digits of a number, or a dash where nothing could be measured."""
    return "-" if math.isnan(value) else f"{value:.{digits}f}"
