"""Error, acceleration error and delay of windows and filters, on recordings with truth.

    for s in 1 2 3 4; do cadstn synth rec/$s --frames 120 --seed $s; done
    python benchmarks/smoothing.py rec/*

Frames count whose joints are all in view and in which a hand was found. The delay is the number of
frames by which the unsmoothed joints must be shifted to lie nearest to the smoothed ones.
"""

from __future__ import annotations

import sys
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cadstn.bench.accuracy.measure import smoothed
from cadstn.evaluate.metrics import acceleration_errors, joint_errors_mm
from cadstn.io import Recording, open_recording
from cadstn.tracking.filters import Exponential, Filter, OneEuro, Unfiltered
from cadstn.tracking.runtime import load_network
from cadstn.tracking.tracker import WINDOW, Tracker

Joints = NDArray[np.floating]
SHIFTS = np.arange(0, 4.01, 0.1)


class Run(NamedTuple):
    joints: Joints
    truth: Joints
    time_s: Joints


def run(recording: Recording, tracker: Tracker) -> Run:
    tracker.reset()
    joints, truth = [], []
    camera = recording.camera
    for frame in recording:
        assert frame.truth_xyz_mm is not None
        hand = tracker.update(frame.depth, frame.camera, frame.time_s)
        uv = camera.to_uvd(frame.truth_xyz_mm)[:, :2]
        inside = ((uv > 0) & (uv < [camera.width, camera.height])).all()
        joints.append(hand.joints_mm if inside else np.full_like(hand.joints_mm, np.nan))
        truth.append(frame.truth_xyz_mm)
    return Run(np.array(joints), np.array(truth), np.arange(len(joints)) / camera.fps)


def delay(smooth: Joints, raw: Joints) -> float:
    at = np.arange(4, len(raw))
    away = []
    for shift in SHIFTS:
        left = np.floor(at - shift).astype(int)
        part = (at - shift) - left
        moved = (
            raw[left] * (1 - part)[:, None, None]
            + raw[np.minimum(left + 1, len(raw) - 1)] * (part[:, None, None])
        )
        away.append(float(np.nanmean(((moved - smooth[at]) ** 2).sum(-1))))
    return float(SHIFTS[int(np.argmin(away))])


def line(name: str, runs: list[Run], smooth: Filter) -> str:
    errors, accelerations, delays = [], [], []
    for one in runs:
        out = smoothed(one.joints, one.time_s, smooth)
        errors.append(joint_errors_mm(out, one.truth).mean(1))
        accelerations.append(acceleration_errors(out, one.truth))
        delays.append(delay(out, one.joints))
    error, acceleration = np.concatenate(errors), np.concatenate(accelerations)
    return (
        f"| {name} | {np.nanmean(error):.2f} | {np.nanmean(acceleration):.2f} "
        f"| {np.median(delays):.1f} | {np.isfinite(error).sum()} |"
    )


def main(paths: list[str]) -> None:
    recordings = [open_recording(path) for path in paths]
    network = load_network()
    print("| | mean error mm | acceleration error mm/frame^2 | delay frames | frames |")
    print("|---|---|---|---|---|")
    windowed = [run(r, Tracker(network, window=WINDOW)) for r in recordings]
    print(line(f"window of {WINDOW}, unfiltered", windowed, Unfiltered()))
    endless = [run(r, Tracker(network)) for r in recordings]
    for name, smooth in {
        "endless, unfiltered": Unfiltered(),
        "endless, exponential 0.9": Exponential(0.9),
        "endless, exponential 0.7 (the default)": Exponential(),
        "endless, exponential 0.5": Exponential(0.5),
        "endless, one-euro 1 Hz, beta 0.05": OneEuro(1.0, 0.05),
        "endless, one-euro 3 Hz, beta 0.05 (the default)": OneEuro(),
        "endless, one-euro 3 Hz, beta 0.1": OneEuro(3.0, 0.1),
        "endless, one-euro 1 Hz, beta 0.01": OneEuro(1.0, 0.01),
    }.items():
        print(line(name, endless, smooth))


if __name__ == "__main__":
    main(sys.argv[1:])
