"""How a depth image holds its distances: the steps of 16 bits, and their unit."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cadstn.errors import CadstnError

ENCODINGS = ("depth16", "nyu", "metres")
#: Millimetres a step of a depth image may have; what lies outside is a unit of another kind.
FINEST_MM, COARSEST_MM = 0.01, 10.0


def unpack(raw: NDArray[Any], encoding: str) -> NDArray[np.uint16]:
    """Return the steps (H, W) of a raw image.

    Args:
        raw: (H, W) uint16, or (H, W, 3) uint8 in OpenCV's channel order for ``nyu``.
        encoding: one of `ENCODINGS`.

    Raises:
        CadstnError: if the image does not have the shape, type and channels of the encoding.
    """
    if encoding == "nyu":
        if raw.ndim != 3 or raw.shape[2] != 3 or raw.dtype != np.uint8:
            raise CadstnError(
                f"{_kind(raw)} image where NYU's packing is 8-bit RGB",
                hint="use depth_1_*.png, or another --camera",
            )
        check_red(raw[::4, ::4], most=0.01)
        # OpenCV reads blue first: depth = green * 256 + blue (Tompson 2014).
        units: NDArray[np.uint16] = raw[..., 1].astype(np.uint16) << 8 | raw[..., 0]
        return units
    if encoding == "metres":
        raise CadstnError(
            f"{raw.dtype} image where floats in metres were expected",
            hint="give the camera with the millimetres of a step instead",
        )
    if raw.ndim == 2 and raw.dtype.kind == "u" and raw.dtype.itemsize == 2:
        return raw
    if raw.ndim == 2 and raw.dtype.kind in "ui" and raw.dtype.itemsize > 1:
        # A signed or wider image has values that no sensor writes: -1 would become a distance.
        raise CadstnError(
            f"{raw.dtype} image where uint16 depth was expected",
            hint="clip negatives to 0, then convert with .astype(np.uint16)",
        )
    raise CadstnError(
        f"{_kind(raw)} image where 16-bit depth was expected",
        hint="save depth as 16-bit single-channel PNG, or use --camera nyu for its packing",
    )


def check_unit(depth_unit_mm: float) -> None:
    """Raise CadstnError for a unit that no depth image has; the hint is what was probably meant."""
    if FINEST_MM <= depth_unit_mm <= COARSEST_MM:
        return
    if not 0 < depth_unit_mm < math.inf:
        raise CadstnError(
            f"camera depth_unit_mm is {depth_unit_mm}",
            hint="give a positive number for depth_unit_mm",
        )
    if depth_unit_mm < FINEST_MM:
        meant = depth_unit_mm * 1000
        hint = f"it is millimetres a step; {depth_unit_mm:g} m a step are {meant:g}"
    else:
        meant = 1000 / depth_unit_mm
        hint = f"it is millimetres a step; {depth_unit_mm:g} steps a metre are {meant:g}"
    if not FINEST_MM <= meant <= COARSEST_MM:
        hint = f"it is millimetres a step, from {FINEST_MM:g} to {COARSEST_MM:g}"
    raise CadstnError(f"camera depth_unit_mm is {depth_unit_mm:g}", hint=hint)


def check_red(raw: NDArray[np.uint8], most: float = 0.0) -> None:
    """Check that red is 0, as in NYU's packing.

    Args:
        raw: (H, W, 3), blue first.
        most: share of pixels that may be damaged: some of a stream, none of a file with checksums.

    Raises:
        CadstnError: if it is not; it names the packing where that is known.
    """
    red = np.count_nonzero(raw[..., 2])
    if red <= most * raw[..., 2].size:
        return
    other = "" if raw[..., 0].any() else "; blue is 0: this is R + 256 G, as HO3D and STB pack it"
    raise CadstnError(
        f"red is not 0, so this is not NYU's packing (G * 256 + B){other}",
        hint="unpack it to 16-bit PNGs, or give the camera that wrote it",
    )


def _kind(image: NDArray[Any]) -> str:
    """Describe an image for an error: '8-bit 1-channel'."""
    channels = image.shape[2] if image.ndim == 3 else 1
    return f"{8 * image.dtype.itemsize}-bit {channels}-channel"
