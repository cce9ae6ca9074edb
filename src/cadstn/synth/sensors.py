"""What tells one depth sensor from another: named ones, fitted to frames, and random ones."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from cadstn.errors import CadstnError
from cadstn.synth.draws import Draws


class Sensor(NamedTuple):
    """The properties of one sensor for each of B images; every field is (B,) float32.

    "Pixels" are the sensor's own, whatever the image's; depths z are in mm.

    Attributes:
        step: tangent between neighbouring pixels (1 / fx); 0: as fine as the image.
        range_mm: farther surfaces are not measured.
        unit_mm: stored depths are multiples of this; 0: not rounded.
        disparity_mm: disparity's rounding as a step of depth at 1 m, growing with z^2; 0: none.
        noise_mm: axial noise's standard deviation that does not depend on depth.
        noise_mm_1m: what is added to it at 1 m, growing with z^2.
        grain: share of the noise's variance that is new in every pixel; the rest is smooth.
        texture_px: length along a row over which the smooth rest changes.
        texture_rows_px: the same down a column; 1: every row has its own.
        oblique: how much noise grows on slanted surfaces: 0 not at all, 1 with 1 / cos.
        lateral_px: standard deviation of each pixel's aim, new in every pixel.
        wobble_px: the same, changing smoothly; it makes outlines ragged.
        wobble_size_px: length over which that changes.
        reach_px: half width of what one pixel sees.
        smooth: how far a pixel's depth goes to the mean of what it sees: 0 to 1.
        bleed_mm: how much farther a pixel reads for each of its four neighbours beyond an edge;
            below 0: nearer, as where windows are matched.
        flying: chance that a pixel which sees two surfaces reads a depth between them.
        lost_far: chance that a pixel beside a nearer surface reads nothing.
        lost_near: chance that a pixel beside a farther surface, or none, reads nothing.
        slant_lost: surfaces are lost whose incidence has a cosine below this.
        hole_px: there is at most one hole in a square of this edge.
        holes: chance that there is one; it covers a tenth of the square.
        speckle: chance that a pixel with nothing to see reads a depth at random.
        baseline_mm: from the camera to its light, to the right in the image: shadows fall to
            the other side.
    """

    step: Tensor
    range_mm: Tensor
    unit_mm: Tensor
    disparity_mm: Tensor
    noise_mm: Tensor
    noise_mm_1m: Tensor
    grain: Tensor
    texture_px: Tensor
    texture_rows_px: Tensor
    oblique: Tensor
    lateral_px: Tensor
    wobble_px: Tensor
    wobble_size_px: Tensor
    reach_px: Tensor
    smooth: Tensor
    bleed_mm: Tensor
    flying: Tensor
    lost_far: Tensor
    lost_near: Tensor
    slant_lost: Tensor
    hole_px: Tensor
    holes: Tensor
    speckle: Tensor
    baseline_mm: Tensor


_IDEAL = {
    "step": 0.0, "range_mm": 1e9, "unit_mm": 0.0, "disparity_mm": 0.0,
    "noise_mm": 0.0, "noise_mm_1m": 0.0, "grain": 1.0, "texture_px": 4.0, "texture_rows_px": 4.0,
    "oblique": 0.0,
    "lateral_px": 0.0, "wobble_px": 0.0, "wobble_size_px": 4.0, "reach_px": 1.0, "smooth": 0.0,
    "bleed_mm": 0.0, "flying": 0.0, "lost_far": 0.0, "lost_near": 0.0, "slant_lost": 0.0,
    "hole_px": 16.0, "holes": 0.0, "speckle": 0.0, "baseline_mm": 0.0,
}  # fmt: skip

#: What each sensor has beside an ideal one's properties; see `sensor`. Focal lengths, units and the
#: Kinect's disparity are known; the rest is fitted to real hands (benchmarks/synth_sensors.py).
SENSORS: dict[str, dict[str, float]] = {
    "ideal": {},
    # Time of flight, 512x424, 1 mm. Every row has an error of its own; its software smooths and
    # gives up what lies beside a nearer edge, whose last pixels read 20 mm too far.
    "kinect2": {
        "step": 1 / 363.9, "range_mm": 4500, "unit_mm": 1, "noise_mm": 0.3, "noise_mm_1m": 4.6,
        "grain": 0.1, "texture_px": 10, "texture_rows_px": 1, "reach_px": 2, "smooth": 0.5,
        "bleed_mm": 11, "flying": 0.02, "lost_far": 1.0, "baseline_mm": 22,
    },
    # Coded light from the left, 640x480, 1/8 mm: very smooth, loses slanted skin and wide edges.
    "sr305": {
        "step": 1 / 476.007, "range_mm": 1100, "unit_mm": 0.125, "wobble_px": 0.5, "reach_px": 6,
        "smooth": 1.0, "bleed_mm": -2, "lost_far": 1.0, "slant_lost": 0.48, "holes": 0.01,
        "baseline_mm": -80,
    },
    # Structured light matched in windows, 640x480, filled by NYU: no holes, steps. 1/8 px of
    # disparity at f = 580 px and b = 75 mm makes steps of z^2 / (8 f b), 2.9 mm at 1 m (Khoshelham
    # and Elberink 2012). Windows keep to what is in front.
    "nyu_primesense": {
        "step": 1 / 588.03, "unit_mm": 1, "disparity_mm": 2.9, "noise_mm_1m": 0.2, "grain": 0.02,
        "texture_px": 5, "texture_rows_px": 5, "wobble_px": 0.6, "reach_px": 3, "smooth": 1.0,
        "bleed_mm": -1,
    },
    # Time of flight, 320x240, 1 mm, not filtered at all: 13 mm of noise at half a metre.
    "ds325": {
        "step": 1 / 241.42, "range_mm": 2500, "unit_mm": 1, "noise_mm_1m": 55, "flying": 0.5,
        "bleed_mm": -4, "speckle": 0.03, "baseline_mm": -15,
    },
}  # fmt: skip

# Around and beyond the named ones: the least and the most of each property in training, and the
# power of an even number that lies between: 1 is even, 3 favours the least.
_RANDOM: dict[str, tuple[float, float, float]] = {
    "step": (1 / 600, 1 / 220, 1), "range_mm": (900, 4500, 1), "unit_mm": (0.1, 1.5, 2),
    "disparity_mm": (0.0, 5.0, 2), "noise_mm": (0.0, 1.5, 2), "noise_mm_1m": (0.0, 40.0, 4),
    "grain": (0.0, 1.0, 1), "texture_px": (2.0, 12.0, 2), "texture_rows_px": (1.0, 8.0, 1),
    "oblique": (0.0, 1.0, 1), "lateral_px": (0.0, 0.6, 2), "wobble_px": (0.0, 1.6, 1),
    "wobble_size_px": (2.5, 7.0, 1), "reach_px": (1.0, 6.0, 3), "smooth": (0.0, 1.0, 1),
    "bleed_mm": (-4.0, 16.0, 2), "flying": (0.0, 0.5, 3), "lost_far": (0.0, 1.0, 1),
    "lost_near": (0.0, 0.5, 3), "slant_lost": (0.0, 0.5, 2), "hole_px": (8.0, 24.0, 1),
    "holes": (0.0, 0.08, 3), "speckle": (0.0, 0.03, 5), "baseline_mm": (-80.0, 80.0, 1),
}  # fmt: skip


def sensor(
    name: str, batch: int = 1, *, device: torch.device | str = "cpu", **changes: float
) -> Sensor:
    """Return a named sensor, the same for every image.

    Args:
        name: one of `SENSORS`.
        batch: B.
        device: of the fields.
        **changes: properties to set otherwise.

    Raises:
        CadstnError: if there is no such sensor or property.
    """
    if name not in SENSORS:
        raise CadstnError(f"unknown sensor {name!r}", mend="use one of " + ", ".join(SENSORS))
    if unknown := sorted(changes.keys() - _IDEAL.keys()):
        raise CadstnError(f"a sensor has no {', '.join(unknown)}", where=name)
    values = _IDEAL | SENSORS[name] | changes
    return Sensor(**{key: torch.full((batch,), values[key], device=device) for key in _IDEAL})


def sample_sensor(draws: Draws) -> Sensor:
    """Draw a sensor for every sample, around and beyond the named ones."""
    unit = draws.uniform(len(_RANDOM))
    values = {
        key: low + (high - low) * unit[:, at] ** power
        for at, (key, (low, high, power)) in enumerate(_RANDOM.items())
    }
    return Sensor(**values)
