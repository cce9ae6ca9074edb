"""The streaming step of the paper's networks with fewer, larger operations, for export.

Four rewritings, each exact but for the rounding of float32:

- The sliced trunk has nothing but a 1x1 convolution between its 3x3 and the ReLU: the two are one
  3x3 convolution, whose weights are their product.
- The first convolutions of the three depth trunks read the same crop: one convolution.
- FC1 and FC1_3D, and FC2 and FC2_3D, read the same features: one matrix each.
- The LSTM's two products are one.
"""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from cadstn.models import Cadstn, slice_volume
from cadstn.models.blocks import as_joints
from cadstn.models.paper.blocks import POOLS

_Layer = TypeVar("_Layer", nn.Conv2d, nn.Linear)


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
        self.widths = [_at(trunk.spatial, 0).out_channels for trunk in trunks]
        self.free = fusion.free
        self.first = _convolution(
            torch.cat([_at(trunk.spatial, 0).weight for trunk in trunks]),
            torch.cat([_bias(_at(trunk.spatial, 0)) for trunk in trunks]),
        )
        self.depth = nn.ModuleList(copy.deepcopy(trunk.spatial[1:]) for trunk in trunks)
        sliced = spatial.sliced_trunk
        self.sliced = nn.ModuleList(
            _joined(_at(sliced.spatial, k), _at(sliced.mixing, k)) for k in range(len(POOLS))
        )
        self.fc1 = _stacked(spatial.fc1.linear, spatial.fc1_3d.linear)
        self.fc2 = _stacked(spatial.fc2.linear, spatial.fc2_3d.linear)
        self.spatial_out = copy.deepcopy(spatial.output)
        self.phi = copy.deepcopy(temporal.fc1.linear)
        lstm = temporal.lstm
        self.gates = _dense(torch.cat([lstm.weight_x, lstm.weight_h], 1), lstm.bias)
        self.temporal_out = copy.deepcopy(temporal.output)
        head = fusion.head
        layers = (head.fc1.linear, head.fc2.linear, head.output)
        self.weights = nn.ModuleList(copy.deepcopy(layer) for layer in layers)

    def forward(self, crops: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Map crops (B, M, M), h and c (B, H) to joints and w1 (B, K, 3), next h and c (B, H)."""
        # Slices come from the crop itself, never from anything rounded: a background of exactly 1
        # that became 0.996 would count as surface.
        volume = slice_volume(crops, self.config.slices)
        for layer, pool in zip(self.sliced, POOLS, strict=True):
            volume = _stage(layer, volume, pool)
        shared = _stage(self.first, crops.unsqueeze(1), POOLS[0])
        parts = torch.split(shared, self.widths, 1)
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
        gate = self.weights[2](weight)
        w1, w2 = gate.chunk(2, 1) if self.free else (gate.sigmoid(), None)
        joints = w1 * temporal + (1 - w1 if w2 is None else w2) * spatial
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
