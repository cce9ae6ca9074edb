"""Pictures of tracking: depth with the skeleton over it, the hand enlarged, contact sheets."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from cadstn.geometry.arrays import quantiles
from cadstn.geometry.camera import Camera, DepthMm
from cadstn.geometry.skeleton import Skeleton
from cadstn.tracking.hand import Hand

Image = NDArray[np.uint8]
HEIGHT = 480
_WIDEST = 4 * HEIGHT  # of the frame: a picture of one row must not become millions wide

# Blue, green, red; one colour a finger, distinct for most colour-blind people (Okabe-Ito).
_COLORS = {
    "thumb": (0, 159, 230),
    "index": (233, 180, 86),
    "middle": (115, 158, 0),
    "ring": (66, 228, 240),
    "pinky": (167, 121, 204),
}
_WHITE = (255, 255, 255)


def in_front(hands: Sequence[Hand]) -> tuple[Hand, list[Hand]]:
    """The hand that a picture shows close up, the first that is found; and the others."""
    shown = next((k for k, hand in enumerate(hands) if hand.found), 0)
    return hands[shown], [hand for k, hand in enumerate(hands) if k != shown]


def overlay(
    depth_mm: DepthMm,
    camera: Camera,
    hand: Hand,
    skeleton: Skeleton,
    caption: str = "",
    others: Sequence[Hand] = (),
) -> Image:
    """Draw a frame with its hand, and the crop's cube enlarged beside it.

    Args:
        depth_mm: (H, W) mm.
        camera: the camera that took it.
        hand: what was tracked in it.
        skeleton: of the hand's joints.
        caption: a line written at the top.
        others: more hands, drawn into the frame alone.

    Returns:
        (480, about 480 W / H + 480, 3) uint8, blue green red.
    """
    height, width = depth_mm.shape
    scale = min(HEIGHT / height, _WIDEST / width)
    gray = shade(depth_mm)
    size = (max(2 * round(width * scale / 2), 2), max(round(height * scale), 1))  # even, for video
    frame = np.full((HEIGHT, size[0], 3), 40, np.uint8)
    frame[: size[1]] = cv2.resize(gray, size, interpolation=cv2.INTER_NEAREST)
    close = np.full((HEIGHT, HEIGHT, 3), 40, np.uint8)
    if hand.found:
        uv = camera.to_uvd(hand.joints_mm)[:, :2]
        draw_joints(frame, (uv + 0.5) * scale, skeleton, 2)
        u, v, z = camera.to_uvd(hand.center_mm)
        half = hand.cube_mm / 2 * np.array([camera.fx, camera.fy]) / z
        zoom = HEIGHT / (2 * half)
        corner = np.array([u, v]) - half
        warp = np.array([[zoom[0], 0, -corner[0] * zoom[0]], [0, zoom[1], -corner[1] * zoom[1]]])
        near = shade(depth_mm, float(z))
        close = np.asarray(cv2.warpAffine(near, warp, (HEIGHT, HEIGHT), flags=0), np.uint8)
        draw_joints(close, (uv - corner) * zoom, skeleton, 3)
        low, high = corner * scale, (corner + 2 * half) * scale
        cv2.rectangle(frame, _pixel(low), _pixel(high), _WHITE, 1)
    for other in others:
        if other.found:
            draw_joints(frame, (camera.to_uvd(other.joints_mm)[:, :2] + 0.5) * scale, skeleton, 2)
    picture = np.asarray(np.hstack([frame, close]), np.uint8)
    cv2.putText(picture, caption, (10, 24), cv2.FONT_HERSHEY_SIMPLEX, 0.6, _WHITE, 1, cv2.LINE_AA)
    return picture


def contact_sheet(pictures: Sequence[Image], columns: int = 3, width: int = 640) -> Image:
    """Lay pictures of one size out in rows, each ``width`` pixels wide."""
    height = round(pictures[0].shape[0] * width / pictures[0].shape[1])
    small = [cv2.resize(p, (width, height), interpolation=cv2.INTER_AREA) for p in pictures]
    columns = min(columns, len(small))
    blank = np.zeros_like(small[0])
    small += [blank] * (-len(small) % columns)
    rows = [np.hstack(small[i : i + columns]) for i in range(0, len(small), columns)]
    return np.asarray(np.vstack(rows), np.uint8)


def shade(depth_mm: DepthMm, center_mm: float | None = None) -> Image:
    """Depth as grey, near is bright; black where nothing was measured."""
    depth_mm = np.nan_to_num(depth_mm, nan=0, posinf=0, neginf=0)
    measured = depth_mm > 0
    if center_mm is None:
        near = quantiles(depth_mm[measured], [0.01])[0] if measured.any() else 0.0
        far = near + 900.0
    else:
        near, far = center_mm - 130.0, center_mm + 170.0
    bright = np.clip((far - depth_mm) / (far - near), 0, 1) * 215 + 40
    gray = np.where(measured, bright, 0).astype(np.uint8)
    return np.asarray(cv2.cvtColor(gray, cv2.COLOR_GRAY2BGR), np.uint8)


def draw_joints(image: Image, uv: NDArray[np.floating], skeleton: Skeleton, thick: int) -> None:
    """Draw bones and joints in place, in their finger's colour."""
    color = {j: _COLORS[f] for f, chain in skeleton.fingers.items() for j in chain}
    for start, end in skeleton.bones:
        shade = color.get(end, _WHITE)
        cv2.line(image, _pixel(uv[start]), _pixel(uv[end]), shade, thick, cv2.LINE_AA)
    for joint, point in enumerate(uv):
        cv2.circle(image, _pixel(point), thick + 1, color.get(joint, _WHITE), -1, cv2.LINE_AA)
        cv2.circle(image, _pixel(point), thick + 1, (0, 0, 0), 1, cv2.LINE_AA)


def _pixel(point: NDArray[np.floating]) -> tuple[int, int]:
    # OpenCV overflows on far-off points; nothing beyond this can be seen.
    x, y = np.clip(point, -5000, 5000)
    return round(float(x)), round(float(y))
