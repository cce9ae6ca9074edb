"""Hold rendered sensors' noise on hands against real frames of the same sensors.

python benchmarks/synth_sensors.py [--real ../shared/real] [--frames 24] [--seed 0] [--sheet PNG]

For every sensor with real frames: open hands, four times as many, are rendered at the real hands'
distance with the real camera, with what was really behind them, through the sensor of that name,
and every figure of ``sensor_figures.py`` is printed for both, with their ratio, as a Markdown
table. Medians over frames, of holes the mean. ``--sheet`` draws hands of both, real ones above.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from sensor_figures import SensorFigures, hand_mask, sensor_figures

from cadstn.geometry.camera import Camera
from cadstn.io import open_recording
from cadstn.synth.draws import Draws
from cadstn.synth.hand import ANGLES
from cadstn.synth.motion import Motion
from cadstn.synth.raster import camera_view, cast
from cadstn.synth.scene import place_hands
from cadstn.synth.sensor import degrade
from cadstn.synth.sensors import SENSORS, sensor
from cadstn.synth.shape import sample_shape
from cadstn.synth.surface import join
from cadstn.tracking.tracker import Tracker

Array = NDArray[np.float32]
WINDOW_MM = 270.0
HOLES = SensorFigures._fields.index("holes")
#: Least angles in radians of a hand with its fingers apart.
SPREAD = {"index_splay": 0.05, "middle_splay": -0.1, "ring_splay": -0.25, "pinky_splay": -0.4}


class Real(NamedTuple):
    """A real sensor's frames: their folder, our sensor's name, what was behind (mm, inf: nothing).

    ``center_uvd`` is the hand, by eye, where the finder is lost.
    """

    folder: str
    name: str
    behind_mm: float
    center_uvd: tuple[float, float, float] | None = None


REALS = (
    Real("kinect2", "kinect2", 1090.0),
    Real("sr305", "sr305", 780.0),
    Real("nyu", "nyu_primesense", 2001.0),
    Real("ds325", "ds325", 740.0, (168.0, 165.0, 525.0)),
)


class View(NamedTuple):
    """A window around one hand."""

    depth_mm: Array
    camera: Camera
    center_xyz_mm: NDArray[np.floating]

    def figures(self) -> SensorFigures:
        mask = hand_mask(self.depth_mm, self.camera, self.center_xyz_mm)
        return sensor_figures(self.depth_mm, mask, self.camera)


def real_views(real: Real, root: Path, limit: int) -> list[View]:
    recording = open_recording(root / real.folder, real.folder)
    step = max(1, len(recording) // limit)
    tracker = Tracker()
    views = []
    for frame in list(recording.frames(on_bad=lambda bad: print(bad.error)))[::step]:
        if real.center_uvd is None:
            tracker.reset()
            hand = tracker.update(frame.depth, frame.camera)
            if not hand.found:
                continue
            center = hand.center_mm
        else:
            center = np.asarray(frame.camera.to_xyz_mm(np.array(real.center_uvd)))
        views.append(window(frame.depth, frame.camera, center))
    return views


def window(depth_mm: Array, camera: Camera, center: NDArray[np.floating]) -> View:
    u, v, z = camera.to_uvd(center)
    half = round(WINDOW_MM / 2 * camera.fx / z)
    left, top = round(u) - half, round(v) - half
    padded = np.pad(depth_mm, half + 1)
    rows, columns = top + half + 1, left + half + 1
    cut = padded[max(rows, 0) : rows + 2 * half, max(columns, 0) : columns + 2 * half]
    camera = replace(
        camera, cx=camera.cx - left, cy=camera.cy - top, width=cut.shape[1], height=cut.shape[0]
    )
    return View(cut, camera, center)


def rendered_views(real: Real, camera: Camera, z_mm: Array, seed: int) -> list[View]:
    """One rendered hand for each distance, through the sensor of that name."""
    count = len(z_mm)
    draws = Draws((seed,), torch.arange(count))
    # Open hands, as the real ones are: joints bent a little, fingers and thumb apart.
    bend = [0.0 if name.startswith("wrist") else 0.3 for name in ANGLES]
    apart = [SPREAD.get(name, 0.0) for name in ANGLES]
    angles = draws.uniform(len(ANGLES)) * torch.tensor(bend) + torch.tensor(apart)
    tilt, roll = draws.normal(2, std=0.3), draws.normal(std=0.5)
    rotation = (
        rotation_about(tilt[:, 0], 0) @ rotation_about(tilt[:, 1], 1) @ rotation_about(roll, 2)
    )
    # Palm to the camera, or its back, fingers up.
    front = torch.diag(torch.tensor([1.0, -1.0, -1.0]))
    back = torch.diag(torch.tensor([-1.0, -1.0, 1.0]))
    rotation = rotation @ torch.stack([front if i % 2 else back for i in range(count)])
    half = round(WINDOW_MM / 2 * camera.fx / float(np.median(z_mm)))
    camera = replace(camera, cx=half, cy=half, width=2 * half, height=2 * half)
    place = torch.stack([torch.zeros(count), torch.zeros(count), torch.from_numpy(z_mm)], 1)
    hand = place_hands(
        Motion(angles[:, None], rotation[:, None], place[:, None]),
        sample_shape(draws.fork("shape")),
    )
    cones = join(hand.hand, hand.arm)
    clean = cast(cones, camera_view(camera, count)).clamp(max=real.behind_mm)
    seen = degrade(
        clean,
        draws.fork("noise"),
        sensor(real.name, count),
        angle_per_pixel=torch.full((count,), 1 / camera.fx),
    )
    images = torch.where(seen.isfinite(), seen, 0.0).numpy()
    return [
        View(image, camera, np.array([0.0, 0.0, z])) for image, z in zip(images, z_mm, strict=True)
    ]


def rotation_about(angle: torch.Tensor, axis: int) -> torch.Tensor:
    """Rotations (B, 3, 3) about a camera axis."""
    matrix = torch.eye(3).repeat(len(angle), 1, 1)
    i, j = (axis + 1) % 3, (axis + 2) % 3
    matrix[:, i, i] = matrix[:, j, j] = angle.cos()
    matrix[:, i, j], matrix[:, j, i] = -angle.sin(), angle.sin()
    return matrix


def medians(views: list[View]) -> NDArray[np.float64]:
    figures = np.array([view.figures() for view in views], np.float64)
    keep = ~np.isnan(figures).all(0)
    out = np.full(figures.shape[1], np.nan)
    out[keep] = np.nanmedian(figures[:, keep], 0)
    # Most frames have no hole, so that their median tells nothing.
    out[HOLES] = np.nanmean(figures[:, HOLES])
    return out


def rows(name: str, real: NDArray[np.float64], drawn: NDArray[np.float64]) -> list[str]:
    lines = []
    for field, a, b in zip(SensorFigures._fields, real, drawn, strict=True):
        if np.isnan(a):
            continue
        ratio = f"{b / a:.2f}" if a else ("=" if not b else "inf")
        lines.append(f"| {name} | {field} | {a:.4f} | {b:.4f} | {ratio} |")
    return lines


def picture(view: View, edge: int = 300) -> NDArray[np.uint8]:
    """Depth as colour over 200 mm around the hand; black where nothing was measured."""
    z = view.center_xyz_mm[2]
    near = ((z + 110 - view.depth_mm) / 200).clip(0, 1) * 255
    image = cv2.applyColorMap(near.astype(np.uint8), cv2.COLORMAP_TURBO)
    image[view.depth_mm > z + 110] = 110
    image[view.depth_mm <= 0] = 0
    return np.asarray(cv2.resize(image, (edge, edge), interpolation=cv2.INTER_NEAREST), np.uint8)


def sheet(pairs: list[tuple[list[View], list[View]]], each: int = 5) -> NDArray[np.uint8]:
    """A row of real hands, then a row of rendered ones, for every sensor."""
    lines = []
    for group in (views for pair in pairs for views in pair):
        chosen = [
            group[i] for i in np.linspace(0, len(group) - 1, min(each, len(group))).astype(int)
        ]
        tiles = [picture(view) for view in chosen]
        tiles += [np.zeros_like(tiles[0])] * (each - len(tiles))
        lines.append(np.hstack(tiles))
    return np.vstack(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--real", type=Path, default=Path("../shared/real"))
    parser.add_argument("--frames", type=int, default=24)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=SENSORS)
    parser.add_argument("--sheet", type=Path)
    args = parser.parse_args()
    print("| sensor | figure | real | rendered | ratio |\n|---|---|---|---|---|")
    pairs = []
    for real in REALS:
        if args.only not in (None, real.name):
            continue
        found = real_views(real, args.real, args.frames)
        z = np.array([v.center_xyz_mm[2] for v in found], np.float32)
        z = np.resize(z, 4 * args.frames)  # holes are rare
        drawn = rendered_views(real, found[0].camera, z, args.seed)
        pairs.append((found, drawn))
        print("\n".join(rows(real.name, medians(found), medians(drawn))), flush=True)
    if args.sheet:
        cv2.imwrite(str(args.sheet), sheet(pairs))


if __name__ == "__main__":
    main()
