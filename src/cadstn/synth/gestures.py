"""A vocabulary of real hand poses: counting, pinches, pointing, grasps, sign letters.

Every pose is written by what each digit does, in names rather than numbers, so that a line can be
checked by holding one's own hand up to it. The angles behind the names are our own estimates. The
letters follow the American manual alphabet, the grasps the names of Feix et al., "The GRASP
Taxonomy of Human Grasp Types" (IEEE Trans. Human-Machine Systems 46(1), 2016), the Chinese digits
the one-handed signs (6 is the shaka, 10 the fist).
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import torch
from torch import Tensor

from cadstn.errors import CadstnError, nearest_name
from cadstn.synth.clearance import resolve
from cadstn.synth.shape import average_shape

#: What a finger does: bend in degrees at MCP, PIP and DIP.
FINGER_STATES: dict[str, tuple[float, float, float]] = {
    "E": (-2, 3, 0),  # extended
    "B": (-14, 2, 0),  # bent back
    "R": (18, 28, 14),  # relaxed
    "C": (35, 45, 28),  # curved, as round a bottle
    "D": (52, 58, 36),  # deeply curved, as round a stick
    "F": (80, 98, 62),  # in a fist
    "T": (66, 88, 54),  # in a loose fist
    "H": (4, 92, 58),  # hook: only beyond the knuckle
    "X": (18, 62, 40),  # claw
    "L": (72, 6, 2),  # straight, bent at the knuckle
    "S": (40, 20, 10),  # sloping, as a roof
    "O": (44, 50, 30),  # meets the thumb
}

#: What the thumb does: radial and palmar abduction, bend at MCP and IP in degrees.
THUMB_STATES: dict[str, tuple[float, float, float, float]] = {
    "up": (62, 4, -4, -12),
    "out": (52, 16, 0, -4),
    "relaxed": (34, 28, 12, 12),
    "beside": (6, 12, 2, 2),  # along the index
    "side": (16, 26, 2, 8),  # along the bent index of a fist
    "across": (8, 32, 46, 52),  # over the palm, to the ring finger's root
    "over": (14, 40, 40, 48),  # in front of the bent fingers
    "inside": (2, 36, 52, 62),  # under them
    "between": (10, 42, 18, 20),
    "opposed": (30, 58, 22, 30),
    "round": (32, 60, 6, 12),  # the other side of a cylinder
    "wide": (50, 48, 0, 6),
    "key": (20, 24, 2, 26),  # pad on the side of the bent index
}


class Gesture(NamedTuple):
    """One pose of the vocabulary."""

    fingers: str  # a letter of `FINGER_STATES` for index, middle, ring, pinky
    thumb: str  # a name of `THUMB_STATES`
    spread: float = 0.0  # of the fingers: 1 spread wide, 0 at rest, -0.6 pressed together
    pinch: str = ""  # fingers whose tips meet the thumb's, by their letter: i, m, r, p
    # degrees added to each finger's splay (positive to the thumb)
    splay: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)


#: The vocabulary by name.
GESTURES: dict[str, Gesture] = {
    # counting, with the index first, with the thumb first, and the Chinese signs
    "one": Gesture("EFFF", "over"),
    "two": Gesture("EEFF", "over", 0.2),
    "three": Gesture("EEEF", "across", 0.6),
    "four": Gesture("EEEE", "across", 0.5),
    "five": Gesture("EEEE", "out", 1.0),
    "one_thumb": Gesture("FFFF", "up"),
    "two_thumb": Gesture("EFFF", "out"),
    "three_thumb": Gesture("EEFF", "out", 0.7),
    "four_thumb": Gesture("EEEF", "out", 0.6),
    "seven_chinese": Gesture("OOFF", "opposed", -0.5, "im"),
    "eight_chinese": Gesture("EFFF", "up"),
    "nine_chinese": Gesture("HFFF", "over"),
    # everyday gestures
    "fist": Gesture("FFFF", "over"),
    "fist_thumb_inside": Gesture("TTTT", "inside"),
    "loose_fist": Gesture("TTTT", "relaxed"),
    "flat": Gesture("EEEE", "beside", -0.4),
    "flat_spread": Gesture("BBBB", "out", 1.0),
    "flat_thumb_out": Gesture("EEEE", "out", -0.3),
    "relaxed": Gesture("RRRR", "relaxed"),
    "relaxed_curled": Gesture("CCCC", "relaxed"),
    "cup": Gesture("SSSS", "beside", -0.4),
    "roof": Gesture("LLLL", "out", -0.3),
    "claw": Gesture("XXXX", "wide", 0.8),
    "hook": Gesture("HHHH", "side"),
    "point": Gesture("EFFF", "side"),
    "point_relaxed": Gesture("ETCC", "relaxed"),
    "gun": Gesture("EEFF", "up", -0.4),
    "victory": Gesture("EEFF", "over", 1.0),
    "rock": Gesture("EFFE", "over"),
    "shaka": Gesture("FFFE", "up", 0.6),
    "middle_finger": Gesture("FEFF", "side"),
    "beak": Gesture("LLLL", "opposed", -0.5, "im"),
    # pinches
    "pinch_index": Gesture("ORCC", "opposed", 0.0, "i"),
    "pinch_middle": Gesture("ROCC", "opposed", 0.0, "m"),
    "pinch_ring": Gesture("RROR", "opposed", 0.0, "r"),
    "pinch_pinky": Gesture("RRRO", "opposed", 0.0, "p"),
    "ok": Gesture("OEEE", "opposed", 0.7, "i"),
    "snap": Gesture("COFF", "opposed", 0.0, "m"),
    # grasps
    "power_cylinder": Gesture("DDDD", "round"),
    "large_cylinder": Gesture("CCCC", "round", 0.2),
    "power_sphere": Gesture("CCCC", "wide", 0.9),
    "small_sphere": Gesture("OOCC", "opposed", 0.5),
    "lateral_key": Gesture("DDFF", "key"),
    "tripod": Gesture("OOCC", "opposed", -0.2, "im"),
    "pencil": Gesture("ODDD", "opposed", -0.3, "i"),
    "quadpod": Gesture("OOOF", "opposed", 0.0, "im"),
    "plate": Gesture("LLLL", "round"),
    "hook_grip": Gesture("HHHH", "out"),
    "scissors": Gesture("EEDD", "opposed", -0.2),
    "mouse": Gesture("SRSS", "relaxed", 0.3),
    # letters of the American manual alphabet; C is large_cylinder, F ok, L two_thumb, S fist,
    # V victory; P and Q are K and G pointing down; R's crossed fingers are beyond these angles
    "letter_a": Gesture("FFFF", "side"),
    "letter_b": Gesture("EEEE", "across", -0.5),
    "letter_d": Gesture("EOOO", "opposed", -0.2, "m"),
    "letter_e": Gesture("XXXX", "across", -0.5),
    "letter_g": Gesture("LFFF", "between"),
    "letter_i": Gesture("FFFE", "over"),
    "letter_k": Gesture("ESFF", "between", 0.8),
    "letter_m": Gesture("TTTF", "across"),
    "letter_n": Gesture("TTFF", "between"),
    "letter_o": Gesture("OOOO", "opposed", -0.4, "im"),
    "letter_t": Gesture("TFFF", "between"),
    "letter_u": Gesture("EEFF", "over", -0.5),
    "letter_w": Gesture("EEEO", "opposed", 0.8, "p"),
    "letter_x": Gesture("HFFF", "side"),
    "letter_y": Gesture("FFFE", "out", 0.3),
    "i_love_you": Gesture("EFFE", "out", 0.4),
}

#: Degrees of splay of index to pinky when the hand is spread wide.
SPREAD_DEG = (12.0, 2.0, -8.0, -14.0)
_PINCH = "imrp"
CPU = torch.device("cpu")
_SETTLING = 8  # how often the written poses are resolved: they are rough


def gesture(name: str) -> Tensor:
    """Return one pose of the vocabulary, as an average hand holds it.

    Returns:
        (A,) radians in the order of `cadstn.synth.hand.ANGLES`, the wrist straight.

    Raises:
        CadstnError: for a name that is not in the vocabulary, with the nearest that is.
    """
    if name not in GESTURES:
        raise CadstnError(f"no gesture '{name}'", hint=nearest_name(name, GESTURES))
    return vocabulary()[0][list(GESTURES).index(name)]


@functools.cache
def vocabulary(device: torch.device = CPU) -> tuple[Tensor, Tensor]:
    """All poses as tensors, as an average hand holds them: nothing inside of anything.

    Args:
        device: where to leave them; they are made once, on the processor.

    Returns:
        angles (G, A) in radians, and pinch (G, 4): 1 where a finger's tip meets the thumb's.
    """
    if device != CPU:
        angles, pinch = vocabulary()
        return angles.to(device), pinch.to(device)
    rows = []
    for pose in GESTURES.values():
        row: list[float] = []
        for i, letter in enumerate(pose.fingers):
            flex, pip, dip = FINGER_STATES[letter]
            row += [flex, pose.spread * SPREAD_DEG[i] + pose.splay[i], pip, dip]
        rows.append([*row, *THUMB_STATES[pose.thumb], 0.0, 0.0])
    meeting = [[float(letter in pose.pinch) for letter in _PINCH] for pose in GESTURES.values()]
    angles = torch.tensor(rows) * (math.pi / 180)
    touching = torch.tensor(meeting)
    for _ in range(_SETTLING):
        angles = resolve(angles, average_shape(len(angles)), touching)
    return angles, touching
