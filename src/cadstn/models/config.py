"""Sizes of the networks: one frozen value that travels with the weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from cadstn.errors import CadstnError, nearest_name

POOLING = 16
"""How much the three poolings of a trunk (4, 2, 2) shrink an image, in each direction."""


@dataclass(frozen=True)
class NetConfig:
    """Sizes shared by all five networks; the defaults are the paper's for NYU (section IV-A).

    Attributes:
        joints: K, the number of joints a network predicts.
        size: M, the side of the square input crop in pixels, a multiple of 16.
        slices: L, the number of depth slices.
        channels: feature maps of the three convolution stages.
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
    channels: tuple[int, int, int] = (32, 64, 128)
    width: int = 1024
    hidden: int = 1024
    dropout: float = 0.3
    dropout_recurrent: float = 0.5

    def __post_init__(self) -> None:
        """Refuse sizes no network can be built from."""
        for name in ("joints", "size", "slices", "width", "hidden"):
            _require_positive(name, getattr(self, name))
        if not isinstance(self.channels, tuple) or len(self.channels) != 3:
            raise CadstnError(
                f"channels must be a tuple of three sizes, not {self.channels!r}",
                where="NetConfig.channels",
            )
        for count in self.channels:
            _require_positive("channels", count)
        if self.size % POOLING:
            raise CadstnError(
                f"size {self.size} is not a multiple of {POOLING}",
                where="NetConfig.size",
                mend=f"use {max(1, round(self.size / POOLING)) * POOLING}",
            )
        for name in ("dropout", "dropout_recurrent"):
            _require_share(name, getattr(self, name))

    @property
    def features(self) -> int:
        """Length of the flattened output of a trunk (8192 at the paper's sizes)."""
        return self.channels[2] * (self.size // POOLING) ** 2

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that survive JSON; `from_dict` reads them back."""
        return {**asdict(self), "channels": list(self.channels)}

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
        if isinstance(plain.get("channels"), list):  # JSON knows no tuples
            plain["channels"] = tuple(plain["channels"])
        return cls(**plain)


def _require_positive(name: str, value: object) -> None:
    # bool is an int to Python, but `joints=True` is a mistake.
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise CadstnError(
            f"{name} must be a whole number of at least 1, not {value!r}",
            where=f"NetConfig.{name}",
        )


def _require_share(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1:
        raise CadstnError(
            f"{name} must be a share in [0, 1), not {value!r}", where=f"NetConfig.{name}"
        )
