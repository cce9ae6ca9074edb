"""Score a file against a file; the text gives the result with everything it depends on."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import Literal, cast

from cadstn._moved import renamed
from cadstn.errors import CadstnError
from cadstn.evaluate.checks import Format
from cadstn.evaluate.metrics import METRICS, Scores, score
from cadstn.evaluate.pairs import (
    check_pair,
    labelled_frames,
    named_rows,
    read_joints,
    rules_of_truth,
    scored_frames,
)
from cadstn.evaluate.protocol import Protocol, protocol
from cadstn.geometry.skeleton import SKELETONS, Skeleton
from cadstn.io.text import counted

#: Which point the crops were centred on: the ground truth's, or one found in the image.
Center = Literal["truth", "found"]

_GIVEN_CUTS = "the truth has a shot begin"
#: Above this mean error the file is likelier to be misread than to be that bad.
_SUSPICIOUS_MM = 100.0


@renamed("centre", "center")
def score_files(
    pred_path: str | os.PathLike[str],
    truth_path: str | os.PathLike[str],
    set_name: str | Protocol | None = None,
    fmt: Format = "uvd",
    *,
    truth_fmt: Format = "uvd",
    skeleton: Skeleton | None = None,
    center: Center | None = None,
    camera: str | None = None,
) -> tuple[Scores, str]:
    """Score one file of predictions, anybody's or ours, against a file of truth.

    A prediction shorter than the truth is scored on the first frames, as DeepPrior's always is,
    which covers only the first recording of ICVL's test; ``frames`` and ``of`` hold both numbers.
    One of `cadstn track` holds ``frame_index`` and is scored on these frames. Frames in which an
    ``.npz`` truth has no hand, NaN, are left out of both and of ``of``.

    Args:
        pred_path: ``.txt`` or ``.npz``.
        truth_path: ``.txt`` or ``.npz``.
        set_name: one of `PROTOCOLS`, by name or itself; None needs two ``.npz`` files. Shots begin
            where the file of truth or of predictions has ``cuts``; of a published test, where they
            are known to.
        fmt: what a text prediction holds, ``uvd`` or ``xyz``.
        truth_fmt: the same of a text truth.
        skeleton: names the joints where there is no set; None takes the ``.npz`` file's own.
        center: which crop centre the prediction used, only for the text; None likewise.
        camera: instead of the set's, see `protocol`.

    Returns:
        The scores, and the text of ``format_scores``.

    Raises:
        CadstnError: if a file cannot be read, the joints differ, the prediction is longer than the
            truth or holds frames that it lacks, the truth is of no hand at all, or is text or a
            prediction with frames of none; each names the file.
    """
    rules = None if set_name is None else protocol(set_name, camera)
    pred = read_joints(pred_path, rules, fmt)
    truth = read_joints(truth_path, rules, truth_fmt)
    if rules is not None:
        rules = rules_of_truth(truth, rules, [pred])
    of, rows = labelled_frames(truth), named_rows(pred, truth)
    (pred,), truth, cuts, cut_rule, unlabelled = scored_frames([pred], truth, rows, rules)
    check_pair(pred, truth, rules)
    scores = score(pred.xyz_mm, truth.xyz_mm[: len(pred.xyz_mm)], cuts, of=of)
    known = {"truth": "truth", "found": "found"}.get(pred.notes.get("centre", ""))
    skeleton = skeleton or SKELETONS.get(pred.notes.get("skeleton", ""))
    return scores, format_scores(
        scores,
        rules,
        skeleton=skeleton,
        center=center or cast("Center | None", known),
        index=None if rows is None else pred.notes["frame_index"].tolist(),
        cut_rule=cut_rule,
        unlabelled=unlabelled,
    )


@renamed("centre", "center")
def format_scores(
    scores: Scores,
    rules: Protocol | None = None,
    *,
    skeleton: Skeleton | None = None,
    center: Center | None = None,
    index: Sequence[int] | None = None,
    cut_rule: str | None = None,
    unlabelled: int = 0,
) -> str:
    """Lay scores out for the terminal, with the camera, joints and cuts they were made with.

    Args:
        scores: what to show.
        rules: the data set's protocol; None for recordings of one's own.
        skeleton: names the joints where ``rules`` is None; they are numbered without either.
        center: which crop centre the prediction used; None where it is not known.
        index: (N,) which frames of the recording were scored; None for its first ones.
        cut_rule: how the cuts were found, in words; None for as ``rules`` has it.
        unlabelled: how many frames were left out because the truth has no hand in them.

    Returns:
        Lines ended by newlines, each at most 100 characters wide.

    Raises:
        CadstnError: if the skeleton has another number of joints than the scores.
    """
    names = _joint_names(scores, rules.skeleton if rules else skeleton)
    width = max(18, *(len(name) + 4 for name in names))
    rows = [
        *_setting_rows(scores, rules, center, cut_rule),
        ("mean error", _number(scores.mean_error_mm, "mm")),
        ("median error", _number(scores.median_error_mm, "mm")),
        *((f"all within {mm} mm", f"{100 * a:8.1f} % of frames")
          for mm, a in scores.accuracy.items()),
        *((METRICS[name].title, _number(value, METRICS[name].unit))
          for name, value in scores.more.items()),
        ("acceleration error", _number(scores.acceleration_error_mm_frame2, "mm/frame^2")),
        ("jitter", _number(scores.jitter_mm_frame2, "mm/frame^2")
         + f" (truth {scores.truth_jitter_mm_frame2:.3f})"),
        ("error per joint", ""),
        *((f"  {name}", _number(error, "mm"))
          for name, error in zip(names, scores.per_joint_error_mm, strict=True)),
    ]  # fmt: skip
    lines = [f"{name:<{width}}  {value}".rstrip() for name, value in rows]
    return "\n".join([*lines, *_notes(scores, rules, index, unlabelled)]) + "\n"


def _setting_rows(
    scores: Scores, rules: Protocol | None, center: Center | None, cut_rule: str | None
) -> list[tuple[str, str]]:
    frames = f"{scores.frames} compared of {scores.of}, {scores.lost} lost"
    shots = f"{len(scores.cuts) + 1} shots" if scores.cuts else "1 shot"
    cut_rule = cut_rule or (rules.cut_rule if rules else _GIVEN_CUTS)
    cut_at = f", cut where {cut_rule}" if scores.cuts else ", not cut"
    settings = [("frames", frames), ("shots", shots + cut_at)]
    if rules:
        settings = [
            ("set", rules.name),
            ("camera", rules.camera_text),
            ("joints", f"{len(rules.skeleton)}: {rules.joint_subset}"),
            *settings,
        ]
    return [*settings, ("crop centre", center or "not named by the file")]


def _notes(
    scores: Scores, rules: Protocol | None, index: Sequence[int] | None, unlabelled: int
) -> list[str]:
    """Whatever a reader must know before comparing the numbers above with others."""
    notes = []
    if unlabelled:
        notes.append(f"note: left out: {counted(unlabelled, 'frame')} without a hand in the truth")
    if scores.frames < scores.of:
        which = f"the first {scores.frames}" if index is None else f"{scores.frames}"
        of = "" if index is None else f", {index[0]} to {index[-1]} counted from 0"
        notes.append(f"note: only {which} of {scores.of} frames were compared{of}")
    if scores.lost:
        notes.append(
            f"note: errors, jitter and acceleration leave out {scores.lost} lost frames; "
            "accuracy counts them as wrong"
        )
    if rules and (of_cuts := rules.note_of_cuts(scores.of)):
        notes.append(f"note: {of_cuts}")
    if scores.mean_error_mm > _SUSPICIOUS_MM:
        notes.append(
            f"note: over {_SUSPICIOUS_MM:.0f} mm is rarely a network's doing: check uvd against "
            "xyz, the order of frames, and y up or down"
        )
    return notes


def _joint_names(scores: Scores, skeleton: Skeleton | None) -> tuple[str, ...]:
    count = len(scores.per_joint_error_mm)
    if skeleton is None:
        return tuple(f"joint {k}" for k in range(count))
    if len(skeleton) != count:
        raise CadstnError(
            f"scores of {count} joints where {skeleton.name} has {len(skeleton)}",
            hint="give the skeleton of these joints",
        )
    return skeleton.joints


def _number(value: float, unit: str) -> str:
    return "       - (nothing to measure)" if math.isnan(value) else f"{value:8.3f} {unit}"
