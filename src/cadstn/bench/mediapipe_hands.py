"""MediaPipe's hand models, timed beside ours where the package ``mediapipe`` is installed.

They read colour pictures and find hands in them; here they get grey pictures of the same depth
frames, 640x480, so that only their time compares. A call tracks one hand: the palm detector where
none is followed, and the landmark model. The classic interface is used, whose models are part of
the package (0.10.x up to 0.10.21 have it); the newer one needs models from elsewhere.
"""

from __future__ import annotations

import time
from importlib import import_module, metadata
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cadstn.bench.load import timing_of
from cadstn.geometry.camera import Camera, DepthMm

_WARM = 20
_NEAR_MM, _RANGE_MM = 200.0, 1300.0
_MODELS = ("lite", "full")


def bench_mediapipe(frames: list[tuple[DepthMm, Camera]]) -> dict[str, Any]:
    """Time whole calls, by the clock.

    Args:
        frames: (H, W) mm, each with its camera.

    Returns:
        ``timings`` by model, and a ``note``: the version and in how many frames a hand was found,
        or why nothing was timed.
    """
    try:
        version = metadata.version("mediapipe")
        hands = import_module("mediapipe").solutions.hands
    except metadata.PackageNotFoundError:
        return {"timings": {}, "note": "not installed"}
    except (ImportError, AttributeError, OSError) as error:
        return {"timings": {}, "note": f"installed, but its hand models cannot be used ({error})"}
    timings: dict[str, Any] = {}
    found = []
    pictures = [gray_picture(depth_mm) for depth_mm, _ in frames]
    for complexity, name in enumerate(_MODELS):
        took, count = [], 0
        try:
            with hands.Hands(max_num_hands=1, model_complexity=complexity) as tracker:
                for number, picture in enumerate(pictures):
                    began = time.perf_counter()
                    result = tracker.process(picture)
                    if number >= min(_WARM, len(pictures) - 1):
                        took.append((time.perf_counter() - began) * 1000)
                        count += result.multi_hand_landmarks is not None
        except (RuntimeError, ValueError, OSError) as error:
            return {"timings": timings, "note": f"{version}, model {name} failed ({error})"}
        timings[name] = timing_of(took)._asdict()
        found.append(f"{name} found a hand in {count} of {len(took)}")
    return {"timings": timings, "note": f"{version}, grey pictures of depth; {', '.join(found)}"}


def gray_picture(depth_mm: DepthMm) -> NDArray[np.uint8]:
    """A depth frame (H, W) as a picture (480, 640, 3): what is near is bright."""
    bright = 255 * (1 - (depth_mm - _NEAR_MM) / _RANGE_MM)
    gray = np.where(depth_mm > 0, np.clip(bright, 0, 255), 0).astype(np.uint8)
    resized = cv2.resize(gray, (640, 480), interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(np.repeat(resized[..., None], 3, -1))
