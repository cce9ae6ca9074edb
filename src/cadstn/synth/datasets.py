"""Rendered data sets in the layouts of NYU, ICVL and MSRA15, for everybody's loaders.

A set is shots: one hand in one scene, its motion a pure function of (seed, shot), its sensor's
noise of (seed, shot, frame). So frames can be rendered in any order and any number at a time, and
an interrupted set goes on where it stopped. As in the real sets all hands are right ones.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from cadstn.data import icvl, msra, nyu
from cadstn.data.files import scipy_io
from cadstn.errors import CadstnError
from cadstn.geometry.camera import Camera
from cadstn.geometry.convention import convert
from cadstn.io.files import error_context
from cadstn.io.whole import sweep, write_text
from cadstn.synth.draws import Draws
from cadstn.synth.frames import Sequence
from cadstn.synth.motion import Frustum
from cadstn.synth.sensors import sensor
from cadstn.synth.shape import sample_shape

#: The random streams of shots and subjects, beside training's (0) and recordings' (2).
_SHOTS, _SUBJECTS = 3, 4
_PIXELS_TOGETHER = 640 * 480 * 2
#: Longest shot, and how many file numbers ICVL's leave out between two of one recording.
_LONGEST, _PAUSE = 400, 20
_MSRA_CUBE_MM = 200.0
_BEGUN = "synth.json"


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
    """How a set is rendered: camera, sensor, where hands are, and which labels it has."""

    camera: Camera
    sensor: str
    frustum: Frustum
    skeleton: str


# Where hands are in the real sets: NYU's test labels lie 0.55 to 1 m away, ICVL's 0.25 to 0.5 m.
_NEAR = Frustum(depth_mm=(330.0, 560.0), slope_x=0.26, slope_y=0.1)
LAYOUTS: dict[str, Layout] = {
    "nyu": Layout(nyu.CAMERA, "nyu_primesense", Frustum((560.0, 950.0), 0.3, 0.18), "nyu36"),
    "icvl": Layout(icvl.CAMERA, "ds325", _NEAR, "icvl16"),
    "icvl-old": Layout(icvl.CAMERA, "ds325", _NEAR, "icvl16"),
    "msra": Layout(msra.CAMERA, "ds325", _NEAR, "msra21"),
}

#: NYU's cameras 2 and 3: place in camera 1's frame, mm, and rotation about y and x in degrees from
#: its axes to theirs. A rig of our own that points at 0.75 m from both sides.
_RIG = (((0.0, 0.0, 0.0), 0.0, 0.0), ((450.0, -60.0, 210.0), -40.0, 4.0),
        ((-470.0, -40.0, 220.0), 41.0, 3.0))  # fmt: skip


def write_dataset(
    path: Path,
    layout: str,
    *,
    train: int,
    test: int,
    seed: int,
    all_cameras: bool = False,
    on_frames: Callable[[int], None] = lambda count: None,
) -> None:
    """Render a whole data set; the same call goes on with one that was interrupted.

    Args:
        path: folder to write.
        layout: one of `LAYOUTS`.
        train: frames for training.
        test: frames for testing, of other hands; MSRA15 has one kind, train + test of it.
        seed: the set is a function of it.
        all_cameras: render NYU's cameras 2 and 3 as well; their labels are there either way.
        on_frames: called with how many more frames are there, for a progress bar.

    Raises:
        CadstnError: if the folder holds something else, or cannot be written; what is finished
            stays valid.
    """
    shots = plan(layout, train, test)
    if layout == "nyu":
        scipy_io()  # its labels come last: better to miss it now
    about = {
        "layout": layout, "train": train, "test": test, "seed": seed, "all_cameras": all_cameras,
    }  # fmt: skip
    _begin(path, about)
    chosen = LAYOUTS[layout]
    views = range(3 if all_cameras and layout == "nyu" else 1)
    together = max(1, _PIXELS_TOGETHER // (chosen.camera.width * chosen.camera.height))
    joints: list[NDArray[np.float64]] = []
    for shot in shots:
        sequence = _sequence(chosen, shot, seed)
        labels = convert(sequence.joints_xyz_mm.astype(np.float64), chosen.skeleton)
        joints.append(np.asarray(labels, np.float64))
        for view in views:
            files = [_file(path, layout, shot, t, view) for t in range(shot.frames)]
            todo = [t for t, file in enumerate(files) if not file.exists()]
            on_frames(shot.frames - len(todo))
            seen = sequence.seen_from(*camera_pose(view), f"camera {view}") if view else sequence
            for t, depth_mm in zip(todo, seen.render(todo, together=together), strict=True):
                _write_frame(path, layout, shot, t, view, depth_mm, joints[-1][t])
                on_frames(1)
    _write_labels(path, layout, shots, joints)


def plan(layout: str, train: int, test: int) -> list[Shot]:
    """List the shots of a set; a pure function of its arguments.

    NYU: one hand to train with, two others to test with. ICVL: ten recordings, each of another
    hand, and two of others. MSRA15: nine hands, up to 17 gestures each.

    Raises:
        CadstnError: for fewer than a few frames.
    """
    least = {"nyu": (2, 4), "msra": (9, 0)}.get(layout, (10, 2))
    if train < least[0] or test < least[1]:
        raise CadstnError(
            f"{train} frames to train and {test} to test are too few for {layout}",
            hint=f"give at least {least[0]} and {least[1]}",
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


def _begin(path: Path, about: dict[str, object]) -> None:
    """Make the folder, or see that what is in it was begun by the same command."""
    note = path / _BEGUN
    text = json.dumps(about) + "\n"
    with error_context(path):
        path.mkdir(parents=True, exist_ok=True)
        sweep(note)
        if note.is_file():
            if note.read_text() != text:
                raise CadstnError(
                    f"was begun with other settings: {note.read_text().strip()[:200]}",
                    hint="give the same ones to go on, or another folder",
                )
        elif any(path.iterdir()):
            raise CadstnError("is not empty", hint="give a new folder")
        else:
            write_text(note, text)


def _sequence(layout: Layout, shot: Shot, seed: int) -> Sequence:
    """The moving hand of one shot, as camera 1 sees it; always a right one."""
    shape = sample_shape(Draws((seed, _SUBJECTS), torch.tensor([shot.subject])))
    return Sequence(
        (seed, _SHOTS),
        shot.number,
        layout.camera,
        shot.frames,
        # The camera's own pixels are the sensor's.
        sensor=sensor(layout.sensor, step=0.0),
        frustum=layout.frustum,
        shape=shape._replace(left=torch.zeros_like(shape.left)),
    )


def camera_pose(view: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where one of NYU's cameras stands: its place (3,) mm and the rotation (3, 3) to its axes.

    Both in camera 1's frame: a point x of it is ``rotation @ (x - place)`` in the other's.
    """
    place, yaw, pitch = _RIG[view]
    cy, sy = np.cos(np.radians(yaw)), np.sin(np.radians(yaw))
    cx, sx = np.cos(np.radians(pitch)), np.sin(np.radians(pitch))
    about_y = np.array([[cy, 0, -sy], [0, 1, 0], [sy, 0, cy]])
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    return np.array(place), about_x @ about_y


def _icvl_place(layout: str, split: str) -> icvl.Layout:
    """Which of ICVL's arrangements is written."""
    return icvl.LAYOUTS[split][0 if layout == "icvl" else {"train": 1, "test": 2}[split]]


def _name(layout: str, shot: Shot, t: int, view: int) -> str:
    """Name of a frame, as the set's labels have it."""
    if layout == "nyu":
        return nyu.frame_name(shot.first + t, view + 1)
    if layout == "msra":
        return f"{shot.sequence}/{msra.frame_name(shot.first + t)}"
    return f"{shot.sequence}/image_{shot.first + t:04d}.png"


def _file(path: Path, layout: str, shot: Shot, t: int, view: int) -> Path:
    if layout == "nyu":
        folder = path / shot.split
    elif layout == "msra":
        folder = path
    else:
        folder = path / _icvl_place(layout, shot.split).depth
    return folder / _name(layout, shot, t, view)


def _write_frame(
    path: Path,
    layout: str,
    shot: Shot,
    t: int,
    view: int,
    depth_mm: NDArray[np.uint16],
    joints_xyz_mm: NDArray[np.float64],
) -> None:
    file = _file(path, layout, shot, t, view)
    with error_context(file):
        file.parent.mkdir(parents=True, exist_ok=True)
    if layout == "nyu":
        nyu.write_frame(file.parent, shot.first + t, depth_mm, view + 1)
    elif layout == "msra":
        msra.write_bin(file, _hand_only(depth_mm, joints_xyz_mm[5]))
    else:
        icvl.write_frame(file.parents[1], f"{shot.sequence}/{file.name}", depth_mm)


def _hand_only(depth_mm: NDArray[np.uint16], center_mm: NDArray[np.float64]) -> NDArray[np.float32]:
    """What MSRA15 keeps of a frame: what lies in a cube around the hand."""
    points = msra.CAMERA.to_xyz_mm(
        np.stack([*np.indices(depth_mm.shape)[::-1], depth_mm], -1).astype(np.float64)
    )
    inside = (np.abs(points - center_mm) < _MSRA_CUBE_MM / 2).all(-1) & (depth_mm > 0)
    return np.where(inside, depth_mm, 0).astype(np.float32)


def _write_labels(
    path: Path, layout: str, shots: list[Shot], joints: list[NDArray[np.float64]]
) -> None:
    """Write the labels, last: a set that has them is whole."""
    groups: dict[tuple[str, str], list[int]] = {}
    for index, shot in enumerate(shots):
        key = shot.split if layout == "nyu" else shot.sequence
        groups.setdefault((shot.split, key), []).append(index)
    train: tuple[list[str], list[NDArray[np.float64]]] = ([], [])
    for (split, key), indices in groups.items():
        xyz = np.concatenate([joints[index] for index in indices])
        names = [_name(layout, shots[i], t, 0) for i in indices for t in range(shots[i].frames)]
        if layout == "nyu":
            _write_nyu_labels(path / split, xyz)
        elif layout == "msra":
            msra.write_labels(path / key / "joint.txt", xyz)
        elif split == "train":
            train[0].extend(names)
            train[1].append(np.asarray(icvl.CAMERA.to_uvd(xyz)))
        else:
            file = _icvl_place(layout, split).labels[int(key[-1]) - 1]
            icvl.write_labels(path / file, names, np.asarray(icvl.CAMERA.to_uvd(xyz)))
    if train[0]:
        file = _icvl_place(layout, "train").labels[0]
        icvl.write_labels(path / file, train[0], np.concatenate(train[1]))


def _write_nyu_labels(folder: Path, xyz_mm: NDArray[np.float64]) -> None:
    """Joints in the frames of all three cameras, whether or not their pictures are there."""
    seen = []
    for view in range(3):
        place, rotation = camera_pose(view)
        seen.append((xyz_mm - place) @ rotation.T)
    xyz = np.stack(seen)
    nyu.write_labels(folder, np.asarray(nyu.CAMERA.to_uvd(xyz)), xyz)
