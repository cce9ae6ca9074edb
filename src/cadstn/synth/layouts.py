"""What rendered data sets are made of: cameras, views, shots; a pure function of their sizes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from cadstn.data import icvl, msra, nyu
from cadstn.errors import CadstnError
from cadstn.geometry.camera import Camera
from cadstn.synth.motion import Frustum, Views
from cadstn.synth.surroundings import EVERYDAY, Surroundings

#: Longest shot, and how many file numbers ICVL's leave out between two of one recording.
_LONGEST, _PAUSE = 400, 20


class Shot(NamedTuple):
    """One hand moving in one scene.

    Attributes:
        split: ``train`` or ``test``; ``all`` in MSRA15.
        sequence: the recording it is in.
        first: number of its first frame in that recording.
        frames: how many.
        subject: whose hand, a number.
        number: of the shot in the whole set: names its motion.
    """

    split: str
    sequence: str
    first: int
    frames: int
    subject: int
    number: int


@dataclass(frozen=True)
class Layout:
    """How a set is rendered: camera, sensor, where and how hands are held, its labels, the rest."""

    camera: Camera
    sensor: str
    frustum: Frustum
    skeleton: str
    views: Views | None = None
    around: Surroundings = EVERYDAY


# As in NYU's 8,252 test labels: palms 0.65 to 1.11 m away (5 to 95 %: 0.73 to 1.06), nine in ten
# within 0.2 of the axis; the palm faces the camera, fingers lean towards it by -6 to 68 degrees
# and from upright by -62 to 118 (5 to 95 %). One hand, empty, a wall beyond 1.8 m.
_FRONTAL = Views((-65.0, 65.0), (-12.0, 62.0), (-55.0, 75.0))
_ALONE = Surroundings(
    body=0.0, head=0.0, wall=1.0, table=0.0, held=0.0, second=0.0, wall_from_mm=1800.0
)
# ICVL's test labels lie 0.25 to 0.5 m away.
_NEAR = Frustum(depth_mm=(330.0, 560.0), slope_x=0.26, slope_y=0.1)
LAYOUTS: dict[str, Layout] = {
    "nyu": Layout(
        nyu.CAMERA,
        "nyu_primesense",
        Frustum((650.0, 1100.0), 0.22, 0.18),
        "nyu36",
        _FRONTAL,
        _ALONE,
    ),
    "icvl": Layout(icvl.CAMERA, "ds325", _NEAR, "icvl16"),
    "icvl-old": Layout(icvl.CAMERA, "ds325", _NEAR, "icvl16"),
    "msra": Layout(msra.CAMERA, "ds325", _NEAR, "msra21"),
}


def plan(layout: str, train: int, test: int) -> list[Shot]:
    """List the shots of a set; a pure function of its arguments.

    NYU: one hand to train with, two others to test with. ICVL: ten recordings, each of another
    hand, and two of others. MSRA15: nine hands, up to 17 gestures each.

    Raises:
        CadstnError: for fewer than a few frames.
    """
    least = (2, 4) if layout == "nyu" else (10, 2)
    if layout == "msra":
        few, hint = train + test < 9, "give at least 9 in all"
    else:
        few = train < least[0] or test < least[1]
        hint = f"give at least {least[0]} and {least[1]}"
    if few:
        raise CadstnError(
            f"{train} frames to train and {test} to test are too few for {layout}", hint=hint
        )
    parts: list[tuple[str, str, int, int]] = []  # split, sequence, subject, frames
    if layout == "nyu":
        parts = [("train", "train", 0, train)]
        parts += [("test", "test", 1 + k, n) for k, n in enumerate(_shares(test, 2))]
    elif layout == "msra":
        gestures = min(max((train + test) // (9 * 12), 1), len(msra.GESTURES))
        counts = iter(_shares(train + test, 9 * gestures))
        parts = [
            ("all", f"{subject}/{gesture}", number, next(counts))
            for number, subject in enumerate(msra.SUBJECTS)
            for gesture in msra.GESTURES[:gestures]
        ]
    else:
        parts = [
            ("train", f"2014{1 + k:02d}011200", k, n) for k, n in enumerate(_shares(train, 10))
        ]
        parts += [("test", f"test_seq_{1 + k}", 10 + k, n) for k, n in enumerate(_shares(test, 2))]
    shots: list[Shot] = []
    ends: dict[str, int] = {}
    for split, sequence, subject, count in parts:
        # NYU's test has a cut wherever the motion changes; so has this, at least one a subject.
        pieces = max(-(-count // _LONGEST), min(2, count) if layout == "nyu" else 1)
        for frames in _shares(count, pieces):
            first = ends.get(sequence, 0)
            shots.append(Shot(split, sequence, first, frames, subject, len(shots)))
            ends[sequence] = first + frames + (_PAUSE if layout.startswith("icvl") else 0)
    return [shot for shot in shots if shot.frames]


def _shares(count: int, parts: int) -> list[int]:
    """Cut a number into parts that differ by one at most."""
    return [(count * (k + 1)) // parts - (count * k) // parts for k in range(parts)]
