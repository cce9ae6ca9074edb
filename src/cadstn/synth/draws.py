"""Random numbers that are a pure function of (seed, index), whatever the batch or the device.

A generator with a state gives other numbers when a batch is cut elsewhere. Here a number is a hash
of its key and its place in the sequence (Salmon et al., "Parallel random numbers: as easy as 1, 2,
3", SC 2011; the mixer is SplitMix64's, Steele et al., OOPSLA 2014), in integer arithmetic, which is
the same on every device. Sample 7 of a batch of 64 equals sample 7 rendered alone.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence

import torch
from torch import Tensor

from cadstn.synth.arguments import whole_number


def _signed(word: int) -> int:
    """Write an unsigned 64-bit word as the signed one that torch knows."""
    word &= (1 << 64) - 1
    return word - (1 << 64) if word >> 63 else word


_GOLDEN = _signed(0x9E3779B97F4A7C15)
_FIRST = _signed(0xBF58476D1CE4E5B9)
_SECOND = _signed(0x94D049BB133111EB)


def _mix(word: Tensor) -> Tensor:
    """SplitMix64's mixer on int64, whose products wrap as unsigned ones do."""
    word = (word ^ ((word >> 30) & ((1 << 34) - 1))) * _FIRST
    word = (word ^ ((word >> 27) & ((1 << 37) - 1))) * _SECOND
    return word ^ ((word >> 31) & ((1 << 33) - 1))


class Draws:
    """A stream of random numbers for every sample of a batch.

    Asking twice gives new numbers; the order of asking is part of what a sample is, so parts of a
    program that should not disturb one another take a `fork` each.

    Args:
        seed: whole numbers that name the run, for instance (seed, split).
        index: (B,) int64, which samples; the numbers live on its device.

    Raises:
        CadstnError: if a word of the seed is no whole number.
    """

    def __init__(self, seed: Sequence[int], index: Tensor) -> None:
        key = torch.zeros_like(index)
        for word in seed:
            key = _mix((key ^ _signed(whole_number("seed", word))) + _GOLDEN)
        self._key = _mix((key ^ index) + _GOLDEN)
        self._place = 0

    def __len__(self) -> int:
        return len(self._key)

    @property
    def device(self) -> torch.device:
        """Where the numbers are made."""
        return self._key.device

    def fork(self, name: str) -> Draws:
        """Return an independent stream, named so that its numbers never depend on other draws."""
        return _draws(_mix((self._key ^ zlib.crc32(name.encode())) + _GOLDEN))

    def pick(self, rows: Tensor) -> Draws:
        """Return the streams of some samples as they stand, (R,) int64 or (B,) bool."""
        return _draws(self._key[rows], self._place)

    def join(self, other: Draws) -> Draws:
        """Return these streams and then the others, all from where these stand."""
        return _draws(torch.cat([self._key, other._key]), self._place)

    def repeat(self, frames: int) -> Draws:
        """Return streams for B * frames rows: row b * frames + t is a stream of its own."""
        step = torch.arange(frames, device=self.device)
        return _draws(_mix((self._key[:, None] ^ step) + _GOLDEN).flatten())

    def bits(self, *shape: int) -> Tensor:
        """Return (B, *shape) int64, every bit fair."""
        count = math.prod(shape)
        place = torch.arange(self._place + 1, self._place + count + 1, device=self.device)
        self._place += count
        return _mix(self._key[:, None] + place * _GOLDEN).view(len(self), *shape)

    def uniform(self, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        """Return (B, *shape) float32, evenly in [low, high)."""
        # 24 bits are what a float32 between 0 and 1 can hold evenly.
        unit = ((self.bits(*shape) >> 40) & 0xFFFFFF).float() * 2.0**-24
        return low + (high - low) * unit

    def normal(self, *shape: int, mean: float = 0.0, std: float = 1.0) -> Tensor:
        """Return (B, *shape) float32 from a Gauss curve (Box and Muller 1958)."""
        bits = self.bits(*shape)
        # Never zero, so that the logarithm stays finite.
        radius = (((bits >> 40) & 0xFFFFFF).float() + 0.5) * 2.0**-24
        angle = (bits & 0xFFFFFF).float() * (2.0**-24 * 2 * math.pi)
        return mean + std * (-2 * radius.log()).sqrt() * angle.cos()

    def chance(self, probability: float, *shape: int) -> Tensor:
        """Return (B, *shape) bool, true with this probability."""
        return self.uniform(*shape) < probability

    def choice(self, weights: Sequence[float], *shape: int) -> Tensor:
        """Return (B, *shape) int64: 0, 1, ... in proportion to ``weights``."""
        edges = torch.tensor(weights, dtype=torch.float64).cumsum(0)
        edges = (edges / edges[-1]).float()[:-1].to(self.device)
        return torch.bucketize(self.uniform(*shape), edges, right=True)


def _draws(key: Tensor, place: int = 0) -> Draws:
    """Streams of these keys (B,), so many numbers after their beginning."""
    draws = object.__new__(Draws)
    draws._key, draws._place = key, place
    return draws
