"""Muon for convolutions: what it changes and how far, either memory layout, going on with it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from cadstn.data.bank import Bank
from cadstn.errors import CadstnError
from cadstn.train import BankSource, train
from cadstn.train.networks import build
from cadstn.train.optimizers import ConvolutionMuon, optimizers
from cadstn.train.recipes import Recipe, override, recipe
from cadstn.train.state import checkpoints, read_tensors

Small = Callable[..., Recipe]
SIZES: dict[str, Any] = {
    "net.trunk": "residual", "net.channels": [4, 6, 8], "net.blocks": [1, 1, 1], "clip": 3,
    "temporal.batch": 6, "fusion.batch": 6, "optimizer": "muon",
}  # fmt: skip


def convolution(gradient: torch.Tensor, layout: torch.memory_format) -> nn.Conv2d:
    torch.manual_seed(0)
    layer = nn.Conv2d(5, 4, 3, bias=False)
    layer.to(memory_format=layout)  # type: ignore[call-overload]
    layer.weight.grad = gradient.clone()
    return layer


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_a_step_stretches_no_direction_more_than_another(layout: torch.memory_format) -> None:
    """Its singular values are all one, near enough, times what makes it as long as Adam's."""
    gradient = torch.randn(4, 5, 3, 3, generator=torch.Generator().manual_seed(1))
    layer = convolution(gradient, layout)
    before = layer.weight.detach().clone()
    ConvolutionMuon([layer.weight], 0.01).step()
    step = (before - layer.weight.detach()).flatten(1)
    found = torch.linalg.svdvals(step) / (0.01 * 0.2 * 45**0.5)
    # The iteration brings them to between 0.7 and 1.2 (Jordan et al.), in bfloat16.
    assert found.min() > 0.6
    assert found.max() < 1.3
    # It is the gradient's own directions that are taken, downhill.
    u, _, v = torch.linalg.svd(gradient.flatten(1), full_matrices=False)
    along = torch.diagonal(u.T @ step @ v.T) / (0.01 * 0.2 * 45**0.5)
    assert torch.allclose(along, found.sort().values.mean().expand(4), atol=0.35)


def test_layouts_are_trained_alike() -> None:
    gradient = torch.randn(4, 5, 3, 3, generator=torch.Generator().manual_seed(2))
    weights = []
    for layout in (torch.contiguous_format, torch.channels_last):
        layer = convolution(gradient, layout)
        muon = ConvolutionMuon([layer.weight], 0.01)
        for _ in range(3):
            muon.step()
        weights.append(layer.weight.detach().contiguous())
    torch.testing.assert_close(weights[0], weights[1], rtol=0, atol=1e-4)
    assert (weights[0] - convolution(gradient, torch.contiguous_format).weight).abs().max() > 1e-2


def test_every_parameter_is_changed_once(small: Small) -> None:
    network = build(small(**SIZES), "cpu")["spatial"]
    made = optimizers(network, "spatial", small(**SIZES), 1e-3)
    assert list(made) == ["adam", "muon"]
    adams = {p.data_ptr() for group in made["adam"].param_groups for p in group["params"]}
    muons = {p.data_ptr() for group in made["muon"].param_groups for p in group["params"]}
    assert not adams & muons
    assert adams | muons == {p.data_ptr() for p in network.parameters()}
    names = {n for n, p in network.named_parameters() if p.data_ptr() in muons}
    assert all(n.startswith(("stages.", "ascents.")) and n.endswith("conv.weight") for n in names)
    assert "stages.0.blocks.0.first.conv.weight" in names
    assert "ascents.0.narrow.conv.weight" in names


def test_networks_without_convolutions_are_adam_s(small: Small) -> None:
    networks = build(small(**SIZES), "cpu")
    for stage in ("temporal", "fusion"):
        assert list(optimizers(networks[stage], stage, small(**SIZES), 1e-3)) == ["adam"]


def test_the_paper_s_networks_refuse_it() -> None:
    with pytest.raises(CadstnError, match=r"muon is not for .* a paper trunk; set optimizer=adam"):
        override(recipe("tiny"), {"optimizer": "muon"})
    with pytest.raises(CadstnError, match="recipe optimizer is 'muo'"):
        override(recipe("compact"), {"optimizer": "muo"})


def test_killed_training_goes_on_with_its_moments(
    tmp_path: Path, toy_bank: Bank, small: Small
) -> None:
    made = small(**SIZES, schedule="cosine")
    source = BankSource(toy_bank, made, "cpu")
    whole = train(made, tmp_path / "whole", source=source, checkpoint_every=2)

    def stop(progress: Any) -> None:
        if (progress.stage, progress.step) == ("spatial", 3):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(made, tmp_path / "parts", source=source, checkpoint_every=2, watch=stop)
    tensors, _ = read_tensors(checkpoints(tmp_path / "parts", "spatial")[0])
    assert any(name.startswith("muon.0.momentum_buffer") for name in tensors)
    parts = train(made, tmp_path / "parts", source=source, checkpoint_every=2)
    for name, value in whole["spatial"].state_dict().items():
        assert torch.equal(value, parts["spatial"].state_dict()[name]), name


@pytest.mark.parametrize(
    ("sizes", "found"), [({}, {"adam": {5e-4}}), (SIZES, {"adam": {5e-4}, "muon": {0.0}})]
)
def test_adam_decays_weights_as_the_recipe_says_and_muon_none(
    small: Small, sizes: dict[str, Any], found: dict[str, set[float]]
) -> None:
    chosen = small(**sizes, weight_decay=5e-4)
    made = optimizers(build(chosen, "cpu")["spatial"], "spatial", chosen, 1e-3)
    decays = {n: {group["weight_decay"] for group in o.param_groups} for n, o in made.items()}
    assert decays == found
