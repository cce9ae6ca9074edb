"""Figures made of the recording in the package: ``python docs/figures/demo_frames.py``.

Needs PyTorch, because the slices are cut by the function that the networks use.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
import torch
from draw import FINGERS, arrow, canvas, depth, plt, save
from matplotlib.axes import Axes
from numpy.typing import NDArray

import cadstn
from cadstn.models.slices import slice_volume

SLICES = 8
SLICED_FRAME, UPRIGHT_FRAME = 43, 20


def a_crop(number: int) -> tuple[cadstn.Crop, NDArray[np.float64]]:
    """Return a crop of the packaged recording and its joints (21, 3): u, v, depth in half cubes."""
    frame = list(cadstn.open_recording("demo"))[number]
    assert frame.truth_xyz_mm is not None
    center = frame.truth_xyz_mm.mean(0)
    crop = cadstn.crop_cube(frame.depth, frame.camera, center, 250)
    seen = frame.truth_xyz_mm.astype(np.float64)
    seen[:, :2] *= center[2] / seen[:, 2:]
    return crop, crop.to_normalised(seen)


def draw_joints(axes: Axes, joints: NDArray[np.float64], size: int) -> None:
    """Draw the skeleton over a crop of ``size`` pixels."""
    pixels = (joints[:, :2] + 1) / 2 * size
    for color, chain in zip(FINGERS, cadstn.HAND21.fingers.values(), strict=True):
        line = pixels[[0, *chain]]
        axes.plot(line[:, 0], line[:, 1], "-o", color=color, markersize=3, linewidth=1.6)


def slices() -> None:
    """Figure of section III-B: a crop and its eight slices."""
    crop, _ = a_crop(SLICED_FRAME)
    volume = slice_volume(torch.from_numpy(crop.image[None]), SLICES)[0].numpy()
    figure, grid = plt.subplots(3, 3, figsize=(6.0, 6.4))
    all_axes = grid.ravel()
    depth(all_axes[0], crop.image, "depth crop, 128 x 128")
    for k, axes in enumerate(all_axes[1:]):
        axes.imshow(1 - volume[k], cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        axes.set(xticks=[], yticks=[])
        axes.set_title(f"slice {k + 1}", fontsize=9)
    figure.subplots_adjust(0.01, 0.01, 0.99, 0.96, wspace=0.05, hspace=0.14)
    save(figure, "slices")


def canonical() -> None:
    """The canonical view: a crop as the camera sees it, mirrored, then rotated upright."""
    crop, joints = a_crop(UPRIGHT_FRAME)
    size = len(crop.image)
    # As the camera would see a left hand that points down and aside: what is to be undone.
    tilt = math.radians(130)
    seen, seen_joints = rotated(crop.image, joints, tilt, mirror=True)
    mirrored, mirrored_joints = rotated(seen, seen_joints, 0.0, mirror=True)
    ahead = mirrored_joints[[5, 9, 13, 17], :2].mean(0) - mirrored_joints[0, :2]
    angle = -math.atan2(ahead[0], -ahead[1])
    upright, upright_joints = rotated(mirrored, mirrored_joints, angle, mirror=False)
    figure, all_axes = plt.subplots(1, 3, figsize=(8.4, 3.0))
    steps = (
        ("1. as the camera sees it: a left hand", seen, seen_joints),
        ("2. mirrored: a right hand", mirrored, mirrored_joints),
        ("3. rotated: wrist below, knuckles above", upright, upright_joints),
    )
    for axes, (title, image, points) in zip(all_axes, steps, strict=True):
        depth(axes, image, title)
        draw_joints(axes, points, size)
    figure.subplots_adjust(0.01, 0.02, 0.99, 0.9, wspace=0.06)
    save(figure, "canonical")


def rotated(
    image: NDArray[np.float32], joints: NDArray[np.float64], angle: float, *, mirror: bool
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Mirror, then rotate a crop and its joints clockwise by ``angle`` radians."""
    across = -1.0 if mirror else 1.0
    sine, cosine = math.sin(angle), math.cos(angle)
    matrix = np.array([[across * cosine, -sine], [across * sine, cosine]])
    middle = (len(image) - 1) / 2
    back = matrix.T
    warp = np.column_stack([back, middle - back.sum(1) * middle])
    flags = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
    out = cv2.warpAffine(image, warp, image.shape, flags=flags, borderValue=1.0)
    points = np.column_stack([joints[:, :2] @ matrix.T, joints[:, 2]])
    return np.asarray(out, np.float32), points


def rays() -> None:
    """Two points on one ray: the same pixel of the crop, another distance aside."""
    figure, axes = canvas(7.2, 2.7)
    eye = np.array([0.5, 0.5])
    axes.plot(*eye, "k^", markersize=9)
    axes.text(eye[0], eye[1] - 0.32, "camera", ha="center", fontsize=9)
    axes.plot([eye[0], 7.0], [eye[1], eye[1]], ":", color="#888", linewidth=1)
    axes.text(6.6, 0.32, "optical axis", ha="center", fontsize=8.5, color="#555")
    slope = 0.27
    axes.plot([eye[0], 6.9], [eye[1], eye[1] + slope * 6.4], color="#56b4e9", linewidth=1.4)
    axes.text(2.0, 1.22, "one ray: one pixel", fontsize=9, color="#2a7fae", ha="center")
    axes.add_patch(plt.Rectangle((3.7, 0.78), 2.6, 1.7, fill=False, edgecolor="#444"))
    axes.text(5.0, 2.56, "cube", ha="center", fontsize=9)
    for x, name in ((4.2, "near joint"), (5.4, "far joint")):
        y = eye[1] + slope * (x - eye[0])
        axes.plot(x, y, "o", color="#d55e00", markersize=7)
        axes.text(x + 0.1, y - 0.3, name, fontsize=9)
        arrow(axes, (x, eye[1]), (x, y - 0.08))
    save(figure, "rays")


if __name__ == "__main__":
    for draw in (slices, canonical, rays):
        draw()
