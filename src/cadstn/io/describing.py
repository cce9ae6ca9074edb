"""What a recording holds, in numbers."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from cadstn.geometry.plausible import StreamCheck
from cadstn.io.recording import BadFrame, Recording
from cadstn.io.times import implausible_times


def describe(recording: Recording) -> dict[str, Any]:
    """Describe a recording, for ``cadstn info``; plain values, fit for JSON.

    Every frame is read, so that ``bad`` counts them all; ``depth_mm`` (nearest, p1, p50, p99) and
    ``invalid_share`` come from about twenty of them. ``warnings`` are lines about depth, a
    camera and times that cannot be right, see `cadstn.geometry.plausible`.

    Raises:
        CadstnError: if no frame can be read.
    """
    bad: list[BadFrame] = []
    every = -(-len(recording) // 20)
    sampled, pixels = [], 0
    check = StreamCheck()
    line = implausible_times(recording)
    warnings = [] if line is None else [line]
    for number, frame in enumerate(recording.frames(bad.append)):
        warnings += check.depth(frame.depth, recording.camera)
        if number % every == 0:
            sampled.append(frame.depth[frame.depth > 0])
            pixels += frame.depth.size
    valid = np.concatenate(sampled)
    p1, p50, p99 = np.percentile(valid, (1, 50, 99)).tolist()
    truth, camera = recording.truth_xyz_mm, recording.camera
    last_s = recording.time_s(len(recording) - 1)
    return {
        "path": str(recording.path),
        "frames": len(recording),
        "bad": len(bad),
        "first_bad": str(bad[0].error) if bad else None,
        "shots": 1 + len(recording.cuts),
        "size": [camera.width, camera.height],
        "fps": camera.fps,
        # To the end of the last frame.
        "duration_s": round(last_s - recording.time_s(0) + 1 / camera.fps, 6),
        "camera": json.loads(camera.to_json()),
        "skeleton": None if recording.skeleton is None else recording.skeleton.name,
        "truth_joints": None if truth is None else truth.shape[1],
        "truth_frames": 0 if truth is None else int(np.isfinite(truth[:, 0, 0]).sum()),
        "depth_mm": {"nearest": float(valid.min()), "p1": p1, "p50": p50, "p99": p99},
        "invalid_share": round(1.0 - valid.size / pixels, 6),
        "warnings": warnings,
    }
