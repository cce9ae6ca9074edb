"""Fit a hand to the measured depth: joints move until cones around the bones touch the surface.

The network's joints are the prior, each as sure as its error scale. A Gauss-Newton step minimises
the distances of some measured points to the nearest cone, in units of the sensor's noise, the
joints' steps in units of their error scale, what bones differ from their likely lengths by
(`cadstn.tracking.bones.likely_lengths_mm`), and how far they turn. The cones' radii are those of
the mean adult hand times this hand's size, and one unknown for its girth.

Of a followed hand the steps begin near where the frame before moved the joints to. Noise of the
measured points would become jitter: `cadstn.tracking.steady` averages over frames.

Chosen on rendered frames of other seeds than the test's (LOG.md).
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from cadstn.geometry.arrays import quantiles
from cadstn.geometry.camera import Camera, DepthMm
from cadstn.geometry.hand_shape import DIGIT_RADII_MM, DIGITS, tip_reach
from cadstn.geometry.skeleton import HAND21, KNUCKLES, WRIST
from cadstn.tracking.bones import Bones, bone_ends, likely_lengths_mm
from cadstn.tracking.hand import Hand
from cadstn.tracking.steady import Fitted, steadied

_STEPS = 2
_BEGIN = 0.7  # share of what the frame before moved the joints by that the steps begin with
_POINTS = 300  # about so many are read
_ASIDE_MM = 25.0  # beyond the joints, along the picture
_BEFORE_MM, _BEHIND_MM = 45.0, 25.0  # beyond the joints, in depth
_FEWEST = 20
#: Points so far from every cone belong to something else.
_GATE_MM = 16.0
#: Noise of a point, at the least; and what one counts beside the prior: neighbours share errors.
_NOISE_MM, _POINT_MM = 2.0, 3.4
#: How the weight of points falls with the frame's own noise, which the spread of distances shows.
_FALL = 3.0
#: A point at this many noises counts a quarter.
_ROBUST = 1.5
_FACING = 0.1  # a cone's surface is seen where its normal is so much toward the camera
#: Standard deviation of a bone's length about the likely one, at the least; and what is added to
#: its square, as a share of the variances of its ends: the less sure they are, the looser it is.
_BONE_MM, _BONE_SHARE = 1.5, 0.04
#: Standard deviation of a bone's end about where the network has it, seen from its beginning:
#: errors of neighbours are alike, so that the bone's direction is surer than its place.
_ASTRAY_MM = 10.0
_GIRTH_MM = 0.7
_SUREST_MM = 1.5  # no joint is surer than this
_SCALES_MM = (0.1, 1000.0)  # an error scale beyond these is taken for one of them
#: Share of an error scale that stays whatever was measured. The least squares' own covariance
#: makes joints too sure: points share their errors, and some belong to another cone.
_KEPT = 0.8
_MEAN_PALM_MM = 95.0  # from the wrist to the middle knuckle

_MIDDLE = KNUCKLES[1]
_PAIRS = (*HAND21.bones, *pairwise(KNUCKLES))  # bones, and pairs of neighbouring knuckles
_SHORTEST_MM, _SHORTEST_MM2 = 1e-3, 1e-6


@cache
def _cones() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Round cones whose ends are weighted joints.

    Of the digits three each; the palm's metacarpals, the flesh between them and its edges.

    Returns:
        Weights (2, P, K) of each cone's two ends, and the radii (2, P) in mm there.
    """
    rows: list[tuple[dict[int, float], dict[int, float], float, float]] = []
    for row, (finger, radii) in enumerate(zip(DIGITS, DIGIT_RADII_MM, strict=True)):
        chain = HAND21.fingers[finger]
        for i in range(3):
            end, last = (tip_reach(row), radii[3]) if i == 2 else (0.86, 0.95 * radii[i + 1])
            rows.append(({chain[i]: 1}, {chain[i]: 1 - end, chain[i + 1]: end}, radii[i], last))
    for knuckle, base, head in zip(
        KNUCKLES, (13.0, 13.5, 13.5, 12.5), (12.0, 12.0, 11.6, 11.5), strict=True
    ):
        rows.append(({WRIST: 0.75, knuckle: 0.25}, {knuckle: 1}, base, head))
    for one, other in pairwise(KNUCKLES):
        low, high = {WRIST: 0.7, one: 0.15, other: 0.15}, {WRIST: 0.05, one: 0.475, other: 0.475}
        rows.append((low, high, 13.8, 12.2))
    (root, thumb, *_), first, last_knuckle = HAND21.fingers["thumb"], KNUCKLES[0], KNUCKLES[-1]
    rows += [
        ({WRIST: 0.8, root: 0.2}, {root: 0.25, thumb: 0.75}, 16.0, 13.0),
        ({WRIST: 0.45, root: 0.3, first: 0.25}, {root: 0.3, thumb: 0.4, first: 0.3}, 14.0, 11.5),
        ({WRIST: 0.7, last_knuckle: 0.2, root: 0.1}, {last_knuckle: 0.85, WRIST: 0.15}, 15.5, 12.5),
    ]
    ends = np.zeros((2, len(rows), len(HAND21)))
    for k, (low, high, _, _) in enumerate(rows):
        for end, weights in enumerate((low, high)):
            ends[end, k, list(weights)] = list(weights.values())
    return ends, np.array([[row[2] for row in rows], [row[3] for row in rows]])


@cache
def _stiffness() -> NDArray[np.float64]:
    """(63, 63) what bones that go astray add to the matrix of joints."""
    bones = bone_ends(_PAIRS, len(HAND21))[0]
    return np.asarray(np.kron(bones.T @ bones, np.eye(3)) / _ASTRAY_MM**2, np.float64)


def fit_hand(
    hand: Hand,
    depth_mm: DepthMm,
    camera: Camera,
    bones: Bones | None = None,
    before: Fitted | None = None,
) -> tuple[Hand, Fitted | None]:
    """Move a hand's joints to where its surface was measured; their error scales shrink by that.

    Args:
        hand: of `cadstn.tracking.observe`; one that is lost, has another skeleton than `HAND21` or
            no error scales comes back as it is.
        depth_mm: (H, W) the frame, 0 where nothing was measured.
        camera: that took it.
        bones: what is known of them since the hand was found; None for the lengths that this frame
            shows.
        before: what the frame before left; None where there is none.

    Returns:
        The hand, and what is left for the next frame; None where it comes back as it is.
    """
    joints_mm, scale_mm = hand.joints_mm, hand.uncertainty_mm
    if not hand.found or hand.skeleton != HAND21 or not np.isfinite(scale_mm).all():
        return hand, None
    scale_mm = np.clip(scale_mm, *_SCALES_MM, dtype=np.float64)
    points_mm = _points(depth_mm, camera, joints_mm)
    lengths_mm = None if bones is None else likely_lengths_mm(bones)
    moved_mm = None if before is None else before.moved_mm
    fitted_mm, left_mm = fit_joints(joints_mm, scale_mm, points_mm, lengths_mm, moved_mm)
    now_mm = np.asarray(fitted_mm - joints_mm, np.float64)
    fitted = steadied(joints_mm, now_mm, np.asarray(left_mm, np.float64), before)
    after = replace(
        hand,
        joints_mm=fitted.joints_mm.astype(np.float32),
        uncertainty_mm=np.asarray(left_mm, np.float32),
    )
    return after, fitted


def fit_joints(
    joints_mm: NDArray[np.floating],
    scale_mm: NDArray[np.floating],
    points_mm: NDArray[np.floating],
    lengths_mm: NDArray[np.float64] | None = None,
    moved_mm: NDArray[np.float64] | None = None,
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Gauss-Newton steps from the joints that a network predicts.

    Args:
        joints_mm: (21, 3) of `HAND21`.
        scale_mm: (21,) their error scales.
        points_mm: (N, 3) measured on the hand and around it.
        lengths_mm: (20,) that the bones should have; None for those that they have.
        moved_mm: (21, 3) what the frame before moved them by; the steps begin near there.

    Returns:
        Joints (21, 3) mm and their error scales (21,); the given ones where too few points lie near
        them.
    """
    middle = np.asarray(joints_mm, np.float64).mean(0)
    prior = joints_mm - middle
    points = points_mm - middle
    toward = -points_mm / np.sqrt((points_mm * points_mm).sum(1, keepdims=True))
    bones = bone_ends(_PAIRS, len(HAND21))[0]
    aim = bones @ prior
    length = np.sqrt((aim * aim).sum(1))
    if lengths_mm is not None:
        given = slice(len(lengths_mm))
        aim[given] *= (lengths_mm / np.maximum(length[given], _SHORTEST_MM))[:, None]
        length[given] = lengths_mm
    firm = 1 / (_BONE_MM**2 + _BONE_SHARE * (np.abs(bones) @ np.square(scale_mm, dtype=np.float64)))
    size = float(np.clip(length[HAND21.bones.index((WRIST, _MIDDLE))] / _MEAN_PALM_MM, 0.6, 1.3))
    sure = np.repeat(1 / np.square(np.maximum(scale_mm, _SUREST_MM)), 3)
    joints, girth, count = prior.copy(), 0.0, 3 * len(prior)
    if moved_mm is not None:
        joints += _BEGIN * moved_mm
    for _ in range(_STEPS):
        away, normal, share = _nearest(joints, points, size, girth)
        seen = (np.abs(away) < _GATE_MM) & ((normal * toward).sum(1) > _FACING)
        if np.count_nonzero(seen) < _FEWEST:
            return joints_mm, scale_mm
        away, normal, share = away[seen], normal[seen], share[seen]
        weight = _weights(away) * (_POINTS / len(points))
        # Of a point's distance, by the joints and by the girth.
        moves = (share[:, :, None] * -normal[:, None]).reshape(-1, count)
        slope = np.concatenate([moves, np.full((len(moves), 1), -1.0)], 1)
        weighted = slope * weight[:, None]
        matrix, force = weighted.T @ slope, weighted.T @ away
        step = (joints - prior).ravel()
        matrix.flat[:: count + 2] += np.append(sure, 1 / _GIRTH_MM**2)
        force += np.append(sure * step, girth / _GIRTH_MM**2)
        apart = bones @ joints
        now = np.sqrt((apart * apart).sum(1))
        along = (bones[:, :, None] * (apart / now[:, None])[:, None]).reshape(len(bones), -1)
        held = along.T * firm
        matrix[:-1, :-1] += held @ along + _stiffness()
        astray = bones.T @ (apart - aim) / _ASTRAY_MM**2
        force[:-1] += held @ (now - length) + astray.ravel()
        change = np.linalg.solve(matrix, force)
        joints = joints - change[:-1].reshape(joints.shape)
        girth -= float(change[-1])
    left = np.sqrt((np.diag(np.linalg.inv(matrix))[:-1] * sure).reshape(-1, 3).mean(1))
    return joints + middle, scale_mm * (_KEPT + (1 - _KEPT) * left)


def _nearest(
    joints: NDArray[np.float64], points: NDArray[np.float64], size: float, girth: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Find the nearest cone of each point.

    Returns:
        Distances (N,) from its surface, the normals (N, 3) there, and how much of its axis moves
        with each joint (N, K).
    """
    ends, radii = _cones()
    begin, end = ends @ joints
    axis = end - begin
    long = (axis * axis).sum(1)
    ahead = points @ axis.T - (begin * axis).sum(1)
    along = np.clip(ahead / long, 0, 1)
    # |p - a|^2 - 2 t (p - a) . ab + t^2 |ab|^2, without an array for every point, cone and axis.
    square = (points * points).sum(1)[:, None] - 2 * points @ begin.T + (begin * begin).sum(1)
    square += along * (along * long - 2 * ahead)
    away = np.sqrt(np.maximum(square, _SHORTEST_MM2))
    surface = away - size * (radii[0] + (radii[1] - radii[0]) * along)
    row, which = np.arange(len(points)), surface.argmin(1)
    part = along[row, which, None]
    normal = (points - begin[which] - part * axis[which]) / away[row, which, None]
    share = (1 - part) * ends[0, which] + part * ends[1, which]
    return surface[row, which] - girth, normal, share


def _weights(away: NDArray[np.float64]) -> NDArray[np.float64]:
    """What points (N,) count by their distance: 1/mm^2."""
    half = len(away) // 2
    # About their middle: a hand that stands off as a whole is no noise.
    spread = np.partition(np.abs(away - np.partition(away, half)[half]), half)[half]
    noise = max(_NOISE_MM, 1.48 * float(spread))
    share = 1 / (1 + np.square(away / (_ROBUST * noise)))
    weight = share * share / (_POINT_MM**2 * (noise / _NOISE_MM) ** _FALL)
    return np.asarray(weight, np.float64)


def _points(
    depth_mm: DepthMm, camera: Camera, joints_mm: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Some measured points (N, 3) mm around a hand's joints: every n-th pixel of every n-th row."""
    uvd = camera.to_uvd(joints_mm)
    (middle_mm,) = quantiles(joints_mm[:, 2], [0.5])
    aside = _ASIDE_MM * np.array([camera.fx, camera.fy]) / middle_mm
    height, width = depth_mm.shape
    u0, v0 = np.maximum(uvd[:, :2].min(0) - aside, 0).astype(int)
    u1, v1 = np.minimum(uvd[:, :2].max(0) + aside + 1, (width, height)).astype(int)
    part = depth_mm[v0:v1, u0:u1]
    near, far = joints_mm[:, 2].min() - _BEFORE_MM, joints_mm[:, 2].max() + _BEHIND_MM
    good = (part > near) & (part < far)
    step = max(1, int(np.ceil(np.sqrt(np.count_nonzero(good) / _POINTS))))
    rows, columns = np.nonzero(good[::step, ::step])
    rows, columns = rows * step, columns * step
    uvd = np.stack([columns + u0, rows + v0, part[rows, columns]], -1).astype(np.float64)
    return np.asarray(camera.to_xyz_mm(uvd), np.float64)
