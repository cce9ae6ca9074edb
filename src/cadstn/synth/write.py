"""Rendered recordings on disk: whole, or going on where they were interrupted."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cadstn._version import __version__
from cadstn.errors import CadstnError
from cadstn.geometry.camera import Camera
from cadstn.geometry.skeleton import HAND21
from cadstn.io import write_recording
from cadstn.io.files import error_context, write_png
from cadstn.io.temporary import is_replaceable, sweep
from cadstn.io.whole import is_taken, write_npz, write_text
from cadstn.synth.frames import DISTANCE_MM, Sequence
from cadstn.synth.sensors import sensor as named_sensor

#: A small time-of-flight camera of our own making: what `cadstn synth` records with.
SYNTH_CAMERA = Camera(285.0, 285.0, 160.0, 120.0, 320, 240)
_SPLIT = 2  # recordings never share a random stream with training (0) or validation (1)
_ORDER = "synth.json"


def write_synthetic(
    path: Path,
    *,
    frames: int,
    seed: int,
    number: int = 0,
    camera: Camera = SYNTH_CAMERA,
    sensor: str | None = None,
    distance_mm: tuple[float, float] = DISTANCE_MM,
    held: float = 0.0,
    on_frame: Callable[[], None] = lambda: None,
) -> None:
    """Render one recording of a moving hand, with its truth beside it.

    A folder is gathered under the name ``PATH.part`` and renamed when it is whole: an interrupted
    run keeps its finished frames there, and the same call goes on behind them. An ``.npz`` file is
    gathered in memory.

    Args:
        path: folder (or ``.npz`` file) to write, see `cadstn.io.write_recording`.
        frames: how many.
        seed: the recording is a function of it and its number.
        number: which recording of the seed.
        camera: that records, with its size.
        sensor: name of the sensor that measures (`cadstn.synth.sensors.SENSORS`); one drawn from
            the seed if none is given.
        distance_mm: nearest and farthest distance of the hand.
        held: chance that the hand grasps something, 0 to 1.
        on_frame: called after each frame, for a progress bar.

    Raises:
        CadstnError: if the path is taken, the unfinished part is of another order, the camera sees
            no hand, the distances make no sense, or the disk is full.
    """
    if frames < 1:
        raise CadstnError(f"{frames} frames", hint="give at least one")
    if not 0 <= held <= 1:
        raise CadstnError(f"held is {held:g}", hint="give a share from 0 to 1")
    measures = named_sensor(sensor) if sensor else None
    moving = Sequence(
        (seed, _SPLIT), number, camera, frames, sensor=measures, distance_mm=distance_mm, held=held
    )

    def rendered(first: int) -> Iterator[NDArray[np.uint16]]:
        for units in moving.render(range(first, frames)):
            yield units
            on_frame()

    if path.suffix == ".npz":
        write_recording(
            path, rendered(0), camera, truth_xyz_mm=moving.joints_xyz_mm, skeleton=HAND21
        )
        return
    order = {
        "version": __version__, "frames": frames, "seed": seed, "number": number,
        "camera": camera.to_json(), "sensor": sensor, "distance_mm": list(distance_mm),
        "held": held,
    }  # fmt: skip
    with error_context(path):
        if _is_order(path / _ORDER, order):  # whole: its run was killed at the very last step
            (path / _ORDER).unlink()
            for _ in range(frames):
                on_frame()
            return
        part, done = _unfinished(path, order)
        for _ in range(done):
            on_frame()
    for place, units in enumerate(rendered(done), done):
        with error_context(path):
            write_png(part / f"{place:06d}.png", units, camera)
    with error_context(path):
        write_text(part / "camera.json", camera.to_json())
        write_npz(
            part / "truth.npz", joints_xyz_mm=moving.joints_xyz_mm, skeleton=np.array(HAND21.name)
        )
        if path.is_dir():
            path.rmdir()  # empty
        # Renamed before the note goes: a part without its note would be nobody's.
        os.replace(part, path)
        (path / _ORDER).unlink()


def is_written(path: Path) -> bool:
    """Whether a folder of `write_synthetic` is whole, and was to the very last step."""
    return (path / "truth.npz").is_file() and not (path / _ORDER).exists()


def _unfinished(path: Path, order: dict[str, Any]) -> tuple[Path, int]:
    """Return the folder to gather in, and how many frames it holds already.

    Raises:
        CadstnError: if ``path`` is taken, or what is there was begun with other arguments.
    """
    part = path.with_name(path.name + ".part")
    noted = part / _ORDER
    if is_taken(path):
        raise CadstnError("is already there", hint="give a new name, or delete it")
    if path.is_dir() and not is_replaceable(path):
        raise CadstnError(
            "is a mount point, or in a folder that may not be written to",
            hint="give a folder within it",
        )
    part.mkdir(parents=True, exist_ok=True)
    sweep(noted)
    if not any(part.iterdir()):
        write_text(noted, json.dumps(order))
    if not _is_order(noted, order):
        raise CadstnError(
            "is the unfinished part of another recording",
            where=part,
            hint="give the command that began it, or delete it",
        )
    done = 0
    while (part / f"{done:06d}.png").is_file():
        done += 1
    return part, done


def _is_order(note: Path, order: dict[str, Any]) -> bool:
    return note.is_file() and note.read_text(encoding="utf-8") == json.dumps(order)
