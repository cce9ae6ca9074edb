"""The spatial network: depth image and slices, fused layer by layer (equation 2, figure 3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor, nn

from cadstn.errors import CadstnError
from cadstn.models.blocks import as_images, as_joints
from cadstn.models.config import PaperConfig
from cadstn.models.paper.blocks import (
    NO_MASKS,
    OUTPUT_STD,
    Dense,
    Drop,
    Masks,
    depth_trunk,
    linear,
    sliced_trunk,
)
from cadstn.models.slices import slice_volume


class SpatialOutputs(NamedTuple):
    """Joints (B, K, 3) of the main path and of the two auxiliary ones."""

    main: Tensor
    depth: Tensor
    sliced: Tensor


class Spatial(nn.Module):
    """Two trunks whose features are averaged at three levels (equation 2).

    phi0 averages the trunks; phi1 averages FC1 and FC1_3D, which both read phi0; phi2 the same
    one level up. In training each trunk alone also runs through its own column of those layers
    to an output layer of its own; at inference these auxiliary paths do not exist.
    """

    def __init__(self, config: PaperConfig, *, auxiliary: bool = True) -> None:
        """Build; without `auxiliary` only the layers that inference needs."""
        super().__init__()
        self.config = config
        self.depth_trunk = depth_trunk(config)
        self.sliced_trunk = sliced_trunk(config)
        self.fc1 = Dense(config.features, config.width, config.dropout)
        self.fc1_3d = Dense(config.features, config.width, config.dropout)
        self.fc2 = Dense(config.width, config.width, config.dropout)
        self.fc2_3d = Dense(config.width, config.width, config.dropout)
        outputs = 3 * config.joints
        self.output = linear(config.width, outputs, std=OUTPUT_STD)
        # Built last: one seed then draws the same main path with and without them.
        self.auxiliary = (
            nn.ModuleDict({path: linear(config.width, outputs) for path in ("depth", "sliced")})
            if auxiliary
            else None
        )

    def drops(self) -> tuple[Drop, ...]:
        """Every use of dropout in `forward_train`: each layer's in the main path, then alone."""
        layers = ("fc1", "fc1_3d", "fc2", "fc2_3d")
        uses = ((self.get_submodule(layer), name) for layer in layers
                for name in (layer, f"{layer}_alone"))  # fmt: skip
        return tuple(dense.drop(name) for dense, name in uses if isinstance(dense, Dense))

    def forward(self, crops: Tensor, masks: Masks = NO_MASKS) -> Tensor:
        """Map crops (B, M, M) to joints (B, K, 3), both normalised by half a cube."""
        return self._main(*self._trunks(crops), masks)

    def forward_train(self, crops: Tensor, masks: Masks = NO_MASKS) -> SpatialOutputs:
        """Run the main and both auxiliary paths on crops (B, M, M).

        Raises:
            CadstnError: the network was built without auxiliary paths.
        """
        if self.auxiliary is None:
            raise CadstnError(
                "this spatial network has no auxiliary paths to train",
                where="Spatial.forward_train",
                hint="build it with auxiliary=True",
            )
        depth, sliced = self._trunks(crops)
        main = self._main(depth, sliced, masks)
        depth = self.fc2(self.fc1(depth, "fc1_alone", masks), "fc2_alone", masks)
        sliced = self.fc2_3d(self.fc1_3d(sliced, "fc1_3d_alone", masks), "fc2_3d_alone", masks)
        return SpatialOutputs(
            main=main,
            depth=as_joints(self.auxiliary["depth"](depth)),
            sliced=as_joints(self.auxiliary["sliced"](sliced)),
        )

    def _trunks(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        images = as_images(crops, self.config.size)
        volume = slice_volume(images[:, 0], self.config.slices)
        return self.depth_trunk(images), self.sliced_trunk(volume)

    def _main(self, depth: Tensor, sliced: Tensor, masks: Masks) -> Tensor:
        phi0 = _mean(depth, sliced)
        phi1 = _mean(self.fc1(phi0, "fc1", masks), self.fc1_3d(phi0, "fc1_3d", masks))
        phi2 = _mean(self.fc2(phi1, "fc2", masks), self.fc2_3d(phi1, "fc2_3d", masks))
        return as_joints(self.output(phi2))


def inference_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Drop the auxiliary paths from the state of a `Spatial`, or of a `Cadstn` that holds one."""
    return {name: value for name, value in state.items() if "auxiliary" not in name.split(".")}


def _mean(first: Tensor, second: Tensor) -> Tensor:
    return 0.5 * (first + second)
