"""Rendered data sets in the layouts of NYU, ICVL and MSRA15, for everybody's loaders.

A set is shots: one hand in one scene, its motion a pure function of (seed, shot), its sensor's
noise of (seed, shot, frame). So frames can be rendered in any order and any number at a time, and
an interrupted set goes on where it stopped. As in the real sets all hands are right ones.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from cadstn.data import icvl, msra, nyu
from cadstn.data.files import scipy_io
from cadstn.errors import CadstnError, nearest_name
from cadstn.geometry.convention import convert
from cadstn.geometry.skeleton import NYU14_OF_36
from cadstn.io.files import error_context
from cadstn.io.folder import begin_folder
from cadstn.io.joints import number_lines
from cadstn.io.png import has_both_ends
from cadstn.io.whole import write_text
from cadstn.io.workers import worker_pool
from cadstn.synth import SIMULATOR
from cadstn.synth.arguments import whole_number
from cadstn.synth.draws import Draws
from cadstn.synth.frames import Sequence
from cadstn.synth.layouts import LAYOUTS, Layout, Shot, plan
from cadstn.synth.render import one_thread
from cadstn.synth.sensors import sensor
from cadstn.synth.shape import sample_shape

#: The random streams of shots and subjects, beside training's (0) and recordings' (2).
_SHOTS, _SUBJECTS = 3, 4
_PIXELS_TOGETHER = 640 * 480 * 2
_MSRA_CUBE_MM = 200.0
_BEGUN = "synth.json"


#: NYU's cameras 2 and 3: place in camera 1's frame, mm, and rotation about y and x in degrees from
#: its axes to theirs. A rig of our own that points at 0.75 m from both sides.
_RIG = (((0.0, 0.0, 0.0), 0.0, 0.0), ((450.0, -60.0, 210.0), -40.0, 4.0),
        ((-470.0, -40.0, 220.0), 41.0, 3.0))  # fmt: skip


def write_dataset(
    path: str | Path,
    layout: str,
    *,
    train: int,
    test: int,
    seed: int,
    all_cameras: bool = False,
    alone: bool = False,
    workers: int = 1,
    on_frames: Callable[[int], None] = lambda count: None,
) -> bool:
    """Render a whole data set; the same call goes on with one that was interrupted.

    What it is a function of stays in it, ``synth.json``. Files that are whole are left as they are:
    labels are those of the run that wrote them.

    Args:
        path: folder to write.
        layout: one of `LAYOUTS`.
        train: frames for training.
        test: frames for testing, of other hands; MSRA15 has one kind, train + test of it.
        seed: the set is a function of it.
        all_cameras: render NYU's cameras 2 and 3 as well; their labels are there either way.
        alone: no second hand and nothing held, as NYU's scenes are anyway; the others have each
            in 15 % of the shots.
        workers: processes that render side by side, a shot each.
        on_frames: called with how many more frames are there, for a progress bar.

    Returns:
        Whether something was rendered: not where the set is whole.

    Raises:
        CadstnError: if the folder holds something else or what another simulator began, a number
            makes no sense, there is no such layout, or it cannot be written; what is finished stays
            valid.
    """
    path = Path(path)
    if layout not in LAYOUTS:
        raise CadstnError(f"no layout '{layout}'", hint=nearest_name(layout, LAYOUTS))
    train, test = whole_number("train", train, 0), whole_number("test", test, 0)
    seed, workers = whole_number("seed", seed), whole_number("workers", workers, 1)
    shots = plan(layout, train, test)
    if layout == "nyu":
        scipy_io()  # its labels come last: better to miss it now
    about = {
        "simulator": SIMULATOR, "layout": layout, "train": train, "test": test, "seed": seed,
        "all_cameras": bool(all_cameras), "alone": bool(alone),
    }  # fmt: skip
    begin_folder(path, _BEGUN, about)
    views = 3 if all_cameras and layout == "nyu" else 1
    due = [shot for shot in shots if _is_due(path, layout, shot, views)]
    if not due:
        return False
    on_frames(views * (sum(shot.frames for shot in shots) - sum(shot.frames for shot in due)))
    joints: dict[Shot, NDArray[np.float64]] = {}
    if workers == 1:
        for shot in due:
            joints[shot] = _write_shot(path, layout, shot, seed, views, alone, on_frames)
    else:
        with worker_pool(workers, one_thread, where=path) as pool:
            jobs = [pool.submit(_write_shot, path, layout, s, seed, views, alone) for s in due]
            for shot, job in zip(due, jobs, strict=True):
                joints[shot] = job.result()
                on_frames(shot.frames * views)
    _write_labels(path, layout, joints)
    return True


def _is_due(path: Path, layout: str, shot: Shot, views: int) -> bool:
    """Whether a shot lacks its label file or a frame."""
    frames = ((t, view) for view in range(views) for t in range(shot.frames))
    whole = _label_file(path, layout, shot).is_file() and all(
        _is_whole(_file(path, layout, shot, t, view)) for t, view in frames
    )
    return not whole


def _is_whole(file: Path) -> bool:
    """Whether a frame is there and not cut off, by its ends or its size."""
    if file.suffix == ".png":
        return has_both_ends(file)
    try:
        left, top, right, bottom = map(int, np.fromfile(file, "<i4", 6)[2:])
        return file.stat().st_size == 24 + 4 * (right - left) * (bottom - top)  # MSRA15's box
    except (OSError, ValueError):  # absent, or cut off within its header
        return False


def _write_shot(
    path: Path,
    layout: str,
    shot: Shot,
    seed: int,
    views: int,
    alone: bool,
    on_frames: Callable[[int], None] = lambda count: None,
) -> NDArray[np.float64]:
    """Render the frames of a shot that are missing; returns the labels of all, in mm."""
    chosen = LAYOUTS[layout]
    if alone:
        chosen = replace(chosen, around=chosen.around.alone())
    together = max(1, _PIXELS_TOGETHER // (chosen.camera.width * chosen.camera.height))
    sequence = _sequence(chosen, shot, seed)
    labels = convert(sequence.joints_xyz_mm.astype(np.float64), chosen.skeleton)
    joints = np.asarray(labels, np.float64)
    for view in range(views):
        files = [_file(path, layout, shot, t, view) for t in range(shot.frames)]
        todo = [t for t, file in enumerate(files) if not _is_whole(file)]
        on_frames(shot.frames - len(todo))
        seen = sequence.seen_from(*camera_pose(view), f"camera {view}") if view else sequence
        for t, depth_mm in zip(todo, seen.render(todo, together=together), strict=True):
            _write_frame(path, layout, shot, t, view, depth_mm, joints[t])
            on_frames(1)
    return joints


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
        views=layout.views,
        around=layout.around,
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


def _label_file(path: Path, layout: str, shot: Shot) -> Path:
    """Where the labels of a shot belong."""
    if layout == "nyu":
        return path / shot.split / nyu.LABELS
    if layout == "msra":
        return path / shot.sequence / "joint.txt"
    place = 0 if shot.split == "train" else int(shot.sequence[-1]) - 1
    return path / _icvl_place(layout, shot.split).labels[place]


def _write_labels(path: Path, layout: str, joints: dict[Shot, NDArray[np.float64]]) -> None:
    """Write the labels that are missing, last: a set that has them was whole."""
    groups: dict[Path, list[Shot]] = {}
    for shot in joints:
        groups.setdefault(_label_file(path, layout, shot), []).append(shot)
    for file, shots in groups.items():
        if file.is_file():  # a shot of theirs lacked a frame
            continue
        xyz = np.concatenate([joints[shot] for shot in shots])
        if layout == "nyu":
            _write_nyu_labels(file.parent, xyz)
        elif layout == "msra":
            msra.write_labels(file, xyz)
        else:
            names = [_name(layout, shot, t, 0) for shot in shots for t in range(shot.frames)]
            icvl.write_labels(file, names, np.asarray(icvl.CAMERA.to_uvd(xyz)))


def _write_nyu_labels(folder: Path, xyz_mm: NDArray[np.float64]) -> None:
    """Joints in the frames of all three cameras, whether or not their pictures are there.

    Beside the split, centers as others' loaders read them: x y z in mm a line, y up as in the
    labels; the mean of the 14 scored joints.
    """
    seen = []
    for view in range(3):
        place, rotation = camera_pose(view)
        seen.append((xyz_mm - place) @ rotation.T)
    xyz = np.stack(seen)
    centers = xyz_mm[:, list(NYU14_OF_36)].mean(1) * (1.0, -1.0, 1.0)
    lines = "".join(f"{line}\n" for line in number_lines(centers))
    write_text(folder.with_name(f"center_{folder.name}.txt"), lines)
    nyu.write_labels(folder, np.asarray(nyu.CAMERA.to_uvd(xyz)), xyz)
