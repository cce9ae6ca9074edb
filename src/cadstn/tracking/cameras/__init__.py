"""Where depth frames come from: cameras, recordings, data sets, rendered hands; one protocol."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from cadstn.errors import CadstnError
from cadstn.geometry.camera import Camera
from cadstn.io import BadFrame, open_recording
from cadstn.tracking.cameras.frames import LiveFrame, Newest, Source

#: Cameras by name: module here, class.
CAMERAS = {
    "realsense": ("realsense", "RealSense"),
    "orbbec": ("orbbec", "Orbbec"),
    "luxonis": ("luxonis", "Luxonis"),
}
_HINT = (
    f"give one of {', '.join(CAMERAS)}, synthetic, demo, a recording, a RealSense .bag or .db3 "
    "file, or the folder of NYU, ICVL or MSRA15"
)


def open_source(
    text: str | os.PathLike[str],
    camera: Camera | str | None = None,
    *,
    pattern: str | None = None,
    unit: str | float | None = None,
    real_time: bool = False,
    loop: bool = False,
    on_bad: Callable[[BadFrame], None] = lambda bad: None,
    on_wait: Callable[[float], None] = lambda seconds: None,
) -> Source:
    """Open a source by name or path.

    Args:
        text: ``realsense``, ``orbbec``, ``luxonis``, ``synthetic``, ``demo``, or a path. A number
            after a colon is a RealSense's serial number, or the seed of the synthetic hand.
        camera: of a recording that has none, see `cadstn.geometry.camera.parse_camera`.
        pattern: which files or topic of a recording are depth, see `cadstn.io.open_recording`.
        unit: of a recording's numbers, instead of the camera's, likewise.
        real_time: play a recording or a data set at its own speed, as if it were a camera.
        loop: play a recording or a data set for ever.
        on_bad: called with each frame of a recording or a data set that cannot be read.
        on_wait: called with the seconds of each long pause of a recording in real time.

    Raises:
        CadstnError: if there is no such source, or it cannot be opened.
    """
    from cadstn.tracking.cameras.files import DatasetSource, RecordingSource, SyntheticSource

    text = os.fspath(text)
    name, _, detail = text.partition(":")
    if name in (*CAMERAS, "synthetic"):
        given = {"camera": camera, "pattern": pattern, "unit": unit, "loop": loop or None}
        for option in (option for option in given if given[option] is not None):
            raise CadstnError(f"'{option}' is of recordings", where=name, hint="leave it out")
    if detail and name in ("orbbec", "luxonis", "demo"):
        raise CadstnError(f"{name} takes nothing after a colon", where=text, hint=f"give {name}")
    if name in CAMERAS:
        module, kind = CAMERAS[name]
        camera_class = getattr(import_module(f"cadstn.tracking.cameras.{module}"), kind)
        made: Source = camera_class(detail) if detail else camera_class()
        return made
    if name == "synthetic":
        if detail and not re.fullmatch(r"[0-9]{1,18}", detail):
            raise CadstnError(f"seed '{detail[:40]}' is no number", where=name, hint="synthetic:7")
        return SyntheticSource(int(detail or 0))
    path = Path(text)
    if not path.exists() and name != "demo":
        raise CadstnError("no such source", where=text, hint=_HINT)
    plain = camera is None and pattern is None and unit is None
    if plain and path.is_dir() and _is_dataset(path):
        return DatasetSource(path, real_time=real_time, loop=loop, on_bad=on_bad)
    # 'demo' is a recording's name to `open_recording` as well.
    recording = open_recording(path, camera, pattern=pattern, unit=unit)
    return RecordingSource(
        recording, real_time=real_time, loop=loop, on_bad=on_bad, on_wait=on_wait
    )


def _is_dataset(path: Path) -> bool:
    from cadstn.data import find_dataset

    if (path / "camera.json").is_file():
        return False
    try:
        # Recordings are opened as such: with them frames without a hand are not left out.
        return find_dataset(path).name != "recordings"
    except CadstnError:
        return False


__all__ = ["CAMERAS", "LiveFrame", "Newest", "Source", "open_source"]
