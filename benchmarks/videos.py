"""The moving pictures of the README: a rendered recording, and the skeleton of a real one.

    python benchmarks/videos.py --check pictures

Writes docs/demo.webp (the recording in the package, depth with the skeleton over it) and
docs/real-kinect2.webp: the skeleton alone, as the camera sees it, from the front and from the side;
no pixel of the recording, which belongs to others (read from ../shared, or CADSTN_SHARED).
WebP, because a GIF of the same pictures is seven times as large and has 256 colours. One thread and
the weights that ship: on one machine the same file every time. --check writes every 15th picture of
each as a PNG, the real one with its depth under the skeleton, to check that it lies on the hand.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from cadstn.geometry.camera import Camera
from cadstn.geometry.skeleton import Skeleton
from cadstn.io import Frame, Recording, open_recording
from cadstn.tracking import Hand, Tracker, load_network
from cadstn.tracking.views import Image, draw_joints, overlay

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("CADSTN_SHARED", ROOT.parent / "shared"))
HEIGHT = 300
QUALITY = 70
LIMIT_MB = 1.5
CHECK_EVERY = 15
#: Canvas of the skeleton alone; edge of what the close views show, in mm.
CANVAS, CLOSE_MM = 480, 240.0
WORDS = ("a real Kinect v2; the joints", "alone, for the recording", "belongs to others")
GREY, TEXT = (28, 28, 28), (200, 200, 200)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, default=ROOT / "docs")
    parser.add_argument("--check", type=Path, help="a folder for single pictures to check by eye")
    chosen = parser.parse_args()
    if not hasattr(cv2, "imwriteanimation"):
        print("writing WebP needs OpenCV 4.11 or newer", file=sys.stderr)
        return 2
    if chosen.check is not None:
        chosen.check.mkdir(parents=True, exist_ok=True)
    too_large = 0
    frames, hands, skeleton = follow(open_recording("demo"))
    over = [over_depth(f, h, skeleton) for f, h in zip(frames, hands, strict=True)]
    too_large += write(chosen.out / "demo.webp", over, frames, chosen.check, over)
    real = SHARED / "real" / "kinect2"
    if real.is_dir():
        frames, hands, skeleton = follow(open_recording(real, "kinect2"))
        pictures = [alone(f, h, skeleton) for f, h in zip(frames, hands, strict=True)]
        over = [over_depth(f, h, skeleton) for f, h in zip(frames, hands, strict=True)]
        too_large += write(chosen.out / "real-kinect2.webp", pictures, frames, chosen.check, over)
    else:
        print(f"no {real}: the real recording's video is left as it is")
    return int(too_large > 0)


def follow(recording: Recording) -> tuple[list[Frame], list[Hand], Skeleton]:
    """Track a recording with the weights that ship."""
    tracker = Tracker(load_network(threads=1))
    frames = list(recording)
    hands = []
    for frame in frames:
        if frame.cut:
            tracker.reset()
        hands.append(tracker.update(frame.depth, frame.camera, frame.time_s))
    lost = sum(not hand.found for hand in hands)
    print(f"{recording.path.name}: {len(hands)} frames, {lost} lost")
    return frames, hands, tracker.network.skeleton


def over_depth(frame: Frame, hand: Hand, skeleton: Skeleton) -> Image:
    caption = f"{frame.time_s:.2f} s" + ("" if hand.found else "  lost")
    return overlay(frame.depth, frame.camera, hand, skeleton, caption)


def alone(frame: Frame, hand: Hand, skeleton: Skeleton) -> Image:
    """The hand's joints on an empty canvas: no pixel of the frame."""
    camera, half = frame.camera, CANVAS // 2
    scale = half / camera.height
    front, side = canvas(CANVAS, CANVAS, "from the front"), canvas(CANVAS, CANVAS, "from the side")
    whole = canvas(round(camera.width * scale), half, "in the camera's frame")
    words = canvas(whole.shape[1], half, f"{frame.time_s:.2f} s")
    for line, text in enumerate(WORDS if hand.found else ("lost",)):
        write_text(words, text, 60 + 25 * line)
    if hand.found:
        draw_joints(whole, (camera.to_uvd(hand.joints_mm)[:, :2] + 0.5) * scale, skeleton, 1)
        near = (hand.joints_mm - hand.joints_mm.mean(0)) * (CANVAS / CLOSE_MM) + half
        draw_joints(front, near[:, :2], skeleton, 3)
        # Seen from the camera's left: what is far from it lies to the right.
        draw_joints(side, near[:, [2, 1]], skeleton, 3)
    return np.asarray(np.hstack([front, side, np.vstack([whole, words])]), np.uint8)


def canvas(width: int, height: int, name: str) -> Image:
    image = np.full((height, width, 3), GREY, np.uint8)
    cv2.rectangle(image, (0, 0), (width - 1, height - 1), (70, 70, 70), 1)
    write_text(image, name, 20)
    return image


def write_text(image: Image, text: str, y: int) -> None:
    cv2.putText(image, text, (10, y), cv2.FONT_HERSHEY_SIMPLEX, 0.5, TEXT, 1, cv2.LINE_AA)


def write(
    path: Path,
    pictures: Sequence[Image],
    frames: Sequence[Frame],
    check: Path | None,
    over: Sequence[Image],
) -> bool:
    """Write an animation at the recording's own speed; whether it is too large for a README."""
    small = [reduced(picture) for picture in pictures]
    animation = cv2.Animation()
    animation.frames = small
    animation.durations = milliseconds([f.time_s for f in frames], frames[0].camera)
    if not cv2.imwriteanimation(str(path), animation, [cv2.IMWRITE_WEBP_QUALITY, QUALITY]):
        raise SystemExit(f"OpenCV cannot write {path}")
    megabytes = path.stat().st_size / 1e6
    height, width = small[0].shape[:2]
    print(f"wrote {path}: {len(small)} pictures of {width}x{height}, {megabytes:.2f} MB")
    if check is not None:
        for i in range(0, len(small), CHECK_EVERY):
            pair = [small[i]] if over is pictures else [small[i], reduced(over[i])]
            cv2.imwrite(str(check / f"{path.stem}-{i:04d}.png"), stacked(pair))
    if megabytes > LIMIT_MB:
        print(f"{path} is larger than {LIMIT_MB} MB", file=sys.stderr)
    return megabytes > LIMIT_MB


def milliseconds(times_s: Sequence[float], camera: Camera) -> list[int]:
    """How long each picture stays, in whole ms that add up to the recording's length."""
    ends = np.round(1000 * np.array([*times_s, times_s[-1] + 1 / camera.fps])).astype(int)
    return [int(ms) for ms in np.diff(ends)]


def reduced(picture: Image) -> Image:
    width = round(picture.shape[1] * HEIGHT / picture.shape[0])
    return np.asarray(cv2.resize(picture, (width, HEIGHT), interpolation=cv2.INTER_AREA), np.uint8)


def stacked(pictures: Sequence[Image]) -> Image:
    """One above the other, the narrower ones filled up with black."""
    width = max(picture.shape[1] for picture in pictures)
    filled = [np.pad(p, ((0, 0), (0, width - p.shape[1]), (0, 0))) for p in pictures]
    return np.asarray(np.vstack(filled), np.uint8)


if __name__ == "__main__":
    sys.exit(main())
