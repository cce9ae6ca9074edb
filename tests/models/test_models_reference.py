"""The five networks beside a second reading of the method's layer table, in float64 NumPy.

Written for these tests from the table alone: forward and backward passes, losses, Adam. Weights,
inputs and dropout masks come from a formula. Full size for outputs and gradients; smaller layers
for three steps of Adam as the released recipe takes them.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from cadstn.models import (
    Baseline,
    Fusion,
    NetConfig,
    Sliced,
    Spatial,
    Temporal,
    half_squared,
    pose_distance,
    spatial_loss,
)
from cadstn.train import Batch
from cadstn.train.loop import learning_rate
from cadstn.train.networks import build, family_of
from cadstn.train.optimizers import optimizers
from cadstn.train.recipes import override, recipe

Array = NDArray[np.float64]
Masks = dict[str, Array]
T = 3


def formula(name: str, *shape: int) -> Array:
    """Numbers in [-1, 1) that look random, by their name and place."""
    x = np.arange(math.prod(shape), dtype=np.uint64) + np.uint64(zlib.crc32(name.encode()))
    for factor, shift in ((2654435761, 15), (2246822519, 13)):
        x = (x * np.uint64(factor)) & np.uint64(0xFFFFFFFF)
        x ^= x >> np.uint64(shift)
    return x.reshape(shape).astype(np.float64) / 2.0**31 - 1


def crops_of(count: int, size: int) -> Array:
    """Depth in (-0.9, 0.9), and four pixels in ten empty."""
    empty = formula("empty", count, size, size) < -0.2
    return np.where(empty, 1.0, 0.9 * formula("depth", count, size, size))


# -- a tape: every value knows how its gradient goes back ------------------------------------------


class Value:
    tape: list[Value] = []  # noqa: RUF012  # one for all, cleared by `backward`

    def __init__(self, data: Array, back: Callable[[Array], None] | None = None) -> None:
        self.data, self.back = data, back
        self.grad: Array | None = None
        if back is not None:
            Value.tape.append(self)

    def add(self, grad: Array) -> None:
        self.grad = grad if self.grad is None else self.grad + grad


def backward(loss_gradients: list[tuple[Value, Array]]) -> None:
    for value, grad in loss_gradients:
        value.add(grad)
    for value in reversed(Value.tape):
        if value.grad is not None and value.back is not None:
            value.back(value.grad)
    Value.tape.clear()


def elementwise(x: Value, out: Array, slope: Array) -> Value:
    return Value(out, lambda grad: x.add(grad * slope))


def relu(x: Value) -> Value:
    return elementwise(x, np.maximum(x.data, 0), (x.data > 0).astype(np.float64))


def sigmoid(x: Value) -> Value:
    out = 1 / (1 + np.exp(-x.data))
    return elementwise(x, out, out * (1 - out))


def tanh(x: Value) -> Value:
    out = np.tanh(x.data)
    return elementwise(x, out, 1 - out**2)


def times(x: Value, factor: Array | float) -> Value:
    return elementwise(x, x.data * factor, np.asarray(factor, np.float64))


def plus(*parts: Value) -> Value:
    def back(grad: Array) -> None:
        for part in parts:
            part.add(grad)

    return Value(np.asarray(sum(part.data for part in parts)), back)


def product(x: Value, y: Value) -> Value:
    def back(grad: Array) -> None:
        x.add(grad * y.data)
        y.add(grad * x.data)

    return Value(x.data * y.data, back)


def mean(x: Value, y: Value) -> Value:
    return times(plus(x, y), 0.5)


def joined(x: Value, y: Value) -> Value:
    def back(grad: Array) -> None:
        x.add(grad[:, : x.data.shape[1]])
        y.add(grad[:, x.data.shape[1] :])

    return Value(np.concatenate([x.data, y.data], 1), back)


def picked(x: Value, rows: slice, axis: int = 0) -> Value:
    index = (rows,) if axis == 0 else (slice(None), rows)

    def back(grad: Array) -> None:
        whole = np.zeros_like(x.data)
        whole[index] = grad
        x.add(whole)

    return Value(x.data[index], back)


def matrix(x: Value, weight: Value, bias: Value | None = None) -> Value:
    """x W^T + b."""

    def back(grad: Array) -> None:
        weight.add(grad.T @ x.data)
        x.add(grad @ weight.data)
        if bias is not None:
            bias.add(grad.sum(0))

    out = x.data @ weight.data.T
    return Value(out if bias is None else out + bias.data, back)


def convolve(x: Value, weight: Value, bias: Value) -> Value:
    """A k x k convolution that keeps the image's size, as a product with its patches."""
    count, channels, side, _ = x.data.shape
    outputs, _, k, _ = weight.data.shape
    r = k // 2
    padded = np.pad(x.data, ((0, 0), (0, 0), (r, r), (r, r)))
    places = [(i, j) for i in range(k) for j in range(k)]
    patches = np.stack([padded[:, :, i : i + side, j : j + side] for i, j in places], 2)
    flat = patches.reshape(count, channels * k * k, side * side)
    filters = weight.data.reshape(outputs, -1)
    out = (filters @ flat).reshape(count, outputs, side, side) + bias.data[:, None, None]

    def back(grad: Array) -> None:
        grads = grad.reshape(count, outputs, -1)
        weight.add(np.einsum("nop,ncp->oc", grads, flat, optimize=True).reshape(weight.data.shape))
        bias.add(grad.sum((0, 2, 3)))
        if x.back is None:  # the image itself
            return
        spread = (filters.T @ grads).reshape(patches.shape)
        whole = np.zeros_like(padded)
        for number, (i, j) in enumerate(places):
            whole[:, :, i : i + side, j : j + side] += spread[:, :, number]
        x.add(whole[:, :, r : r + side, r : r + side])

    return Value(out, back)


def max_pool(x: Value, k: int) -> Value:
    count, channels, side, _ = x.data.shape
    tiles = x.data.reshape(count, channels, side // k, k, side // k, k)
    flat = tiles.transpose(0, 1, 2, 4, 3, 5).reshape(count, channels, side // k, side // k, k * k)
    best = flat.argmax(-1)[..., None]

    def back(grad: Array) -> None:
        whole = np.zeros_like(flat)
        np.put_along_axis(whole, best, grad[..., None], -1)
        shape = (count, channels, side // k, side // k, k, k)
        x.add(whole.reshape(shape).transpose(0, 1, 2, 4, 3, 5).reshape(x.data.shape))

    return Value(np.take_along_axis(flat, best, -1)[..., 0], back)


def flattened(x: Value) -> Value:
    return Value(x.data.reshape(len(x.data), -1), lambda grad: x.add(grad.reshape(x.data.shape)))


# -- the layer table -------------------------------------------------------------------------------

Layers = dict[str, Value]


def layer(weights: Layers, name: str) -> tuple[Value, Value]:
    return weights[f"{name}.weight"], weights[f"{name}.bias"]


def depth_trunk(weights: Layers, name: str, crops: Array) -> Value:
    x = Value(crops[:, None])
    for stage, pool in enumerate((4, 2, 2)):
        x = max_pool(relu(convolve(x, *layer(weights, f"{name}.spatial.{stage}"))), pool)
    return flattened(x)


def slices(crops: Array, count: int) -> Array:
    """In millimetres, one frame and one pixel's bin at a time."""
    volume = np.zeros((len(crops), count, *crops.shape[1:]))
    for n, crop in enumerate(crops):
        depth_mm, surface = 600 + 150 * crop, crop < 1
        low, high = depth_mm[surface].min(), depth_mm[surface].max()
        for y, x in zip(*np.nonzero(surface), strict=True):
            place = int((depth_mm[y, x] - low) / ((high - low) / count))
            volume[n, min(place, count - 1), y, x] = 1
    return volume


def sliced_trunk(weights: Layers, name: str, crops: Array, count: int) -> Value:
    x = Value(slices(crops, count))
    for stage, pool in enumerate((4, 2, 2)):
        x = convolve(x, *layer(weights, f"{name}.spatial.{stage}"))
        x = max_pool(relu(convolve(x, *layer(weights, f"{name}.mixing.{stage}"))), pool)
    return flattened(x)


def dense(weights: Layers, name: str, x: Value, mask: Array, share: float = 0.3) -> Value:
    return times(relu(matrix(x, *layer(weights, f"{name}.linear"))), mask / (1 - share))


def head(weights: Layers, x: Value, masks: Masks) -> Value:
    for name in ("fc1", "fc2"):
        x = dense(weights, f"head.{name}", x, masks[name])
    return matrix(x, *layer(weights, "head.output"))


def run_baseline(weights: Layers, crops: Array, masks: Masks, count: int) -> list[Value]:
    return [head(weights, depth_trunk(weights, "trunk", crops), masks)]


def run_sliced(weights: Layers, crops: Array, masks: Masks, count: int) -> list[Value]:
    return [head(weights, sliced_trunk(weights, "trunk", crops, count), masks)]


def run_spatial(weights: Layers, crops: Array, masks: Masks, count: int) -> list[Value]:
    depth = depth_trunk(weights, "depth_trunk", crops)
    sliced = sliced_trunk(weights, "sliced_trunk", crops, count)
    x = mean(depth, sliced)
    for one, other in (("fc1", "fc1_3d"), ("fc2", "fc2_3d")):
        x = mean(*(dense(weights, name, x, masks[name]) for name in (one, other)))
    outputs = [matrix(x, *layer(weights, "output"))]
    for path, alone, names in (
        ("depth", depth, ("fc1", "fc2")), ("sliced", sliced, ("fc1_3d", "fc2_3d")),
    ):  # fmt: skip
        for name in names:
            alone = dense(weights, name, alone, masks[f"{name}_alone"])
        if f"auxiliary.{path}.weight" in weights:
            outputs.append(matrix(alone, *layer(weights, f"auxiliary.{path}")))
    return outputs


def run_temporal(weights: Layers, crops: Array, masks: Masks, count: int) -> list[Value]:
    """Rows are clips of T frames one after another."""
    phi = dense(weights, "fc1", depth_trunk(weights, "trunk", crops), masks["fc1"])
    hidden = weights["lstm.weight_h"].data.shape[1]
    clips, parts = len(crops) // T, []
    gates = {name: slice(n * hidden, (n + 1) * hidden) for n, name in enumerate("ifgo")}
    w_x, w_h, bias = (weights[f"lstm.{name}"] for name in ("weight_x", "weight_h", "bias"))
    for clip in range(clips):
        h = c = Value(np.zeros((1, hidden)), lambda grad: None)
        for t in range(T):
            now = picked(phi, slice(clip * T + t, clip * T + t + 1))
            z = {
                name: plus(
                    matrix(now, picked(w_x, rows), picked(bias, rows)), matrix(h, picked(w_h, rows))
                )
                for name, rows in gates.items()
            }
            c = plus(product(sigmoid(z["f"]), c), product(sigmoid(z["i"]), tanh(z["g"])))
            h = product(sigmoid(z["o"]), tanh(c))
            row = clip * T + t
            dropped = times(h, masks["hidden"][row : row + 1] / (1 - 0.5))
            parts.append(matrix(joined(dropped, now), *layer(weights, "output")))

    def back(grad: Array) -> None:
        for n, part in enumerate(parts):
            part.add(grad[n : n + 1])

    return [Value(np.concatenate([part.data for part in parts]), back)]


def run_fusion(weights: Layers, crops: Array, masks: Masks, count: int) -> list[Value]:
    return [sigmoid(head(weights, depth_trunk(weights, "trunk", crops), masks))]


RUNS = {
    "baseline": (Baseline, run_baseline),
    "sliced": (Sliced, run_sliced),
    "spatial": (Spatial, run_spatial),
    "temporal": (Temporal, run_temporal),
    "fusion": (Fusion, run_fusion),
}


def layers_of(network: torch.nn.Module) -> Layers:
    """Give a network the formula's weights, in float64, and return them."""
    network.double()
    found = {}
    for name, parameter in network.named_parameters():
        fan_in = math.prod(parameter.shape[1:])
        scale = math.sqrt(6 / fan_in) if parameter.ndim > 1 else 0.1
        data = scale * formula(name, *parameter.shape)
        with torch.no_grad():
            parameter.copy_(torch.from_numpy(data))
        found[name] = Value(data.copy())
    return found


def masks_of(network: Any, rows: int) -> tuple[dict[str, torch.Tensor], Masks]:
    made = {d.name: formula(f"mask {d.name}", rows, d.width) > 2 * d.share - 1
            for d in network.drops()}  # fmt: skip
    ours = {name: torch.from_numpy(mask) for name, mask in made.items()}
    return ours, {name: mask.astype(np.float64) for name, mask in made.items()}


def assert_close(ours: torch.Tensor, theirs: Array, what: str) -> None:
    found = ours.detach().numpy().reshape(theirs.shape)
    assert np.abs(found - theirs).max() <= 1e-10 * np.abs(theirs).max(), what


@pytest.mark.parametrize("stage", RUNS)
def test_outputs_and_gradients_at_full_size(stage: str) -> None:
    kind, run = RUNS[stage]
    count = 1 if stage in ("sliced", "spatial") else T
    network: Any = kind(NetConfig())
    weights = layers_of(network)
    crops, truth = crops_of(count, 128), formula("truth", count, 42)
    masks, their_masks = masks_of(network, count)
    images, labels = torch.from_numpy(crops), torch.from_numpy(truth).view(count, 14, 3)
    theirs = run(weights, crops, their_masks, 8)
    if stage == "spatial":
        outputs = network.forward_train(images, masks)
        loss = spatial_loss(outputs, labels, half_squared)
    else:
        outputs = (network(images[None], None, masks)[0][0] if stage == "temporal"
                   else network(images, masks),)  # fmt: skip
        # Equation 1 for one of them: its gradient is the error over its own length.
        loss = (pose_distance if stage == "baseline" else half_squared)(outputs[0], labels)
    gradients = []
    for ours, value in zip(outputs, theirs, strict=True):
        assert value.data.std() > 0.05  # dead units would make any two networks agree
        assert_close(ours, value.data, "output")
        wrong = (value.data - truth) / count
        if stage == "baseline":
            wrong = wrong / np.linalg.norm(value.data - truth, axis=1, keepdims=True)
        gradients.append((value, wrong))
    backward(gradients)
    torch.autograd.backward(loss)
    for name, parameter in network.named_parameters():
        expected = weights[name].grad
        assert expected is not None
        assert parameter.grad is not None
        assert expected.any(), name
        assert_close(parameter.grad, expected, name)


# -- three steps of Adam ---------------------------------------------------------------------------

SMALL = {
    "net.size": 32, "net.slices": 4, "net.channels": [4, 5, 6], "net.width": 14, "net.hidden": 12,
    "clip": T, "validation_frames": 6,
    **{f"{stage}.batch": 2 * T for stage in RUNS},
}  # fmt: skip
RATES = {"temporal": 1e-4}
DECAY, RATE = 5e-4, 1e-3


def rate_of(stage: str, name: str) -> float:
    """Multiple of the learning rate: x10 on W_x, x2 on biases, none of what is frozen."""
    if stage == "temporal":
        if name.startswith(("trunk", "fc1")):
            return 0
        return {"lstm.weight_x": 10, "output.bias": 2}.get(name, 1)
    connected = "trunk" not in name
    return 2 if stage != "baseline" and connected and name.endswith("bias") else 1


@pytest.mark.parametrize("stage", RUNS)
def test_three_steps_of_the_released_recipe(stage: str) -> None:
    """Loss with its divisor, masks, frozen layers, rates, weight decay, Adam's bias correction."""
    network_name = "cadstn" if stage == "fusion" else stage
    chosen = override(recipe(f"{network_name}.nyu.released"), SMALL)
    networks = build(chosen, "cpu")
    weights = {name: layers_of(network) for name, network in networks.items()}
    part, own = networks[stage], weights[stage]
    count, family = 2 * T, family_of(chosen)
    frames = chosen.frames(stage)
    changing = optimizers(part, stage, chosen, RATES.get(stage, RATE))
    moments: dict[str, tuple[Array, Array]] = {}
    for step in range(1, 4):
        crops = crops_of(count, 32) * np.where(crops_of(count, 32) < 1, 1 / step, 1)
        truth = formula(f"truth {step}", count, 42)
        shape = (count // frames, frames)
        batch = Batch(
            torch.from_numpy(crops).view(*shape, 32, 32),
            torch.from_numpy(truth).view(*shape, 14, 3),
            torch.zeros(*shape, 3),
            torch.full(shape[:1], 300.0),
        )
        rows = torch.arange(step * shape[0], (step + 1) * shape[0])
        masks = family.masks(networks, stage, chosen, rows)
        their_masks = {s: {n: m.numpy().astype(np.float64) for n, m in found.items()}
                       for s, found in masks.items()}  # fmt: skip
        assert set(their_masks) == ({"fusion", "temporal", "spatial"} if stage == "fusion"
                                    else {stage})  # fmt: skip
        part.zero_grad()
        family.loss(networks, stage, batch, chosen, masks).backward()  # type: ignore[no-untyped-call]
        for group in changing["adam"].param_groups:
            group["lr"] = learning_rate(chosen, stage, step - 1) * group["rate"]
        changing["adam"].step()

        outputs = RUNS[stage][1](own, crops, their_masks[stage], 4)
        if stage == "fusion":
            experts = [
                RUNS[name][1](weights[name], crops, their_masks[name], 4)[0].data
                for name in ("temporal", "spatial")
            ]
            w1 = outputs[0]
            outputs = [Value(w1.data * experts[0] + (1 - w1.data) * experts[1],
                             lambda grad, w=w1, e=experts: w.add(grad * (e[0] - e[1])))]  # type: ignore[misc]  # fmt: skip
        divisor = T if stage == "temporal" else count
        backward([(value, (value.data - truth) / divisor) for value in outputs])
        for name, value in own.items():
            rate = rate_of(stage, name) * RATES.get(stage, RATE)
            if rate:
                assert value.grad is not None
                gradient = value.grad + DECAY * value.data
                m, v = moments.get(name, (np.zeros_like(gradient),) * 2)
                m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
                moments[name] = m, v
                size = np.sqrt(v / (1 - 0.999**step)) + 1e-8
                value.data = value.data - rate * m / (1 - 0.9**step) / size
            value.grad = None
    for name, parameter in part.named_parameters():
        start = layers_of_name(name, tuple(parameter.shape))
        moved = np.abs(parameter.detach().numpy() - start).max()
        assert (moved > 0) == (rate_of(stage, name) > 0), name
        assert_close(parameter, own[name].data, name)


def layers_of_name(name: str, shape: tuple[int, ...]) -> Array:
    scale = math.sqrt(6 / math.prod(shape[1:])) if len(shape) > 1 else 0.1
    return scale * formula(name, *shape)
