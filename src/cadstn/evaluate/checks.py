"""Files that can be read and yet mean something else are recognised and refused.

Metres, x y z where u v d was meant, y pointing up, joints relative to a root, pixels of a smaller
image, rows of zeros, joints in another order: none of these is corrected silently, because one
wrong guess makes every number doubtful.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from cadstn.errors import CadstnError
from cadstn.evaluate.metrics import joint_errors_mm
from cadstn.evaluate.protocol import Protocol
from cadstn.geometry.camera import Camera
from cadstn.geometry.skeleton import SKELETONS, Skeleton
from cadstn.io.joints import FloatArray

#: What the three numbers of a joint in a text file are: pixels and depth, or mm.
Format = Literal["uvd", "xyz"]
FORMATS: tuple[Format, ...] = ("uvd", "xyz")

# No depth sensor measures nearer: a smaller number is in metres.
_NEAREST_MM = 20.0
# No camera sees so far, in mm, nor has so many pixels.
_FARTHEST_MM = 1e6
# No joint is farther than this from another joint of its hand.
_HAND_MM = 250.0
# A joint that never leaves the camera's axis is the root that the others are relative to.
_AT_ZERO_MM = 0.01
# A hand lies in front of the camera, all of it, but for stray joints.
_MOST_IN_FRONT = 0.9
# A hand may reach out of the image, but not with most of its joints in most frames.
_MOST_OUTSIDE = 0.3
# Below this mean error a file is read rightly; above, another reading must be three times better.
_PLAUSIBLE_MM = 50.0
_FRAMES = 200
#: Of the command line: how a truth is read.
TRUTH_FORMAT = "--truth-format "
# How a prediction is read in the other way.
_READ_XYZ = "--format xyz (cadstn compare: FILE:xyz; Python: fmt='xyz')"
_READ_UVD = "leave out --format xyz (cadstn compare: FILE:uvd; Python: fmt='uvd')"


def check_ranges(
    path: object, table: FloatArray, letters: str, rules: Protocol | None = None
) -> None:
    """Refuse joints whose numbers cannot be what they should be, by their range alone.

    Args:
        path: named in the error.
        table: (N, K, 3) as in the file, NaN in lost frames.
        letters: ``uvd`` (px, px, mm) or ``xyz`` (mm).
        rules: whose camera the pixels belong to; needed for ``uvd``.

    Raises:
        CadstnError: if a frame is all zeros or all -1, or lies behind the camera, depths are in
            metres, negative or relative to a joint, or pixels lie outside the image.
    """
    found = table[~np.isnan(table[:, 0, 0])]
    if not len(found):
        return
    if (most := float(np.abs(found).max())) > _FARTHEST_MM:
        raise CadstnError(
            f"holds the number {most:.3g}",
            where=path,
            hint="no joint is so far away: give px and mm, frames without a hand as nan",
        )
    _check_marks(path, table)
    depth = float(np.median(found[..., 2]))
    letter = letters[2]
    size = float(np.abs(found[..., 2]).max())
    if size < _NEAREST_MM:
        raise CadstnError(
            f"its {letter} of {depth:.3g} in the middle suggests metres, not mm",
            where=path,
            hint=f"write {letter}{'' if letters == 'uvd' else ', x and y'} in mm: times 1000",
        )
    if (found[..., 2] > 0).mean() < _MOST_IN_FRONT:
        if size < _HAND_MM or (found == 0).all(axis=(0, 2)).any():
            raise CadstnError(
                f"its {letter} of {depth:.4g} in the middle is no distance from a camera: are its "
                "joints relative to one of them?",
                where=path,
                hint="add the root joint's place in the camera frame, in mm",
            )
        raise CadstnError(
            f"its {letter} of {depth:.4g} in the middle lies behind the camera",
            where=path,
            hint=f"give {letter} in mm, positive in front of the camera",
        )
    if letters == "uvd" and rules is not None:
        outside = _outside(found, rules.camera)
        if outside > _MOST_OUTSIDE:
            image = f"{rules.camera.width}x{rules.camera.height}"
            raise CadstnError(
                f"{100 * outside:.0f} % of its u v lie outside {rules.name}'s image of {image}: "
                "does it hold x y z in mm?",
                where=path,
                hint="read it with --format xyz, a truth with --truth-format xyz (cadstn compare: "
                "FILE:xyz, --truth FILE:xyz; Python: fmt='xyz', truth_fmt='xyz'), or check the set",
            )


def _check_marks(path: object, table: FloatArray) -> None:
    """Refuse single frames that are marked as without a hand: by zeros, -1, depths below 0."""
    hint = "write nan in all numbers of a frame without a hand; scores count it as lost"
    behind = (table[..., 2] <= 0).all(axis=1)
    marks = np.flatnonzero(behind & (table == table[:, :1, :1]).all(axis=(1, 2)))
    if len(marks):
        mark = f"{table[marks[0], 0, 0] + 0.0:g}"  # 0 of -0
        raise CadstnError(
            f"frame {marks[0]} (counted from 0) is all {'zeros' if mark == '0' else mark}, "
            f"and {len(marks) - 1} more are",
            where=path,
            hint=hint,
        )
    rest = table[~behind & ~np.isnan(table[:, 0, 0]), :, 2]
    # Of joints that are relative to one of them, or of turned axes, the other frames show it.
    if behind.any() and rest.size and (rest > 0).mean() >= _MOST_IN_FRONT:
        raise CadstnError(
            f"frame {int(np.argmax(behind))} (counted from 0) lies behind the camera with all its "
            f"joints, and {np.count_nonzero(behind) - 1} more do",
            where=path,
            hint=hint,
        )


def check_names(path: object, notes: Mapping[str, Any], skeleton: Skeleton | None) -> None:
    """Refuse an ``.npz`` file that names other joints, or the same ones in another order.

    Args:
        path: named in the error.
        notes: as of `read_npz_notes`.
        skeleton: the joints that are expected; None trusts the one that the file names.

    Raises:
        CadstnError: naming the first joint that differs.
    """
    named = notes.get("skeleton", "")
    if skeleton is not None and named in SKELETONS and named != skeleton.name:
        raise CadstnError(
            f"holds joints of {named} where {skeleton.name} is expected",
            where=path,
            hint=f"give a file of {skeleton.name}, or the set that these joints belong to",
        )
    skeleton = skeleton or SKELETONS.get(named)
    names = notes.get("joint_names")
    if names is None or skeleton is None or names == skeleton.joints:
        return
    pairs = enumerate(zip(names, skeleton.joints, strict=False))
    place = next((i for i, (a, b) in pairs if a != b), min(len(names), len(skeleton)))
    theirs = names[place] if place < len(names) else "missing"
    ours = skeleton.joints[place] if place < len(skeleton) else "none"
    raise CadstnError(
        f"names its joint {place} '{theirs}' where {skeleton.name} has '{ours}'",
        where=path,
        hint=f"put the joints in the order {', '.join(skeleton.joints)}",
    )


def check_reading(
    path: object,
    pred_xyz_mm: FloatArray,
    truth_xyz_mm: FloatArray,
    rules: Protocol | None,
    fmt: Format | None,
) -> None:
    """Refuse a prediction that fits its truth only when it is read in another way.

    Args:
        path: named in the error.
        pred_xyz_mm: (N, K, 3) as it was read, NaN in lost frames.
        truth_xyz_mm: (N, K, 3).
        rules: the data set's, if there is one.
        fmt: how a text file was read; None for ``.npz``.

    Raises:
        CadstnError: naming the other reading, which fits three times better.
    """
    pred, truth = _some_frames(pred_xyz_mm, truth_xyz_mm)
    if not len(pred):
        return
    error_mm = float(joint_errors_mm(pred, truth).mean())
    if error_mm > _PLAUSIBLE_MM:
        for what, other, hint in _readings(pred, truth, rules, fmt):
            if not np.isfinite(other).all():
                continue
            other_mm = float(joint_errors_mm(other, truth).mean())
            if other_mm < error_mm / 3:
                raise CadstnError(
                    f"mean error {error_mm:.0f} mm as it was read, {other_mm:.1f} mm with {what}",
                    where=path,
                    hint=hint,
                )
    _check_order(path, pred, truth, None if rules is None else rules.skeleton)


def check_truth_format(
    path: object,
    truth_xyz_mm: FloatArray,
    pred_xyz_mm: FloatArray,
    rules: Protocol | None,
    fmt: Format | None,
    option: str = TRUTH_FORMAT,
) -> None:
    """Refuse a text file of truth that fits a prediction only when it is read in its other format.

    Args:
        path: named in the error.
        truth_xyz_mm: (N, K, 3) as it was read.
        pred_xyz_mm: (N, K, 3), NaN in lost frames.
        rules: the data set's, if there is one.
        fmt: how the truth was read; None for ``.npz``.
        option: that, with the format after it, has the truth read so; for the hint.

    Raises:
        CadstnError: naming the other format, which fits three times better.
    """
    if rules is None or fmt is None or rules.several_cameras:
        return
    pred, truth = _some_frames(pred_xyz_mm, truth_xyz_mm)
    turned = rules.camera.to_uvd(truth) if fmt == "uvd" else rules.camera.to_xyz_mm(truth)
    other = np.asarray(turned, np.float64)
    if not len(pred) or not np.isfinite(other).all():
        return
    error_mm, other_mm = (float(joint_errors_mm(pred, t).mean()) for t in (truth, other))
    if error_mm > _PLAUSIBLE_MM and other_mm < error_mm / 3:
        named = "xyz" if fmt == "uvd" else "uvd"
        python = f" (Python: truth_fmt='{named}')" if option == TRUTH_FORMAT else ""
        raise CadstnError(
            f"a truth with a mean error of {error_mm:.0f} mm as it was read, {other_mm:.1f} mm "
            f"with its columns as {'x y z in mm' if fmt == 'uvd' else 'u v d'}",
            where=path,
            hint=f"read it with {option}{named}{python}",
        )


def _some_frames(pred: FloatArray, truth: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Some frames in which a hand was found, of both."""
    found = np.flatnonzero(~np.isnan(pred[:, 0, 0]))
    some = found[:: max(1, len(found) // _FRAMES)]
    return pred[some], truth[some]


def _readings(
    pred: FloatArray, truth: FloatArray, rules: Protocol | None, fmt: Format | None
) -> list[tuple[str, FloatArray, str]]:
    """Other things that the same numbers could mean, each in mm, with what corrects the file."""
    axes = "x right, y down, z forward"
    readings = [
        ("metres for mm", pred * 1000, "give millimetres"),
        ("y reversed", pred * (1, -1, 1), f"give {axes}"),
        ("y and z reversed", pred * (1, -1, -1), f"give {axes}"),
        ("x reversed", pred * (-1, 1, 1), f"give {axes}"),
    ]
    root = int(np.abs(pred[..., :2]).max(axis=(0, 2)).argmin())
    if np.abs(pred[:, root, :2]).max() < _AT_ZERO_MM:
        moved = pred - pred[:, root, None] + truth[:, root, None]
        hint = "add the root joint's place in the camera frame"
        readings.insert(0, (f"joints relative to joint {root}", moved, hint))
    if rules is None or fmt is None:
        return [*readings, ("x and y exchanged", pred[..., [1, 0, 2]], "exchange the columns")]
    uvd = np.asarray(rules.camera.to_uvd(pred), np.float64)
    if fmt == "uvd":
        swapped = np.asarray(rules.camera.to_xyz_mm(uvd[..., [1, 0, 2]]), np.float64)
        scaled = [
            (f"u and v of an image {words} as large",
             np.asarray(rules.camera.to_xyz_mm(uvd * (times, times, 1)), np.float64),
             f"multiply u and v by {times:g}")
            for words, times in (("half", 2.0), ("a quarter", 4.0), ("twice", 0.5))
        ]  # fmt: skip
        return [
            *scaled,
            ("its columns as x y z in mm", uvd, _READ_XYZ),
            ("u and v exchanged", swapped, "exchange the columns"),
            *readings,
        ]
    pixels = np.asarray(rules.camera.to_xyz_mm(pred), np.float64)
    return [
        ("its columns as u v d", pixels, _READ_UVD),
        ("x and y exchanged", pred[..., [1, 0, 2]], "exchange the columns"),
        *readings,
    ]


def _check_order(
    path: object, pred: FloatArray, truth: FloatArray, skeleton: Skeleton | None
) -> None:
    """Refuse joints that are each nearest to another joint's truth, as a permutation."""
    far = np.stack(
        [np.linalg.norm(pred[:, k, None] - truth, axis=-1).mean(0) for k in range(pred.shape[1])]
    )
    nearest = far.argmin(axis=1)
    count = len(nearest)
    if len(set(nearest.tolist())) < count or (nearest == np.arange(count)).all():
        return
    own, other = float(np.diag(far).mean()), float(far.min(axis=1).mean())
    if other > own / 2:
        return
    k = int(np.argmax(nearest != np.arange(count)))
    names = skeleton.joints if skeleton else tuple(f"joint {i}" for i in range(count))
    raise CadstnError(
        f"its joint {k} lies where the truth has {names[nearest[k]]}, not {names[k]} "
        f"(mean error {own:.0f} mm, {other:.1f} mm in another order)",
        where=path,
        hint="put its joints in this order: " + ", ".join(names),
    )


def _outside(uvd: FloatArray, camera: Camera) -> float:
    """Share of joints whose pixel lies outside the image; 0 where the camera's size is unknown."""
    if not camera.width:
        return 0.0
    u, v = uvd[..., 0], uvd[..., 1]
    outside = (u < 0) | (u > camera.width) | (v < 0) | (v > camera.height)
    return float(outside.mean())
