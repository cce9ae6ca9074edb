"""A data set of a few frames in ICVL's layout: a drawn hand of sticks, two shots a split."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from cadstn.data import icvl
from cadstn.geometry.skeleton import ICVL16

FRAMES = 20  # a recording


def sticks(frames: int, seed: int) -> NDArray[np.float64]:
    """A moving hand: (N, 16, 3) mm, palm in the middle, five fingers like a fan."""
    rng = np.random.default_rng(seed)
    turn = rng.uniform(-0.3, 0.3) + np.cumsum(rng.normal(0, 0.02, frames))
    where = np.cumsum(rng.normal(0, 2, (frames, 3)), axis=0) + np.array([0, 0, 400])
    joints = np.zeros((frames, 16, 3))
    for f in range(5):
        for part, length in enumerate((35, 55, 75)):
            angle = turn + (f - 2) * 0.45
            joints[:, 1 + 3 * f + part, 0] = length * np.sin(angle)
            joints[:, 1 + 3 * f + part, 1] = -length * np.cos(angle)
    moved: NDArray[np.float64] = joints + where[:, None]
    return moved


def draw(joints_uvd: NDArray[np.float64]) -> NDArray[np.uint16]:
    """Depth in mm of one hand: fingers and a palm 12 mm before their joints, nothing behind."""
    depth = np.zeros((240, 320), np.uint16)
    skin = joints_uvd.copy()
    skin[:, 2] -= 12
    at = np.rint(skin[:, :2]).astype(int)
    for a, b in ICVL16.bones:
        middle = int(skin[[a, b], 2].mean())
        cv2.line(depth, tuple(at[a].tolist()), tuple(at[b].tolist()), middle, 9)
    cv2.circle(depth, tuple(at[0].tolist()), 18, int(skin[0, 2]), -1)
    return depth


@pytest.fixture(scope="session")
def small_icvl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the set: 2 x 20 frames to train with, 2 x 20 to test on."""
    root = tmp_path_factory.mktemp("icvl")
    for split, labels, seed in (
        ("Training", ("labels.txt",), 0),
        ("Testing", ("test_seq_1.txt", "test_seq_2.txt"), 10),
    ):
        lines: dict[str, tuple[list[str], list[NDArray[np.float64]]]] = {}
        for sequence in (1, 2):
            uvd = np.array(icvl.CAMERA.to_uvd(sticks(FRAMES, seed + sequence)), np.float64)
            names = [f"test_seq_{sequence}/image_{i:04d}.png" for i in range(FRAMES)]
            if split == "Training":
                names = [f"20140101000{sequence}/image_{i:04d}.png" for i in range(FRAMES)]
            for name, joints in zip(names, uvd, strict=True):
                icvl.write_frame(root / split / "Depth", name, draw(joints))
            into = lines.setdefault(labels[min(sequence, len(labels)) - 1], ([], []))
            into[0].extend(names)
            into[1].append(uvd)
        for file, (names, parts) in lines.items():
            icvl.write_labels(root / split / file, names, np.concatenate(parts))
    return root
