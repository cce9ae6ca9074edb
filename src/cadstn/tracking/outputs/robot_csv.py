"""A recording as joint values of a robot hand, one row a frame."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cadstn.errors import CadstnError
from cadstn.evaluate.checks import check_names
from cadstn.evaluate.predictions import read_joints_npz, read_npz_notes
from cadstn.geometry.skeleton import HAND21
from cadstn.io import BadFrame, Recording
from cadstn.io.arrays import load_npz
from cadstn.io.files import error_context
from cadstn.io.text import csv_cell
from cadstn.io.whole import write_text
from cadstn.tracking import Tracker
from cadstn.tracking.angles import Array, quaternion_of
from cadstn.tracking.outputs.hand_eye import HandEye
from cadstn.tracking.outputs.retarget import Retargeter, reach_mm
from cadstn.tracking.records import Identities

#: The files that ``cadstn track`` writes of each hand.
_JOINTS = re.compile(r"joints(-([2-9]|[1-9]\d+))?\.npz")
_WRIST = ("x_m", "y_m", "z_m", "qx", "qy", "qz", "qw")


class Sequence21(NamedTuple):
    """One hand over time."""

    joints_mm: Array  # (N, 21, 3) camera frame; NaN where lost
    time_s: Array  # (N,)
    names: tuple[str, ...]  # of the N frames
    sides: tuple[str, ...]  # of the hand in each frame: ``left``, ``right`` or ``unknown``
    beside: tuple[str, ...] = ()  # files of the other hands of the same recording

    @property
    def side(self) -> str:
        """The side that most frames have; ``unknown`` if none has one."""
        return _most(self.sides)


def tracked_hand(
    recording: Recording,
    tracker: Tracker,
    on_bad: Callable[[BadFrame], None] = lambda bad: None,
    on_frame: Callable[[], None] = lambda: None,
) -> Sequence21:
    """Track the first hand of a recording; see `cadstn.tracking.results.track_recording`.

    Raises:
        CadstnError: if the tracker's joints are not `HAND21`'s, or no frame can be read.
    """
    if tracker.network.skeleton != HAND21:
        raise CadstnError(
            f"joints are {tracker.network.skeleton.name}", hint="a robot hand follows hand21"
        )
    joints = np.full((len(recording), 21, 3), np.nan)
    sides, identities = ["unknown"] * len(recording), [-1] * len(recording)
    identity = Identities()
    tracker.reset()
    for frame in recording.frames(on_bad):
        if frame.cut:
            tracker.reset()
        hand = tracker.update(frame.depth, frame.camera, frame.time_s, unit="mm", check=False)
        joints[frame.index] = hand.joints_mm
        sides[frame.index] = hand.side
        identities[frame.index] = -1 if (number := identity(0, hand)) is None else number
        on_frame()
    times = np.array([recording.time_s(i) for i in range(len(recording))])
    return Sequence21(joints, times, recording.names, _steady(sides, identities))


def read_tracked_hand(path: Path) -> Sequence21:
    """Read a hand that ``cadstn track`` wrote into ``joints.npz``.

    Raises:
        CadstnError: naming the file, if it is no such file, or its joints are not `HAND21`'s.
    """
    joints = read_joints_npz(path)
    check_names(path, read_npz_notes(path), HAND21)
    with error_context(path):
        held = load_npz(path, ("time_s", "frames", "side", "identity"))
        if joints.shape[1] != 21 or {"time_s", "frames", "side"} - set(held):
            raise CadstnError("not hand21 with times and sides", hint="give cadstn track's file")
        if held["time_s"].dtype.kind not in "fiu" or any(
            array.shape != (len(joints),) for array in held.values()
        ):
            raise CadstnError(
                f"times, sides or names are not those of its {len(joints)} frames",
                hint="give cadstn track's file",
            )
        sides, names = (tuple(str(value) for value in held[key]) for key in ("side", "frames"))
        if "identity" in held:  # not in files of 0.1.0
            sides = _steady(sides, held["identity"].tolist())
        beside = sorted(other.name for other in path.parent.glob("joints*.npz"))
        beside = [name for name in beside if name != path.name and _JOINTS.fullmatch(name)]
        times = held["time_s"].astype(np.float64)
        return Sequence21(joints, times, names, sides, tuple(beside))


def _most(sides: Iterable[str]) -> str:
    counts = Counter(side for side in sides if side != "unknown")
    return counts.most_common(1)[0][0] if counts else "unknown"


def _steady(sides: Sequence[str], identities: Sequence[int]) -> tuple[str, ...]:
    """Give each frame the side that its hand has in most frames: a hand does not change it."""
    of = {
        one: _most(side for side, other in zip(sides, identities, strict=True) if other == one)
        for one in set(identities)
    }
    return tuple(of[one] for one in identities)


def _not_there(hand: Sequence21, side: str) -> CadstnError:
    """Tell where the hand of a side may be that no frame of this one shows."""
    if hand.beside:
        hint = f"the other hand may be in {' or '.join(hand.beside)}"
    else:
        hint = "leave --side out; of two hands 'cadstn track --hands 2' writes a file each"
    count = hand.sides.count(hand.side)
    return CadstnError(
        f"no frame shows a {side} hand, {count} of {len(hand.sides)} show a {hand.side} one",
        hint=hint,
    )


class Robot(NamedTuple):
    """What `write_robot_csv` wrote."""

    values: Array  # (N, J) radians; NaN where lost
    joint_names: tuple[str, ...]  # of the URDF
    distance_mm: float  # median distance of the fingertips from where the person's are, scaled
    other: int  # frames of the person's other hand, which were left out


def write_robot_csv(
    hand: Sequence21,
    robot: str,
    out: Path,
    *,
    side: str | None = None,
    hand_eye: HandEye | None = None,
    frame: str = "camera",
    on_frame: Callable[[], None] = lambda: None,
) -> Robot:
    """Write the joint values of a robot hand that follows a person's, and its wrist's pose.

    Columns: ``frame``, ``time_s``, ``found``, the URDF's joints by name in radians,
    ``wrist_frame``, ``wrist_x_m`` to ``wrist_z_m`` and ``wrist_qx`` to ``wrist_qw``. Cells of a
    lost hand are empty, and so are those of frames that show the other hand.

    Args:
        hand: to follow.
        robot: a name of `cadstn.tracking.outputs.retarget.ROBOT_HANDS`.
        out: the file.
        side: None for that of most frames. Frames of an unknown side are taken for it.
        hand_eye: transforms the wrist's pose into a base frame.
        frame: name of that frame.
        on_frame: called after each frame.

    Raises:
        CadstnError: as `Retargeter`; if no frame has a hand, none has one of this side, or its side
            is not known.
    """
    side = hand.side if side is None else side
    if side == "unknown":
        raise CadstnError(
            "left or right hand is not known: the network predicts no handedness",
            hint="give --side left or right",
        )
    if side not in hand.sides and hand.side != "unknown":
        raise _not_there(hand, side)
    other = np.array([one not in (side, "unknown") for one in hand.sides])
    joints_mm = np.where(other[:, None, None], np.nan, hand.joints_mm)
    retarget = Retargeter(robot, side, reach_mm(joints_mm))
    tips = [k for k, joint in enumerate(retarget.hand.links) if joint.endswith("_tip")]
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(
        ["frame", "time_s", "found", *retarget.joint_names,
         "wrist_frame", *(f"wrist_{part}" for part in _WRIST)]
    )  # fmt: skip
    values, away = [], []
    for name, time_s, joints in zip(hand.names, hand.time_s, joints_mm, strict=True):
        found = bool(np.isfinite(joints).all())
        values.append(retarget(joints))
        pose: NDArray[Any] = np.full(len(_WRIST), np.nan)
        if found:
            away.append(retarget.distance_mm(joints, values[-1])[tips])
            place = retarget.root_pose(joints)
            position_mm, rotation = place if hand_eye is None else hand_eye(*place)
            pose = np.array([*position_mm / 1000, *quaternion_of(rotation)])
        cells = [f"{v:.5f}" if np.isfinite(v) else "" for v in (*values[-1], *pose)]
        split = len(retarget.joint_names)
        rows.writerow(
            [csv_cell(name), f"{time_s:.4f}", int(found), *cells[:split], frame, *cells[split:]]
        )
        on_frame()
    write_text(out, text.getvalue())
    names = tuple(retarget.joint_names)
    return Robot(np.array(values), names, float(np.median(away)), int(other.sum()))
