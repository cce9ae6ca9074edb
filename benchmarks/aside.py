"""Error of a perfect crop reader that takes each cube to lie straight ahead of the camera.

    python benchmarks/aside.py [nyu=GROUNDTRUTH.txt icvl=GROUNDTRUTH.txt]

A crop does not show in which direction from the camera its cube lies. A network that predicts where
joints lie, instead of where they appear, puts a joint that lies deeper than the cube's centre too
near to the camera's axis. Mean over all joints, in mm: of 1,024 validation frames of `cadstn train
compact`, and of the test frames of a data set (joints as u, v, d a line), cubes around the mean
joint.
"""

from __future__ import annotations

import dataclasses
import sys

import numpy as np
from numpy.typing import NDArray

from cadstn.geometry.camera import KNOWN_CAMERAS
from cadstn.train import RenderedSource
from cadstn.train.recipes import recipe

FloatArray = NDArray[np.floating]


def report(name: str, joints_xyz_mm: FloatArray, centers_mm: FloatArray) -> None:
    """Print one line of (N, K, 3) joints and (N, 3) centres."""
    aside = centers_mm[:, :2] / centers_mm[:, 2:]
    deep_mm = joints_xyz_mm[..., 2] - centers_mm[:, None, 2]
    off_mm = np.abs(deep_mm) * np.linalg.norm(aside, axis=1)[:, None]
    degrees = np.degrees(np.arctan(np.linalg.norm(aside, axis=1)))
    print(
        f"{name}: {len(off_mm)} frames, {degrees.mean():.1f} degrees off the axis on average, "
        f"joints off by {off_mm.mean():.2f} mm, median {np.median(off_mm):.2f}"
    )


def main() -> None:
    """Print a line of rendered frames, and one of each file."""
    source = RenderedSource(dataclasses.replace(recipe("compact"), compiled=False), "cpu")
    joints, centers = [], []
    for batch in source.validation(1024, 16):
        half_mm = (batch.cube_mm / 2).view(-1, 1, 1, 1)
        points_mm = batch.joints * half_mm + batch.centers_mm[..., None, :]
        joints.append(points_mm.flatten(0, 1).numpy())
        centers.append(batch.centers_mm.flatten(0, 1).numpy())
    report("rendered", np.concatenate(joints), np.concatenate(centers))
    for argument in sys.argv[1:]:
        name, path = argument.split("=", 1)
        uvd = np.loadtxt(path)
        points_mm = KNOWN_CAMERAS[name].to_xyz_mm(uvd.reshape(len(uvd), -1, 3))
        report(name, points_mm, points_mm.mean(1))


if __name__ == "__main__":
    main()
