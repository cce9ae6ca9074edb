"""Sizes of the networks, a frozen value for each family, which travels with the weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar

from cadstn.errors import CadstnError, nearest_name

POOLING = 16
"""How much the three poolings of a paper's trunk (4, 2, 2) shrink an image, in each direction."""

PATCH = 4
"""Side in pixels of the patches that a compact trunk begins with; each later stage halves again."""

FUSIONS = ("gate", "free")
"""Equation 6's gate, and the free one; see `cadstn.models.Fusion`."""


@dataclass(frozen=True)
class Sizes:
    """Sizes that both families have.

    Raises:
        CadstnError: a value is outside its range.
    """

    joints: int = 14  # K, the number of joints a network predicts
    size: int = 128  # M, the side of the square input crop in pixels, a multiple of `shrink`
    slices: int = 8  # L, the number of depth slices
    channels: tuple[int, ...] = (32, 64, 128)  # feature maps of the convolution stages
    width: int = 1024  # length of every hidden fully connected layer, phi_t included
    hidden: int = 1024  # length of the LSTM's hidden state

    trunk: ClassVar[str]
    """The family's name in files."""

    def __post_init__(self) -> None:
        """Refuse sizes no network can be built from."""
        for name in ("joints", "size", "slices", "width", "hidden"):
            _require_positive(name, getattr(self, name))
        self._check_stages()
        if self.size % self.shrink:
            raise CadstnError(
                f"size {self.size} is not a multiple of {self.shrink}",
                where="NetConfig.size",
                hint=f"use {max(1, round(self.size / self.shrink)) * self.shrink}",
            )

    def _check_stages(self) -> None:
        raise NotImplementedError

    @property
    def shrink(self) -> int:
        """How much a trunk shrinks an image, in each direction."""
        raise NotImplementedError

    @property
    def features(self) -> int:
        """Length of the flattened output of a trunk (8192 at the paper's sizes)."""
        return self.channels[-1] * (self.size // self.shrink) ** 2

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that survive JSON; `from_dict` reads them back."""
        values = {n: list(v) if isinstance(v, tuple) else v for n, v in asdict(self).items()}
        return {"trunk": self.trunk, **values}

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> Config:
        """Build the config of the family named by the key ``trunk``, without one the paper's.

        Keys left out keep the family's default; those that only the other family has are passed
        over, because files of version 0.0 name them all.

        Raises:
            CadstnError: a key is unknown (the nearest known one is named) or a value is refused.
        """
        plain = {n: tuple(v) if isinstance(v, list) else v for n, v in values.items()}
        trunk = plain.pop("trunk", PaperConfig.trunk)
        if not isinstance(trunk, str) or trunk not in CONFIGS:
            raise CadstnError(
                f"no trunk {trunk!r}",
                where="NetConfig.trunk",
                hint=nearest_name(str(trunk), CONFIGS),
            )
        config = CONFIGS[trunk]
        known = field_names(config)
        foreign = {name for other in CONFIGS.values() for name in field_names(other)}
        for key in plain:
            if key not in foreign:
                raise CadstnError(
                    f"unknown key {key!r} in a network config",
                    where="NetConfig.from_dict",
                    hint=nearest_name(str(key), known),
                )
        own = {name: value for name, value in plain.items() if name in known}
        made: Config = config(**own)  # type: ignore[arg-type]  # checked by the config itself
        return made


@dataclass(frozen=True)
class PaperConfig(Sizes):
    """Sizes of the paper's five networks; the defaults are those for NYU (section IV-A).

    Raises:
        CadstnError: a value is outside its range.
    """

    dropout: float = 0.3  # share of nodes dropped after a fully connected layer
    dropout_recurrent: float = 0.5  # share of nodes of h_t dropped before the temporal output layer
    fusion: str = "gate"  # ``gate`` (equation 6) or ``free``, see `cadstn.models.Fusion`

    trunk: ClassVar[str] = "paper"

    def __post_init__(self) -> None:
        """Refuse sizes no network can be built from."""
        super().__post_init__()
        for name in ("dropout", "dropout_recurrent"):
            _require_share(name, getattr(self, name))
        if self.fusion not in FUSIONS:
            raise CadstnError(
                f"no fusion {self.fusion!r}",
                where="NetConfig.fusion",
                hint=nearest_name(str(self.fusion), FUSIONS),
            )

    def _check_stages(self) -> None:
        _require_tuple("channels", self.channels, 3, "three sizes")

    @property
    def shrink(self) -> int:
        """How much a trunk shrinks an image, in each direction."""
        return POOLING


@dataclass(frozen=True)
class CompactConfig(Sizes):
    """Sizes of the compact networks.

    Raises:
        CadstnError: a value is outside its range.
    """

    # feature maps of the stages of the trunk, two or more
    channels: tuple[int, ...] = (24, 48, 96, 192)
    blocks: tuple[int, ...] = (1, 2, 2, 1)  # residual blocks of each stage
    width: int = 256
    hidden: int = 256

    trunk: ClassVar[str] = "residual"

    def _check_stages(self) -> None:
        stages = len(self.channels) if isinstance(self.channels, tuple) else 0
        _require_tuple("channels", self.channels, max(2, stages), "two or more sizes")
        _require_tuple("blocks", self.blocks, stages, f"{stages} numbers, one a stage of the trunk")

    @property
    def shrink(self) -> int:
        """How much the trunk shrinks an image, in each direction."""
        shrunk: int = PATCH * 2 ** (len(self.channels) - 1)
        return shrunk


Config = PaperConfig | CompactConfig
NetConfig = PaperConfig
"""The public name of the paper's sizes; its `from_dict` reads those of either family."""
CONFIGS: dict[str, type[PaperConfig] | type[CompactConfig]] = {
    config.trunk: config for config in (PaperConfig, CompactConfig)
}
"""By the family's name in files."""


def field_names(config: type[PaperConfig] | type[CompactConfig]) -> list[str]:
    """Names of the sizes of one family."""
    return [field.name for field in fields(config)]


def _require_tuple(name: str, values: object, count: int, what: str) -> None:
    if not isinstance(values, tuple) or len(values) != count:
        raise CadstnError(
            f"{name} must be a tuple of {what}, not {values!r}", where=f"NetConfig.{name}"
        )
    for value in values:
        _require_positive(name, value)


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
