"""Candidates of whole rendered frames, true and false, as a network meets them in use.

A frame's detector gives candidates; the network reads a crop at each and places the next one, as
`cadstn.tracking.observe` does for a new hand. What it reads then is what its presence and error
scale decide on, so such crops take the place of some of a bank's own: hands where there is one,
and the rest as frames without a hand.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cadstn.data.bank import Bank, quantise
from cadstn.errors import CadstnError
from cadstn.geometry.camera import Camera
from cadstn.geometry.crop import Crop
from cadstn.geometry.skeleton import KNUCKLES
from cadstn.io.whole import sync
from cadstn.io.workers import worker_pool
from cadstn.synth.render import one_thread
from cadstn.synth.whole import (
    HEIGHT,
    UNSURE,
    WIDTH,
    Frames,
    WholeScene,
    crops_at,
    frames_of,
    sample_whole,
)
from cadstn.tracking import load_network
from cadstn.tracking.canonical import canonical_image, given_view, joints_to_mm
from cadstn.tracking.network import Network
from cadstn.train.seeds import Use

_AT_ONCE = 64
_LEAST = 0.05  # the lowest score of a candidate
_MOST = 3  # candidates a frame
_HANDS = 0.5  # share of the frames with a hand
_SHARES = {0: 0.8, 1: 0.1}  # of a bank's frames without and with a hand that are mined
_ASIDE_MM = 12.0  # the detector's error on a camera's frames over that on rendered ones
_NEAR_MM, _FAR_MM = 60.0, 150.0  # a candidate is a hand, or is none, by how far its knuckles are
_NEAREST_MM = 160.0
_MOST_IDLE = 50  # batches of frames in a row in which nothing that is wanted is found


class Candidates(NamedTuple):
    """Crops of candidates, each of which is a hand or none."""

    crops: NDArray[np.float32]  # (N, M, M) normalised
    centers_mm: NDArray[np.float32]  # (N, 3) of their cubes
    # (N, 21, 3) the hand's; where there is none, those that the network placed the crop by, which
    # is how it is rotated to the canonical view
    joints_mm: NDArray[np.float32]
    handedness: NDArray[np.bool_]  # (N,) true for a left hand, false for a right one
    presence: NDArray[np.bool_]  # (N,) true where it is a hand


class Miner:
    """Writes candidates over some of the frames of a bank of single frames.

    Each that is written gets a shot number of its own, from the bank's length on, by which mining
    that was interrupted goes on.

    Args:
        weights: a file with a detector; what it takes for hands is mined.
        seed: of the frames.
        workers: processes that mine side by side.
        compiled: render with torch.compile.
        on_mined: called with how many frames are written, and are to be.

    Raises:
        CadstnError: if the network has no detector or reads no canonical views.
    """

    def __init__(
        self,
        weights: Path,
        seed: int,
        *,
        workers: int = 1,
        compiled: bool = False,
        on_mined: Callable[[int, int], None] = lambda done, total: None,
    ) -> None:
        network = _network(weights)
        if network.detector is None or not network.wants.upright:
            raise CadstnError(
                "these weights have no detector to mine with",
                hint="export them with --detector, or give 'shipped'",
            )
        self._weights, self._seed, self._compiled = weights, (seed, Use.MINED), compiled
        self._workers, self._on_mined = workers, on_mined
        self.name = hashlib.sha256(network.about["sha256"].encode()).hexdigest()[:16]

    def __call__(self, bank: Bank) -> int:
        """Mine until the shares of frames are written; returns how many."""
        assert bank.presence is not None
        assert bank.handedness is not None
        rows = {}
        for there, share in _SHARES.items():
            places = np.flatnonzero(bank.presence == there)
            rows[there] = places[: round(share * len(places))]
        half_mm, size = float(bank.cube_mm[0]) / 2, bank.crops.shape[-1]
        begun, done = _mined_before(bank, rows)
        total, idle = sum(map(len, rows.values())), 0
        self._on_mined(sum(done.values()), total)
        for first, found in self._batches(begun, 2 * half_mm, size):
            written = []
            for there, places in rows.items():
                chosen = np.flatnonzero(found.presence == there)
                to = places[done[there] : done[there] + len(chosen)]
                chosen, center = chosen[: len(to)], found.centers_mm[chosen[: len(to)]]
                bank.crops[to] = quantise(found.crops[chosen])
                bank.centers_mm[to] = center
                bank.joints[to] = (found.joints_mm[chosen] - center[:, None]) / half_mm
                bank.handedness[to] = found.handedness[chosen]
                done[there] += len(to)
                written.extend(to.tolist())
            sync(bank.path)  # nothing is called mined that a power failure could take
            bank.shots[written] = len(bank) + first * _MOST + np.arange(len(written))
            self._on_mined(sum(done.values()), total)
            idle = 0 if written else idle + 1
            if idle > _MOST_IDLE:
                lacking = "that is a hand" if done[0] == len(rows[0]) else "that is none"
                raise CadstnError(
                    f"the detector finds no candidate {lacking} in {idle * _AT_ONCE} rendered "
                    "frames",
                    hint="train it first, or longer: cadstn train detector --out RUN",
                )
            if sum(done.values()) == total:
                return total
        raise AssertionError("unreachable: frames have no end")

    def _batches(self, begun: int, cube_mm: float, size: int) -> Iterator[tuple[int, Candidates]]:
        """Candidates of batches of frames without end, each with its first frame's number."""
        mined = functools.partial(
            _mined, self._weights, self._seed, cube_mm=cube_mm, size=size, compiled=self._compiled
        )
        firsts = itertools.count(begun, _AT_ONCE)
        if self._workers < 2:
            yield from ((first, mined(first)) for first in firsts)
        with worker_pool(self._workers, one_thread) as pool:
            ahead = deque(
                (first, pool.submit(mined, first))
                for first in itertools.islice(firsts, 2 * self._workers)
            )
            for first in firsts:
                ready, job = ahead.popleft()
                ahead.append((first, pool.submit(mined, first)))
                yield ready, job.result()


def _mined_before(bank: Bank, rows: dict[int, NDArray[np.intp]]) -> tuple[int, dict[int, int]]:
    """Number of the frame to go on with, and how many frames of each kind were written before."""
    batch = (bank.shots - len(bank)) // (_AT_ONCE * _MOST)
    last = max(0, int(batch.max()))  # may not be written in full
    return last * _AT_ONCE, {
        there: int(((batch[places] >= 0) & (batch[places] < last)).sum())
        for there, places in rows.items()
    }


@functools.cache
def _network(weights: Path) -> Network:
    return load_network(weights, provider="cpu", threads=1)


def _mined(
    weights: Path, seed: tuple[int, ...], first: int, *, cube_mm: float, size: int, compiled: bool
) -> Candidates:
    index = torch.arange(first, first + _AT_ONCE)
    return candidates(_network(weights), seed, index, cube_mm, size, compiled=compiled)


@torch.no_grad()
def candidates(
    network: Network,
    seed: tuple[int, ...],
    index: Tensor,
    cube_mm: float,
    size: int,
    *,
    compiled: bool = False,
) -> Candidates:
    """What the network would read of the candidates in some frames before it decides.

    Args:
        network: with a detector.
        seed: see `cadstn.synth.whole.sample_whole`.
        index: (B,) which frames.
        cube_mm: edge of the crops' cubes.
        size: M, pixels along their edges.
        compiled: render with torch.compile.
    """
    scenes = sample_whole(seed, index, hands=_HANDS)
    frames = frames_of(scenes, seed, index, compiled=compiled)
    rows, angles, centers_mm = _detected(network, frames, (*seed, int(index[0]), 2))
    if not len(rows):
        return _no_candidates(network, size)
    scene = scenes.pick(torch.from_numpy(rows))
    crops = crops_at(scene, torch.from_numpy(centers_mm), cube_mm, size, compiled=compiled)
    joints_mm, handedness = _first_run(network, crops.numpy(), centers_mm, angles, cube_mm)
    centers_mm = network.center_of(joints_mm).astype(np.float32)
    truth_mm, side, away_mm = _nearest_hand(scene, centers_mm)
    presence = away_mm < _NEAR_MM
    keep = (presence | (away_mm > _FAR_MM)) & (joints_mm[..., 2].min(-1) > _NEAREST_MM)
    if not keep.any():
        return _no_candidates(network, size)
    scene = scene.pick(torch.from_numpy(np.flatnonzero(keep)))
    crops = crops_at(scene, torch.from_numpy(centers_mm[keep]), cube_mm, size, compiled=compiled)
    joints_mm = np.where(presence[:, None, None], truth_mm, joints_mm).astype(np.float32)
    handedness = np.where(presence, side, handedness)
    return Candidates(
        crops.numpy(), centers_mm[keep], joints_mm[keep], handedness[keep], presence[keep]
    )


def _no_candidates(network: Network, size: int) -> Candidates:
    joints, none = len(network.skeleton), np.zeros(0, bool)
    return Candidates(
        np.zeros((0, size, size), np.float32),
        np.zeros((0, 3), np.float32),
        np.zeros((0, joints, 3), np.float32),
        none,
        none,
    )


def _detected(
    network: Network, frames: Frames, seed: tuple[int, ...]
) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]:
    """Candidates of B frames: their frame's place (N,), angles (N,), centers (N, 3)."""
    assert network.detector is not None
    rng = np.random.default_rng(seed)
    found = []
    for row, (depth_mm, f) in enumerate(
        zip(frames.depth_mm, frames.focal_px.tolist(), strict=True)
    ):
        camera = Camera(f, f, (WIDTH - 1) / 2, (HEIGHT - 1) / 2, WIDTH, HEIGHT)
        if (frames.found[row] == UNSURE).any():
            continue
        for one in network.detector.detect(depth_mm, camera, _LEAST)[:_MOST]:
            center_mm = one.center_mm + rng.normal(0, _ASIDE_MM, 3)
            if center_mm[2] > _NEAREST_MM:
                found.append((row, one.angle, *center_mm))
    table = np.array(found, np.float64).reshape(-1, 5)
    return (
        table[:, 0].astype(np.int64),
        table[:, 1].astype(np.float32),
        table[:, 2:].astype(np.float32),
    )


def _first_run(
    network: Network,
    crops: NDArray[np.float32],
    centers_mm: NDArray[np.float32],
    angles: NDArray[np.float32],
    cube_mm: float,
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Joints (N, 21, 3) mm and sides (N,) of the better of two views, see `observe`."""
    count = len(crops)
    joints_mm = np.zeros((count, len(network.skeleton), 3))
    side = np.zeros(count, bool)
    views = [given_view(float(angle), left=left) for angle in angles for left in (False, True)]
    images = [canonical_image(crops[k // 2], view.transform) for k, view in enumerate(views)]
    out = network.step(np.stack(images), network.initial_state(2 * count))
    assert out.error_scale is not None
    assert out.handedness is not None
    best = out.error_scale.mean(1).reshape(count, 2).argmin(1) + 2 * np.arange(count)
    none = np.zeros(0, np.intp)
    for k, chosen in enumerate(best.tolist()):
        crop = Crop(crops[k], centers_mm[k].astype(np.float64), cube_mm, none, none)
        transform = views[chosen].transform
        joints_mm[k] = joints_to_mm(out.joints[chosen], crop, transform, uvd=network.wants.uvd)
        side[k] = (out.handedness[chosen] > 0.5) != transform.mirror
    return joints_mm, side


def _nearest_hand(
    scene: WholeScene, centers_mm: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.float32]]:
    """Joints (N, 21, 3) mm, side (N,) and distance (N,) mm of the hand nearest to each center."""
    joints_mm = np.stack([hand.joints_xyz_mm.numpy() for hand in scene.hands], 1)
    left = np.stack([shape.left.numpy() > 0.5 for shape in scene.shapes], 1)
    away = np.linalg.norm(joints_mm[:, :, KNUCKLES].mean(2) - centers_mm[:, None], axis=-1)
    away = np.where(scene.present, away, np.inf)
    nearest = away.argmin(1)
    row = np.arange(len(away))
    return joints_mm[row, nearest], left[row, nearest], away[row, nearest]
