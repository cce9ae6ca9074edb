"""Input that cannot be right, each kind in one line: depths, and the hands they make.

Every finding is a warning: an unusual scene may be alike, and tracking goes on.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cadstn.geometry.arrays import quantiles
from cadstn.geometry.pinhole import Camera, DepthMm
from cadstn.geometry.plausible_camera import implausible_camera
from cadstn.geometry.same_camera import is_same_camera

#: Hands are searched from here to there, millimetres from the camera.
REACH_MM = (150.0, 2500.0)
#: Nothing nearer than this is unusual for a scene with a hand.
FAR_HAND_MM = 1200.0
#: Nor is a scene whose middle is so near.
_NEAR_SCENE_MM = 300.0
#: Units that depth images come in, millimetres a step.
_UNITS_MM = (0.1, 0.125, 0.2, 0.25, 0.5, 1.0, 1000.0)
#: Smaller frames, along an edge, show too little of a hand.
LEAST_PX = 64
_LEAST_PIXELS = 5000
#: Share of the surfaces that must be where hands are searched.
_LEAST_IN_REACH = 0.001
_RAW_NONE = 2047  # Kinect v1: nothing measured, in 11 bits
_RUN = 10
#: Wrist to the tip of the middle finger along the bones, mm. Adults have 160 to 210 (ANSUR, 5th to
#: 95th percentile of hand length: 165 to 211); children of five about 125. Of 30 rendered hands of
#: all sizes the network gives 116 to 202, and 80 to 279 where unit or focal length are off by 0.5
#: to 2: most of these are inside of what people have.
HAND_MM = (105.0, 240.0)
_USUAL_HAND_MM = 185.0
#: Joints nearer to one another are those of a network that was not trained.
_POINT_MM = 30.0


def depth_quantiles(depth_mm: DepthMm) -> tuple[float, float, float] | None:
    """Return the nearest (0.5 %), middle and farthest (99 %) depths in mm; None if none is."""
    some = _surfaces(depth_mm)
    if not some.size:
        return None
    near, middle, far = quantiles(some, (0.005, 0.5, 0.99))
    return near, middle, far


def implausible_depth(depth_mm: DepthMm, camera: Camera) -> str | None:
    """Return one line on why a frame's depths cannot be right; None where they may be.

    Args:
        depth_mm: (H, W) mm, 0 where nothing was measured.
        camera: that took it; the sensor's own steps follow from its unit.

    It examines a few thousand pixels. It finds: surfaces all out of a hand's reach, and the unit
    that would fit; metres as whole numbers; Kinect v1's raw disparity; 8 bits
    stretched to 16 or left as they are, also as floats that end at 255; a mark of nothing that is
    no distance; filled holes.
    """
    quantiles = depth_quantiles(depth_mm)
    if quantiles is None:
        return None
    steps = _steps(depth_mm, camera)
    if not steps.size and abs(float(np.nanmax(depth_mm)) - 255) < 1e-3:
        return "depths end at 255 mm: a picture scaled to 0 to 255? Give the sensor's own distances"
    return (
        _steps_wrong(steps, camera)
        or _unit_wrong(quantiles, camera)
        or _out_of_reach(depth_mm)
        or holes_filled(depth_mm, camera)
    )


def implausible_bones(joints_mm: NDArray[np.floating], camera: Camera | None = None) -> str | None:
    """Return one line where a hand has a size that no hand has; None where it may have.

    Args:
        joints_mm: (21, 3) or (N, 21, 3) in MediaPipe's order; of N frames the median counts, NaN
            left out.
        camera: that took them; the line names the unit and the focal length that would fit.
    """
    joints = np.asarray(joints_mm, np.float64).reshape(-1, 21, 3)
    chain = joints[:, [0, 9, 10, 11, 12]]
    lengths = np.linalg.norm(np.diff(chain, axis=1), axis=2).sum(1)
    lengths = lengths[np.isfinite(lengths) & (lengths > _POINT_MM)]
    if not lengths.size:
        return None
    (length,) = quantiles(lengths, [0.5])
    if HAND_MM[0] <= length <= HAND_MM[1]:
        return None
    line = (
        f"the hand is {length:.0f} mm long from wrist to middle fingertip, adults' are about 150 "
        "to 210: check the camera's focal length and unit"
    )
    if camera is None:
        return line
    factor = _USUAL_HAND_MM / length
    return (
        f"{line}; about {camera.depth_unit_mm * factor:.2g} mm a step (now "
        f"{camera.depth_unit_mm:g}) or fx {camera.fx / factor:.0f} (now {camera.fx:.4g}) would fit"
    )


class StreamCheck:
    """Checks a stream now and then until there is a verdict, and gives it once.

    Frames 1, 2, 4, 8 and so on are examined, up to `LAST`; a frame in between costs nothing. The
    camera is checked with the first frame and where another comes, until `CAMERAS` have come in a
    row; the hand's size after `HANDS` hands.
    """

    LAST, HANDS, CAMERAS = 1024, 10, 4

    def __init__(self) -> None:
        self._frames, self._next = 0, 1
        self._hands: list[NDArray[np.floating]] | None = []
        self._camera: Camera | None = None
        # Frames in a row, each of another camera than the one before; None once that was said.
        self._cameras: int | None = 0

    def depth(self, depth_mm: DepthMm, camera: Camera) -> list[str]:
        """Examine the next frame; return the warnings, most often none."""
        lines = self._another(depth_mm, camera)
        self._frames += 1
        if self._frames == self._next:
            self._next = self._next * 2 if self._next < self.LAST else 0
            line = implausible_depth(depth_mm, camera)
            if line is not None:
                lines.append(line)
                self._next = 0
        return lines

    def _another(self, depth_mm: DepthMm, camera: Camera) -> list[str]:
        """Examine a camera that is not the one of the frame before."""
        before, self._camera = self._camera, camera
        if self._cameras is None:
            return []
        if before is not None and is_same_camera(before, camera):
            self._cameras = 0
            return []
        self._cameras += 1
        if self._cameras == self.CAMERAS:
            self._cameras = None
            return [
                "the camera is another one in each frame, by more than 1 % of its focal length, "
                "and each begins a new stream: give each camera a Tracker of its own"
            ]
        height, width = depth_mm.shape
        lines = implausible_camera(camera.sized(width, height))
        if min(width, height) < LEAST_PX:
            lines.append(
                f"the frame is {width}x{height} pixels: hands are found in frames of "
                f"{LEAST_PX} and more along each edge"
            )
        return lines

    def hand(self, joints_mm: NDArray[np.floating]) -> list[str]:
        """Take the next hand that was found; return the warnings."""
        if self._hands is None or np.shape(joints_mm) != (21, 3):
            return []
        self._hands.append(joints_mm)
        if len(self._hands) < self.HANDS:
            return []
        line = implausible_bones(np.stack(self._hands), self._camera)
        self._hands = None
        return [] if line is None else [line]


def describe_scene(depth_mm: DepthMm, refused: str = "") -> str:
    """Describe a frame without a hand in one line: nearest surface, reach, refusals.

    Args:
        depth_mm: (H, W) mm of the frame.
        refused: how many candidates there were and why each was refused, if that is known.
    """
    quantiles = depth_quantiles(depth_mm)
    near, far = REACH_MM
    reach = f"hands are searched from {near / 1000:g} to {far / 1000:g} m"
    if quantiles is None:
        return f"nothing measured; {reach}"
    seen = f"nearest surface {quantiles[0] / 1000:.2f} m, middle {quantiles[1] / 1000:.2f} m"
    if quantiles[0] > FAR_HAND_MM:  # steps of 0.25 mm that are read as 1 mm put hands here
        seen += f" ({quantiles[0] / 4000:.2f} m if the unit is a quarter, 0.25 mm for 1)"
    elif near / 4 < quantiles[1] < _NEAR_SCENE_MM:  # steps of 1 mm that are read as 0.25 mm
        seen += f" ({quantiles[1] / 250:.2f} m if a step is four times as long)"
    return f"{seen}; {reach}" + (f"; {refused}" if refused else "")


def _surfaces(depth_mm: DepthMm) -> DepthMm:
    """Some thousand of the depths that were measured."""
    step = max(1, int((depth_mm.size / _LEAST_PIXELS) ** 0.5))
    some = depth_mm[::step, ::step]
    return some[np.isfinite(some) & (some > 0)]


def _steps(depth_mm: DepthMm, camera: Camera) -> NDArray[Any]:
    """Some of the sensor's own steps, those that measure nothing left out."""
    some = _surfaces(depth_mm) / camera.depth_unit_mm
    whole: NDArray[Any] = np.rint(some)
    # Floats that are no whole steps, such as of a filter, have none.
    return whole.astype(np.int64) if np.abs(some - whole).max(initial=0) < 0.01 else whole[:0]


def _steps_wrong(steps: NDArray[np.int64], camera: Camera) -> str | None:
    if not steps.size:
        return None
    values, counts = np.unique(steps, return_counts=True)
    largest = int(values[-1])
    if largest <= 20:
        depths = "different depth" if len(values) == 1 else "different depths"
        return (
            f"only {len(values)} {depths}, the largest {largest}: metres as whole numbers? save "
            "millimetres"
        )
    if largest <= 255 and len(values) > 8:
        return f"no depth is above {largest}: an 8-bit picture in 16 bits, not distances?"
    if len(values) >= 8:
        common = int(np.gcd.reduce(values))
        # So many steps of such a length are no picture's: a unit that is too long.
        if (common in (256, 257) or common > 100) and largest <= 65535:
            return (
                f"all depths are multiples of {common}: an 8-bit picture stretched to 16 bits, "
                "not distances"
            )
    if largest == _RAW_NONE and counts[-1] > 0.002 * steps.size and len(values) > 8:
        return (
            "nothing exceeds 2047 and 2047 is common: Kinect v1's raw 11-bit disparity, not "
            "millimetres; record its depth in millimetres (libfreenect: FREENECT_DEPTH_MM)"
        )
    top = int(counts.argmax())
    if counts[top] > 0.05 * steps.size and values[top] * camera.depth_unit_mm > 20_000:
        return (
            f"{counts[top] / steps.size:.0%} of the depths are {values[top]}, farther than depth "
            f'cameras measure: nothing measured? camera.json: "invalid": [{values[top]}]'
        )
    return None


def _unit_wrong(quantiles: tuple[float, float, float], camera: Camera) -> str | None:
    near, middle, far = quantiles
    unit = camera.depth_unit_mm
    if near > REACH_MM[1]:
        seen = f"nearest surface {near / 1000:.3g} m"
    elif middle < REACH_MM[0]:
        seen = f"half of the surfaces nearer than {middle / 1000:.3g} m"
    elif near < 80 and far < 350:  # no depth camera measures all of a scene so near
        seen = f"surfaces from {near / 1000:.2g} to {far / 1000:.2g} m"
    else:
        return None
    fitting = [
        f"{other:g}"
        for other in _UNITS_MM
        if other != unit
        and 200 <= near * other / unit <= 1500
        and middle * other / unit >= 300
        and far * other / unit <= 10_000
    ]
    fit = f"; a unit of {' or '.join(fitting)} mm would fit (now {unit:g})" if fitting else ""
    return (
        f"{seen}, and hands are searched from {REACH_MM[0] / 1000:g} to {REACH_MM[1] / 1000:g} m"
        f"{fit}"
    )


def _out_of_reach(depth_mm: DepthMm) -> str | None:
    """Surfaces on both sides of where hands are searched, and none there."""
    some = _surfaces(depth_mm)
    near, far = REACH_MM
    if ((some >= near) & (some <= far)).mean() > _LEAST_IN_REACH:
        return None
    nearer = float((some < near).mean())
    return (
        f"{nearer:.0%} of the surfaces are nearer than {near / 1000:g} m and {1 - nearer:.0%} "
        f"farther than {far / 1000:g} m; hands are searched in between"
    )


def holes_filled(depth_mm: DepthMm, camera: Camera) -> str | None:
    """Runs of one value where the sensor's step is finer than its noise: holes were filled."""
    if camera.depth_unit_mm > 0.25:  # coarser steps repeat by themselves
        return None
    steps = _steps(depth_mm, camera)
    if steps.size and int(np.gcd.reduce(steps)) * camera.depth_unit_mm > 0.25:
        return None  # a coarser sensor's depths, written in finer units
    rows = depth_mm[:: max(1, len(depth_mm) // 24)]
    measured = np.asarray(rows > 0)
    same = (rows[:, 1:] == rows[:, :-1]) & measured[:, 1:]
    so_far = np.cumsum(same, axis=1)
    runs = int((so_far[:, _RUN:] - so_far[:, :-_RUN] == _RUN).sum())
    share = runs / max(1, int(measured.sum()))
    if share < 0.1:
        return None
    return (
        f"{share:.0%} of the depths repeat their neighbours': holes seem filled, and are left "
        "out; switch off the camera's hole filling (docs/when-it-does-not-find-my-hand.md)"
    )
