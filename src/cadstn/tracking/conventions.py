"""Tracked joints in the orders of others: OpenXR's 26, and MANO's 21.

``hand21`` has all of OpenXR's joints but the palm and where the four fingers' metacarpals begin.
Those lie where the simulator's rig has them in the palm, which wrist and knuckles tell. What each
joint is, and how others' differ: docs/concepts/conventions.md.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cadstn.errors import CadstnError
from cadstn.geometry.skeleton import HAND21, KNUCKLES, WRIST, Skeleton

#: ``XrHandJointEXT``, OpenXR 1.0, extension XR_EXT_hand_tracking, in its order.
OPENXR26 = (
    "palm", "wrist",
    "thumb_metacarpal", "thumb_proximal", "thumb_distal", "thumb_tip",
    *(
        f"{finger}_{part}"
        for finger in ("index", "middle", "ring", "little")
        for part in ("metacarpal", "proximal", "intermediate", "distal", "tip")
    ),
)  # fmt: skip

#: MANO's 16 joints (Romero et al. 2017: index, middle, little, ring, thumb) and then the five
#: fingertips in the order of its model's users: thumb, index, middle, ring, little.
MANO21 = (
    "wrist",
    *(f"{f}{i}" for f in ("index", "middle", "pinky", "ring", "thumb") for i in (1, 2, 3)),
    *(f"{f}_tip" for f in ("thumb", "index", "middle", "ring", "pinky")),
)

#: Where a finger's metacarpal meets the carpus: shares of the four knuckles; the wrist has what is
#: left of one. So the place keeps to the palm's size, turn and side. Fitted to the simulator's rig
#: by ``benchmarks/metacarpals.py``, which prints these shares and the errors.
_METACARPALS = {
    "index": (0.34, 0.08, -0.06, -0.07),
    "middle": (-0.05, 0.41, 0.04, -0.09),
    "ring": (-0.33, 0.55, 0.13, -0.04),
    "pinky": (-0.39, 0.38, 0.22, 0.11),
}

CONVENTIONS = {"hand21": HAND21.joints, "openxr": OPENXR26, "mano": MANO21}


def to_convention(joints_mm: NDArray[np.floating], skeleton: Skeleton, name: str) -> NDArray:  # type: ignore[type-arg]
    """Put joints into another order, by name.

    Args:
        joints_mm: (..., 21, 3) of `HAND21`.
        skeleton: of these joints.
        name: one of `CONVENTIONS`. The beginnings of OpenXR's four metacarpals are not among the
            21: they are placed in the palm by wrist and knuckles. The palm is the middle of the
            middle finger's metacarpal.

    Returns:
        (..., K, 3), in the order of ``CONVENTIONS[name]``.

    Raises:
        CadstnError: if the joints are not `HAND21`'s, or the name is unknown.
    """
    if name not in CONVENTIONS:
        raise CadstnError(f"no convention '{name}'", hint=f"known: {', '.join(CONVENTIONS)}")
    if skeleton != HAND21:
        raise CadstnError(
            f"joints are {skeleton.name}", hint="only hand21 can be put into other orders"
        )
    return np.asarray(np.einsum("ij,...jk->...ik", _MATRICES[name], joints_mm))


def _openxr(own: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rows (26, 21) that sum to one: each of OpenXR's joints as an average of our own (21, 21)."""
    rows = [own[WRIST]]
    for finger, chain in HAND21.fingers.items():
        if finger in _METACARPALS:
            shares = _METACARPALS[finger]
            rows.append((1 - sum(shares)) * own[WRIST] + shares @ own[KNUCKLES])
        rows += list(own[list(chain)])
    start, knuckle = (
        rows[OPENXR26.index(joint) - 1] for joint in ("middle_metacarpal", "middle_proximal")
    )
    return np.stack([(start + knuckle) / 2, *rows])  # the palm first


#: Where each of MANO's joints is among ours, and each of ours among MANO's.
TO_MANO21 = [
    WRIST,
    *(j for f in ("index", "middle", "pinky", "ring", "thumb") for j in HAND21.fingers[f][:3]),
    *(HAND21.fingers[f][3] for f in ("thumb", "index", "middle", "ring", "pinky")),
]
FROM_MANO21 = [TO_MANO21.index(i) for i in range(len(MANO21))]

_OWN = np.eye(len(HAND21))
_MATRICES = {"hand21": _OWN, "openxr": _openxr(_OWN), "mano": _OWN[TO_MANO21]}
