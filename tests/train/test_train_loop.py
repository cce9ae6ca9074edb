from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from cadstn.errors import CadstnError
from cadstn.models import Cadstn
from cadstn.recipes import STAGES, Recipe, override, tiny
from cadstn.synth.scene import Clips, sample_clips
from cadstn.train import Progress, load_model, train
from cadstn.train import loop as loop_module
from cadstn.train.loop import learning_rate, stage_loss, validation_error_mm

State = dict[str, Tensor]
STEPS = {"spatial": 5, "temporal": 4, "fusion": 4}


def small(**values: Any) -> Recipe:
    """Smaller than tiny, and a few steps a stage."""
    sizes = {
        "net.size": 16, "net.slices": 2, "net.channels": (2, 4, 4), "net.width": 16,
        "net.hidden": 12, "batch": 4, "clip": 2, "learning_rate": 1e-2,
    }  # fmt: skip
    steps = {f"{stage}_steps": count for stage, count in STEPS.items()}
    return override(tiny(), {**sizes, **steps, **values})


@pytest.fixture(autouse=True)
def _short_validation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop_module, "_VALIDATION_CLIPS", 1)


def states(model: Cadstn) -> dict[str, State]:
    return {
        stage: {n: t.detach().clone() for n, t in getattr(model, stage).state_dict().items()}
        for stage in STAGES
    }


def equal(one: State, two: State) -> bool:
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


class StoppedError(Exception):
    """What a test raises to interrupt training."""


def stop_at(stage: str, step: int) -> Callable[[Progress], None]:
    def watch(progress: Progress) -> None:
        if (progress.stage, progress.step) == (stage, step):
            raise StoppedError

    return watch


# -- what is trained, and what is not --------------------------------------------------------------


@pytest.mark.parametrize("loss", ["pose_distance", "half_squared"])
def test_loss_falls_on_a_fixed_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loss: str
) -> None:
    clips = sample_clips((0, 0), 4, 2, size=16, clean=True)

    def fixed(recipe: Recipe, seed: tuple[int, ...], count: int, frames: int, device: str) -> Clips:
        return Clips(*(field.reshape(count, frames, *field.shape[2:]) for field in clips))

    monkeypatch.setattr(loop_module, "_batch", fixed)
    monkeypatch.setattr(loop_module, "_VALIDATION_CLIPS", 0)
    monkeypatch.setattr(loop_module, "validation_error_mm", lambda *args: math.nan)
    recipe = small(
        **{"batch": 8, "loss": loss, "net.dropout": 0.0, "net.dropout_recurrent": 0.0},
        spatial_steps=60, temporal_steps=60, fusion_steps=30,
    )  # fmt: skip
    losses: dict[str, list[float]] = {stage: [] for stage in STAGES}
    train(recipe, tmp_path, watch=lambda p: losses[p.stage].append(p.loss))
    for stage in ("spatial", "temporal"):
        assert losses[stage][-1] < 0.6 * losses[stage][0], stage
    assert losses["fusion"][-1] < losses["fusion"][0]


def test_stages_run_in_order_and_write_their_files(tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    train(small(), tmp_path, watch=lambda p: seen.append((p.stage, p.step, p.steps)))
    assert seen == [(s, i + 1, STEPS[s]) for s in STAGES for i in range(STEPS[s])]
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == [
        "fusion.safetensors",
        "log.jsonl",
        "spatial.safetensors",
        "temporal.safetensors",
    ]


def test_each_stage_trains_its_own_network_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = loop_module._train_stage
    changed: dict[str, set[str]] = {}

    def spied(model: Cadstn, stage: str, *rest: Any) -> None:
        before = states(model)
        inside(model, stage, *rest)
        after = states(model)
        changed[stage] = {other for other in STAGES if not equal(before[other], after[other])}

    monkeypatch.setattr(loop_module, "_train_stage", spied)
    train(small(), tmp_path)
    assert changed == {stage: {stage} for stage in STAGES}


@pytest.mark.parametrize("stage", STAGES)
def test_gradient_reaches_all_of_a_stage_and_nothing_else(stage: str) -> None:
    torch.manual_seed(0)
    model = Cadstn(small().net, auxiliary=True).eval()
    with torch.no_grad():  # weights large enough that no unit is dead by chance
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape) * 0.3)
    clips = sample_clips((1, 0), 2, 2, size=16, clean=True)
    torch.autograd.backward(stage_loss(model, stage, clips, small()))
    for name, parameter in model.named_parameters():
        assert (parameter.grad is not None) == name.startswith(stage), name
        assert parameter.grad is None or parameter.grad.any(), name


def test_start_from_scratch_copies_nothing(tmp_path: Path) -> None:
    model = train(small(temporal_steps=0, fusion_steps=0), tmp_path)
    spatial = model.spatial.depth_trunk.state_dict()
    assert not equal(spatial, model.temporal.trunk.state_dict())
    assert not equal(spatial, model.fusion.trunk.state_dict())
    assert not torch.equal(model.spatial.fc1.linear.weight, model.temporal.fc1.linear.weight)


def test_start_from_spatial_copies_trunk_and_first_layer(tmp_path: Path) -> None:
    recipe = small(temporal_steps=0, fusion_steps=0, temporal_start="spatial")
    model = train(recipe, tmp_path)
    spatial = model.spatial.depth_trunk.state_dict()
    assert equal(spatial, model.temporal.trunk.state_dict())
    assert equal(spatial, model.fusion.trunk.state_dict())
    first = model.spatial.fc1.state_dict()
    assert equal(first, model.temporal.fc1.state_dict())
    assert equal(first, model.fusion.head.fc1.state_dict())


def test_start_from_spatial_copies_once_and_keeps_what_is_learned(tmp_path: Path) -> None:
    recipe = small(temporal_start="spatial")
    model = train(recipe, tmp_path)
    assert not equal(model.spatial.depth_trunk.state_dict(), model.temporal.trunk.state_dict())
    again = train(recipe, tmp_path)
    assert all(equal(states(model)[stage], states(again)[stage]) for stage in STAGES)


def test_learning_rate_is_that_of_the_schedule(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, int]] = []

    def zero(recipe: Recipe, step: int, steps: int) -> float:
        asked.append((step, steps))
        return 0.0

    untrained = train(small(spatial_steps=0, temporal_steps=0, fusion_steps=0), tmp_path / "none")
    monkeypatch.setattr(loop_module, "learning_rate", zero)
    model = train(small(), tmp_path / "some")
    assert asked == [(i, STEPS[s]) for s in STAGES for i in range(STEPS[s])]
    assert all(equal(states(model)[stage], states(untrained)[stage]) for stage in STAGES)


def test_learning_rate_in_steps() -> None:
    recipe = override(tiny(), {"learning_rate": 1e-3, "decay": 0.1, "decay_every": 20_000})
    found = [learning_rate(recipe, n, 60_000) for n in (0, 19_999, 20_000, 39_999, 40_000, 59_999)]
    assert found == pytest.approx([1e-3, 1e-3, 1e-4, 1e-4, 1e-5, 1e-5], rel=1e-9)


def test_learning_rate_along_a_cosine() -> None:
    recipe = override(tiny(), {"learning_rate": 2e-3, "schedule": "cosine"})
    found = [learning_rate(recipe, step, 120) for step in (0, 20, 40, 60, 80, 120)]
    # 1 + cos of 0, 30, 60, 90, 120 and 180 degrees.
    factors = [2, 1 + math.sqrt(3) / 2, 1.5, 1, 0.5, 0]
    assert found == pytest.approx([1e-3 * factor for factor in factors], abs=1e-12)


# -- randomness ------------------------------------------------------------------------------------


def test_every_step_and_validation_has_a_seed_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = loop_module._batch
    seeds: list[tuple[int, ...]] = []
    shapes: list[tuple[int, int]] = []

    def spied(recipe: Recipe, seed: tuple[int, ...], clips: int, frames: int, device: str) -> Clips:
        seeds.append(seed)
        shapes.append((clips, frames))
        return inside(recipe, seed, clips, frames, device)

    monkeypatch.setattr(loop_module, "_batch", spied)
    train(small(seed=6), tmp_path, checkpoint_every=2)
    validation = {seed for seed in seeds if len(seed) == 2}
    training = [seed for seed in seeds if len(seed) == 4]
    assert len(validation) == 1  # always the same clips
    assert len(set(training)) == len(training) == sum(STEPS.values())
    assert {seed[0] for seed in seeds} == {6}
    assert {seed[1] for seed in training}.isdisjoint(seed[1] for seed in validation)
    assert set(shapes) == {(4, 1), (2, 2), (1, 16)}  # images, clips, validation


def test_weights_are_a_function_of_the_seed(tmp_path: Path) -> None:
    one = train(small(), tmp_path / "1")
    torch.manual_seed(1234)
    two = train(small(), tmp_path / "2")
    other = train(small(seed=1), tmp_path / "3")
    for stage in STAGES:
        assert equal(states(one)[stage], states(two)[stage])
        assert not equal(states(one)[stage], states(other)[stage])


# -- going on --------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_interrupted_training_ends_with_the_same_weights(
    tmp_path: Path, stage: str, dropout: float
) -> None:
    recipe = small(**{"net.dropout": dropout, "net.dropout_recurrent": dropout})
    recipe = override(recipe, {"weight_decay": 1e-3, "schedule": "cosine"})
    whole = train(recipe, tmp_path / "whole", checkpoint_every=2)
    parts = tmp_path / "parts"
    with pytest.raises(StoppedError):
        train(recipe, parts, checkpoint_every=2, watch=stop_at(stage, 3))
    resumed: list[tuple[str, int]] = []
    model = train(
        recipe, parts, checkpoint_every=2, watch=lambda p: resumed.append((p.stage, p.step))
    )
    # Stopped after step 3: on from the checkpoint of step 2.
    rest = [(s, i + 1) for s in STAGES for i in range(STEPS[s])]
    assert resumed == rest[rest.index((stage, 3)) :]
    for part in STAGES:
        assert equal(states(whole)[part], states(model)[part]), part


def test_dropout_stays_on_throughout_a_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = loop_module.stage_loss
    modes: list[dict[str, bool]] = []

    def spied(model: Cadstn, stage: str, clips: Clips, recipe: Recipe) -> Tensor:
        modes.append({s: getattr(model, s).training == (s == stage) for s in STAGES})
        return inside(model, stage, clips, recipe)

    monkeypatch.setattr(loop_module, "stage_loss", spied)
    train(small(), tmp_path, checkpoint_every=2)
    assert len(modes) == sum(STEPS.values())
    assert all(all(right.values()) for right in modes)


def test_finished_stages_are_skipped(tmp_path: Path) -> None:
    with pytest.raises(StoppedError):
        train(small(), tmp_path, watch=stop_at("temporal", 1))
    spatial = (tmp_path / "spatial.safetensors").read_bytes()
    seen: list[str] = []
    first = train(small(), tmp_path, watch=lambda p: seen.append(p.stage))
    assert seen == ["temporal"] * STEPS["temporal"] + ["fusion"] * STEPS["fusion"]
    assert (tmp_path / "spatial.safetensors").read_bytes() == spatial
    log = (tmp_path / "log.jsonl").read_bytes()
    second = train(small(), tmp_path, watch=lambda p: pytest.fail("nothing is left to do"))
    assert (tmp_path / "log.jsonl").read_bytes() == log
    assert all(equal(states(first)[stage], states(second)[stage]) for stage in STAGES)
    assert not second.training


def test_another_recipe_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoppedError):
        train(small(), tmp_path, checkpoint_every=2, watch=stop_at("spatial", 3))
    with pytest.raises(CadstnError, match=r"spatial\.checkpoint.*made with seed = 0, not 1"):
        train(small(seed=1), tmp_path)
    train(small(), tmp_path)
    with pytest.raises(CadstnError, match=r"spatial\.safetensors.*made with batch = 4, not 8"):
        train(small(batch=8), tmp_path)


@pytest.mark.parametrize("name", ["spatial.safetensors", "temporal.checkpoint.safetensors"])
def test_damaged_file_is_told_in_one_line(tmp_path: Path, name: str) -> None:
    with pytest.raises(StoppedError):
        train(small(), tmp_path, checkpoint_every=2, watch=stop_at("temporal", 3))
    path = tmp_path / name
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(CadstnError, match="not a safetensors file") as caught:
        train(small(), tmp_path)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_loss_that_is_not_finite_stops_and_names_the_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = loop_module.stage_loss
    calls = 0

    def broken(model: Cadstn, stage: str, clips: Clips, recipe: Recipe) -> Tensor:
        nonlocal calls
        calls += 1
        return inside(model, stage, clips, recipe) * (math.nan if calls == 4 else 1.0)

    recipe = small(**{"net.dropout": 0.0, "net.dropout_recurrent": 0.0})
    with monkeypatch.context() as patch:
        patch.setattr(loop_module, "stage_loss", broken)
        with pytest.raises(CadstnError, match="loss is nan at step 3 of the spatial stage"):
            train(recipe, tmp_path / "stopped", checkpoint_every=2)
    # What was saved before is still good.
    model = train(recipe, tmp_path / "stopped", checkpoint_every=2)
    whole = train(recipe, tmp_path / "whole", checkpoint_every=2)
    assert all(equal(states(model)[stage], states(whole)[stage]) for stage in STAGES)


def test_learning_rate_far_too_high_is_noticed(tmp_path: Path) -> None:
    with pytest.raises(CadstnError, match=r"loss is (nan|inf) at step \d+ of the spatial stage"):
        train(small(learning_rate=1e20), tmp_path)
    assert not (tmp_path / "spatial.safetensors").exists()


# -- what is left behind ---------------------------------------------------------------------------


def test_loaded_model_predicts_as_the_trained_one(tmp_path: Path) -> None:
    trained = train(small(), tmp_path)
    loaded, recipe = load_model(tmp_path)
    assert recipe == small()
    assert not loaded.training
    assert loaded.spatial.auxiliary is None
    crops = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        one, two = trained(crops), loaded(crops)
    assert one.joints.any()
    torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-7)


def test_loading_says_which_stage_is_missing_or_foreign(tmp_path: Path) -> None:
    with pytest.raises(CadstnError, match=r"spatial\.safetensors: no such weights file"):
        load_model(tmp_path)
    train(small(), tmp_path / "a")
    train(small(seed=1), tmp_path / "b")
    (tmp_path / "b/fusion.safetensors").replace(tmp_path / "a/fusion.safetensors")
    with pytest.raises(CadstnError, match=r"fusion\.safetensors: made with seed = 1, not 0"):
        load_model(tmp_path / "a")
    (tmp_path / "a/fusion.safetensors").unlink()
    with pytest.raises(CadstnError, match=r"fusion\.safetensors: no such weights file"):
        load_model(tmp_path / "a")


def test_log_has_a_line_of_json_a_checkpoint(tmp_path: Path) -> None:
    train(small(), tmp_path, checkpoint_every=2)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    expected = [("spatial", 2), ("spatial", 4), ("spatial", 5), ("temporal", 2), ("temporal", 4)]
    expected += [("fusion", 2), ("fusion", 4)]
    assert [(line["stage"], line["step"]) for line in lines] == expected
    for line in lines:
        assert set(line) == {"stage", "step", "loss", "error_mm", "images_per_s"}
        assert line["loss"] > 0
        assert 0 < line["error_mm"] < 1000
        assert line["images_per_s"] > 0


def test_progress_carries_the_last_validation(tmp_path: Path) -> None:
    errors: list[float] = []
    train(small(), tmp_path, checkpoint_every=2, watch=lambda p: errors.append(p.error_mm))
    assert math.isnan(errors[0])
    assert errors[1] == errors[2] > 0  # measured at step 2, told until step 4
    assert errors[3] == errors[3]


def test_validation_error_is_the_mean_joint_error() -> None:
    """A network that says zero is wrong by the distance of the joints from the cube's centre."""
    recipe = small()
    model = Cadstn(recipe.net)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    clips = sample_clips((recipe.seed, 1), 1, 16, size=16)
    expected = clips.joints.double().square().sum(-1).sqrt().mean().item() * 125
    for stage in STAGES:
        assert validation_error_mm(model, stage, recipe, "cpu") == pytest.approx(expected, rel=1e-5)
