"""All five networks, re-computed in float64 NumPy from the paper's text and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from cadstn.models import (
    Baseline,
    Cadstn,
    Fusion,
    NetConfig,
    Sliced,
    Spatial,
    Temporal,
    slice_volume,
)

Array = NDArray[np.float64]
Weights = dict[str, Array]
SIZES = NetConfig(joints=3, size=16, slices=4, channels=(3, 4, 5), width=7, hidden=6)


def randomised(model: nn.Module) -> Weights:
    """Give every weight and bias a size that matters, and return them all."""
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.4)
    model.eval()
    return {name: value.numpy().astype(np.float64) for name, value in model.state_dict().items()}


def random_crops(*shape: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(7)
    crops = torch.rand(*shape, SIZES.size, SIZES.size, generator=generator) * 2 - 1
    empty = torch.rand(crops.shape, generator=generator) < 0.4
    return crops.masked_fill(empty, 1.0)


def convolve(image: Array, weights: Weights, name: str) -> Array:
    kernel, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
    side = kernel.shape[-1]
    padded = np.pad(image, ((0, 0), (side // 2,) * 2, (side // 2,) * 2))
    out = np.zeros((len(kernel), *image.shape[1:])) + bias[:, None, None]
    for y in range(image.shape[1]):
        for x in range(image.shape[2]):
            patch = padded[:, y : y + side, x : x + side]
            out[:, y, x] += (kernel * patch).sum(axis=(1, 2, 3))
    return out


def max_pool(image: Array, side: int) -> Array:
    channels, height, width = image.shape
    tiles = image.reshape(channels, height // side, side, width // side, side)
    return np.asarray(tiles.max(axis=(2, 4)))


def trunk(image: Array, weights: Weights, name: str, *, mixing: bool) -> Array:
    for stage, pool in enumerate((4, 2, 2)):
        image = convolve(image, weights, f"{name}.spatial.{stage}")
        if mixing:
            image = convolve(image, weights, f"{name}.mixing.{stage}")
        image = max_pool(np.maximum(image, 0), pool)
    return image.reshape(-1)


def affine(x: Array, weights: Weights, name: str) -> Array:
    return np.asarray(weights[f"{name}.weight"] @ x + weights[f"{name}.bias"])


def dense(x: Array, weights: Weights, name: str) -> Array:
    return np.maximum(affine(x, weights, f"{name}.linear"), 0)


def sigmoid(x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-x)))


def head(x: Array, weights: Weights, name: str) -> Array:
    hidden = dense(dense(x, weights, f"{name}.fc1"), weights, f"{name}.fc2")
    return affine(hidden, weights, f"{name}.output").reshape(-1, 3)


def below(weights: Weights, name: str) -> Weights:
    return {key[len(name) + 1 :]: v for key, v in weights.items() if key.startswith(f"{name}.")}


def depth_of(crop: torch.Tensor) -> Array:
    return crop.numpy().astype(np.float64)[None]


def volume_of(crop: torch.Tensor) -> Array:
    return np.asarray(slice_volume(crop[None], SIZES.slices)[0].numpy(), dtype=np.float64)


def spatial(crop: torch.Tensor, weights: Weights) -> tuple[Array, Array, Array]:
    """Equation 2 and the two auxiliary columns, which reuse FC1, FC2, FC1_3D and FC2_3D."""
    depth = trunk(depth_of(crop), weights, "depth_trunk", mixing=False)
    sliced = trunk(volume_of(crop), weights, "sliced_trunk", mixing=True)
    phi0 = np.mean([depth, sliced], axis=0)
    phi1 = np.mean([dense(phi0, weights, "fc1"), dense(phi0, weights, "fc1_3d")], axis=0)
    phi2 = np.mean([dense(phi1, weights, "fc2"), dense(phi1, weights, "fc2_3d")], axis=0)
    main = affine(phi2, weights, "output")
    alone = dense(dense(depth, weights, "fc1"), weights, "fc2")
    alone_3d = dense(dense(sliced, weights, "fc1_3d"), weights, "fc2_3d")
    auxiliary = (
        affine(alone, weights, "auxiliary.depth") if "auxiliary.depth.bias" in weights else main
    )
    auxiliary_3d = (
        affine(alone_3d, weights, "auxiliary.sliced")
        if "auxiliary.sliced.bias" in weights
        else main
    )
    return main.reshape(-1, 3), auxiliary.reshape(-1, 3), auxiliary_3d.reshape(-1, 3)


def temporal(clip: torch.Tensor, weights: Weights) -> Array:
    """Equations 4 and 5, gate by gate as the paper writes them."""
    names = ("i", "f", "c", "o")  # the documented order of the stacked rows
    w_x = dict(zip(names, np.split(weights["lstm.weight_x"], 4), strict=True))
    w_h = dict(zip(names, np.split(weights["lstm.weight_h"], 4), strict=True))
    b = dict(zip(names, np.split(weights["lstm.bias"], 4), strict=True))
    h, c = np.zeros(SIZES.hidden), np.zeros(SIZES.hidden)
    joints = []
    for crop in clip:
        phi = dense(trunk(depth_of(crop), weights, "trunk", mixing=False), weights, "fc1")
        i = sigmoid(w_h["i"] @ h + w_x["i"] @ phi + b["i"])
        f = sigmoid(w_h["f"] @ h + w_x["f"] @ phi + b["f"])
        o = sigmoid(w_h["o"] @ h + w_x["o"] @ phi + b["o"])
        c = f * c + i * np.tanh(w_h["c"] @ h + w_x["c"] @ phi + b["c"])
        h = o * np.tanh(c)
        joints.append(affine(np.concatenate([h, phi]), weights, "output").reshape(-1, 3))
    return np.stack(joints)


def fusion(crop: torch.Tensor, weights: Weights) -> Array:
    return sigmoid(head(trunk(depth_of(crop), weights, "trunk", mixing=False), weights, "head"))


def assert_close(ours: torch.Tensor, expected: Array | list[Array]) -> None:
    expected = np.asarray(expected)
    assert expected.std() > 0.05  # dead ReLUs would make any two networks agree
    np.testing.assert_allclose(ours.detach().numpy(), expected, rtol=1e-5, atol=1e-5)


def test_baseline() -> None:
    model = Baseline(SIZES)
    weights, crops = randomised(model), random_crops(2)
    assert_close(
        model(crops),
        [head(trunk(depth_of(c), weights, "trunk", mixing=False), weights, "head") for c in crops],
    )


def test_sliced() -> None:
    model = Sliced(SIZES)
    weights, crops = randomised(model), random_crops(2)
    assert_close(
        model(crops),
        [head(trunk(volume_of(c), weights, "trunk", mixing=True), weights, "head") for c in crops],
    )


@pytest.mark.parametrize("path", ["main", "depth", "sliced"])
def test_spatial_and_its_auxiliary_paths(path: str) -> None:
    model = Spatial(SIZES)
    weights, crops = randomised(model), random_crops(2)
    number = ("main", "depth", "sliced").index(path)
    ours = getattr(model.forward_train(crops), path)
    assert_close(ours, [spatial(c, weights)[number] for c in crops])


def test_temporal() -> None:
    model = Temporal(SIZES)
    weights, clips = randomised(model), random_crops(2, 5)
    joints, _ = model(clips)
    assert_close(joints, [temporal(clip, weights) for clip in clips])


def test_fusion() -> None:
    model = Fusion(SIZES)
    weights, crops = randomised(model), random_crops(2)
    assert_close(model(crops), [fusion(c, weights) for c in crops])


def test_the_whole() -> None:
    model = Cadstn(SIZES)
    weights, clips = randomised(model), random_crops(2, 3)
    expected = []
    for clip in clips:
        w1 = np.stack([fusion(c, below(weights, "fusion")) for c in clip])
        from_one_frame = np.stack([spatial(c, below(weights, "spatial"))[0] for c in clip])
        from_many = temporal(clip, below(weights, "temporal"))
        expected.append(w1 * from_many + (1 - w1) * from_one_frame)
    assert_close(model(clips).joints, expected)
