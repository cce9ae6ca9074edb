"""A file of predictions and its file of truth: read and matched here alone."""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cadstn.errors import CadstnError
from cadstn.evaluate.checks import TRUTH_FORMAT, Format, check_reading, check_truth_format
from cadstn.evaluate.predictions import is_npz, load_predictions, read_npz_notes
from cadstn.evaluate.protocol import Protocol, is_published_test
from cadstn.io.joints import FloatArray, lost_frames

_A_FILES_CUTS = "a file has a shot begin"


@dataclass(frozen=True, eq=False)
class JointsFile:
    """Joints of one file."""

    path: str | os.PathLike[str]  # of the file
    xyz_mm: FloatArray  # (N, K, 3), NaN in lost frames
    # what an ``.npz`` file holds besides, see `read_npz_notes`; empty of a text file
    notes: dict[str, Any]
    fmt: Format | None  # how a text file was read; None for ``.npz``


def read_joints(
    path: str | os.PathLike[str], rules: Protocol | None = None, fmt: Format = "uvd"
) -> JointsFile:
    """Read either kind of file; raises as `load_predictions` and `read_npz_notes`."""
    xyz_mm = load_predictions(path, rules, fmt)
    if not is_npz(path):
        return JointsFile(path, xyz_mm, {}, fmt)
    return JointsFile(path, xyz_mm, read_npz_notes(path), None)


def rules_of_truth(truth: JointsFile, rules: Protocol, preds: Sequence[JointsFile]) -> Protocol:
    """Return a protocol with the cuts of the truth.

    A file of truth may have its own. Text has none: unless it is the published test, whose cuts are
    known, those of the predictions are all there are, see `scored_frames`.
    """
    cuts: tuple[int, ...] = ()
    if "cuts" in truth.notes:
        cuts, rule = truth.notes["cuts"], "the file of truth has a shot begin"
    elif truth.fmt is None or is_published_test(rules, truth.xyz_mm):
        return rules
    elif any("cuts" in pred.notes for pred in preds):
        rule = "the file of predictions has a shot begin"
    else:
        return rules
    return replace(rules, test_frames=labelled_frames(truth), cuts=cuts, cut_rule=rule)


def labelled_frames(truth: JointsFile) -> int:
    """How many frames of a truth have a hand."""
    return int(np.count_nonzero(~lost_frames(truth.xyz_mm)))


def numbered(file: JointsFile) -> bool:
    """Whether a file has as many frames as indices of them, or no indices at all."""
    return len(file.notes.get("frame_index", file.xyz_mm)) == len(file.xyz_mm)


def named_rows(pred: JointsFile, truth: JointsFile) -> NDArray[np.intp] | None:
    """Find the frames of a prediction in the truth by their indices.

    A truth without ``frame_index`` that is as long as the prediction is of the same frames, row by
    row; any other is of the whole recording.

    Args:
        pred: what was tracked; may hold ``frame_index`` and ``frame_count``.
        truth: may hold ``frame_index`` too.

    Returns:
        (N,) rows of the truth; None where these are its first ones, as of every file that numbers
        no frames.

    Raises:
        CadstnError: if the truth lacks one of the frames, its rows could be other frames, or a
            file has another number of indices than of frames.
    """
    if "frame_index" not in pred.notes:
        return None
    index, frames, of = pred.notes["frame_index"], len(pred.xyz_mm), len(truth.xyz_mm)
    both = "frame_index" in truth.notes and numbered(pred) and numbered(truth)
    if frames == of and not both:
        return None
    for file in (pred, truth):
        if not numbered(file):
            raise CadstnError(
                f"holds {len(file.xyz_mm)} frames and the indices of "
                f"{len(file.notes['frame_index'])}",
                where=file.path,
                hint="give one index a frame in frame_index, or leave it out",
            )
    if "frame_index" not in truth.notes:
        _must_be_whole(pred, truth)
    own = truth.notes.get("frame_index", np.arange(of))
    rows = np.searchsorted(own, index)
    there = np.append(own, -1)[rows] == index
    if not there.all():
        raise CadstnError(
            f"holds frame {index[np.argmin(there)]} (counted from 0) of its recording, where "
            f"{truth.path} holds {own[0]} to {own[-1]}",
            where=pred.path,
            hint="give the truth of the whole recording",
        )
    return None if (rows == np.arange(len(rows))).all() else rows


def _must_be_whole(pred: JointsFile, truth: JointsFile) -> None:
    """Refuse a truth that numbers no frames unless it is as long as the whole recording."""
    index, of = pred.notes["frame_index"], len(truth.xyz_mm)
    count = pred.notes.get("frame_count")
    # A file of the first frames needs no count: without it, it is as one that numbers none.
    if of == count or (count is None and index[-1] < len(index)):
        return
    hint = "give the truth of the whole recording, or of these frames alone"
    if count is None:
        hint = "track again or add its frame_count, or give the truth of these frames alone"
    some = "unknown length" if count is None else f"{count}"
    raise CadstnError(
        f"holds frames {index[0]} to {index[-1]} (counted from 0) of a recording of {some}, where "
        f"{truth.path} holds {of} frames without a frame_index",
        where=pred.path,
        hint=hint,
    )


def take_rows(
    truth: JointsFile, rows: NDArray[np.intp], cuts: Sequence[int]
) -> tuple[JointsFile, tuple[int, ...]]:
    """Return some rows of a file of truth, and where shots begin among them.

    A shot also begins after frames that are left out, but for those between frames at one step.
    """
    steps = np.diff(truth.notes.get("frame_index", np.arange(len(truth.xyz_mm)))[rows])
    begins = _begins(rows, cuts, steps > (steps.min() if len(steps) else 0))
    return replace(truth, xyz_mm=truth.xyz_mm[rows]), begins


def _begins(
    rows: NDArray[np.intp], cuts: Sequence[int], gaps: NDArray[np.bool_]
) -> tuple[int, ...]:
    """Where shots begin among some rows (N,): at cuts, and where there are gaps (N - 1,)."""
    shots = np.searchsorted(np.asarray(cuts, np.int64), rows, side="right")
    return tuple(int(i) for i in np.flatnonzero((np.diff(shots) > 0) | gaps) + 1)


class Frames(NamedTuple):
    """The frames that are scored: the same rows of all files, but for shorter predictions."""

    preds: list[JointsFile]
    truth: JointsFile
    cuts: tuple[int, ...]  # where shots begin among them
    cut_rule: str | None  # how these were found, where not as the rules or the truth have them
    unlabelled: int  # frames that were left out, as the truth has no hand in them


def scored_frames(
    preds: Sequence[JointsFile],
    truth: JointsFile,
    rows: NDArray[np.intp] | None,
    rules: Protocol | None = None,
) -> Frames:
    """Choose the frames that files are scored on, and find where shots begin among them.

    Shots begin where the truth or a prediction has one begin; of a published test, where it is
    known to. Frames in which an ``.npz`` truth has no hand, NaN, are left out, and a shot begins
    after them; of a truth without any hand they stay, for `check_pair` to refuse.

    Args:
        preds: the predictions.
        truth: of whole recordings, or of the frames of the predictions.
        rows: of the truth, see `named_rows`.
        rules: as of `rules_of_truth`; None takes the cuts of the files.
    """
    own = rules.cuts if rules else truth.notes.get("cuts", ())
    published = rules is not None and is_published_test(rules, truth.xyz_mm)
    if rows is not None:
        truth, own = take_rows(truth, rows, own)
    cuts = own
    if not published:
        # Cuts beside another number of indices than of frames are those of other rows.
        theirs = (pred.notes.get("cuts", ()) for pred in preds if numbered(pred))
        cuts = tuple(sorted({*own, *itertools.chain(*theirs)}))
    rule = None if cuts == own or truth.fmt is not None else _A_FILES_CUTS
    lost = lost_frames(truth.xyz_mm)
    lengths = [len(pred.xyz_mm) for pred in preds]
    # A file with a crop centre is a prediction in the truth's place: its hands were lost.
    refused = truth.fmt is not None or "centre" in truth.notes or max(lengths) > len(lost)
    if refused or not lost.any() or any(lost[:length].all() for length in lengths):
        return Frames(list(preds), truth, cuts, rule, 0)
    kept = np.flatnonzero(~lost)
    cuts = _begins(kept, cuts, np.diff(kept) > 1)
    left = [replace(pred, xyz_mm=pred.xyz_mm[kept[kept < len(pred.xyz_mm)]]) for pred in preds]
    truth = replace(truth, xyz_mm=truth.xyz_mm[kept])
    unlabelled = int(lost[: max(lengths)].sum())
    return Frames(left, truth, cuts, f"{_A_FILES_CUTS} or a hand comes back", unlabelled)


def check_pair(
    pred: JointsFile,
    truth: JointsFile,
    rules: Protocol | None = None,
    truth_option: str = TRUTH_FORMAT,
) -> None:
    """Refuse two files that do not belong together, or that fit only when read otherwise.

    Args:
        pred: the predictions; may have fewer frames than the truth.
        truth: of the same joints.
        rules: the data set's, if there is one; without it the files' own notes must agree.
        truth_option: as ``option`` of `check_truth_format`.

    Raises:
        CadstnError: naming the file and the hint.
    """
    ours, theirs = pred.notes.get("skeleton"), truth.notes.get("skeleton")
    # Two conventions with as many joints: hand21 and msra21 differ in order.
    if rules is None and ours and theirs and ours != theirs:
        raise CadstnError(
            f"holds joints of {ours} where {truth.path} holds {theirs}",
            where=pred.path,
            hint="compare files of the same joints",
        )
    (frames, joints), (of, true_joints) = pred.xyz_mm.shape[:2], truth.xyz_mm.shape[:2]
    if joints != true_joints:
        raise CadstnError(
            f"holds {joints} joints where {truth.path} holds {true_joints}",
            where=pred.path,
            hint="compare files of the same joints",
        )
    if frames > of:
        raise CadstnError(
            f"holds {frames} frames where {truth.path} holds {of}",
            where=pred.path,
            hint="compare it with the truth of the same frames; only a shorter prediction is taken",
        )
    unlabelled = lost_frames(truth.xyz_mm)
    if unlabelled.any():
        raise CadstnError(
            f"frame {int(np.argmax(unlabelled))} (counted from 0) is NaN in a file of truth",
            where=truth.path,
            hint="leave unlabelled frames out of both files; have the two files changed places?",
        )
    true_xyz_mm = truth.xyz_mm[:frames]
    judged = (truth.path, true_xyz_mm, pred.xyz_mm, rules, truth.fmt, truth_option)
    # Of two files of the same numbers one of which was read as x y z, that one is named: the other
    # lies inside the image, as pixels do.
    truth_last = pred.fmt == "xyz" and truth.fmt == "uvd"
    if not truth_last:
        check_truth_format(*judged)
    check_reading(pred.path, pred.xyz_mm, true_xyz_mm, rules, pred.fmt)
    if truth_last:
        check_truth_format(*judged)
