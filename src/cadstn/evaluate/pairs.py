"""A file of predictions and its file of truth: read and matched here alone."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from cadstn.errors import CadstnError
from cadstn.evaluate.checks import Format, check_reading
from cadstn.evaluate.predictions import load_predictions, read_npz_notes
from cadstn.evaluate.protocol import Protocol
from cadstn.io.joints import FloatArray, lost_frames


@dataclass(frozen=True)
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
    """Read either kind of file; raises as `load_predictions`."""
    xyz_mm = load_predictions(path, rules, fmt)
    if Path(path).suffix == ".npz":
        return JointsFile(path, xyz_mm, read_npz_notes(path), None)
    return JointsFile(path, xyz_mm, {}, fmt)


def rules_of_truth(truth: JointsFile, rules: Protocol) -> Protocol:
    """Return a protocol with the cuts of a file of truth that has its own."""
    if "cuts" not in truth.notes:
        return rules
    rule = "the file of truth has a shot begin"
    frames = len(truth.xyz_mm)
    return replace(rules, test_frames=frames, cuts=truth.notes["cuts"], cut_rule=rule)


def check_pair(pred: JointsFile, truth: JointsFile, rules: Protocol | None = None) -> None:
    """Refuse two files that do not belong together, or that fit only when read otherwise.

    Args:
        pred: the predictions; may have fewer frames than the truth.
        truth: of the same joints.
        rules: the data set's, if there is one; without it the files' own notes must agree.

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
    check_reading(pred.path, pred.xyz_mm, truth.xyz_mm[:frames], rules, pred.fmt)
