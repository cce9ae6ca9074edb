"""What the shipped weights see in fixed frames, as numbers: the pins of the tracker.

Run as a script it writes ``pins.json`` anew; do so only where a change is meant to change results,
and say in the commit what changed and why.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cadstn.geometry.camera import Camera
from cadstn.io import Frame, open_recording
from cadstn.tracking import Tracker, load_network

PINS = Path(__file__).with_name("pins.json")
#: Small untrained networks as 0.1.0 exported them: one that follows and one for first looks.
OLDER = Path(__file__).with_name("older.onnx")
#: Rendered scenes: a seed of its own, and few frames, so that the test stays short.
SEED, SCENES, SCENE_FRAMES = (20261129, 7), 8, 24
SCENE_CAMERA = Camera(240.0, 240.0, 160.0, 120.0, 320, 240)
#: Real frames: folder, camera, how many.
REAL = (
    ("kinect2", "kinect2", 60),
    ("sr305", "sr305", 19),
    ("nyu", "nyu", 1),
    ("ds325", "ds325", 1),
)


class CountedRuns:
    """A session that counts how often it is run; everything else is the session's own."""

    def __init__(self, session: Any) -> None:
        self._session, self.runs = session, 0

    def run(self, *args: Any, **kwargs: Any) -> Any:
        self.runs += 1
        return self._session.run(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)


def pin(frames: Iterable[Frame], weights: Path | None = None) -> dict[str, Any]:
    """Track frames with a new tracker; every frame's answer, and every sixth frame's joints."""
    network = load_network(weights, threads=1)
    session = CountedRuns(network.session)
    tracker = Tracker(replace(network, session=session), fit=False)
    out: dict[str, Any] = {
        key: [] for key in ("how", "side", "present", "runs", "center_mm", "joints_mm", "error_mm")
    }
    for count, frame in enumerate(frames):
        if frame.cut:
            tracker.reset()
        session.runs = 0
        hand = tracker.update(frame.depth, frame.camera, frame.time_s)
        out["how"].append(hand.how)
        out["side"].append(hand.side)
        out["present"].append(_rounded(hand.present, 3))
        out["runs"].append(session.runs)
        out["center_mm"].append(_rounded(hand.center_mm, 1))
        if count % 6 == 0:
            out["joints_mm"].append(_rounded(hand.joints_mm, 2))
        if frame.truth_xyz_mm is not None:
            error = np.linalg.norm(hand.joints_mm - frame.truth_xyz_mm, axis=-1).mean()
            out["error_mm"].append(_rounded(error, 2))
    return out


def demo() -> Iterator[Frame]:
    """The recording in the package."""
    yield from open_recording("demo")


def without_hand() -> Iterator[Frame]:
    """The demo, with hand and wrist cut out of every frame from the tenth on, until the 25th."""
    for frame in demo():
        if frame.index >= 40:
            return
        depth = frame.depth.copy()
        if 10 <= frame.index < 25 and frame.truth_xyz_mm is not None:
            rows, columns = np.nonzero(depth)
            uvd = np.stack([columns, rows, depth[rows, columns]], -1)
            away = frame.camera.to_xyz_mm(uvd) - frame.truth_xyz_mm.mean(0)
            near = np.linalg.norm(away, axis=1) < 150
            depth[rows[near], columns[near]] = 0
        yield replace(frame, depth=depth)


def rendered(index: int) -> tuple[list[Frame], str]:
    """A rendered scene of few frames with its truth, and which hand it shows."""
    from cadstn.synth.frames import Sequence

    scene = Sequence(SEED, index, SCENE_CAMERA, SCENE_FRAMES)
    frames = [
        Frame(number, str(number), number / 30, raw.astype(np.float32), SCENE_CAMERA, False, joints)
        for number, (raw, joints) in enumerate(
            zip(scene.render(), scene.joints_xyz_mm, strict=True)
        )
    ]
    return frames, "left" if scene.left else "right"


def checksum(frames: Iterable[Frame]) -> str:
    """Of their depths: processors differ in how they round what they render."""
    return hashlib.sha256(b"".join(frame.depth.tobytes() for frame in frames)).hexdigest()[:16]


def real(shared: Path, name: str, camera: str, most: int) -> Iterator[Frame]:
    """The first frames of a real recording beside the project."""
    for frame in open_recording(shared / "real" / name, camera):
        if frame.index == most:
            return
        yield frame


def _rounded(values: float | NDArray[np.floating], digits: int) -> Any:
    """Plain numbers of so many digits; None for what is not finite."""
    plain = np.asarray(values, np.float64).round(digits).tolist()

    def without_nan(value: Any) -> Any:
        if isinstance(value, list):
            return [without_nan(part) for part in value]
        return value if np.isfinite(value) else None

    return without_nan(plain)


def main() -> None:
    """Write the pins anew; real frames only where they lie beside the project."""
    shared = Path(__file__).resolve().parents[3].parent / "shared"
    pins: dict[str, Any] = {"demo": pin(demo()), "without hand": pin(without_hand())}
    pins["older file"] = pin(islice(demo(), 12), OLDER)
    for index in range(SCENES):
        frames, side = rendered(index)
        pins[f"rendered {index}"] = {"truth": side, "frames": checksum(frames), **pin(frames)}
    for name, camera, most in REAL:
        # Others' data: no joints of theirs, only what was found and how often the network ran.
        seen = pin(real(shared, name, camera, most))
        pins[f"real {name}"] = {key: seen[key] for key in ("how", "side", "present", "runs")}
    PINS.write_text(json.dumps(pins, separators=(",", ":")).replace("},", "},\n") + "\n")


if __name__ == "__main__":
    main()
