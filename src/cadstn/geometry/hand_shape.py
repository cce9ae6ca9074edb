"""Lengths and girths of the mean adult hand: of the simulator, the fit to the depth and OpenXR.

Bones: Buryanov & Kotiuk, "Proportions of hand segments", Int. J. Morphol. 28(3), 2010. Radii are
our own estimates, set by eye against depth images of hands.
"""

import math

FINGERS = ("index", "middle", "ring", "pinky")
DIGITS = ("thumb", *FINGERS)

#: Bones of a digit from its root in mm, rows in the order of `DIGITS`: proximal, middle and distal
#: phalanx; of the thumb metacarpal, proximal and distal phalanx (Buryanov & Kotiuk 2010).
BONES_MM = (
    (46.22, 31.57, 21.67),
    (39.78, 22.38, 15.82),
    (44.63, 26.33, 17.40),
    (41.37, 25.65, 17.30),
    (32.74, 18.11, 15.96),
)
#: Joints between metacarpal and finger, and of the thumb between metacarpal and wrist, from the
#: wrist in the palm's frame, in mm: see `cadstn.synth.shape`.
MCP_MM = ((26.0, 92.5, -3.0), (4.0, 95.0, -5.0), (-16.5, 88.5, -3.5), (-35.0, 78.0, 0.0))
THUMB_CMC_MM = (22.0, 22.0, 8.0)
#: Soft tissue beyond the last bone in mm, in the order of `DIGITS` (the same source).
PULP_MM = (5.67, 3.84, 3.95, 3.95, 3.73)

#: Radii in mm at the three joints and at the tip of a digit, in the order of `DIGITS`.
DIGIT_RADII_MM = (
    (13.0, 11.6, 10.3, 8.8),
    (10.9, 9.5, 8.2, 6.9),
    (11.1, 9.7, 8.4, 7.0),
    (10.5, 9.2, 8.0, 6.7),
    (9.2, 8.0, 7.0, 5.9),
)


def mean_lengths_mm() -> list[float]:
    """Bones of the mean hand in mm, in the order of `cadstn.geometry.skeleton.HAND21`."""
    roots = (THUMB_CMC_MM, *MCP_MM)
    pairs = zip(roots, BONES_MM, strict=True)
    return [length for root, bones in pairs for length in (math.hypot(*root), *bones)]


def tip_reach(digit: int) -> float:
    """Where the last ball of a digit lies between its last joint (0) and its tip (1).

    The tip is the end of the last bone; the ball ends where the pulp does.
    """
    return 1 - (DIGIT_RADII_MM[digit][3] - PULP_MM[digit]) / BONES_MM[digit][2]
