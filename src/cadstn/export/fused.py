"""The streaming step with fewer, larger operations: the same arithmetic, for export.

Four rewritings, each exact but for the rounding of float32:

- The sliced trunk has nothing but a 1x1 convolution between its 3x3 and the ReLU: the two are one
  3x3 convolution, whose weights are their product.
- The first convolutions of the three depth trunks read the same crop: one convolution.
- FC1 and FC1_3D, and FC2 and FC2_3D, read the same features: one matrix each.
- The LSTM's two products are one.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from cadstn.errors import CadstnError
from cadstn.models import Cadstn, Compact, CompactSpatial, Memory, NetConfig, slice_volume
from cadstn.models.blocks import POOLS, as_joints
from cadstn.models.residual import Normalised

FIRST = "first"
"""The network that looks first: of an exported file's weights, and the input that asks for it."""

_Layer = TypeVar("_Layer", nn.Conv2d, nn.Linear)
_Model = TypeVar("_Model", bound=nn.Module)


class FusedStep(nn.Module):
    """`Cadstn.step` rewritten; flat inputs and outputs, as ONNX wants them.

    Args:
        model: whose weights are taken; it is left as it was, and training it further changes
            nothing here.
    """

    def __init__(self, model: Cadstn) -> None:
        super().__init__()
        self.config = model.config
        spatial, temporal, fusion = model.spatial, model.temporal, model.fusion
        trunks = (spatial.depth_trunk, temporal.trunk, fusion.trunk)
        self.first = _convolution(
            torch.cat([_at(trunk.spatial, 0).weight for trunk in trunks]),
            torch.cat([_bias(_at(trunk.spatial, 0)) for trunk in trunks]),
        )
        self.depth = nn.ModuleList(
            nn.ModuleList(
                _convolution(_at(trunk.spatial, k).weight, _bias(_at(trunk.spatial, k)))
                for k in (1, 2)
            )
            for trunk in trunks
        )
        sliced = spatial.sliced_trunk
        self.sliced = nn.ModuleList(
            _joined(_at(sliced.spatial, k), _at(sliced.mixing, k)) for k in range(len(POOLS))
        )
        self.fc1 = _stacked(spatial.fc1.linear, spatial.fc1_3d.linear)
        self.fc2 = _stacked(spatial.fc2.linear, spatial.fc2_3d.linear)
        self.spatial_out = _dense(spatial.output.weight, spatial.output.bias)
        self.phi = _dense(temporal.fc1.linear.weight, temporal.fc1.linear.bias)
        lstm = temporal.lstm
        self.gates = _dense(torch.cat([lstm.weight_x, lstm.weight_h], 1), lstm.bias)
        self.temporal_out = _dense(temporal.output.weight, temporal.output.bias)
        head = fusion.head
        self.weights = nn.ModuleList(
            _dense(layer.weight, layer.bias)
            for layer in (head.fc1.linear, head.fc2.linear, head.output)
        )

    def forward(self, crops: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Map crops (B, M, M), h and c (B, H) to joints and w1 (B, K, 3), next h and c (B, H)."""
        # Slices come from the crop itself, never from anything rounded: a background of exactly 1
        # that became 0.996 would count as surface.
        volume = slice_volume(crops, self.config.slices)
        for layer, pool in zip(self.sliced, POOLS, strict=True):
            volume = _stage(layer, volume, pool)
        shared = _stage(self.first, crops.unsqueeze(1), POOLS[0])
        parts = shared.chunk(len(self.depth), 1)
        depth = []
        for layers, part in zip(self.depth, parts, strict=True):
            for layer, pool in zip(layers, POOLS[1:], strict=True):  # type: ignore[call-overload]
                part = _stage(layer, part, pool)
            depth.append(part.flatten(1))
        spatial = self._spatial((depth[0] + volume.flatten(1)) / 2)
        temporal, h, c = self._temporal(depth[1], h, c)
        weight = depth[2]
        for layer in self.weights[:2]:
            weight = functional.relu(layer(weight))
        w1 = self.weights[2](weight).sigmoid()
        joints = w1 * temporal + (1 - w1) * spatial
        return as_joints(joints), as_joints(w1), h, c

    def _spatial(self, mean: Tensor) -> Tensor:
        for layer in (self.fc1, self.fc2):
            one, other = functional.relu(layer(mean)).chunk(2, 1)
            mean = (one + other) / 2
        out: Tensor = self.spatial_out(mean)
        return out

    def _temporal(self, features: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        phi = functional.relu(self.phi(features))
        take_in, forget, candidate, give_out = self.gates(torch.cat([phi, h], 1)).chunk(4, 1)
        c = forget.sigmoid() * c + take_in.sigmoid() * candidate.tanh()
        h = give_out.sigmoid() * c.tanh()
        return self.temporal_out(torch.cat([h, phi], 1)), h, c


class CompactStep(nn.Module):
    """`Compact.step` with flat inputs and outputs, and its batch normalisation in its convolutions.

    Args:
        model: whose weights are taken; it is left as it was.
        spread: what it says of how sure it is of joints, times this.
    """

    def __init__(self, model: Compact, spread: float = 1.0) -> None:
        super().__init__()
        self.spread = spread
        self.model = _folded(copy.deepcopy(model))

    @torch.no_grad()
    def blend(self, other: Mapping[str, Mapping[str, Tensor]], share: float) -> None:
        """Move all weights by a share of the way to those of another export.

        Of two trainings of which one went on from the other the mean can be better than either
        (Wortsman et al., "Model soups", ICML 2022).

        Args:
            other: weights by stage and name, with the normalisation inside the convolutions.
            share: of the other's, from 0 to 1.

        Raises:
            CadstnError: if they are those of other sizes.
        """
        own = dict(self.model.named_parameters())
        theirs = {f"{stage}.{n}": t for stage, part in other.items() for n, t in part.items()}
        _check_sizes(own, theirs, "be blended in")
        for name, weight in own.items():
            weight.lerp_(theirs[name], share)

    def forward(
        self, crops: Tensor, shift: Tensor, h: Tensor, c: Tensor, before: Tensor
    ) -> tuple[Tensor, ...]:
        """Map a frame to what `cadstn.tracking.network.Step` holds, answers as probabilities."""
        out = self.model.step(crops, shift, Memory(h, c, before))
        answers = (out.present.sigmoid(), out.left.sigmoid())
        return (out.joints, out.w1, *out.memory, out.spatial, out.spread * self.spread, *answers)


class FirstStep(nn.Module):
    """A spatial network that looks where nothing is remembered, in the form of `CompactStep`.

    What it says is said by one frame alone: the temporal prediction weighs nothing, and the memory
    stays as it was.

    Args:
        config: of the compact networks that follow the hand from there on.
        weights: by name, with the normalisation inside the convolutions, as an export has them.
        spread: as in `CompactStep`.

    Raises:
        CadstnError: if they are those of other sizes.
    """

    def __init__(
        self, config: NetConfig, weights: Mapping[str, Tensor], spread: float = 1.0
    ) -> None:
        super().__init__()
        self.spread = spread
        self.first = _folded(CompactSpatial(config))
        _check_sizes(self.first.state_dict(), weights, "look first")
        self.first.load_state_dict(weights)

    def forward(
        self, crops: Tensor, shift: Tensor, h: Tensor, c: Tensor, before: Tensor
    ) -> tuple[Tensor, ...]:
        """Map a frame to what `CompactStep` says of it."""
        look = self.first.look(crops)
        answers = (look.present.sigmoid(), look.left.sigmoid())
        # Sums, because an output that is an input is lost in the export.
        memory = (h + 0 * shift[:, :1], c + 0, before + 0)
        spread = look.spread * self.spread
        return (look.joints, look.joints * 0, *memory, look.joints + 0, spread, *answers)


def _check_sizes(own: Mapping[str, Tensor], theirs: Mapping[str, Tensor], use: str) -> None:
    """Raise a CadstnError, naming the first that differs, unless all names and shapes agree."""
    for name in sorted(own.keys() | theirs.keys()):
        if name not in own or name not in theirs or own[name].shape != theirs[name].shape:
            raise CadstnError(
                f"weights of another network cannot {use} ({name})",
                mend="give an export of the same recipe",
            )


def _folded(model: _Model) -> _Model:
    """Put batch normalisation into the convolutions before it, in place."""
    for layer in model.eval().modules():
        if isinstance(layer, Normalised):
            layer.conv = fuse_conv_bn_eval(layer.conv, layer.norm)
            layer.norm = nn.Identity()  # type: ignore[assignment]
    return model


def _stage(layer: nn.Module, images: Tensor, pool: int) -> Tensor:
    return functional.relu(functional.max_pool2d(layer(images), pool))


def _at(layers: nn.ModuleList, place: int) -> nn.Conv2d:
    layer = layers[place]
    assert isinstance(layer, nn.Conv2d)
    return layer


def _bias(layer: nn.Conv2d) -> Tensor:
    assert layer.bias is not None
    return layer.bias


def _convolution(weight: Tensor, bias: Tensor) -> nn.Conv2d:
    outputs, inputs, kernel, _ = weight.shape
    layer = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)
    return _filled(layer, weight, bias)


def _dense(weight: Tensor, bias: Tensor) -> nn.Linear:
    return _filled(nn.Linear(weight.shape[1], weight.shape[0]), weight, bias)


def _filled(layer: _Layer, weight: Tensor, bias: Tensor) -> _Layer:
    assert layer.bias is not None
    with torch.no_grad():
        layer.weight.copy_(weight)
        layer.bias.copy_(bias)
    return layer


def _joined(spatial: nn.Conv2d, mixing: nn.Conv2d) -> nn.Conv2d:
    """A 3x3 convolution and the 1x1 after it, as one 3x3; multiplied in double precision."""
    mix = mixing.weight[:, :, 0, 0].double()
    weight = torch.einsum("om,mikl->oikl", mix, spatial.weight.double())
    return _convolution(weight, mix @ _bias(spatial).double() + _bias(mixing))


def _stacked(one: nn.Linear, other: nn.Linear) -> nn.Linear:
    """Two layers that read the same, as one; their outputs one after the other."""
    return _dense(torch.cat([one.weight, other.weight]), torch.cat([one.bias, other.bias]))
