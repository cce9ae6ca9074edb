"""Any number of prediction files against one truth: what the tables and figures are made from."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cadstn.errors import CadstnError, printable
from cadstn.evaluate.checks import FORMATS, Format
from cadstn.evaluate.intervals import Interval, bootstrap
from cadstn.evaluate.metrics import Scores, acceleration_errors, jitter, joint_errors_mm, score
from cadstn.evaluate.pairs import (
    JointsFile,
    check_pair,
    labelled_frames,
    named_rows,
    numbered,
    read_joints,
    rules_of_truth,
    scored_frames,
)
from cadstn.evaluate.protocol import Protocol, is_published_test, protocol
from cadstn.evaluate.published import method_name
from cadstn.io.joints import FloatArray

_TRUTH_STEMS = ("groundtruth", "truth")


@dataclass(frozen=True, eq=False)
class Entry:
    """One method's predictions and what they score.

    Attributes:
        name: of the method; its colour goes by it.
        pred_xyz_mm: (N, K, 3), NaN in lost frames; fewer frames than the truth are its first.
        errors_mm: (N, K).
        scores: see `Scores`.
        error: mean error with its 95 % interval.
        acceleration: acceleration error with its 95 % interval.
        center: ``truth``, ``found``, or ``not known``.
    """

    name: str
    pred_xyz_mm: FloatArray
    errors_mm: FloatArray
    scores: Scores
    error: Interval
    acceleration: Interval
    center: str = "not known"


@dataclass(frozen=True, eq=False)
class Comparison:
    """Methods on one test set.

    Attributes:
        rules: camera, joints and cuts.
        truth_xyz_mm: (N, K, 3).
        entries: the methods, in the order given.
        unlabelled: how many frames were left out because the truth has no hand in them.
    """

    rules: Protocol
    truth_xyz_mm: FloatArray
    entries: tuple[Entry, ...]
    unlabelled: int = 0

    @property
    def published(self) -> bool:
        """Whether the truth is the set's published test, which the paper's figures are of."""
        return is_published_test(self.rules, self.truth_xyz_mm)

    @property
    def truth_jitter_mm_frame2(self) -> float:
        """How much the truth itself accelerates, see `jitter`."""
        return jitter(self.truth_xyz_mm, self.rules.cuts)

    def get(self, name: str) -> Entry | None:
        """Return the method of a name, if it is there."""
        return next((entry for entry in self.entries if entry.name == name), None)


@dataclass(frozen=True)
class Source:
    """A file to compare: ``[NAME=]FILE[:uvd|:xyz]`` on the command line."""

    name: str
    path: Path
    fmt: Format
    named: bool = False  # whether the name was given


def parse_source(text: str, fmt: Format = "uvd") -> Source:
    """Read ``[NAME=]FILE[:uvd|:xyz]``.

    ``fmt`` is of predictions: a file called as truths are holds u v d without an ending.

    >>> parse_source("mine=runs/a.txt:xyz")
    Source(name='mine', path=PosixPath('runs/a.txt'), fmt='xyz', named=True)
    """
    name, equals, rest = text.partition("=")
    # A path may hold the sign itself; a name of one's own never is a path.
    if not equals or "/" in name or Path(text).is_file():
        name, rest = "", text
    file, colon, ending = rest.rpartition(":")
    known = next((known for known in FORMATS if colon and ending == known), None)
    path = Path(file if known else rest)
    if not name and path.stem in _TRUTH_STEMS:
        fmt = "uvd"
    return Source(printable(name) or method_name(path), path, known or fmt, bool(name))


def compare_files(
    sources: Sequence[Source],
    rules: Protocol | str,
    truth: Source | Path | None = None,
) -> Comparison:
    """Read and score files.

    Args:
        sources: the predictions. A file ``groundtruth`` or ``truth`` that was given no name is the
            truth if there is no other, and left out if there is.
        rules: the data set's, or its name.
        truth: a file of truth, u v d if it is text and no `Source`; without it ``groundtruth.txt``
            beside the first file.

    Raises:
        CadstnError: as the readers; if there is no truth or a second one, no prediction, or a name
            comes twice; if predictions number their frames and not all the same ones.
    """
    rules = protocol(rules)
    sources, truth = truth_apart(sources, truth)
    if not truth.path.is_file():
        raise CadstnError(
            "no such file of truth",
            where=truth.path,
            hint="name it with --truth FILE, in Python truth=FILE",
        )
    _check_names(sources)
    true = read_joints(truth.path, rules, truth.fmt)
    preds = [read_joints(source.path, rules, source.fmt) for source in sources]
    rules = rules_of_truth(true, rules, preds)
    whole = labelled_frames(true) == rules.test_frames
    preds, true, cuts, cut_rule, unlabelled = scored_frames(
        preds, true, _same_frames(preds, true), rules
    )
    # These frames and cuts belong together, unless the cuts were another truth's before.
    frames = len(true.xyz_mm) if whole else rules.test_frames
    rules = replace(rules, cuts=cuts, cut_rule=cut_rule or rules.cut_rule, test_frames=frames)
    entries = []
    for source, pred in zip(sources, preds, strict=True):
        check_pair(pred, true, rules, "--truth FILE:")
        center = pred.notes.get("centre", "not known")
        entries.append(make_entry(source.name, pred.xyz_mm, true.xyz_mm, rules, center))
    return Comparison(rules, true.xyz_mm, tuple(entries), unlabelled)


def truth_apart(
    sources: Sequence[Source], truth: Source | Path | None
) -> tuple[list[Source], Source]:
    """Tell predictions from the truth that is given, or lies among or beside them.

    Args:
        sources: as of `compare_files`.
        truth: likewise.

    Returns:
        The predictions, and the truth, which need not be there.

    Raises:
        CadstnError: if there is a second truth, or no prediction.
    """
    called = [s for s in sources if s.path.stem in _TRUTH_STEMS and not s.named]
    if truth is None:
        truths = called
        if second := next((s for s in truths if not _one_file(s, truths[0])), None):
            raise CadstnError(
                f"a second file of truth beside {truths[0].path}",
                where=second.path,
                hint="choose with --truth FILE, or name a prediction: NAME=FILE",
            )
    else:
        truths = [truth if isinstance(truth, Source) else Source(truth.stem, truth, "uvd")]
    # FOLDER/* may hold the very file that --truth names, and copies of it.
    others = [
        s for s in sources if s.named or not (s in called or (truths and _one_file(s, truths[0])))
    ]
    if not others:
        hint = "give some: cadstn compare FILE..., as NAME=FILE if called like a truth"
        raise CadstnError("no file of predictions", hint=hint)
    beside = others[0].path.parent / "groundtruth.txt"
    return others, truths[0] if truths else Source(beside.stem, beside, "uvd")


def left_out(sources: Sequence[Source], preds: Sequence[Source], truth: Source) -> list[Source]:
    """Those of the sources that `truth_apart` gave neither as predictions nor as the truth."""
    return [s for s in sources if s not in preds and not _one_file(s, truth)]


def _one_file(one: Source, other: Source) -> bool:
    return os.path.realpath(one.path) == os.path.realpath(other.path)


def _same_frames(preds: Sequence[JointsFile], truth: JointsFile) -> NDArray[np.intp] | None:
    """The rows of the truth that all predictions are of; None if they hold its first ones."""
    rows = [named_rows(pred, truth) for pred in preds]
    chosen = next((some for some in rows if some is not None), None)
    # Files as long as the truth are taken row by row, whichever frames they number.
    known = [pred.notes.get("frame_index") if numbered(pred) else None for pred in preds]
    first = next((index for index in known if index is not None), None)
    for some, index, pred in zip(rows, known, preds, strict=True):
        if chosen is not None:
            same = some is not None and np.array_equal(some, chosen)
        else:
            same = index is None or first is None or _begin_alike(index, first)
        if not same:
            raise CadstnError(
                "holds other frames of the recording than another file",
                where=pred.path,
                hint="compare predictions of the same frames: of one --start, --end and --every",
            )
    return chosen


def _begin_alike(one: NDArray[np.integer[Any]], other: NDArray[np.integer[Any]]) -> bool:
    count = min(len(one), len(other))
    return np.array_equal(one[:count], other[:count])


def make_entry(
    name: str,
    pred_xyz_mm: FloatArray,
    truth_xyz_mm: FloatArray,
    rules: Protocol,
    center: str = "not known",
) -> Entry:
    """Score one method's joints (N, K, 3) against the first N frames of the truth."""
    truth = truth_xyz_mm[: len(pred_xyz_mm)]
    errors = joint_errors_mm(pred_xyz_mm, truth)
    return Entry(
        name=name,
        pred_xyz_mm=pred_xyz_mm,
        errors_mm=errors,
        scores=score(pred_xyz_mm, truth, rules.cuts, of=len(truth_xyz_mm)),
        error=bootstrap(errors.mean(axis=1), rules.cuts),
        acceleration=bootstrap(acceleration_errors(pred_xyz_mm, truth, rules.cuts), rules.cuts),
        center=center,
    )


def difference(entry: Entry, other: Entry, cuts: Sequence[int]) -> Interval:
    """Mean of how much larger ``entry``'s error is, in mm, over the frames that both cover."""
    count = min(len(entry.errors_mm), len(other.errors_mm))
    gap = entry.errors_mm[:count].mean(axis=1) - other.errors_mm[:count].mean(axis=1)
    return bootstrap(np.asarray(gap, np.float64), cuts)


def _check_names(sources: Sequence[Source]) -> None:
    seen: dict[str, Path] = {}
    for source in sources:
        if source.name in seen:
            raise CadstnError(
                f"called '{source.name}' like {seen[source.name]}",
                where=source.path,
                hint=f"name one of them: NAME={source.path}",
            )
        seen[source.name] = source.path
