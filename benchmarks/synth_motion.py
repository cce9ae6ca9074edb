"""Hold rendered hands' motion against real labels, and measure how deep fingers are in one another.

python benchmarks/synth_motion.py [--shared ../shared] [--clips 1500] [--seed 0]

Prints two tables in Markdown. Motion: speed and acceleration of the joints, mean over a frame's
joints, of the test labels of NYU and ICVL (where ../shared has them, never across a cut) beside
drawn clips at 30 frames a second; ICVL skips frames, so clips are also shown at 10 a second, and
calm and brisk thirds by themselves. Penetration: before and after contact is resolved, over all
frames of the same clips, between as much as within poses.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from cadstn.evaluate.predictions import read_joints_text
from cadstn.evaluate.protocol import PROTOCOLS
from cadstn.synth.contact import penetration_mm, relevant_pairs
from cadstn.synth.draws import Draws
from cadstn.synth.hand import Shape, forward
from cadstn.synth.motion import Motion, sample_motion, sample_pace
from cadstn.synth.shape import sample_shape

Array = NDArray[np.float64]
FRAMES = 16
LOOSE_MM = 1.0


def real_shots(name: str, shared: Path) -> list[Array]:
    """Labels of a test set in mm, one (T, K, 3) a shot."""
    rules = PROTOCOLS[name]
    path = shared / "published" / name / "groundtruth.txt"
    uvd = read_joints_text(path, len(rules.skeleton.joints))
    return np.split(rules.camera.to_xyz_mm(uvd), rules.cuts)


def drawn_shots(motion: Motion, shape: Shape) -> list[Array]:
    """Joints of drawn clips in mm, camera frame."""
    frames = motion.angles.shape[1]
    spread = Shape(*(f.repeat_interleave(frames, 0) for f in shape))
    joints, _ = forward(motion.angles.flatten(0, 1), spread)
    # The palm's middle is what travels and rotates in place.
    at = motion.position_mm.flatten(0, 1)[:, None]
    joints = (joints - joints.new_tensor([0.0, 75.0, 0.0])) @ motion.rotation.flatten(0, 1).mT + at
    return list(joints.view(-1, frames, 21, 3).double().numpy())


def motion_row(name: str, shots: Sequence[Array]) -> str:
    """One row of the motion table."""
    moves = [np.diff(shot, axis=0) for shot in shots]
    bends = [np.diff(shot, 2, axis=0) for shot in shots if len(shot) > 2]
    speed = np.concatenate([np.linalg.norm(m, axis=-1).mean(1) for m in moves])
    bend = np.concatenate([np.linalg.norm(b, axis=-1).mean(1) for b in bends])
    whole = np.concatenate([np.linalg.norm(m.mean(1), axis=-1) for m in moves])
    own = [np.linalg.norm(m - m.mean(1, keepdims=True), axis=-1).mean(1) for m in moves]
    return (
        f"| {name} | {speed.mean():.1f} | {_percentiles(speed)} "
        f"| {100 * (speed < 1.5).mean():.0f} % "
        f"| {whole.mean():.1f} | {np.concatenate(own).mean():.1f} "
        f"| {bend.mean():.1f} | {_percentiles(bend)} |"
    )


def _percentiles(values: Array) -> str:
    return " / ".join(f"{p:.1f}" for p in np.percentile(values, [50, 90, 99]))


def penetration_rows(angles: dict[str, torch.Tensor], shape: Shape) -> list[str]:
    """Rows of the penetration table: all pairs of parts, then each."""
    names = relevant_pairs(torch.device("cpu")).names
    parts = sorted(set(names))
    depths: dict[str, Array] = {}
    for label, poses in angles.items():
        frames = poses.shape[1]
        chunks = []
        for first in range(0, len(poses), 64):
            some = Shape(*(f[first : first + 64].repeat_interleave(frames, 0) for f in shape))
            _, cones = forward(poses[first : first + 64].flatten(0, 1), some)
            depth = penetration_mm(cones)
            groups = [depth[:, [n == part for n in names]].amax(1) for part in parts]
            chunks.append(torch.stack(groups, 1))
        depths[label] = torch.cat(chunks).double().numpy()
    rows = []
    for part in ("any", *parts):
        cells = [part]
        for table in depths.values():
            deep = table.max(1) if part == "any" else table[:, parts.index(part)]
            deep = np.maximum(deep, 0.0)
            cells += [
                f"{100 * (deep > LOOSE_MM).mean():.2f} %",
                f"{np.percentile(deep, 99):.2f}",
                f"{deep.max():.1f}",
            ]
        rows.append("| " + " | ".join(cells) + " |")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--clips", type=int, default=1500)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    draws = Draws((options.seed,), torch.arange(options.clips))
    shape = sample_shape(draws.fork("shape"))
    motions: dict[str, Motion] = {}
    started = time.perf_counter()
    for label, fps, resolved in (
        ("before", 30.0, False),
        ("after", 30.0, True),
        ("slow", 10.0, True),
    ):
        motions[label] = sample_motion(draws.fork("motion"), shape, FRAMES, fps, resolved=resolved)
    seconds = time.perf_counter() - started
    knot_s = sample_pace(draws.fork("motion").fork("pace")).knot_s
    thirds = knot_s.quantile(torch.tensor([1 / 3, 2 / 3]))
    calm, brisk = knot_s > thirds[1], knot_s < thirds[0]

    print(
        f"{options.clips} clips of {FRAMES} frames, seed {options.seed}; drawn in {seconds:.0f} s"
    )
    print("\n| joints of | speed, mm a frame | p50 / p90 / p99 | below 1.5 mm | of the whole hand "
          "| about its middle | acceleration, mm a frame^2 | p50 / p90 / p99 |\n"
          "|---|---|---|---|---|---|---|---|")  # fmt: skip
    for name in ("nyu", "icvl"):
        if (options.shared / "published" / name).exists():
            print(motion_row(f"{name}, real", real_shots(name, options.shared)))
        else:
            print(f"| {name}: no labels in {options.shared} | | | | | | | |")
    after = drawn_shots(motions["after"], shape)
    print(motion_row("drawn, 30 a second", after))
    print(motion_row("drawn, calm third", [s for s, yes in zip(after, calm, strict=True) if yes]))
    print(motion_row("drawn, brisk third", [s for s, yes in zip(after, brisk, strict=True) if yes]))
    print(motion_row("drawn, 10 a second", drawn_shots(motions["slow"], shape)))
    print(motion_row("drawn, before contact", drawn_shots(motions["before"], shape)))

    print("\n| parts | before: over 1 mm | p99, mm | most | after: over 1 mm | p99, mm | most |\n"
          "|---|---|---|---|---|---|---|")  # fmt: skip
    both = {label: motions[label].angles for label in ("before", "after")}
    print("\n".join(penetration_rows(both, shape)))


if __name__ == "__main__":
    main()
