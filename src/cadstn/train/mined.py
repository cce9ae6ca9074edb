"""Hard negatives: crops of rooms and people where the detector sees a hand and there is none.

Mined from rendered scenes without hands: the detector reads each, and where it gives its highest
scores, crops are rendered, as the pose network would be asked about them. They take the place of
some of a bank's clips without a hand.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from cadstn.data.bank import Bank, quantise
from cadstn.errors import CadstnError
from cadstn.export.detector_file import DetectorGraph, detector_graph
from cadstn.models.detector import MULTIPLE
from cadstn.synth.whole import HEIGHT, WIDTH, crops_at, sample_frames, sample_whole
from cadstn.train.seeds import Use

_AT_ONCE = 32
_LEAST = 0.02  # the lowest score of a place
_SHARE = 0.6  # of a bank's clips without a hand
_ASIDE_MM = 12.0
_NEAREST_MM = 160.0
_MOST_EMPTY = 8  # batches of scenes in a row without a candidate


class Miner:
    """Writes mined crops over some of the frames without a hand of a bank of single frames.

    Args:
        weights: of the detector that mines.
        seed: of the scenes.
        compiled: render with torch.compile.
    """

    def __init__(self, weights: Mapping[str, Tensor], seed: int, *, compiled: bool = False) -> None:
        self._graph, self._seed, self._compiled = detector_graph(weights), seed, compiled
        digest = hashlib.sha256()
        for key in sorted(weights):
            digest.update(weights[key].contiguous().numpy().tobytes())
        self.name = digest.hexdigest()[:16]

    def __call__(self, bank: Bank) -> int:
        """Mine until a share of the frames without a hand is written; returns how many."""
        assert bank.present is not None
        places = np.flatnonzero(bank.present == 0)
        places = places[: round(_SHARE * len(places))]
        cube_mm, size, done = float(bank.cube_mm[0]), bank.crops.shape[-1], 0
        if not len(places):
            return 0
        seed = (self._seed, Use.MINED)
        for crops, centers_mm in _mined(self._graph, seed, cube_mm, size, self._compiled):
            rows = places[done : done + len(crops)]
            bank.crops[rows] = quantise(crops[: len(rows)].numpy())
            bank.centers_mm[rows] = centers_mm[: len(rows)].numpy()
            done += len(rows)
            if done == len(places):
                break
        return done


def _mined(
    detector: DetectorGraph, seed: tuple[int, ...], cube_mm: float, size: int, compiled: bool
) -> Iterator[tuple[Tensor, Tensor]]:
    """Crops (N, M, M) and their centers (N, 3) mm, without end: at most two a scene."""
    first, since = 0, 0
    while True:
        if since > _MOST_EMPTY:
            raise CadstnError(
                "the detector finds no candidate in scenes without a hand",
                hint="train it first: cadstn train detector --out RUN",
            )
        index = torch.arange(first, first + _AT_ONCE)
        first += _AT_ONCE
        rows, centers = candidates(detector, seed, index, compiled=compiled)
        since = 0 if (rows >= 0).any() else since + 1
        for rank in (0, 1):
            chosen = torch.from_numpy(rows[:, rank] if len(rows) else np.empty(0, np.int64))
            keep = chosen >= 0
            if not keep.any():
                continue
            scene = sample_whole(seed, index[keep], hands=0.0)
            middle = torch.from_numpy(centers[keep.numpy(), rank])
            yield crops_at(scene, middle, cube_mm, size, compiled=compiled), middle


@torch.no_grad()
def candidates(
    detector: DetectorGraph, seed: tuple[int, ...], index: Tensor, *, compiled: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Where the detector sees hands in scenes without any.

    Args:
        detector: that reads them.
        seed: see `cadstn.synth.whole.sample_whole`.
        index: (B,) which scenes.
        compiled: render with torch.compile.

    Returns:
        (B, 2) int64, the scene's own number or -1 where there is no such candidate, and (B, 2, 3)
        float32 their centers in mm, somewhat aside as a detector's are.
    """
    frames = sample_frames(seed, index, hands=0.0, compiled=compiled)
    depth = torch.from_numpy(frames.depth_mm)
    depth = functional.pad(depth, (0, -WIDTH % MULTIPLE, 0, -HEIGHT % MULTIPLE))
    focal = torch.from_numpy(frames.focal_px)
    hands = detector(depth, focal)[:, :2]
    score, column, row, z = hands[..., :4].unbind(-1)
    x = (column - (WIDTH - 1) / 2) / focal[:, None] * z
    y = (row - (HEIGHT - 1) / 2) / focal[:, None] * z
    centers = torch.stack([x, y, z], -1).numpy()
    rng = np.random.default_rng((*seed, int(index[0]), 2))
    centers = centers + rng.normal(0, _ASIDE_MM, centers.shape).astype(np.float32)
    good = (score > _LEAST).numpy() & (centers[..., 2] > _NEAREST_MM)
    return np.where(good, np.arange(len(index))[:, None], -1), centers.astype(np.float32)
