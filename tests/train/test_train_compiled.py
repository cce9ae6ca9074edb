"""A compiled step, on a GPU a captured one, is the eager step."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from torch import Tensor

from cadstn.cli import cli
from cadstn.data.bank import Bank
from cadstn.errors import CadstnError
from cadstn.train import BankSource, train
from cadstn.train.networks import build, family_of, predict, stage_step
from cadstn.train.recipes import Recipe

Small = Callable[..., Recipe]
NEEDS_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
MODES = [
    ("compiled", "cpu"),
    pytest.param("compiled", "cuda", marks=NEEDS_GPU),
    pytest.param("captured", "cuda", marks=NEEDS_GPU),
]
DROPS = {"net.dropout": 0.3, "net.dropout_recurrent": 0.5}


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, device: str) -> None:
    """Trace a step and its gradient, and run the graphs: C++ code for them takes minutes.

    That the code is right too is tested with the smallest network.
    """
    if device == "cpu" and request.node.callspec.params.get("network") != "sliced":
        whole = torch.compile

        def compiled(step: Any, *, dynamic: bool, mode: str) -> Any:
            return whole(step, dynamic=dynamic, backend="aot_eager")

        monkeypatch.setattr(torch, "compile", compiled)
        monkeypatch.setattr("cadstn.train.networks.check_compiles", lambda device: None)


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize(("mode", "device"), MODES)
@pytest.mark.parametrize("network", ["cadstn", "sliced"])
def test_a_run_has_the_losses_of_the_eager_one(
    toy_bank: Bank, small: Small, tmp_path: Path, network: str, mode: str, device: str
) -> None:
    """All steps of all stages, each of which begins where the one before went."""
    seen = []
    for chosen in ("eager", mode):
        recipe = small(network=network, step_mode=chosen, **DROPS)
        folder = tmp_path / chosen
        train(recipe, folder, source=BankSource(toy_bank, recipe, device), device=device)
        lines = (folder / "log.jsonl").read_text().splitlines()
        seen.append([json.loads(line)["loss"] for line in lines])
    eager, fused = (torch.tensor(losses) for losses in seen)
    assert len(eager) == (13 if network == "cadstn" else 4)
    torch.testing.assert_close(fused, eager, rtol=1e-4, atol=0)


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize(("mode", "device"), MODES)
def test_masks_are_new_every_step_and_a_function_of_the_sample(
    toy_bank: Bank, small: Small, mode: str, device: str
) -> None:
    recipe = small(network="temporal", step_mode=mode, **DROPS)
    networks = build(recipe, device)
    network = networks["temporal"].train()
    batch = BankSource(toy_bank, recipe, device).clips(0, torch.arange(2), 2)
    step = stage_step(networks, "temporal", recipe)

    def gradients(first: int) -> list[Tensor]:
        network.zero_grad()
        rows = torch.arange(first, first + 2, device=device)
        masks = family_of(recipe).masks(networks, "temporal", recipe, rows)
        step(batch, masks).backward()  # type: ignore[no-untyped-call]
        return [p.grad.clone() for p in network.parameters() if p.grad is not None]

    one, other, again = gradients(0), gradients(2), gradients(0)
    assert not all(torch.allclose(a, b) for a, b in zip(one, other, strict=True))
    # Bit for bit: a run that was killed and goes on ends where it would have.
    assert all(torch.equal(a, b) for a, b in zip(one, again, strict=True))


def test_steps_are_captured_on_a_gpu_only(small: Small, tmp_path: Path, toy_bank: Bank) -> None:
    recipe = small(step_mode="captured")
    with pytest.raises(CadstnError, match=r"on a GPU only.*set step_mode=compiled"):
        train(recipe, tmp_path, source=BankSource(toy_bank, recipe, "cpu"))
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize("device", ["cpu"])
def test_compact_steps_are_the_eager_ones(toy_bank: Bank, small: Small, device: str) -> None:
    recipe = small(**{
        "net.trunk": "residual", "net.channels": [4, 6, 8], "net.blocks": [1, 1, 1], "clip": 3,
        "temporal.batch": 6, "fusion.batch": 6, "step_mode": "compiled",
    })  # fmt: skip
    networks = build(recipe, device)
    spatial = networks["spatial"].train()
    batch = BankSource(toy_bank, recipe, device).clips(0, torch.arange(6), 3)
    steps = [
        stage_step(networks, "spatial", replace(recipe, step_mode=mode))
        for mode in ("eager", "compiled")
    ]
    with torch.no_grad():
        before = predict({"spatial": spatial.eval()}, "spatial", batch)
    spatial.train()
    start = {name: value.clone() for name, value in spatial.state_dict().items()}
    found = []
    for step in (*steps, steps[1]):
        spatial.zero_grad()
        loss = step(batch, {})
        loss.backward()  # type: ignore[no-untyped-call]
        gradients = [p.grad.clone() for p in spatial.parameters() if p.grad is not None]
        found.append([loss.detach(), *gradients])
    # Bit for bit: a run that was killed and goes on ends where it would have.
    assert all(torch.equal(one, two) for one, two in zip(*found[1:], strict=True))
    for eager, fused in zip(*found[:2], strict=True):
        torch.testing.assert_close(fused, eager, rtol=1e-3, atol=1e-4)
    spatial.load_state_dict(start)  # the means of its normalisation have moved
    with torch.no_grad():  # evaluation is not compiled
        assert torch.equal(before, predict({"spatial": spatial.eval()}, "spatial", batch))


def test_without_a_compiler_the_cause_and_the_way_out_are_one_line(tmp_path: Path) -> None:
    """In a process of its own, whose compiler and whose cache of compiled code are not there."""
    there = {**os.environ, "CXX": "/none", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache")}
    out = tmp_path / "run"
    done = subprocess.run(
        [sys.executable, "-m", "cadstn.cli", "train", "compact", "--out", out],
        env=there, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    lines = done.stderr.splitlines()
    assert len(lines) == 1
    assert "No working C++ compiler" in lines[0]
    assert "--set compiled=false --set step_mode=eager" in lines[0]
    assert not out.exists()


@pytest.mark.parametrize("command", [
    ["train", "shipped", "--out", "OUT"],
    ["train", "follow", "--out", "OUT"],
    ["bank", "OUT/a.bank", "--kind", "compact"],
    ["bench", "synth"],
])  # fmt: skip
def test_no_command_begins_what_cannot_be_compiled(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cadstn.synth.compiling.why_not_compiled", lambda device: "no compiler")
    out = tmp_path / "out"
    result = CliRunner().invoke(cli, [word.replace("OUT", str(out)) for word in command])
    assert isinstance(result.exception, CadstnError)
    assert "torch.compile does not work here (no compiler)" in str(result.exception)
    assert not out.exists()
