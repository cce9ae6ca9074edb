"""Sizes of the networks: one frozen value that travels with the weights.

Two families share it: the paper's networks, and the compact ones of the shipped weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from cadstn.errors import CadstnError, nearest_name

POOLING = 16
"""How much the three poolings of a trunk (4, 2, 2) shrink an image, in each direction."""

PATCH = 4
"""Side in pixels of the patches that a compact trunk begins with; each later stage halves again."""

TRUNKS = ("paper", "residual")


@dataclass(frozen=True)
class NetConfig:
    """Sizes shared by all five networks; the defaults are the paper's for NYU (section IV-A).

    Attributes:
        joints: K, the number of joints a network predicts.
        size: M, the side of the square input crop in pixels, a multiple of 16.
        slices: L, the number of depth slices.
        trunk: ``paper``, or ``residual`` for the compact networks of `cadstn.models.compact`.
        channels: feature maps of the convolution stages: three of the paper's, any number from
            two on of a residual trunk.
        blocks: residual blocks of each stage; none in the paper's.
        width: length of every hidden fully connected layer, phi_t included.
        hidden: length of the LSTM's hidden state.
        dropout: share of nodes dropped after a fully connected layer.
        dropout_recurrent: share of nodes of h_t dropped before the temporal output layer.

    Raises:
        CadstnError: a value is outside its range.
    """

    joints: int = 14
    size: int = 128
    slices: int = 8
    trunk: str = "paper"
    channels: tuple[int, ...] = (32, 64, 128)
    blocks: tuple[int, ...] = ()
    width: int = 1024
    hidden: int = 1024
    dropout: float = 0.3
    dropout_recurrent: float = 0.5

    def __post_init__(self) -> None:
        """Refuse sizes no network can be built from."""
        for name in ("joints", "size", "slices", "width", "hidden"):
            _require_positive(name, getattr(self, name))
        if self.trunk not in TRUNKS:
            raise CadstnError(
                f"no trunk {self.trunk!r}",
                where="NetConfig.trunk",
                mend=nearest_name(str(self.trunk), TRUNKS),
            )
        self._check_stages()
        if self.size % self.shrink:
            raise CadstnError(
                f"size {self.size} is not a multiple of {self.shrink}",
                where="NetConfig.size",
                mend=f"use {max(1, round(self.size / self.shrink)) * self.shrink}",
            )
        for name in ("dropout", "dropout_recurrent"):
            _require_share(name, getattr(self, name))

    def _check_stages(self) -> None:
        residual = self.trunk == "residual"
        if not isinstance(self.channels, tuple) or (
            len(self.channels) < 2 if residual else len(self.channels) != 3
        ):
            raise CadstnError(
                f"channels must be a tuple of {'two or more' if residual else 'three'} sizes, "
                f"not {self.channels!r}",
                where="NetConfig.channels",
            )
        for count in self.channels:
            _require_positive("channels", count)
        stages = len(self.channels) if residual else 0
        if not isinstance(self.blocks, tuple) or len(self.blocks) != stages:
            raise CadstnError(
                f"blocks must be a tuple of {stages} numbers, one a stage of a residual trunk, "
                f"not {self.blocks!r}",
                where="NetConfig.blocks",
            )
        for count in self.blocks:
            _require_positive("blocks", count)

    @property
    def shrink(self) -> int:
        """How much a trunk shrinks an image, in each direction."""
        if self.trunk == "residual":
            shrunk: int = PATCH * 2 ** (len(self.channels) - 1)
            return shrunk
        return POOLING

    @property
    def features(self) -> int:
        """Length of the flattened output of a trunk (8192 at the paper's sizes)."""
        return self.channels[-1] * (self.size // self.shrink) ** 2

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that survive JSON; `from_dict` reads them back."""
        return {**asdict(self), "channels": list(self.channels), "blocks": list(self.blocks)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> NetConfig:
        """Build a config from plain values; keys left out keep the paper's value.

        Raises:
            CadstnError: a key is unknown (the nearest known one is named) or a value is refused.
        """
        known = [field.name for field in fields(cls)]
        for key in values:
            if key not in known:
                raise CadstnError(
                    f"unknown key {key!r} in a network config",
                    where="NetConfig.from_dict",
                    mend=nearest_name(str(key), known),
                )
        plain = dict(values)
        for name in ("channels", "blocks"):
            if isinstance(plain.get(name), list):  # JSON knows no tuples
                plain[name] = tuple(plain[name])
        return cls(**plain)


def _require_positive(name: str, value: object) -> None:
    # bool is an int to Python, but `joints=True` is a mistake.
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value < 1 << 20:
        raise CadstnError(
            f"{name} must be a whole number of at least 1, not {str(value)[:40]}",
            where=f"NetConfig.{name}",
        )


def _require_share(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1:
        raise CadstnError(
            f"{name} must be a share in [0, 1), not {value!r}", where=f"NetConfig.{name}"
        )
