"""A camera given as text: a known name, a file, or its numbers."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from cadstn.errors import CadstnError
from cadstn.geometry.camera_json import CAMERA_HINT
from cadstn.geometry.pinhole import Camera, DepthMm, FloatArray
from cadstn.geometry.presets import PRESETS

__all__ = [
    "KNOWN_CAMERAS",
    "Camera",
    "DepthMm",
    "FloatArray",
    "nearest_camera",
    "parse_camera",
]

#: Cameras by name; where their numbers come from is in `cadstn.geometry.presets.PRESETS`.
KNOWN_CAMERAS: dict[str, Camera] = {name: preset.camera for name, preset in PRESETS.items()}


_MOST = 1 << 20  # characters of a camera.json
#: Short names of products, each of one maker; modes that differ stay a choice of the user.
ALIASES = {
    "azure": "azure-kinect-nfov",
    "azure-kinect": "azure-kinect-nfov",
    "k4a": "azure-kinect-nfov",
    "femto": "femto-nfov",
    "femto-bolt": "femto-nfov",
    "femto-mega": "femto-nfov",
    "iphone": "truedepth",
    "ipad": "truedepth",
    "oak": "oak-d",
    "oakd": "oak-d",
    "kinect-v1": "kinect1",
    "kinect-v2": "kinect2",
    "kinectv1": "kinect1",
    "kinectv2": "kinect2",
}
#: Names of several products: which is meant, only the user knows.
_FAMILIES = {
    "realsense": ("d415", "d435", "d455", "l515", "sr305"),
    "intel": ("d415", "d435", "d455", "l515", "sr305"),
    "kinect": ("kinect1", "kinect2", "azure-kinect-nfov"),
    "orbbec": ("femto-nfov", "femto-wfov"),
}


def _plain(text: str) -> str:
    return re.sub(r"[\s_]+", "-", text.strip().lower())


def parse_camera(text: str) -> Camera:
    """Read a camera given as text: a known name, a ``.json`` file, or ``fx,fy,cx,cy[,unit_mm]``.

    A unit of ``m`` stands for files of floats in metres.

    >>> parse_camera("475,475,320,240,0.125").depth_unit_mm
    0.125

    Raises:
        CadstnError: if it is none of the three.
    """
    plain = _plain(text)
    if (name := ALIASES.get(plain, plain)) in KNOWN_CAMERAS:
        return KNOWN_CAMERAS[name]
    if text.lower().endswith(".json"):
        path = Path(text)
        try:
            if not path.is_file() and not path.is_dir():  # no pipe, which is waited for
                what = "a pipe or device, not a file" if path.exists() else "no such camera file"
                raise CadstnError(what, where=path, hint=CAMERA_HINT)
            with path.open(encoding="utf-8", errors="replace") as file:
                content = file.read(_MOST + 1)
            if len(content) > _MOST:
                raise CadstnError("more than a megabyte", where=path, hint=CAMERA_HINT)
        except OSError as error:
            raise CadstnError(
                f"cannot read ({error.strerror or error})",
                where=path,
                hint="check its permissions, or give another file",
            ) from None
        return Camera.from_json(content, where=path)
    parts = text.split(",")
    metres = len(parts) == 5 and parts[4].strip() == "m"
    if metres:
        del parts[4]
    if len(parts) in (4, 5):
        try:
            numbers = [float(part) for part in parts]
        except ValueError:
            numbers = []
        if numbers:
            fx, fy, cx, cy, *unit = numbers
            try:
                camera = Camera(fx, fy, cx, cy, depth_unit_mm=unit[0] if unit else 1.0)
                return replace(camera, encoding="metres") if metres else camera
            except CadstnError as error:
                where = f"camera '{text}'"
                raise CadstnError(error.what, where=where, hint=error.hint) from None
    family, near = _FAMILIES.get(plain), nearest_camera(text)
    guess = f"did you mean '{near}'? " if near else ""
    if family is not None:
        guess = f"which one: {', '.join(family)}? "
    raise CadstnError(
        f"no camera '{text}'",
        hint=f"{guess}known: {', '.join(KNOWN_CAMERAS)}, FILE.json, or fx,fy,cx,cy[,depth_unit_mm]",
    )


def nearest_camera(name: str) -> str | None:
    """Return the known camera that a misspelt name means, None where it may be another maker's.

    Names are near when the letters that they begin with are: DS325 is no SR305. Where another
    maker's name is closer still, neither is suggested.

    >>> nearest_camera("kinect3"), nearest_camera("ds305"), nearest_camera("zr300")
    ('kinect2', 'ds325', None)
    >>> nearest_camera("d325")  # DS325 or D435
    """
    import difflib

    text = _plain(name)
    begin = _letters(text)
    kin = [
        known
        for known in KNOWN_CAMERAS
        if difflib.SequenceMatcher(None, begin, _letters(known)).ratio() > 0.7
    ]
    close = difflib.get_close_matches(text, kin, n=1, cutoff=0.5)
    if not close:
        return None
    others = [name for name in PRESETS if PRESETS[name].maker != PRESETS[close[0]].maker]
    # In the order that get_close_matches compares in: the ratio depends on it.
    likeness = {n: difflib.SequenceMatcher(None, n, text).ratio() for n in (close[0], *others)}
    return None if any(likeness[n] > likeness[close[0]] for n in others) else close[0]


def _letters(name: str) -> str:
    found = re.match(r"[a-z]*", name)
    return found.group() if found else ""
