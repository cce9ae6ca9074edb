"""Rendered recordings on disk: whole, or going on where they were interrupted."""

from __future__ import annotations

import json
import math
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zipfile import is_zipfile

import numpy as np
from numpy.typing import NDArray

from cadstn.errors import CadstnError, CadstnWarning
from cadstn.geometry.camera import Camera
from cadstn.geometry.skeleton import HAND21
from cadstn.io.arrays import load_npz, read_regular
from cadstn.io.files import error_context, write_png
from cadstn.io.folder import begin_folder, check_note, note_of
from cadstn.io.png import has_both_ends
from cadstn.io.temporary import is_replaceable
from cadstn.io.whole import alone_in, is_taken, new_path, write_npz, write_text
from cadstn.synth import SIMULATOR
from cadstn.synth.arguments import share, whole_number
from cadstn.synth.frames import DISTANCE_MM, Sequence, check_renders, view_frustum
from cadstn.synth.sensors import sensor as named_sensor
from cadstn.synth.surroundings import EVERYDAY

#: A small time-of-flight camera of our own making: what `cadstn synth` records with.
SYNTH_CAMERA = Camera(285.0, 285.0, 160.0, 120.0, 320, 240)
_SPLIT = 2  # recordings never share a random stream with training (0) or validation (1)
#: What a folder is a function of: a file of it, in an ``.npz`` file an array of this name's stem.
NOTE = "synth.json"
_ABOUT = "synth"
_TAKEN, _NEW_NAME = "is already there", "give a new name, or delete it"

Order = dict[str, Any]


def write_synthetic(
    path: str | Path,
    *,
    frames: int,
    seed: int,
    number: int = 0,
    camera: Camera = SYNTH_CAMERA,
    sensor: str | None = None,
    distance_mm: tuple[float, float] = DISTANCE_MM,
    held: float = 0.0,
    alone: bool = False,
    on_frame: Callable[[], None] = lambda: None,
) -> bool:
    """Render one recording of a moving hand, with its truth beside it.

    A folder is gathered under the name ``PATH.part`` and renamed when it is whole: an interrupted
    run keeps its finished frames there, and the same call goes on behind them. An ``.npz`` file is
    gathered in memory. What it is a function of stays in it: ``synth.json``, in an ``.npz`` file
    the array ``synth``.

    The truth holds ``joints_xyz_mm`` (N, 21, 3) in mm, camera frame, and ``side`` (N,) of the hand
    (``left`` or ``right``); ``holds`` (N,), whether something is in it; and ``second_xyz_mm`` (N,
    21, 3) of a second hand, of the other side, all NaN where there is none.

    Args:
        path: folder (or ``.npz`` file) to write, see `cadstn.io.write_recording`.
        frames: how many.
        seed: the recording is a function of it and its number.
        number: which recording of the seed.
        camera: that records, with its size; a pinhole.
        sensor: name of the sensor that measures (`cadstn.synth.sensors.SENSORS`); one drawn from
            the seed if none is given.
        distance_mm: nearest and farthest distance of the hand.
        held: chance that the hand grasps something, 0 to 1. Of the other hands 15 % are given a
            simple thing, if there is room for it between thumb and fingers.
        alone: no second hand, which 15 % of scenes have otherwise, and nothing held but by
            ``held``.
        on_frame: called after each frame, for a progress bar.

    Returns:
        Whether something was rendered: not where the same call has ended before. Of its frames
        those that were lost since are made again.

    Raises:
        CadstnError: if the path is taken, what is there is of another order or another simulator,
            the camera sees no hand or is no pinhole, the hand would be beyond the sensor's range, a
            number makes no sense, or the disk is full.

    Warns:
        CadstnWarning: if the hand is beyond the sensor's range in a part of the frames.
    """
    path = Path(path)
    frames, held = whole_number("frames", frames, 1), share("held", held)
    measures = named_sensor(sensor) if sensor else None
    check_renders(camera)
    near, far = view_frustum(camera, distance_mm).depth_mm
    range_mm = float(measures.range_mm) if measures else math.inf
    if near >= range_mm:
        raise CadstnError(
            f"a hand from {near:g} to {far:g} mm away, of which {sensor} measures nothing",
            hint=f"its range ends at {range_mm:g} mm: give distance_mm below that",
        )
    order: Order = {
        "simulator": SIMULATOR, "frames": frames, "seed": whole_number("seed", seed),
        "number": whole_number("number", number), "camera": json.loads(camera.to_json()),
        "sensor": sensor, "distance_mm": [near, far], "held": held, "alone": bool(alone),
    }  # fmt: skip

    def moving() -> Sequence:
        around = EVERYDAY.alone() if alone else EVERYDAY
        sequence = Sequence(
            (order["seed"], _SPLIT), order["number"], camera, frames, sensor=measures,
            distance_mm=(near, far), around=around, held=held,
        )  # fmt: skip
        beyond = int((sequence.joints_xyz_mm[..., 2].min(-1) >= range_mm).sum())
        if beyond:
            warnings.warn(
                f"{path}: in {beyond} of {frames} frames the hand is beyond the {range_mm:g} mm "
                f"that {sensor} measures; give distance_mm below that",
                CadstnWarning,
                stacklevel=4,
            )
        return sequence

    if path.suffix.lower() == ".npz":
        return _write_file(path, order, moving, on_frame)
    return _write_folder(path, order, moving, on_frame)


def _write_file(
    path: Path, order: Order, moving: Callable[[], Sequence], on_frame: Callable[[], None]
) -> bool:
    """Render into an ``.npz`` file, unless it holds the same order already."""
    if is_taken(path):
        with error_context(path):
            try:
                note = load_npz(path, (_ABOUT,))[_ABOUT]
            except (CadstnError, KeyError):
                raise CadstnError(_TAKEN, hint=_NEW_NAME) from None
            check_note(str(note), order)
        return False
    with new_path(path) as temporary:
        sequence, depth = moving(), []
        for units in sequence.render():
            depth.append(units)
            on_frame()
        arrays = {"depth": np.stack(depth), "camera": np.array(sequence.camera.to_json())}
        arrays |= _truth(sequence) | {_ABOUT: np.array(note_of(order))}
        with temporary.open("wb") as file:  # np.savez would append .npz to a name
            np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
    return True


def _write_folder(
    path: Path, order: Order, moving: Callable[[], Sequence], on_frame: Callable[[], None]
) -> bool:
    """Render the frames that a folder lacks, unless it is whole."""
    with error_context(path):
        if os.path.lexists(path) and not path.is_dir():  # also an empty file, and a link to nothing
            raise CadstnError(_TAKEN, hint=_NEW_NAME)
        path = Path(os.path.realpath(path))  # beside "." and beside a link is another place
        folder = _begun(path, order)
    with alone_in(folder):
        return _filled(folder, path, order, moving, on_frame)


def _filled(
    folder: Path,
    path: Path,
    order: Order,
    moving: Callable[[], Sequence],
    on_frame: Callable[[], None],
) -> bool:
    """Render what ``folder`` lacks and give it the name ``path``, unless it is whole."""
    with error_context(path):
        files = [folder / f"{t:06d}.png" for t in range(order["frames"])]
        todo = [t for t, file in enumerate(files) if not has_both_ends(file)]
        camera, truth = folder / "camera.json", folder / "truth.npz"
        if folder == path and not todo and camera.is_file() and is_zipfile(truth):
            return False
    sequence = moving()
    for _ in range(len(files) - len(todo)):
        on_frame()
    for t, units in zip(todo, sequence.render(todo), strict=True):
        with error_context(path):
            write_png(files[t], units, sequence.camera)
        on_frame()
    with error_context(path):
        if not camera.is_file():
            write_text(camera, sequence.camera.to_json())
        if not is_zipfile(truth):
            write_npz(truth, **_truth(sequence))
        if folder != path:
            if path.is_dir():
                path.rmdir()  # empty
            os.replace(folder, path)
    return True


def _truth(sequence: Sequence) -> dict[str, NDArray[Any]]:
    """Arrays of a ``truth.npz``; those of a hand's side are as in a tracking's ``joints.npz``."""
    frames = len(sequence)
    return {
        "joints_xyz_mm": sequence.joints_xyz_mm,
        "skeleton": np.array(HAND21.name),
        "side": np.full(frames, "left" if sequence.left else "right"),
        "holds": np.full(frames, sequence.holds),
        "second_xyz_mm": sequence.second_xyz_mm,
    }


def _begun(path: Path, order: Order) -> Path:
    """Return the folder to write into: the finished one of this order, or one to gather in.

    Raises:
        CadstnError: if ``path`` is taken, or what is there was begun with other arguments.
    """
    if (note := path / NOTE).is_file():
        check_note(read_regular(note).decode("utf-8", "replace"), order)
        return path
    if is_taken(path):
        raise CadstnError(_TAKEN, hint=_NEW_NAME)
    if path.is_dir() and (path == Path.cwd() or not is_replaceable(path)):
        raise CadstnError(
            "is a mount point, the current folder, or in a folder that may not be written to",
            hint="give a folder within it",
        )
    part = path.with_name(path.name + ".part")
    begin_folder(part, NOTE, order)
    return part
