"""How hands stand and move in NYU's test labels: what `cadstn synth --layout nyu` is set by.

python benchmarks/nyu_views.py GROUNDTRUTH.txt

The labels are u, v, d of 14 joints a line. The palm is their last joint. Its normal and the
direction of its fingers come from the wrist's two labels and the palm's.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cadstn.evaluate.predictions import read_joints_text
from cadstn.evaluate.protocol import PROTOCOLS

SHARES = (1, 5, 25, 50, 75, 95, 99)
WRIST_A, WRIST_B, PALM = 11, 12, 13
CUT_MM = 40.0  # between two frames: another shot


def row(name: str, values: NDArray[np.floating]) -> None:
    """Print the percentiles of one quantity."""
    print(f"{name:34}" + "".join(f"{value:9.1f}" for value in np.percentile(values, SHARES)))


def main() -> None:
    """Print percentiles of views, distance and speed."""
    rules = PROTOCOLS["nyu"]
    uvd = read_joints_text(Path(sys.argv[1]), len(rules.skeleton.joints))
    joints_mm = rules.camera.to_xyz_mm(uvd)
    wrist_mm = (joints_mm[:, WRIST_A] + joints_mm[:, WRIST_B]) / 2
    fingers = joints_mm[:, PALM] - wrist_mm
    fingers /= np.linalg.norm(fingers, axis=1, keepdims=True)
    normal = np.cross(joints_mm[:, WRIST_B] - joints_mm[:, WRIST_A], fingers)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    moved_mm = np.linalg.norm(np.diff(joints_mm, axis=0), axis=-1).mean(1)
    print(f"{len(joints_mm)} frames\n{'percentile':34}" + "".join(f"{p:9}" for p in SHARES))
    row("palm's distance, mm", joints_mm[:, PALM, 2])
    row("fingers lean towards camera, deg", np.degrees(np.arcsin(-fingers[:, 2])))
    row("fingers from upright, deg", np.degrees(np.arctan2(fingers[:, 0], -fingers[:, 1])))
    row("palm's normal from the axis, deg", np.degrees(np.arccos(np.abs(normal[:, 2]))))
    row("a joint's way a frame, mm", moved_mm[moved_mm < CUT_MM])


if __name__ == "__main__":
    main()
