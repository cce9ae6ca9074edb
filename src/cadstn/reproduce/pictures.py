"""Pictures of hands for the report: slices (figure 2), joints (figure 7), examples (figure 8)."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from cadstn.data.bank import CropRule, crop_sample
from cadstn.data.dataset import Dataset
from cadstn.errors import CadstnError
from cadstn.evaluate.plots import joint_labels
from cadstn.geometry.camera import Camera, DepthMm
from cadstn.geometry.skeleton import Skeleton
from cadstn.tracking.views import Image, draw_joints, shade

FloatArray = NDArray[np.float64]
_VIEW_MM = 260.0  # edge of the square around the hand that is shown
_TILE = 200
_LARGE = 520
_SMALL = 160
_WHITE = (255, 255, 255)
_FONT = cv2.FONT_HERSHEY_SIMPLEX


def joints_picture(dataset: Dataset, frame: int) -> bytes:
    """Draw the joints that are scored, by name, over the depth of one frame (figure 7): a PNG."""
    sample = dataset[frame]
    joints = dataset.joints_xyz_mm[frame][list(dataset.scored)]
    skeleton = dataset.scored_skeleton
    view, uv = _close(sample.depth_mm, sample.camera, joints, _LARGE)
    draw_joints(view, uv, skeleton, 2)
    labels, _ = joint_labels(skeleton)
    middle = uv.mean(0)
    for point, label in zip(uv, labels, strict=True):
        text = label.replace("\n", " ")
        (width, height), _ = cv2.getTextSize(text, _FONT, 0.42, 1)
        # Outwards from the middle of the hand, where there is most room.
        out = (point - middle) / max(float(np.linalg.norm(point - middle)), 1.0)
        u, v = point + out * (10 + 0.5 * width * abs(out[0]))
        place = (int(u - width / 2), int(v + height / 2))
        cv2.putText(view, text, place, _FONT, 0.42, (0, 0, 0), 3, cv2.LINE_AA)
        cv2.putText(view, text, place, _FONT, 0.42, _WHITE, 1, cv2.LINE_AA)
    return _png(view)


def slices_picture(dataset: Dataset, frame: int, rule: CropRule, slices: int) -> bytes:
    """Draw the crop of one frame and the slices it is cut into (figure 2): a PNG.

    Args:
        dataset: the split.
        frame: of it.
        rule: how it is cropped.
        slices: L, how many.
    """
    import torch

    from cadstn.models import slice_volume

    crop = crop_sample(dataset[frame], rule, dataset.center_joint).image
    volume = slice_volume(torch.from_numpy(crop)[None], slices)[0].numpy()
    shown = [((1 - crop) * 127.5, "crop")]
    shown += [(255 * part, f"slice {i}") for i, part in enumerate(volume, 1)]
    tiles = []
    for image, caption in shown:
        tile = cv2.resize(image, (_SMALL, _SMALL), interpolation=cv2.INTER_NEAREST)
        gray = np.full((_SMALL + 30, _SMALL + 6), 255, np.uint8)
        gray[26:-4, 3:-3] = tile.astype(np.uint8)
        cv2.putText(gray, caption, (4, 18), _FONT, 0.46, (0,), 1, cv2.LINE_AA)
        tiles.append(gray)
    columns = -(-len(tiles) // 2)
    tiles += [np.full_like(tiles[0], 255)] * (2 * columns - len(tiles))
    rows = [np.hstack(tiles[:columns]), np.hstack(tiles[columns:])]
    return _png(np.asarray(np.vstack(rows), np.uint8))


def examples_picture(
    frames: Sequence[tuple[Dataset, int, FloatArray, str]], skeleton: Skeleton
) -> bytes:
    """Draw frames with their truth above and their prediction below (figure 8): a PNG.

    Args:
        frames: each a split, a frame of it, its predicted joints (K, 3) mm, and a caption.
        skeleton: of the joints.
    """
    columns = []
    for dataset, index, joints, caption in frames:
        sample = dataset[index]
        truth = dataset.joints_xyz_mm[index][list(dataset.scored)]
        tiles = []
        for shown in (truth, joints):
            # Both around the truth, so that what differs is the skeleton alone.
            view, _ = _close(sample.depth_mm, sample.camera, truth, _TILE)
            uv = _project(shown, sample.camera, truth, _TILE)
            draw_joints(view, uv, skeleton, 2)
            tiles.append(view)
        head = np.full((26, _TILE, 3), 255, np.uint8)
        cv2.putText(head, caption, (4, 18), _FONT, 0.46, (0, 0, 0), 1, cv2.LINE_AA)
        columns.append(np.vstack([head, tiles[0], tiles[1]]))
    side = np.full((26 + 2 * _TILE, 26, 3), 255, np.uint8)
    for i, word in enumerate(("truth", "prediction")):
        side[26 + i * _TILE : 26 + (i + 1) * _TILE] = _upright(word)
    gap = np.full((26 + 2 * _TILE, 6, 3), 255, np.uint8)
    parts = [side]
    for column in columns:
        parts += [column, gap]
    return _png(np.asarray(np.hstack(parts), np.uint8))


def clearest_frame(truth_xyz_mm: FloatArray, hidden: NDArray[np.int8]) -> int:
    """Choose the frame whose joints lie farthest apart in the image, most of them seen.

    Args:
        truth_xyz_mm: (N, K, 3).
        hidden: (N, K) as of `cadstn.evaluate.analysis.hidden_joints`.
    """
    step = max(1, len(truth_xyz_mm) // 2000)
    some = truth_xyz_mm[::step, :, :2]
    across = some[:, :, None] - some[:, None]
    far = np.sqrt((across**2).sum(-1)) + 1e9 * np.eye(truth_xyz_mm.shape[1])
    nearest = far.min(axis=2).mean(axis=1)
    return step * int(np.argmax(nearest * (hidden[::step] == 0).mean(axis=1)))


def example_frames(errors_mm: FloatArray) -> list[tuple[int, str]]:
    """Choose two of the best, of the typical and of the worst frames, far from one another.

    Args:
        errors_mm: (N, K), NaN in lost frames.

    Returns:
        Frames with a caption each.
    """
    mean = errors_mm.mean(axis=1)
    order = np.argsort(mean)[: int(np.count_nonzero(~np.isnan(mean)))]
    if not len(order):
        return []
    middle = len(order) // 2
    kinds = (
        ("best", order),
        ("typical", order[np.argsort(np.abs(np.arange(len(order)) - middle), kind="stable")]),
        ("worst", order[::-1]),
    )
    # Neighbours show the same hand: a second example lies at least this far from the first.
    apart = max(1, len(errors_mm) // 20)
    chosen = []
    for kind, ranked in kinds:
        first = int(ranked[0])
        far = [int(frame) for frame in ranked if abs(int(frame) - first) >= apart]
        for frame in (first, *far[:1]):
            chosen.append((frame, f"{kind}: {mean[frame]:.1f} mm"))
    return chosen


def _close(
    depth_mm: DepthMm, camera: Camera, around_mm: FloatArray, size: int
) -> tuple[Image, FloatArray]:
    """Enlarge the square around joints; returns it with the joints' pixels in it."""
    center = around_mm.mean(0)
    corner, zoom = _window(camera, center, size)
    warp = np.array([[zoom[0], 0, -corner[0] * zoom[0]], [0, zoom[1], -corner[1] * zoom[1]]])
    gray = shade(depth_mm, float(center[2]))
    view = np.asarray(cv2.warpAffine(gray, warp, (size, size), flags=cv2.INTER_NEAREST), np.uint8)
    return view, _project(around_mm, camera, around_mm, size)


def _project(joints: FloatArray, camera: Camera, around_mm: FloatArray, size: int) -> FloatArray:
    corner, zoom = _window(camera, around_mm.mean(0), size)
    pixels = np.asarray(camera.to_uvd(joints), np.float64)[:, :2]
    return (pixels - corner) * zoom


def _window(camera: Camera, center: FloatArray, size: int) -> tuple[FloatArray, FloatArray]:
    """Upper left corner of the square in the frame's pixels, and its enlargement."""
    u, v, z = np.asarray(camera.to_uvd(center), np.float64)
    half = _VIEW_MM / 2 * np.array([camera.fx, camera.fy]) / z
    return np.array([u, v]) - half, size / (2 * half)


def _upright(word: str) -> Image:
    """A word that reads from below upwards, in a strip beside a tile."""
    strip = np.full((26, _TILE, 3), 255, np.uint8)
    cv2.putText(strip, word, (_TILE // 2 - 5 * len(word), 18), _FONT, 0.5, (0, 0, 0), 1,
                cv2.LINE_AA)  # fmt: skip
    return np.asarray(cv2.rotate(strip, cv2.ROTATE_90_COUNTERCLOCKWISE), np.uint8)


def _png(image: Image) -> bytes:
    good, data = cv2.imencode(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, 9])
    if not good:
        raise CadstnError("a picture cannot be encoded")
    return bytes(data)
