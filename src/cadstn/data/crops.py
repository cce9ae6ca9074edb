"""How labelled frames become crops: where the cube stands, how large it is, and cutting one."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cadstn.data.dataset import Sample
from cadstn.errors import CadstnError
from cadstn.geometry.camera import Camera, DepthMm, FloatArray
from cadstn.geometry.crop import Crop, cut_cube
from cadstn.io.files import error_context

CENTERS, RENDERED_CENTERS = ("mass_once", "mass", "joint"), ("tracked", "followed")
"""Where cubes can stand, see `CropRule`: in data sets, and in rendered frames."""

_NEAR_MM, _FAR_MM = 10.0, 1500.0  # DeepPrior ignores what lies outside
_MASS_ROUNDS = {"mass_once": 1, "mass": 2}


@dataclass(frozen=True)
class CropRule:
    """How frames become crops; banks of two rules are never mixed up.

    Attributes:
        skeleton: name of the joints that are kept, in which order.
        cube_mm: edge of the cube; the paper's recipes have 300 for NYU (249 for its subject 2), 250
            for ICVL.
        cubes_mm: other edges for some subjects, by name.
        size: M, pixels along a crop's edge.
        center: where the cube stands. ``mass_once``: the surface's centre of mass in the cube
            around the truth's centre joint (DeepPrior's training crops, and the paper's);
            ``mass``: the centre of mass in the cube around that point; ``joint``: that joint
            itself, as many published scripts have it; ``tracked``: near the joints' mean in the
            frame before, or far from it as at acquisition (rendered clips); ``followed``: the same
            without acquisition.

    Raises:
        CadstnError: for an unknown centre.
    """

    skeleton: str
    cube_mm: float
    cubes_mm: dict[str, float] = field(default_factory=dict)
    size: int = 128
    center: str = "mass_once"

    def __post_init__(self) -> None:
        known = (*CENTERS, *RENDERED_CENTERS)
        if self.center not in known:
            raise CadstnError(f"no centre '{self.center}'", hint=f"use one of {', '.join(known)}")

    def cube_of(self, subject: str) -> float:
        """Edge of the cube for a subject, mm."""
        return self.cubes_mm.get(subject, self.cube_mm)

    @property
    def mass_rounds(self) -> int:
        """How often the centre of mass is taken; 0 where the centre is another."""
        return _MASS_ROUNDS.get(self.center, 0)

    def to_json(self) -> str:
        """One line that two equal rules share."""
        return json.dumps(asdict(self), sort_keys=True)


def crop_sample(sample: Sample, rule: CropRule, center_joint: int) -> Crop:
    """Cut one labelled frame by a rule, from its true joint ``center_joint``.

    Args:
        sample: of a `Dataset`.
        rule: how to cut; its centre is one of `CENTERS`, others stand where `joint` does.
        center_joint: the set's, `Dataset.center_joint`.

    Raises:
        CadstnError: naming the frame, if it cannot be read, or its centre is not in front of the
            camera.
    """
    cube_mm = rule.cube_of(sample.subject)
    start = sample.joints_xyz_mm[center_joint]
    if rule.mass_rounds:
        start = mass_center(sample.depth_mm, sample.camera, start, cube_mm, rule.mass_rounds)
    with error_context(sample.name):
        return cut_cube(sample.depth_mm, sample.camera, start, cube_mm, rule.size)


def mass_center(
    depth_mm: DepthMm, camera: Camera, start_xyz_mm: ArrayLike, cube_mm: float, rounds: int
) -> FloatArray:
    """Mean pixel and mean depth of the surface in a cube, ``rounds`` times, each around the last.

    Args:
        depth_mm: (H, W) mm, 0 where nothing was measured.
        camera: that took it.
        start_xyz_mm: (3,) camera frame.
        cube_mm: edge of the cube.
        rounds: how often the mean is taken.

    Returns:
        (3,) mm, camera frame; the start itself where the cube is empty, or not before the camera.
    """
    center = np.asarray(start_xyz_mm, np.float64)
    height, width = depth_mm.shape
    half = cube_mm / 2
    for _ in range(rounds):
        if not center[2] > 0:
            return center
        u, v, z = camera.to_uvd(center)
        du, dv = half * camera.fx / z, half * camera.fy / z
        # Neither end may be negative: a slice would count it from the image's other side.
        left, right = max(int(u - du), 0), max(min(int(u + du), width), 0)
        top, bottom = max(int(v - dv), 0), max(min(int(v + dv), height), 0)
        patch = depth_mm[top:bottom, left:right]
        low, high = max(z - half, _NEAR_MM), min(z + half, _FAR_MM)
        rows, columns = np.nonzero((patch >= low) & (patch <= high))
        if not len(rows):
            return center
        mean = (columns.mean() + left, rows.mean() + top, float(patch[rows, columns].mean()))
        center = np.asarray(camera.to_xyz_mm(mean), np.float64)
    return center


def quantise(crops: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Normalised crops in [-1, 1] -> 16 bits: steps of 0.004 mm in a 250 mm cube, +1 exactly."""
    steps: NDArray[np.uint16] = np.rint((crops + 1) * np.float32(32767.5)).astype(np.uint16)
    return steps
