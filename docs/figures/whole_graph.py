"""The index fingertip that a program of examples/whole found in the demo, over its frames.

``build/track hand.onnx demo.raw 320 240 285 285 160 120 | python docs/figures/whole_graph.py``
"""

from __future__ import annotations

import sys

import cv2
import numpy as np

import cadstn
from cadstn.tracking.views import shade

SHOWN = (10, 40, 65, 120)
TRAIL = 12
BLUE = (214, 120, 30)


def main() -> None:
    """Draw four frames side by side, each with the way of the last frames."""
    tips = [[float(value) for value in line.split()[4:]] for line in sys.stdin]
    frames = list(cadstn.open_recording("demo"))
    pictures = []
    for number in SHOWN:
        frame = frames[number]
        picture = cv2.resize(shade(frame.depth), None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST)
        trail = frame.camera.to_uvd(np.array(tips[number - TRAIL + 2 : number + 1]))[:, :2] * 2
        cv2.polylines(picture, [trail.astype(np.int32)], False, BLUE, 2, cv2.LINE_AA)
        cv2.circle(picture, tuple(trail[-1].astype(int)), 6, BLUE, -1, cv2.LINE_AA)
        pictures.append(picture[:400, :480])
    cv2.imwrite(
        "docs/figures/whole-graph.webp", np.hstack(pictures), [cv2.IMWRITE_WEBP_QUALITY, 60]
    )


if __name__ == "__main__":
    main()
