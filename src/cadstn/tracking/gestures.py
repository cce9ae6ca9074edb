"""Pinch, grasp and a few static gestures, from a hand's joints and angles alone; nothing learned.

Thresholds are our own choice, checked on the simulator's vocabulary of poses. A strength is 0 to 1;
a switch with two thresholds (`Hysteresis`) makes it on and off without flicker.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cadstn.errors import CadstnError
from cadstn.geometry.skeleton import HAND21
from cadstn.tracking.angles import FINGERS, HandAngles, as_joints21, hand_angles, wrist_pose

#: What `static_gesture` knows.
GESTURES = ("open", "fist", "point", "thumb_up", "ok", "victory")

_TIPS = {finger: chain[-1] for finger, chain in HAND21.fingers.items()}
#: Distance of thumb's and finger's tips in palms (wrist to the middle finger's knuckle): together,
#: the ends of the bones are a pulp's thickness apart; apart, they are a relaxed hand's.
_TOGETHER, _APART = 0.25, 0.8
#: Mean bend of a finger's three joints in degrees: of a relaxed hand, and of a fist.
_RELAXED_DEG, _FIST_DEG = 25.0, 70.0


def pinch_strength(joints_mm: NDArray[Any], finger: str = "index") -> float:
    """Return how near the thumb's tip is to a finger's: 1 together, 0 apart; NaN where lost.

    Args:
        joints_mm: (21, 3) in MediaPipe's order.
        finger: index, middle, ring or pinky.

    Raises:
        CadstnError: for another finger, or if these are not 21 joints.
    """
    if finger not in FINGERS:
        raise CadstnError(f"no finger '{finger}'", hint=f"one of {', '.join(FINGERS)}")
    joints = as_joints21(joints_mm)
    palm = np.linalg.norm(joints[HAND21.fingers["middle"][0]] - joints[0])
    apart = np.linalg.norm(joints[_TIPS["thumb"]] - joints[_TIPS[finger]]) / palm
    return float(np.clip((_APART - apart) / (_APART - _TOGETHER), 0, 1))


def grasp_strength(joints_mm: NDArray[Any]) -> float:
    """Return how far the four fingers are closed: 1 a fist, 0 relaxed or open; NaN where lost.

    Args:
        joints_mm: (21, 3) in MediaPipe's order, of either hand.

    Raises:
        CadstnError: if these are not 21 joints.
    """
    # Flexion is the same for both hands once it is positive towards the palm: the side whose
    # fingers close is the hand's.
    flexion = max(hand_angles(joints_mm, side).flexion.mean() for side in ("right", "left"))
    closed = (flexion - _RELAXED_DEG) / (_FIST_DEG - _RELAXED_DEG)
    return float(np.clip(closed, 0, 1))


@dataclass
class Hysteresis:
    """A switch that goes on at one strength and off at a lower one.

    Attributes:
        on: at or above this it goes on.
        off: below this it goes off, and where the hand is lost.

    >>> pinch = Hysteresis()
    >>> [pinch(strength) for strength in (0.6, 0.85, 0.6, 0.4, 0.6)]
    [False, True, True, False, False]

    Raises:
        CadstnError: unless 0 <= off < on <= 1.
    """

    on: float = 0.8
    off: float = 0.5
    active: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        if not 0 <= self.off < self.on <= 1:
            raise CadstnError(f"on at {self.on}, off at {self.off}", hint="give 0 <= off < on <= 1")

    def __call__(self, strength: float) -> bool:
        """Take the next frame's strength, NaN where lost; return whether it is on."""
        self.active = bool(strength >= (self.off if self.active else self.on))
        return self.active


def static_gesture(angles: HandAngles) -> str | None:
    """Name a hand's pose: one of `GESTURES`, or None.

    ``open``: four fingers straight, the thumb not bent. ``fist``: four fingers bent, the thumb not
    held away. ``thumb_up``: the same with the thumb held away, wherever it points. ``point``: the
    index straight, the others bent, the thumb not held away. ``victory``: index and middle
    straight, ring and little finger bent. ``ok``: index and thumb bent to one another, the others
    straight.

    Args:
        angles: see `cadstn.tracking.angles.hand_angles`; with NaN it is None.
    """
    if not np.isfinite(angles.flexion).all():
        return None
    mcp, pip, dip = angles.flexion.T
    straight = (pip < 40) & (dip < 40) & (mcp < 35)
    bent = (mcp > 35) & ((pip > 60) | (mcp + pip + dip > 150))
    thumb_straight = bool((angles.thumb_flexion < 30).all())
    away = thumb_straight and angles.thumb_abduction[0] > 32
    index, middle, ring, pinky = straight
    if straight.all():
        return "open" if thumb_straight else None
    if bent.all():
        return "thumb_up" if away else "fist"
    if index and bent[1:].all():
        return None if away else "point"
    if index and middle and bent[2:].all():
        return None if away else "victory"
    if middle and ring and pinky and mcp[0] > 15 and pip[0] > 25 and angles.thumb_abduction[1] > 25:
        return "ok"
    return None


@dataclass
class GestureFilter:
    """Reports a gesture once it has lasted, and keeps it until another or none has.

    Attributes:
        frames: how many frames in a row count as lasting.
        current: what is reported.

    >>> steady = GestureFilter(2)
    >>> [steady(name) for name in ("fist", "fist", None, "fist", "open", "open")]
    [None, 'fist', 'fist', 'fist', 'fist', 'open']
    """

    frames: int = 3
    current: str | None = field(default=None, init=False)
    _candidate: str | None = field(default=None, init=False, repr=False)
    _lasted: int = field(default=0, init=False, repr=False)

    def __call__(self, gesture: str | None) -> str | None:
        """Take the next frame's gesture; return the one that has lasted."""
        self._lasted = self._lasted + 1 if gesture == self._candidate else 1
        self._candidate = gesture
        if self._lasted >= self.frames:
            self.current = gesture
        return self.current


def describe_pose(joints_mm: NDArray[Any], side: str) -> dict[str, Any]:
    """Return all of it at once, as plain values fit for JSON while the hand is found.

    Args:
        joints_mm: (21, 3) in MediaPipe's order, camera frame; NaN where lost.
        side: see `cadstn.tracking.angles.hand_angles`.

    Returns:
        ``angles_deg`` by name (None of an unknown side), ``pinch`` by finger, ``grasp``,
        ``gesture``, and of the ``wrist`` ``position_mm``, ``quaternion`` (x, y, z, w) and
        ``palm_normal``.
    """
    angles, wrist = hand_angles(joints_mm, side), wrist_pose(joints_mm, side)
    return {
        "angles_deg": {
            name: round(angle, 1) if np.isfinite(angle) else None
            for name, angle in angles.to_dict().items()
        },
        "pinch": {finger: round(pinch_strength(joints_mm, finger), 3) for finger in FINGERS},
        "grasp": round(grasp_strength(joints_mm), 3),
        "gesture": static_gesture(angles),
        "wrist": {
            "position_mm": np.round(wrist.position_mm, 2).tolist(),
            "quaternion": np.round(wrist.quaternion, 5).tolist(),
            "palm_normal": np.round(wrist.palm_normal, 5).tolist(),
        },
    }
