"""The released recipe beside the method's description, line by line, and what each line does."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

from cadstn.cli import cli
from cadstn.cli.clock import Clock, PhaseClock, progress_line
from cadstn.data.bank import Bank
from cadstn.errors import CadstnError
from cadstn.train import BankSource, Progress
from cadstn.train.devices import pick_device
from cadstn.train.networks import build, family_of
from cadstn.train.recipes import Recipe, recipe
from cadstn.train.seeds import Stage

Small = Callable[..., Recipe]


def plan(steps: int, batch: int = 128, rate: float = 1e-3, **rest: Any) -> dict[str, Any]:
    values = {"augment": True, "order": "shuffled", **rest}
    return {"steps": steps, "batch": batch, "learning_rate": rate, **values}


# By data set: what the description's two tables say of the released definitions.
LINES: dict[str, dict[str, Any]] = {
    "nyu": {
        "loss": "half_squared",
        "schedule": "step", "decay": 0.1, "decay_every": 20_000, "weight_decay": 5e-4,
        "optimizer": "adam", "warmup": 0, "precision": "fp32",
        "baseline": plan(100_000), "sliced": plan(100_000), "spatial": plan(100_000),
        "temporal": plan(100_000, 32 * 16, 1e-4, augment=False, order="windows"),
        "fusion": plan(60_000, 8 * 16, augment=False),
        "temporal_start": "baseline", "temporal_frozen": True, "fusion_start": "scratch",
        "clip": 16, "cube_mm": 300.0, "cubes_mm": {"2": 249.0}, "center": "mass_once",
        "split": "train", "temporal_divisor": "frames", "lstm_rate": 1.0,
        "lstm_inputs_rate": 10.0, "bias_rate": 2.0, "expert_dropout": True, "gate": 0.5,
        "clip_labels": True, "across_shots": True, "skeleton": "nyu14",
    },
    "icvl": {
        "temporal": plan(100_000, 8 * 16, 1e-4), "fusion": plan(100_000, 8 * 16),
        "split": "train-unrotated", "cube_mm": 200.0, "center": "mass_once", "skeleton": "icvl16",
    },
}  # fmt: skip


@pytest.mark.parametrize("data", ["nyu", "icvl"])
def test_printed_recipe_is_the_released_definitions(data: str) -> None:
    outcome = CliRunner().invoke(cli, ["train", f"cadstn.{data}.released", "--print"])
    assert outcome.exit_code == 0, outcome.output
    printed = json.loads(outcome.stdout)
    for name, value in {**LINES["nyu"], "cubes_mm": printed["cubes_mm"], **LINES[data]}.items():
        assert printed[name] == value, name
    turns = printed["augment"].pop("turns")
    assert turns == ("released" if data == "nyu" else "none")
    assert not any(printed["augment"].values())
    assert printed["net"] == {
        "trunk": "paper", "joints": {"nyu": 14, "icvl": 16}[data], "size": 128, "slices": 8,
        "channels": [32, 64, 128], "width": 1024, "hidden": 1024, "dropout": 0.3,
        "dropout_recurrent": 0.5, "fusion": "gate",
    }  # fmt: skip


def test_released_trains_the_baseline_first() -> None:
    assert recipe("cadstn.nyu.released").stages == ("baseline", "spatial", "temporal", "fusion")


def test_windows_come_in_order_and_run_over_ends(toy_bank: Bank, small: Small) -> None:
    values = {"temporal.order": "windows", "across_shots": True, "clip": 4, "temporal.batch": 4}
    source = BankSource(toy_bank, small(**values), "cpu")
    kept = torch.from_numpy(~source._held_out).nonzero().flatten()
    joints = torch.from_numpy(toy_bank.joints.copy())[kept]
    count = len(kept) // 4
    batch = source.clips(Stage.temporal, torch.arange(count + 1), 4)
    for window in range(count):
        assert torch.equal(batch.joints[window], joints[4 * window : 4 * window + 4])
    assert torch.equal(batch.joints[count], batch.joints[0])  # and begin again


def test_clips_keep_to_shots_unless_the_recipe_lets_them_cross(
    toy_bank: Bank, small: Small
) -> None:
    starts = {
        across: len(BankSource(toy_bank, small(across_shots=across, clip=4, **{
            "temporal.batch": 4, "fusion.batch": 4}), "cpu")._starts(4, False))
        for across in (False, True)
    }  # fmt: skip
    kept = int((~BankSource(toy_bank, small(), "cpu")._held_out).sum())
    assert starts[True] == kept - 3
    assert starts[False] < starts[True]


def test_labels_are_clipped_in_training_alone(toy_bank: Bank, small: Small) -> None:
    values = {"augment.scale": 0.5}  # smaller cubes, which joints leave
    rows = torch.arange(40)
    plain, clipped = (
        BankSource(toy_bank, small(clip_labels=clip, **values), "cpu").clips(0, rows, 1).joints
        for clip in (False, True)
    )
    assert plain.abs().max() > 1
    assert torch.equal(clipped, plain.clamp(-1, 1))


def test_stages_without_augmentation_see_the_frames_as_they_are(
    toy_bank: Bank, small: Small
) -> None:
    values: dict[str, Any] = {"augment.turns": "released", "augment.rotate_deg": 20.0}
    recipe = small(**values, **{"fusion.augment": False})
    plain = BankSource(toy_bank, small(), "cpu")
    source, rows = BankSource(toy_bank, recipe, "cpu"), torch.arange(8)
    same = source.clips(Stage.fusion, rows, 2).crops, plain.clips(Stage.fusion, rows, 2).crops
    assert torch.equal(*same)
    transformed = source.clips(Stage.temporal, rows, 2), plain.clips(Stage.temporal, rows, 2)
    assert not torch.equal(transformed[0].crops, transformed[1].crops)


def test_experts_drop_while_the_gate_trains(toy_bank: Bank, small: Small) -> None:
    losses = {}
    for drops in (False, True):
        chosen = small(expert_dropout=drops, **{"net.dropout": 0.5, "net.dropout_recurrent": 0.5})
        networks, family = build(chosen, "cpu"), family_of(chosen)
        masks = family.masks(networks, "fusion", chosen, torch.arange(2))
        assert set(masks) == ({"fusion", "spatial", "temporal"} if drops else {"fusion"})
        batch = BankSource(toy_bank, chosen, "cpu").clips(Stage.fusion, torch.arange(2), 2)
        losses[drops] = float(family.loss(networks, "fusion", batch, chosen, masks).detach())
    assert losses[True] != losses[False]


def test_one_gate_s_experts_serve_the_other(small: Small) -> None:
    """The two gates are compared on the same trained networks."""
    from cadstn.train.state import stage_fields

    gate, free = (small(**{"net.fusion": kind}).to_json() for kind in ("gate", "free"))
    for stage in ("spatial", "temporal"):
        assert stage_fields(gate, stage) == stage_fields(free, stage)
    assert stage_fields(gate, "fusion") != stage_fields(free, "fusion")


def test_recipes_of_older_files_mean_what_they_meant() -> None:
    new = {
        "split", "temporal_divisor", "bias_rate", "lstm_inputs_rate", "expert_dropout",
        "clip_labels", "across_shots",
    }  # fmt: skip
    values = {k: v for k, v in json.loads(recipe("cadstn.nyu").to_json()).items() if k not in new}
    for stage in ("baseline", "sliced", "spatial", "temporal", "fusion"):
        values[stage] = {n: values[stage][n] for n in ("steps", "batch", "learning_rate")}
    values["center"] = "mass"
    values["net"] = {**values["net"], "blocks": []}
    del values["net"]["fusion"]
    old = Recipe.from_json(json.dumps(values))
    assert old.crop_rule().mass_rounds == 2
    assert (old.temporal_divisor, old.bias_rate, old.lstm_inputs_rate) == ("images", 1, 1)
    assert {old.expert_dropout, old.clip_labels, old.across_shots} == {False}
    assert old.temporal.augment
    assert old.temporal.order == "shuffled"


# -- the command line ------------------------------------------------------------------------------


def test_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert pick_device("auto") == pick_device("cpu") == "cpu"
    for name in ("cuda", "gpu", "cuda:0"):
        with pytest.raises(CadstnError, match=rf"--device {name}: no GPU .*cpu or auto"):
            pick_device(name)
    with pytest.raises(CadstnError, match="no device 'tpu'"):
        pick_device("tpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert [pick_device(n) for n in ("auto", "gpu", "cuda:0")] == ["cuda", "cuda", "cuda:0"]
    with pytest.raises(CadstnError, match="1 GPUs here"):
        pick_device("cuda:1")


def test_time_left_counts_the_images_to_come() -> None:
    chosen = recipe("cadstn.nyu.paper")
    progress = Progress("temporal", 10_000, 60_000, 0.5, 1e-3, None, 200.0, False)
    clock = Clock(chosen)
    assert clock.steps == 160_000
    assert clock.done(progress) == 70_000
    assert clock.left_s(progress) == pytest.approx(90_000 * 128 / 200)
    assert "16.0 h for the 90,000 steps left, at 200 images/s" in clock.estimate(progress)
    line = progress_line((progress, clock.left_s(progress)))
    assert line == "temporal 10000/60000  loss 0.500  200 images/s  16.0 h left"
    assert "nan" not in line


def test_time_left_of_a_phase_is_by_its_own_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("cadstn.cli.clock.time.monotonic", lambda: now)
    clock = PhaseClock()
    assert clock.left("crops", 0, 100) == ""
    now = 30.0
    assert clock.left("crops", 20, 100) == ", 2 min left"
    assert not clock.minute_is_over()
    now = 61.0
    assert clock.minute_is_over()
    assert not clock.minute_is_over()
    # Another phase has shown nothing yet; what is done has nothing left.
    assert clock.left("training", 40, 200) == ""
    now = 63.0
    assert clock.left("training", 50, 200) == ", 30 s left"
    assert clock.left("training", 200, 200) == ""


@pytest.mark.parametrize("command", [["train", "--out", "{out}"], ["bench", "train"]])
def test_a_set_s_recipe_needs_the_set(tmp_path: Path, command: list[str]) -> None:
    words = [word.replace("{out}", str(tmp_path / "run")) for word in command]
    result = CliRunner().invoke(cli, [*words, "cadstn.nyu.paper"])
    assert str(result.exception) == (
        "recipe cadstn.nyu.paper is for nyu, and no data is given; give --data FOLDER, or take "
        "cadstn.rendered.paper"
    )
    assert not (tmp_path / "run").exists()


def test_ablate_names_what_replaced_it() -> None:
    result = CliRunner().invoke(cli, ["ablate", "--train", "a.bank"])
    assert "'ablate' is part of 'reproduce' now; cadstn synth" in str(result.exception)


def test_folder_is_needed_only_to_train() -> None:
    outcome = CliRunner().invoke(cli, ["train", "tiny"])
    assert outcome.exit_code == 2
    assert "--out" in outcome.output
