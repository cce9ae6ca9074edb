"""Which joints a hand has: names, order and bones of the usual conventions.

A mirrored right hand is a left hand with the same joints, so no convention here needs a table of
pairs to swap: flipping an image changes coordinates, never the order of joints.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cadstn.errors import CadstnError, nearest_name


@dataclass(frozen=True)
class Skeleton:
    """An ordered set of joints and the bones between them.

    Attributes:
        name: how files and the command line call it.
        joints: joint names, in the order of every ``(K, 3)`` array of this convention.
        bones: index pairs (nearer the wrist, nearer the tip).
        fingers: finger name -> joint indices from root to tip.
    """

    name: str
    joints: tuple[str, ...]
    bones: tuple[tuple[int, int], ...]
    fingers: Mapping[str, tuple[int, ...]]

    def __len__(self) -> int:
        return len(self.joints)

    def index(self, joint: str) -> int:
        """Return the index of a joint by name; raises CadstnError for an unknown name."""
        if joint not in self.joints:
            raise CadstnError(
                f"{self.name} has no joint '{joint}'", hint=nearest_name(joint, self.joints)
            )
        return self.joints.index(joint)

    @property
    def tips(self) -> tuple[int, ...]:
        """Indices of the fingertips."""
        return tuple(chain[-1] for chain in self.fingers.values())

    @property
    def knuckles(self) -> tuple[int, ...]:
        """Indices of where the four fingers begin, or of the label that comes nearest."""
        return tuple(chain[0] for finger, chain in self.fingers.items() if finger != "thumb")


def _chains(root: int, fingers: Mapping[str, tuple[int, ...]]) -> tuple[tuple[int, int], ...]:
    """Bones that run from one root through every finger in turn."""
    return tuple(
        bone for chain in fingers.values() for bone in zip((root, *chain), chain, strict=False)
    )


def _hand(name: str, root: str, parts: Mapping[str, tuple[str, ...]]) -> Skeleton:
    """A hand whose joints are a root, then those of each finger in turn, from root to tip."""
    joints, fingers = [root], {}
    for finger, names in parts.items():
        fingers[finger] = tuple(range(len(joints), len(joints) + len(names)))
        joints += [f"{finger}_{part}" for part in names]
    return Skeleton(name, tuple(joints), _chains(0, fingers), fingers)


_FOUR = ("index", "middle", "ring", "pinky")
_PARTS = dict.fromkeys(_FOUR, ("mcp", "pip", "dip", "tip"))

#: MediaPipe's order, and MANO's 21 as commonly emitted.
HAND21 = _hand("hand21", "wrist", {"thumb": ("cmc", "mcp", "ip", "tip"), **_PARTS})

#: Of `HAND21`: where a hand begins, and where its four fingers do.
WRIST, KNUCKLES = 0, list(HAND21.knuckles)

#: NYU's fingers are numbered from the little one (F1) to the index (F4).
_NYU36_FINGERS = {
    "thumb": (29, 28, 27, 26, 25, 24),
    "index": (23, 22, 21, 20, 19, 18),
    "middle": (17, 16, 15, 14, 13, 12),
    "ring": (11, 10, 9, 8, 7, 6),
    "pinky": (5, 4, 3, 2, 1, 0),
}

#: All labels of NYU, by the names of its `joint_data.mat` (Tompson 2014): of each digit the outer
#: (3), middle (2) and inner (1) bone, its far part (A) and its root (B); where they lie on a hand
#: is described in `cadstn.geometry.convention`.
NYU36 = Skeleton(
    name="nyu36",
    joints=(
        *(
            f"{digit}_KNU{bone}_{part}"
            for digit in ("F1", "F2", "F3", "F4", "TH")
            for bone in (3, 2, 1)
            for part in "AB"
        ),
        *(f"PALM_{i}" for i in range(1, 7)),
    ),
    bones=(*_chains(35, _NYU36_FINGERS), (35, 30), (35, 31), (35, 34), (34, 32), (34, 33)),
    fingers=_NYU36_FINGERS,
)

#: The 14 of NYU's 36 labels that are scored (Tompson 2014; the choice is DeepPrior's).
NYU14_OF_36 = (0, 3, 6, 9, 12, 15, 18, 21, 24, 25, 27, 30, 31, 32)

NYU14 = Skeleton(
    name="nyu14",
    joints=(
        "pinky_tip", "pinky_mid", "ring_tip", "ring_mid", "middle_tip", "middle_mid",
        "index_tip", "index_mid", "thumb_tip", "thumb_mid", "thumb_root",
        "wrist_1", "wrist_2", "palm",
    ),
    bones=(
        (13, 1), (1, 0), (13, 3), (3, 2), (13, 5), (5, 4), (13, 7), (7, 6),
        (13, 10), (10, 9), (9, 8), (13, 11), (13, 12),
    ),
    fingers={
        "thumb": (10, 9, 8), "index": (7, 6), "middle": (5, 4), "ring": (3, 2), "pinky": (1, 0),
    },
)  # fmt: skip

ICVL16 = _hand("icvl16", "palm", dict.fromkeys(("thumb", *_FOUR), ("root", "mid", "tip")))

MSRA21 = _hand("msra21", "wrist", {**_PARTS, "thumb": ("mcp", "pip", "dip", "tip")})

SKELETONS = {s.name: s for s in (HAND21, NYU36, NYU14, ICVL16, MSRA21)}


def skeleton(name: str) -> Skeleton:
    """Return a skeleton by name; raises CadstnError for an unknown one."""
    if name not in SKELETONS:
        raise CadstnError(f"no skeleton '{name}'", hint=nearest_name(name, SKELETONS))
    return SKELETONS[name]
