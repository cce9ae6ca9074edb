from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from torch import Tensor, nn

from cadstn.errors import CadstnError
from cadstn.models import (
    Baseline,
    Cadstn,
    Fusion,
    Lstm,
    NetConfig,
    Sliced,
    Spatial,
    Temporal,
    fuse,
    inference_state,
    pose_distance,
    spatial_loss,
)

PAPER = NetConfig()
SMALL = NetConfig(joints=3, size=32, slices=4, channels=(8, 12, 16), width=40, hidden=24)
IMAGE_NETS = (Baseline, Sliced, Spatial, Fusion)


def crops_like(*shape: int, size: int = SMALL.size, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    crops = torch.rand(*shape, size, size, generator=generator) * 2 - 1
    return crops.masked_fill(torch.rand(crops.shape, generator=generator) < 0.4, 1.0)


def lively(model: nn.Module) -> nn.Module:
    """Weights large enough that a change of input shows in every output."""
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.2)
    return model.eval()


def count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (Baseline, 9_574_954),
        (Sliced, 9_598_698),
        (partial(Spatial, auxiliary=False), 19_130_602),
        (Spatial, 19_216_702),
        (Temporal, 16_961_066),
        (Fusion, 9_574_954),
        (Cadstn, 45_666_622),
    ],
)
def test_parameter_counts_are_the_papers(
    build: Callable[[NetConfig], nn.Module], expected: int
) -> None:
    with torch.device("meta"):  # counts need no memory and no random numbers
        assert count(build(PAPER)) == expected


@pytest.mark.parametrize("build", IMAGE_NETS)
def test_image_networks_map_crops_to_a_triple_a_joint(build: type[nn.Module]) -> None:
    assert build(SMALL)(crops_like(5)).shape == (5, SMALL.joints, 3)


@pytest.mark.parametrize("build", IMAGE_NETS)
def test_crops_of_another_size_are_refused(build: type[nn.Module]) -> None:
    with pytest.raises(CadstnError, match=r"\(2, 16, 16\).*\(batch, 32, 32\)"):
        build(SMALL)(crops_like(2, size=16))


def test_shapes_of_the_temporal_network() -> None:
    model = Temporal(SMALL)
    joints, state = model(crops_like(2, 4))
    assert joints.shape == (2, 4, SMALL.joints, 3)
    assert state.h.shape == state.c.shape == (2, SMALL.hidden)
    assert model.encode(crops_like(2, 4)).shape == (2, 4, SMALL.width)
    joints, _ = model.step(crops_like(2), model.initial_state(2))
    assert joints.shape == (2, SMALL.joints, 3)


def test_shapes_of_the_whole() -> None:
    model = Cadstn(SMALL)
    out = model(crops_like(2, 4))
    for part in (out.joints, out.w1, out.spatial, out.temporal):
        assert part.shape == (2, 4, SMALL.joints, 3)
    out = model.step(crops_like(2), model.initial_state(2))
    for part in (out.joints, out.w1, out.spatial, out.temporal):
        assert part.shape == (2, SMALL.joints, 3)


# -- gradients ---------------------------------------------------------------------------------


def train_loss(model: nn.Module) -> Tensor:
    clips = crops_like(3, 4)
    truth = torch.zeros(12, SMALL.joints, 3)
    if isinstance(model, Spatial):
        return spatial_loss(model.forward_train(clips.flatten(0, 1)), truth, pose_distance)
    if isinstance(model, Temporal):
        return pose_distance(model(clips)[0].flatten(0, 1), truth)
    if isinstance(model, Cadstn):
        return pose_distance(model(clips).joints.flatten(0, 1), truth)
    return pose_distance(model(clips.flatten(0, 1)), truth)


@pytest.mark.parametrize("build", [*IMAGE_NETS, Temporal, Cadstn])
def test_every_parameter_gets_a_gradient(build: type[nn.Module]) -> None:
    torch.manual_seed(0)
    model = build(SMALL)
    torch.autograd.backward(train_loss(model))
    starved = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert not starved


def reached(model: nn.Module, output: Tensor) -> set[str]:
    model.zero_grad()
    torch.autograd.backward(output.square().sum(), retain_graph=True)
    return {n for n, p in model.named_parameters() if p.grad is not None and p.grad.any()}


def test_auxiliary_paths_share_their_dense_layers_with_the_main_path() -> None:
    model = Spatial(SMALL)
    out = model.forward_train(crops_like(4))

    def below(*prefixes: str) -> set[str]:
        return {n for n, _ in model.named_parameters() if n.startswith(prefixes)}

    assert reached(model, out.depth) == below("depth_trunk.", "fc1.", "fc2.", "auxiliary.depth.")
    assert reached(model, out.sliced) == below(
        "sliced_trunk.", "fc1_3d.", "fc2_3d.", "auxiliary.sliced."
    )
    everything = below("")
    assert reached(model, out.main) == everything - below("auxiliary.")


def test_auxiliary_paths_vanish_at_inference() -> None:
    trained = lively(Spatial(SMALL))
    bare = Spatial(SMALL, auxiliary=False).eval()
    bare.load_state_dict(inference_state(trained.state_dict()))
    crops = crops_like(4)
    assert torch.equal(bare(crops), trained(crops))
    assert isinstance(trained, Spatial)
    assert torch.equal(trained.forward_train(crops).main, trained(crops))
    with pytest.raises(CadstnError, match="auxiliary=True"):
        bare.forward_train(crops)


def test_inference_state_reaches_into_the_whole() -> None:
    bare = Cadstn(SMALL)
    state = inference_state(Cadstn(SMALL, auxiliary=True).state_dict())
    assert set(state) == set(bare.state_dict())


def test_one_seed_draws_one_main_path() -> None:
    torch.manual_seed(9)
    one = inference_state(Spatial(SMALL).state_dict())
    torch.manual_seed(9)
    other = Spatial(SMALL, auxiliary=False).state_dict()
    assert all(torch.equal(one[name], other[name]) for name in other)


def test_a_trained_baseline_fits_the_temporal_networks_encoder() -> None:
    baseline, temporal = Baseline(SMALL), Temporal(SMALL)
    temporal.trunk.load_state_dict(baseline.trunk.state_dict())
    temporal.fc1.load_state_dict(baseline.head.fc1.state_dict())
    crops = crops_like(2)
    expected = baseline.eval().head.fc1(baseline.trunk(crops[:, None]), "fc1")
    assert torch.equal(temporal.eval().encode(crops), expected)


# -- time --------------------------------------------------------------------------------------


def test_the_temporal_network_is_causal() -> None:
    model = lively(Temporal(SMALL))
    clips = crops_like(2, 6)
    before, _ = model(clips)
    changed = clips.clone()
    changed[:, 3] = crops_like(2, seed=8)
    after, _ = model(changed)
    assert torch.equal(before[:, :3], after[:, :3])
    for t in range(3, 6):  # the frame itself, and its echo in the LSTM
        assert (before[:, t] - after[:, t]).abs().amax() > 1e-3


@pytest.mark.parametrize("build", [Temporal, Cadstn])
def test_frame_by_frame_equals_the_whole_sequence(build: type[Temporal] | type[Cadstn]) -> None:
    model = build(SMALL).eval()
    clips = crops_like(2, 12)
    whole = model(clips)
    state = model.initial_state(2)
    for t in range(12):
        out = model.step(clips[:, t], state)
        state = out[-1]
        torch.testing.assert_close(out[0], whole[0][:, t], rtol=0, atol=1e-6)
    torch.testing.assert_close(state, whole[-1], rtol=0, atol=1e-6)


def test_a_sequence_can_be_cut_anywhere() -> None:
    model = lively(Temporal(SMALL))
    clips = crops_like(2, 7)
    whole, _ = model(clips)
    first, state = model(clips[:, :3])
    second, _ = model(clips[:, 3:], state)
    torch.testing.assert_close(torch.cat((first, second), 1), whole, rtol=1e-6, atol=1e-5)
    fresh, _ = model(clips[:, 3:])
    assert (second - fresh).abs().amax() > 1e-3


# -- dropout -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("build", "shares"),
    [
        (Baseline, [0.3] * 2),
        (Sliced, [0.3] * 2),
        (Spatial, [0.3] * 8),  # four layers, each in the main path and alone
        (Temporal, [0.3, 0.5]),
        (Fusion, [0.3] * 2),
    ],
)
def test_dropout_shares(build: Any, shares: list[float]) -> None:
    drops = build(SMALL).drops()
    assert [drop.share for drop in drops] == shares
    assert len({drop.name for drop in drops}) == len(drops)


@pytest.mark.parametrize("build", [*IMAGE_NETS, Temporal])
def test_every_mask_is_used_and_scales_what_it_keeps(build: Any) -> None:
    """In evaluation mode too: masks are what drops, not a mode."""
    model: Any = lively(build(SMALL))
    crops = crops_like(2, 3)

    def outputs(masks: dict[str, Tensor]) -> Tensor:
        if build is Temporal:
            return model(crops, None, masks)[0]  # type: ignore[no-any-return]
        run = model.forward_train if build is Spatial else model
        found = run(crops.flatten(0, 1), masks)
        return torch.cat(found) if build is Spatial else found

    assert torch.equal(outputs({}), outputs({}))
    for drop in model.drops():
        keep = {drop.name: torch.ones(6, drop.width, dtype=torch.bool)}
        none = {drop.name: torch.zeros(6, drop.width, dtype=torch.bool)}
        assert not torch.allclose(outputs(keep), outputs({})), drop  # 1 / (1 - share) as large
        assert not torch.allclose(outputs(none), outputs(keep)), drop
        one = {drop.name: keep[drop.name].clone()}
        one[drop.name][4] = False  # the mask's rows are frames
        changed = (outputs(one) != outputs(keep)).flatten(-2).any(-1).flatten()
        assert changed.nonzero().flatten().tolist() in ([4], [4, 5], [10], [16]), drop


def test_recurrent_dropout_touches_the_output_and_not_the_memory() -> None:
    model = Temporal(SMALL).train()
    phi, hidden = torch.randn(2, 4, SMALL.width), torch.randn(2, 4, SMALL.hidden)
    assert torch.equal(model.lstm(phi)[0], model.lstm(phi)[0])
    assert not torch.equal(model.head(phi, hidden), model.head(phi, hidden))
    silent = torch.zeros_like(hidden)
    assert torch.equal(model.head(phi, silent), model.head(phi, silent))  # phi is not dropped


# -- equation 6 --------------------------------------------------------------------------------

coordinates = arrays(np.float32, (2, 3, 3), elements=st.floats(-3, 3, width=32))
weights = arrays(np.float32, (2, 3, 3), elements=st.floats(0, 1, width=32))


@given(weights, coordinates, coordinates)
def test_fusion_is_bounded_by_what_it_fuses(
    w1: NDArray[np.float32], temporal: NDArray[np.float32], spatial: NDArray[np.float32]
) -> None:
    fused = fuse(*(torch.from_numpy(part) for part in (w1, temporal, spatial))).numpy()
    rounding = 4 * np.finfo(np.float32).eps * np.maximum(abs(temporal), abs(spatial)) + 1e-40
    assert (fused >= np.minimum(temporal, spatial) - rounding).all()
    assert (fused <= np.maximum(temporal, spatial) + rounding).all()


def test_w1_weighs_the_temporal_prediction() -> None:
    temporal, spatial = torch.randn(2, 4, 3, 3)
    assert torch.equal(fuse(torch.ones(4, 3, 3), temporal, spatial), temporal)
    assert torch.equal(fuse(torch.zeros(4, 3, 3), temporal, spatial), spatial)


def test_w1_is_a_share() -> None:
    w1, w2 = Fusion(SMALL).weights(crops_like(4))
    assert w1.min() > 0
    assert w1.max() < 1
    assert w1.std() > 1e-3
    assert torch.equal(w2, 1 - w1)


def test_the_free_gate_is_twice_as_wide_and_bound_by_nothing() -> None:
    """Branch dev: trunk 64/128/256, two FC of 2048, 6K outputs, the first 3K the temporal's."""
    with torch.device("meta"):
        full = Fusion(replace(PAPER, fusion="free"))
    shapes = {name: tuple(p.shape) for name, p in full.named_parameters() if p.ndim > 1}
    assert list(shapes.values()) == [
        (64, 1, 3, 3), (128, 64, 3, 3), (256, 128, 3, 3), (2048, 16384), (2048, 2048), (84, 2048),
    ]  # fmt: skip
    free = Fusion(replace(SMALL, fusion="free"))
    with torch.no_grad():
        free.head.output.weight.zero_()
        free.head.output.bias.copy_(torch.arange(6.0 * SMALL.joints) - 4)
    w1, w2 = free.weights(crops_like(1))
    expected = torch.arange(6.0 * SMALL.joints).view(2, SMALL.joints, 3) - 4
    torch.testing.assert_close(torch.cat([w1, w2]), expected)
    temporal, spatial = torch.randn(2, 1, SMALL.joints, 3)
    mixed = free.weights(crops_like(1)).mix(temporal, spatial)
    torch.testing.assert_close(mixed, expected[0] * temporal + expected[1] * spatial)
    free.start_at(0.3)
    w1, w2 = free.weights(crops_like(1))
    torch.testing.assert_close(w1, torch.full_like(w1, 0.3))
    torch.testing.assert_close(w2, torch.full_like(w2, 0.7))


def test_the_whole_mixes_by_either_gate() -> None:
    for kind in ("gate", "free"):
        out = lively(Cadstn(replace(SMALL, fusion=kind)))(crops_like(2, 3))
        torch.testing.assert_close(out.joints, out.w1 * out.temporal + out.w2 * out.spatial)
        assert torch.allclose(out.w1 + out.w2, torch.ones(())) == (kind == "gate")


# -- initial weights ---------------------------------------------------------------------------


def test_initial_weights() -> None:
    torch.manual_seed(0)
    config = NetConfig(size=32, channels=(16, 32, 64), width=128, hidden=128)
    for build in (Baseline, Sliced, Spatial, Temporal, Fusion):
        model = build(config)
        gaussian = build in (Baseline, Sliced, Spatial)
        for name, layer in model.named_modules():
            if isinstance(layer, (nn.Linear, nn.Conv2d)):
                assert layer.bias is not None
                assert not layer.bias.any()
                if gaussian and "output" in name:
                    assert layer.weight.std().item() == pytest.approx(0.001, rel=0.05)
                    assert abs(layer.weight.mean().item()) < 1e-4
                else:
                    assert_uniform(layer.weight, xavier_bound(layer.weight))
            elif isinstance(layer, Lstm):
                assert not layer.bias.any()
                assert_uniform(layer.weight_x, 0.01)
                assert_uniform(layer.weight_h, 0.01)


def xavier_bound(weight: Tensor) -> float:
    """Caffe's: the inputs of one output alone."""
    return math.sqrt(3 / math.prod(weight.shape[1:]))


def assert_uniform(weight: Tensor, bound: float) -> None:
    assert weight.abs().max().item() <= bound
    assert weight.abs().max().item() > 0.95 * bound
    assert weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.15)


# -- what files and compilers rely on ----------------------------------------------------------


def test_parameter_names_are_a_file_format() -> None:
    trunk = [f"spatial.{stage}" for stage in range(3)]
    mixing = [f"mixing.{stage}" for stage in range(3)]
    fcs = ["fc1.linear", "fc1_3d.linear", "fc2.linear", "fc2_3d.linear"]
    layers = [
        *(f"spatial.depth_trunk.{name}" for name in trunk),
        *(f"spatial.sliced_trunk.{name}" for name in trunk + mixing),
        *(f"spatial.{name}" for name in fcs),
        *(f"spatial.{name}" for name in ("output", "auxiliary.depth", "auxiliary.sliced")),
        *(f"temporal.trunk.{name}" for name in trunk),
        *(f"temporal.{name}" for name in ("fc1.linear", "output")),
        *(f"fusion.trunk.{name}" for name in trunk),
        *(f"fusion.head.{name}" for name in ("fc1.linear", "fc2.linear", "output")),
    ]
    names = {f"{layer}.{kind}" for layer in layers for kind in ("weight", "bias")}
    names |= {f"temporal.lstm.{name}" for name in ("weight_x", "weight_h", "bias")}
    assert set(Cadstn(SMALL, auxiliary=True).state_dict()) == names


@pytest.mark.filterwarnings("ignore:The .grad attribute")  # dynamo's own doing
def test_encode_and_head_compile_without_a_break() -> None:
    model = lively(Temporal(SMALL))
    assert isinstance(model, Temporal)
    encode = torch.compile(model.encode, fullgraph=True, backend="eager")
    head = torch.compile(model.head, fullgraph=True, backend="eager")
    clips = crops_like(2, 3)
    phi = encode(clips)
    hidden, _ = model.lstm(phi)
    torch.testing.assert_close(head(phi, hidden), model(clips)[0])


def test_spatial_training_compiles_without_a_break() -> None:
    model = Spatial(SMALL).eval()
    compiled = torch.compile(model.forward_train, fullgraph=True, backend="eager")
    crops = crops_like(3)
    torch.testing.assert_close(compiled(crops).main, model(crops))
