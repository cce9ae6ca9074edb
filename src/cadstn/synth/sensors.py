"""How depth sensors differ: named ones, fitted to frames, and random ones."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from cadstn.errors import CadstnError
from cadstn.synth.draws import Draws


class Sensor(NamedTuple):
    """The properties of one sensor for each of B images; every field is (B,) float32.

    "Pixels" are the sensor's own, whatever the image's; depths z are in mm.
    """

    step: Tensor  # tangent between neighbouring pixels (1 / fx); 0: as fine as the image
    range_mm: Tensor  # farther surfaces are not measured
    unit_mm: Tensor  # stored depths are multiples of this; 0: not rounded
    # disparity's rounding as a step of depth at 1 m, growing with z^2; 0: none
    disparity_mm: Tensor
    noise_mm: Tensor  # axial noise's standard deviation that does not depend on depth
    noise_mm_1m: Tensor  # what is added to it at 1 m, growing with z^2
    grain: Tensor  # share of the noise's variance that is new in every pixel; the rest is smooth
    texture_px: Tensor  # length along a row over which the smooth rest changes
    texture_rows_px: Tensor  # the same down a column; 1: every row has its own
    oblique: Tensor  # how much noise grows on slanted surfaces: 0 not at all, 1 with 1 / cos
    lateral_px: Tensor  # standard deviation of each pixel's aim, new in every pixel
    wobble_px: Tensor  # the same, changing smoothly; it makes outlines ragged
    wobble_size_px: Tensor  # length over which that changes
    reach_px: Tensor  # half width of what one pixel sees
    smooth: Tensor  # how far a pixel's depth goes to the mean of what it sees: 0 to 1
    # how much farther a pixel reads for each of its four neighbours beyond an edge; below 0:
    # nearer, as where windows are matched
    bleed_mm: Tensor
    flying: Tensor  # chance that a pixel which sees two surfaces reads a depth between them
    lost_far: Tensor  # chance that a pixel beside a nearer surface reads nothing
    lost_near: Tensor  # chance that a pixel beside a farther surface, or none, reads nothing
    slant_lost: Tensor  # surfaces are lost whose incidence has a cosine below this
    hole_px: Tensor  # there is at most one hole in a square of this edge
    holes: Tensor  # chance that there is one; it covers a tenth of the square
    speckle: Tensor  # chance that a pixel with nothing to see reads a depth at random
    # from the camera to its light, to the right in the image: shadows fall to the other side
    baseline_mm: Tensor
    wrap_mm: Tensor  # depth is measured modulo this, as by light of one modulation; 0: it is not
    wrong: Tensor  # share of the holes that read a wrong depth instead of none

    def covering(self, depth_mm: Tensor) -> Sensor:
        """Return it with a range that holds a depth (B,): a hand out of it would not be seen."""
        wraps = torch.where(self.wrap_mm > 0, self.wrap_mm.maximum(depth_mm), self.wrap_mm)
        return self._replace(range_mm=self.range_mm.maximum(depth_mm), wrap_mm=wraps)


_IDEAL = {
    "step": 0.0, "range_mm": 1e9, "unit_mm": 0.0, "disparity_mm": 0.0,
    "noise_mm": 0.0, "noise_mm_1m": 0.0, "grain": 1.0, "texture_px": 4.0, "texture_rows_px": 4.0,
    "oblique": 0.0,
    "lateral_px": 0.0, "wobble_px": 0.0, "wobble_size_px": 4.0, "reach_px": 1.0, "smooth": 0.0,
    "bleed_mm": 0.0, "flying": 0.0, "lost_far": 0.0, "lost_near": 0.0, "slant_lost": 0.0,
    "hole_px": 16.0, "holes": 0.0, "speckle": 0.0, "baseline_mm": 0.0,
    "wrap_mm": 0.0, "wrong": 0.0,
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
        "bleed_mm": 11, "flying": 0.16, "lost_far": 1.0, "baseline_mm": 22,
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
        "step": 1 / 241.42, "range_mm": 2500, "unit_mm": 1, "noise_mm_1m": 55, "flying": 0.95,
        "bleed_mm": -14, "speckle": 0.03, "baseline_mm": -23,
    },
    # Active stereo. Depth's RMS error is z^2 / (f b) times that of disparity, 0.08 px here (Intel,
    # "Tuning depth cameras for best performance": 0.05 to 0.1 px on well textured planes); 848x480
    # over 90 degrees, f = 424 px, b = 50 mm; disparity in 1/32 px. What is matched in windows is
    # smooth in patches, and smears across outlines; half-seen bands are as wide as the baseline.
    "d435": {
        "step": 1 / 424, "range_mm": 4000, "unit_mm": 1, "disparity_mm": 1.47, "noise_mm_1m": 3.8,
        "grain": 0.12, "texture_px": 7, "texture_rows_px": 7, "wobble_px": 0.9,
        "wobble_size_px": 6, "reach_px": 4, "smooth": 0.9, "bleed_mm": -2, "flying": 0.3,
        "lost_far": 0.5, "hole_px": 14, "holes": 0.04, "baseline_mm": 50,
    },
    # The same, 1280x720 over 65 degrees, f = 1005 px, b = 55 mm.
    "d415": {
        "step": 1 / 1005, "range_mm": 6000, "unit_mm": 1, "disparity_mm": 0.57, "noise_mm_1m": 1.45,
        "grain": 0.12, "texture_px": 9, "texture_rows_px": 9, "wobble_px": 1.3,
        "wobble_size_px": 7, "reach_px": 6, "smooth": 0.9, "bleed_mm": -2, "flying": 0.3,
        "lost_far": 0.5, "hole_px": 16, "holes": 0.03, "baseline_mm": 55,
    },
    # Time of flight, 640x576 over 75 degrees (also the Femto Bolt). Deviation at most 17 mm and
    # error under 11 mm up to 3.5 m, mixed pixels at outlines (Toelgyessy et al., "Evaluation of
    # the Azure Kinect", Sensors 21(2), 2021); where phase is not unwrapped, depth is counted
    # modulo c / 2f. What is drawn of `wrap_mm` is our own estimate.
    "azure_kinect": {
        "step": 1 / 504, "range_mm": 3860, "unit_mm": 1, "noise_mm": 0.6, "noise_mm_1m": 1.0,
        "grain": 0.8, "oblique": 0.5, "bleed_mm": 5, "flying": 0.35, "lost_far": 0.25,
        "lost_near": 0.1, "slant_lost": 0.1, "holes": 0.005, "baseline_mm": 20,
    },
    # A laser that scans, 640x480 over 70 degrees, 0.25 mm: deviation 2.5 mm at 1 m and 15.5 mm at
    # 9 m (Intel's data sheet of the L515).
    "l515": {
        "step": 1 / 457, "range_mm": 9000, "unit_mm": 0.25, "noise_mm": 2.3, "noise_mm_1m": 0.16,
        "grain": 0.7, "oblique": 0.4, "texture_px": 5, "texture_rows_px": 2, "lateral_px": 0.3,
        "flying": 0.15, "lost_far": 0.3, "lost_near": 0.2, "slant_lost": 0.15, "holes": 0.01,
        "baseline_mm": 10,
    },
    # Structured light of 30,000 dots matched in windows, 640x480, f = 436.5 px. Errors of
    # millimetres (Vogt et al., "Measurement accuracy and dependence on external influences of the
    # iPhone X TrueDepth sensor", SPIE 11144, 2019); outlines are torn, dots missing or wrong.
    "truedepth": {
        "step": 1 / 436.5, "range_mm": 1500, "unit_mm": 0.1, "noise_mm": 0.2, "noise_mm_1m": 3.0,
        "grain": 0.05, "texture_px": 8, "texture_rows_px": 5, "wobble_px": 1.2, "wobble_size_px": 5,
        "reach_px": 4, "smooth": 0.9, "bleed_mm": -2, "lost_far": 0.9, "lost_near": 0.2,
        "slant_lost": 0.2, "hole_px": 12, "holes": 0.08, "wrong": 0.35, "speckle": 0.002,
        "baseline_mm": 27,
    },
    # Stereo without a projector, 640x400, f = 441 px, b = 75 mm, disparity in 1/8 px (Luxonis's
    # documentation of the OAK-D). Skin has little to match: 0.25 px of error, and gaps.
    "oak_d": {
        "step": 1 / 441, "range_mm": 5000, "unit_mm": 1, "disparity_mm": 3.8, "noise_mm_1m": 7.6,
        "grain": 0.08, "texture_px": 12, "texture_rows_px": 9, "wobble_px": 1.6,
        "wobble_size_px": 7, "reach_px": 6, "smooth": 1.0, "bleed_mm": -3, "flying": 0.4,
        "lost_far": 0.6, "hole_px": 24, "holes": 0.2, "wrong": 0.2, "baseline_mm": 75,
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


def sensor(name: str, batch: int = 1, **changes: float) -> Sensor:
    """Return a named sensor, the same for every image.

    Args:
        name: one of `SENSORS`.
        batch: B.
        **changes: properties to set otherwise.

    Raises:
        CadstnError: if there is no such sensor or property.
    """
    if name not in SENSORS:
        raise CadstnError(f"unknown sensor {name!r}", hint="use one of " + ", ".join(SENSORS))
    if unknown := sorted(changes.keys() - _IDEAL.keys()):
        raise CadstnError(f"a sensor has no {', '.join(unknown)}", where=name)
    values = _IDEAL | SENSORS[name] | changes
    return Sensor(**{key: torch.full((batch,), values[key]) for key in _IDEAL})


#: Named sensors that measure by the phase of light, and may count depth modulo a distance.
_PHASE = ("kinect2", "ds325", "azure_kinect")
_WRAP_MM = (1200.0, 3000.0)


def sample_sensor(draws: Draws, kinds: str = "random") -> Sensor:
    """Draw a sensor for every sample.

    Args:
        draws: B streams.
        kinds: ``random``: every property by itself, around and beyond the older named sensors; or
            ``all``: half of the samples so, and half like a named sensor, each property within
            some 20 % of its own.

    Raises:
        CadstnError: if there are no such kinds.
    """
    if kinds not in ("random", "all"):
        raise CadstnError(f"unknown kinds of sensors {kinds!r}", hint="give random or all")
    unit = draws.uniform(len(_RANDOM))
    values = {
        key: low + (high - low) * unit[:, at] ** power
        for at, (key, (low, high, power)) in enumerate(_RANDOM.items())
    }
    nothing = torch.zeros(len(draws), device=draws.device)
    drawn = Sensor(**values, wrap_mm=nothing, wrong=nothing.clone())
    return drawn if kinds == "random" else _some_named(draws.fork("named"), drawn)


def _some_named(draws: Draws, drawn: Sensor) -> Sensor:
    """Make half of the sensors like named ones."""
    names = [name for name in SENSORS if name != "ideal"]
    table = torch.tensor([[(_IDEAL | SENSORS[name])[key] for key in _IDEAL] for name in names])
    which = draws.choice([1.0] * len(names))
    values = (
        table.to(draws.device)[which] * (0.2 * draws.normal(len(_IDEAL))).clamp(-0.5, 0.5).exp()
    )
    column = list(_IDEAL).index
    # Shares end at 1, and the raster of pixels is the sensor's own, or coarser.
    for name in ("grain", "smooth", "flying", "lost_far", "lost_near", "oblique", "wrong"):
        values[:, column(name)].clamp_(max=1.0)
    values[:, column("slant_lost")].clamp_(max=0.5)
    values[:, column("step")] = values[:, column("step")].clamp(min=1 / 1005, max=1 / 220)
    phase = torch.tensor([name in _PHASE for name in names], device=draws.device)[which]
    wraps = phase & draws.chance(0.3)
    wrap_mm = draws.uniform(low=_WRAP_MM[0], high=_WRAP_MM[1])
    values[:, column("wrap_mm")] = torch.where(wraps, wrap_mm, 0.0)
    named = draws.chance(0.5)
    both = zip(drawn, values.unbind(1), strict=True)
    return Sensor(*(torch.where(named, new, old) for old, new in both))
