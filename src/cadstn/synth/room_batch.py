"""Rooms of a batch of samples: kept clear of their hands, and as the ray caster reads them."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cadstn.synth.rooms import MOST_CONES, Room, sample_room
from cadstn.synth.surface import Cones

_ROOM_MM = 190.0  # nothing of a room comes nearer to a hand's middle, but from behind
_BARE = 0.12  # share of frames without a room


def room_beside(seed: tuple[int, ...], index: int, hands: tuple[Tensor, Tensor, Tensor]) -> Room:
    """A room of its own for a sample, kept clear of its hands."""
    rng = np.random.default_rng((*seed, index, 0))
    if rng.random() < _BARE:
        return Room()
    room = sample_room(rng)
    one, other, two = hands
    for middle in (one.numpy(), *((other.numpy(),) if bool(two) else ())):
        room.cones = [row for row in room.cones if _clear(row[:3], row[3:6], row[6:].max(), middle)]
        room.boxes = [
            row for row in room.boxes
            if _clear(row[:3], row[:3], float(np.linalg.norm(row[3:6])), middle)
        ]  # fmt: skip
        for row in room.planes:  # hands stay in front of walls and over floors
            gap = float(row[:3] @ middle - row[3])
            if gap < _ROOM_MM:
                row[3] -= _ROOM_MM - gap
    return room


def _clear(a: NDArray[np.float64], b: NDArray[np.float64], radius: float,
           middle: NDArray[np.float32]) -> bool:  # fmt: skip
    """Whether a capsule keeps away from a hand and is not in front of it."""
    axis = b - a
    share = np.clip((middle - a) @ axis / max(float(axis @ axis), 1e-6), 0, 1)
    nearest = a + share * axis
    away = float(np.linalg.norm(middle - nearest))
    if away < radius + _ROOM_MM * 0.75:
        return False
    if nearest[2] + radius > middle[2]:
        return True
    # In front of the hand: only where it does not cover the hand's middle.
    aside = float(np.linalg.norm(nearest[:2] / nearest[2] - middle[:2] / middle[2]))
    return bool(aside * nearest[2] > radius + 90.0 * nearest[2] / middle[2])


def room_cones(rooms: list[Room]) -> Cones:
    """Cones of B rooms, as many each; those that are left over lie behind the camera."""
    rows = np.zeros((len(rooms), MOST_CONES, 8), np.float32)
    rows[..., 2] = rows[..., 5] = -1e6
    rows[..., 6:] = 1.0
    for k, room in enumerate(rooms):
        # The camera must not be inside of one.
        cones = [r for r in room.cones if min(r[2] - r[6], r[5] - r[7]) > 150.0][:MOST_CONES]
        if cones:
            rows[k, : len(cones)] = cones
    fields = torch.from_numpy(rows)
    return Cones(fields[..., :3], fields[..., 3:6], fields[..., 6], fields[..., 7])


def room_planes(rooms: list[Room]) -> Tensor:
    """Planes (B, 4, 4) of B rooms: normal and offset, infinitely far where there is none."""
    rows = np.zeros((len(rooms), 4, 4), np.float32)
    rows[..., 2], rows[..., 3] = -1.0, np.inf
    for k, room in enumerate(rooms):
        # Those that the camera is in front of: n . 0 > offset.
        planes = [row for row in room.planes if row[3] < -60.0]
        if planes:
            rows[k, : len(planes)] = planes
    return torch.from_numpy(rows)
