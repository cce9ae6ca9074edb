from __future__ import annotations

import json
import math
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from cadstn.data.bank import Bank
from cadstn.errors import CadstnError
from cadstn.models import Cadstn
from cadstn.train import (
    BankSource,
    Batch,
    Progress,
    RenderedSource,
    Stopped,
    load_model,
    load_networks,
)
from cadstn.train import loop as loop_module
from cadstn.train.family import Networks
from cadstn.train.guards import Losses, memory_errors
from cadstn.train.loop import learning_rate, validation_error_mm
from cadstn.train.networks import build, family_of, stage_step
from cadstn.train.paper import PaperFamily
from cadstn.train.ranks import Ranks
from cadstn.train.recipes import STAGES, Recipe, override, tiny
from cadstn.train.state import checkpoints

State = dict[str, Tensor]
Small = Callable[..., Recipe]
STEPS = {"spatial": 5, "temporal": 4, "fusion": 4}
ORDER = [(s, i + 1) for s in STAGES for i in range(STEPS[s])]


@pytest.fixture
def train(toy_bank: Bank) -> Callable[..., Networks]:
    """Trains on the toy bank."""

    def run(recipe: Recipe, out: Path, **rest: Any) -> Networks:
        rest.setdefault("source", BankSource(toy_bank, recipe, "cpu"))
        return loop_module.train(recipe, out, **rest)

    return run


def states(networks: Networks) -> dict[str, State]:
    return {
        stage: {n: t.detach().clone() for n, t in network.state_dict().items()}
        for stage, network in networks.items()
    }


def equal(one: Any, two: Any) -> bool:
    if isinstance(one, Tensor):
        return torch.equal(one, two)
    return one.keys() == two.keys() and all(equal(one[name], two[name]) for name in one)


class StoppedError(Exception):
    """What a test raises to interrupt training as kill -9 does: nothing is saved after it."""


def stop_at(stage: str, step: int) -> Callable[[Progress], None]:
    def watch(progress: Progress) -> None:
        if (progress.stage, progress.step) == (stage, step):
            raise StoppedError

    return watch


# -- what is trained, and what is not --------------------------------------------------------------


@pytest.mark.parametrize("loss", ["pose_distance", "half_squared"])
def test_loss_falls(tmp_path: Path, train: Any, small: Small, loss: str) -> None:
    recipe = small(
        **{
            "loss": loss, "net.dropout": 0.0, "net.dropout_recurrent": 0.0, "spatial.steps": 80,
            "temporal.steps": 80, "fusion.steps": 10, "spatial.batch": 16, "temporal.batch": 16,
        }
    )  # fmt: skip
    losses: dict[str, list[float]] = {stage: [] for stage in STAGES}
    train(recipe, tmp_path, watch=lambda p: losses[p.stage].append(p.loss))
    for stage in ("spatial", "temporal"):
        assert sum(losses[stage][-5:]) < 0.6 * sum(losses[stage][:5]), stage


def test_stages_run_in_order_and_write_their_files(
    tmp_path: Path, train: Any, small: Small, toy_bank: Bank
) -> None:
    seen: list[tuple[str, int, int]] = []
    train(small(), tmp_path, watch=lambda p: seen.append((p.stage, p.step, p.steps)))
    assert seen == [(s, step, STEPS[s]) for s, step in ORDER]
    names = {path.name for path in tmp_path.iterdir()} - {"tensorboard"}
    assert names == {f"{s}.safetensors" for s in STAGES} | {"log.jsonl", "recipe.json"}
    about = json.loads((tmp_path / "recipe.json").read_text())
    assert about["data"] == BankSource(toy_bank, small(), "cpu").fingerprint
    assert about["version"]
    assert Recipe.from_json(json.dumps(about["recipe"])) == small()


@pytest.mark.parametrize("network", ["baseline", "sliced", "spatial", "temporal"])
def test_single_network_is_trained_alone(
    tmp_path: Path, train: Any, small: Small, network: str
) -> None:
    recipe = small(network=network)
    assert set(train(recipe, tmp_path)) == {network}
    networks, found = load_networks(tmp_path, network)
    assert found == recipe
    assert not any(part.training for part in networks.values())


def test_spatial_trained_alone_serves_the_whole(tmp_path: Path, train: Any, small: Small) -> None:
    train(small(network="spatial"), tmp_path)
    seen: list[str] = []
    train(small(**{"temporal.steps": 2}), tmp_path, watch=lambda p: seen.append(p.stage))
    assert seen == ["temporal"] * 2 + ["fusion"] * 4
    load_model(tmp_path)


def test_each_stage_trains_its_own_network_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, train: Any, small: Small
) -> None:
    inside = loop_module._train_stage
    changed: dict[str, set[str]] = {}

    def spied(run: Any, networks: Networks, stage: str) -> None:
        before = states(networks)
        inside(run, networks, stage)
        after = states(networks)
        changed[stage] = {other for other in STAGES if not equal(before[other], after[other])}

    monkeypatch.setattr(loop_module, "_train_stage", spied)
    train(small(), tmp_path)
    assert changed == {stage: {stage} for stage in STAGES}


@pytest.mark.parametrize("stage", ["baseline", "sliced", *STAGES])
def test_gradient_reaches_all_of_a_stage_and_nothing_else(
    toy_bank: Bank, small: Small, stage: str
) -> None:
    recipe = small(network=stage if stage in ("baseline", "sliced") else "cadstn")
    networks = build(recipe, "cpu")
    torch.manual_seed(0)
    for network in networks.values():
        network.eval()
        with torch.no_grad():  # weights large enough that no unit is dead by chance
            for parameter in network.parameters():
                parameter.copy_(torch.randn(parameter.shape) * 0.3)
    batch = BankSource(toy_bank, recipe, "cpu").clips(0, torch.arange(8), 2)
    torch.autograd.backward(family_of(recipe).loss(networks, stage, batch, recipe, {}))
    for other, network in networks.items():
        for name, parameter in network.named_parameters():
            assert (parameter.grad is not None) == (other == stage), (other, name)
            assert parameter.grad is None or parameter.grad.any(), (other, name)


@pytest.mark.parametrize("start", ["scratch", "baseline", "spatial"])
def test_start_copies_trunk_and_first_layer(
    tmp_path: Path, train: Any, small: Small, start: str
) -> None:
    recipe = small(
        **{"temporal_start": start, "fusion_start": start, "temporal.steps": 0, "fusion.steps": 0}
    )
    trained = train(recipe, tmp_path)
    assert ("baseline" in trained) == (start == "baseline")
    other = trained["spatial" if start == "scratch" else start]
    trunk = other.depth_trunk if start != "baseline" else other.trunk
    first = other.fc1 if start != "baseline" else other.head.fc1
    for part, mine in (("temporal", "fc1"), ("fusion", "head.fc1")):
        same = start != "scratch"
        assert equal(trunk.state_dict(), trained[part].trunk.state_dict()) == same
        assert equal(first.state_dict(), trained[part].get_submodule(mine).state_dict()) == same


def test_frozen_start_stays_and_the_rest_moves(tmp_path: Path, train: Any, small: Small) -> None:
    recipe = small(temporal_start="baseline", temporal_frozen=True, network="temporal")
    trained = train(recipe, tmp_path)
    baseline, temporal = trained["baseline"], trained["temporal"]
    assert equal(baseline.trunk.state_dict(), temporal.trunk.state_dict())
    assert equal(baseline.head.fc1.state_dict(), temporal.fc1.state_dict())
    fresh = build(recipe, "cpu")["temporal"].state_dict()
    moved = {n for n, t in temporal.state_dict().items() if not torch.equal(t, fresh[n])}
    assert {n.split(".")[0] for n in moved} >= {"lstm", "output"}


def test_start_copies_once_and_keeps_what_is_learned(
    tmp_path: Path, train: Any, small: Small
) -> None:
    recipe = small(temporal_start="spatial")
    first = train(recipe, tmp_path)
    spatial, temporal = first["spatial"], first["temporal"]
    assert not equal(spatial.depth_trunk.state_dict(), temporal.trunk.state_dict())
    assert equal(states(first), states(train(recipe, tmp_path)))


def test_gate_starts_where_the_recipe_sets_it(small: Small) -> None:
    recipe = small(gate=0.3)
    fusion = build(recipe, "cpu")["fusion"]
    with torch.no_grad():
        fusion.get_parameter("head.output.weight").zero_()
        found = fusion(torch.zeros(2, 16, 16))
    torch.testing.assert_close(found, torch.full_like(found, 0.3))


def test_learning_rate_is_that_of_the_schedule(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, train: Any, small: Small
) -> None:
    asked: list[tuple[str, int]] = []

    def zero(recipe: Recipe, stage: str, step: int) -> float:
        asked.append((stage, step + 1))
        return 0.0

    monkeypatch.setattr(loop_module, "learning_rate", zero)
    trained = train(small(), tmp_path)
    assert asked == ORDER
    assert equal(states(trained), states(build(small(), "cpu")))


def test_learning_rate_in_steps() -> None:
    recipe = override(tiny("cadstn", "nyu"), {"decay": 0.1, "decay_every": 20_000})
    found = [learning_rate(recipe, "temporal", n) for n in (0, 19_999, 20_000, 40_000, 59_999)]
    assert found == pytest.approx([1e-3, 1e-3, 1e-4, 1e-5, 1e-5], rel=1e-9)


def test_learning_rate_along_a_cosine() -> None:
    values = {"fusion.learning_rate": 2e-3, "fusion.steps": 120, "schedule": "cosine"}
    recipe = override(tiny("cadstn", "nyu"), values)
    found = [learning_rate(recipe, "fusion", step) for step in (0, 20, 40, 60, 80, 120)]
    # 1 + cos of 0, 30, 60, 90, 120 and 180 degrees.
    factors = [2, 1 + math.sqrt(3) / 2, 1.5, 1, 0.5, 0]
    assert found == pytest.approx([1e-3 * factor for factor in factors], abs=1e-12)


def test_learning_rate_rises_first() -> None:
    values = {"warmup": 4, "temporal.learning_rate": 1e-3, "decay_every": 20_000}
    recipe = override(tiny("cadstn", "nyu"), values)
    found = [learning_rate(recipe, "temporal", step) for step in range(6)]
    assert found == pytest.approx([2e-4, 4e-4, 6e-4, 8e-4, 1e-3, 1e-3], rel=1e-9)


def test_lstm_learns_at_its_own_rate(tmp_path: Path, train: Any, small: Small) -> None:
    """Adam's first step is the learning rate, whatever the gradient."""
    sizes = {"temporal.steps": 1, "net.dropout": 0.0, "net.dropout_recurrent": 0.0}
    recipe = small(network="temporal", lstm_rate=10.0, **sizes)
    before = build(recipe, "cpu")["temporal"].state_dict()
    after = train(recipe, tmp_path)["temporal"].state_dict()
    moved = {n: float((after[n] - before[n]).abs().max()) for n in before}
    assert moved["lstm.weight_x"] == pytest.approx(0.1, rel=1e-2)
    assert moved["output.weight"] == pytest.approx(0.01, rel=1e-2)


# -- randomness ------------------------------------------------------------------------------------


class Spy:
    """A source that notes what it is asked for."""

    def __init__(self, inside: BankSource) -> None:
        self.inside, self.fingerprint = inside, inside.fingerprint
        self.asked: list[tuple[int, list[int], int]] = []

    def clips(self, stage: int, rows: Tensor, frames: int) -> Batch:
        self.asked.append((stage, rows.tolist(), frames))
        return self.inside.clips(stage, rows, frames)

    def validation(self, frames: int, clip: int) -> Iterator[Batch]:
        return self.inside.validation(frames, clip)


def test_samples_are_counted_through_all_steps(
    tmp_path: Path, train: Any, small: Small, toy_bank: Bank
) -> None:
    spy = Spy(BankSource(toy_bank, small(), "cpu"))
    train(small(), tmp_path, source=spy)
    expected = [(0, list(range(4 * n, 4 * n + 4)), 1) for n in range(5)]
    expected += [(s, list(range(2 * n, 2 * n + 2)), 2) for s in (1, 2) for n in range(4)]
    assert spy.asked == expected


def test_weights_are_a_function_of_the_seed(tmp_path: Path, train: Any, small: Small) -> None:
    one = train(small(), tmp_path / "1")
    torch.manual_seed(1234)
    two = train(small(), tmp_path / "2")
    other = train(small(seed=1), tmp_path / "3")
    assert equal(states(one), states(two))
    for stage in STAGES:
        assert not equal(states(one)[stage], states(other)[stage])


def test_initial_weights_do_not_depend_on_the_other_stages(small: Small) -> None:
    whole, alone = build(small(), "cpu"), build(small(network="temporal"), "cpu")
    assert equal(whole["temporal"].state_dict(), alone["temporal"].state_dict())


def test_dropout_of_a_sample_does_not_depend_on_its_batch(small: Small, toy_bank: Bank) -> None:
    """Half a batch gives half of what the whole batch gives, masks included."""
    recipe = small(**{"net.dropout": 0.5, "net.dropout_recurrent": 0.5})
    networks = build(recipe, "cpu")
    network = networks["temporal"]  # in evaluation mode or not: masks drop
    source, rows = BankSource(toy_bank, recipe, "cpu"), torch.arange(40, 46)

    def joints(rows: Tensor) -> Tensor:
        masks = family_of(recipe).masks(networks, "temporal", recipe, rows)["temporal"]
        with torch.no_grad():
            found: Tensor = network(source.clips(1, rows, 2).crops, None, masks)[0]
        return found

    whole = joints(rows)
    torch.testing.assert_close(joints(rows[2:4]), whole[2:4])
    assert not torch.allclose(joints(rows + 100), whole)
    drawn = family_of(recipe).masks(networks, "temporal", recipe, torch.arange(400))["temporal"]
    assert {name: tuple(mask.shape) for name, mask in drawn.items()} == {
        "fc1": (800, 16), "hidden": (800, 12),
    }  # fmt: skip
    assert 0.48 < float(drawn["hidden"].float().mean()) < 0.52


@pytest.mark.parametrize("network", ["spatial", "temporal"])
def test_parts_of_a_batch_add_up_to_the_whole(
    small: Small, toy_bank: Bank, tmp_path: Path, network: str
) -> None:
    """What three ranks sum, without the processes."""
    recipe = small(network=network, **{f"{network}.batch": 8})
    source = BankSource(toy_bank, recipe, "cpu")
    clips = 8 // recipe.frames(network)

    def gradients(ranks: Ranks) -> list[Tensor]:
        networks = build(recipe, "cpu")
        networks[network].train()
        run: Any = type("Run", (), {})()
        run.recipe, run.source, run.device, run.ranks = recipe, source, "cpu", Ranks()
        run.stop = __import__("threading").Event()
        step = stage_step(networks, network, recipe)
        loop_module._gradients(run, networks, network, step, ranks.rows(3, clips), clips)
        return [p.grad for p in networks[network].parameters() if p.grad is not None]

    whole = gradients(Ranks())
    parts = [gradients(Ranks(rank, 3)) for rank in range(3)]
    for index, gradient in enumerate(whole):
        torch.testing.assert_close(sum(part[index] for part in parts), gradient)


# -- going on --------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", STAGES)
def test_killed_training_ends_with_the_same_weights(
    tmp_path: Path, train: Any, small: Small, stage: str
) -> None:
    recipe = small(
        **{"net.dropout": 0.3, "net.dropout_recurrent": 0.3, "weight_decay": 1e-3},
        schedule="cosine",
    )
    whole = train(recipe, tmp_path / "whole", checkpoint_every=2)
    parts = tmp_path / "parts"
    with pytest.raises(StoppedError):
        train(recipe, parts, checkpoint_every=2, watch=stop_at(stage, 3))
    resumed: list[tuple[str, int]] = []
    trained = train(
        recipe, parts, checkpoint_every=2, watch=lambda p: resumed.append((p.stage, p.step))
    )
    assert resumed == ORDER[ORDER.index((stage, 3)) :]  # on from the checkpoint of step 2
    assert equal(states(whole), states(trained))
    lines = [json.loads(line) for line in (parts / "log.jsonl").read_text().splitlines()]
    assert [(line["stage"], line["step"]) for line in lines] == ORDER  # none twice


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_finishes_the_step_and_saves(
    tmp_path: Path, train: Any, small: Small, number: signal.Signals
) -> None:
    def terminate(progress: Progress) -> None:
        if (progress.stage, progress.step) == ("temporal", 2):
            os.kill(os.getpid(), number)

    before = signal.getsignal(number)
    with pytest.raises(Stopped, match="step 3 of the temporal stage"):
        train(small(), tmp_path / "a", watch=terminate)
    assert signal.getsignal(number) is before
    assert [p.name for p in checkpoints(tmp_path / "a", "temporal")] == [
        "temporal.00000003.checkpoint.safetensors"
    ]
    assert equal(states(train(small(), tmp_path / "a")), states(train(small(), tmp_path / "b")))


def test_a_stage_that_is_stopped_at_its_last_step_is_validated(
    tmp_path: Path, train: Any, small: Small
) -> None:
    def terminate(progress: Progress) -> None:
        if progress.step == 4:
            os.kill(os.getpid(), signal.SIGTERM)

    recipe = small(network="spatial")
    with pytest.raises(Stopped, match="step 5 of the spatial stage"):
        train(recipe, tmp_path, watch=terminate)
    train(recipe, tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5]
    assert lines[-1]["error_mm"] > 0


def test_second_interrupt_does_not_wait(tmp_path: Path, train: Any, small: Small) -> None:
    def twice(progress: Progress) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train(small(), tmp_path, watch=twice)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_rendering_does_not_wait_for_a_step_that_is_minutes_away(number: signal.Signals) -> None:
    from cadstn.train.guards import interruptible, stoppable

    def outside(number: int, frame: object) -> None:
        raise InterruptedError(number)

    before = signal.signal(number, outside)
    try:
        with stoppable() as stop:
            with pytest.raises(InterruptedError), interruptible():
                os.kill(os.getpid(), number)
            assert not stop.is_set()
            os.kill(os.getpid(), number)
            assert stop.is_set()
        with pytest.raises(InterruptedError), interruptible():
            os.kill(os.getpid(), number)
    finally:
        signal.signal(number, before)


def test_newest_two_checkpoints_are_kept_and_a_damaged_one_is_passed_over(
    tmp_path: Path, train: Any, small: Small
) -> None:
    recipe = small(**{"spatial.steps": 9})
    with pytest.raises(StoppedError):
        train(recipe, tmp_path / "a", checkpoint_every=2, watch=stop_at("spatial", 7))
    kept = checkpoints(tmp_path / "a", "spatial")
    assert [int(path.name.split(".")[1]) for path in kept] == [6, 4]
    kept[0].write_bytes(kept[0].read_bytes()[:-50])
    messages: list[str] = []
    seen: list[int] = []
    trained = train(
        recipe, tmp_path / "a", on_message=messages.append,
        watch=lambda p: seen.append(p.step) if p.stage == "spatial" else None,
    )  # fmt: skip
    assert seen[0] == 5
    assert len(messages) == 1
    assert kept[0].name in messages[0]
    assert equal(states(trained), states(train(recipe, tmp_path / "b")))


def test_finished_stages_are_skipped(tmp_path: Path, train: Any, small: Small) -> None:
    with pytest.raises(StoppedError):
        train(small(), tmp_path, watch=stop_at("temporal", 1))
    spatial = (tmp_path / "spatial.safetensors").read_bytes()
    seen: list[str] = []
    first = train(small(), tmp_path, watch=lambda p: seen.append(p.stage))
    assert seen == ["temporal"] * STEPS["temporal"] + ["fusion"] * STEPS["fusion"]
    assert (tmp_path / "spatial.safetensors").read_bytes() == spatial
    again = train(small(), tmp_path, watch=stop_at("fusion", 1))
    assert equal(states(first), states(again))


def test_one_process_at_a_time_trains_in_a_folder(tmp_path: Path, train: Any, small: Small) -> None:
    refused: list[str] = []

    def second(progress: Any) -> None:
        with pytest.raises(CadstnError) as error:
            train(small(), tmp_path)
        refused.append(str(error.value))

    train(small(), tmp_path, watch=second)
    said = f"{tmp_path}: another process writes into it; wait for it, or give another folder"
    assert set(refused) == {said}


def test_folder_of_another_recipe_or_other_data_is_refused(
    tmp_path: Path, train: Any, small: Small, toy_bank: Bank
) -> None:
    with pytest.raises(StoppedError):
        train(small(), tmp_path, checkpoint_every=2, watch=stop_at("spatial", 3))
    with pytest.raises(CadstnError, match=r"spatial\.0.*made with seed = 0, not 1"):
        train(small(seed=1), tmp_path)
    train(small(), tmp_path)
    with pytest.raises(CadstnError, match=r"spatial\.saf.*made with spatial\.batch = 4, not 8"):
        train(small(**{"spatial.batch": 8}), tmp_path)
    with pytest.raises(CadstnError, match=r"made with net\.width = 16, not 24.*--out"):
        train(small(**{"net.width": 24}), tmp_path)
    other = Spy(BankSource(toy_bank, small(), "cpu"))
    other.fingerprint = "elsewhere"
    with pytest.raises(CadstnError, match=r"made with data .*, not elsewhere"):
        train(small(), tmp_path, source=other)


def test_damaged_weights_are_reported_in_one_line(tmp_path: Path, train: Any, small: Small) -> None:
    with pytest.raises(StoppedError):
        train(small(), tmp_path, watch=stop_at("temporal", 1))
    path = tmp_path / "spatial.safetensors"
    whole = path.read_bytes()
    for contents, reason in (
        (whole[:-50], "damaged: its contents are not those that were written; delete it"),
        (b"no weights", "not a safetensors file"),
    ):
        path.write_bytes(contents)
        with pytest.raises(CadstnError, match=rf"spatial\.safetensors: {reason}") as error:
            train(small(), tmp_path)
        assert "\n" not in str(error.value)


# -- what goes wrong -------------------------------------------------------------------------------


@pytest.mark.parametrize("lag", [0, 20])
def test_loss_that_is_not_finite_stops_and_names_the_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, train: Any, small: Small, lag: int
) -> None:
    inside = PaperFamily.loss
    calls = 0

    def broken(*args: Any) -> Tensor:
        nonlocal calls
        calls += 1
        return inside(*args) * (math.nan if calls == 4 else 1.0)

    checks = Losses
    with monkeypatch.context() as patch:
        patch.setattr(PaperFamily, "loss", broken)
        patch.setattr(loop_module, "Losses", lambda out, stage, **_: checks(out, stage, lag=lag))
        with pytest.raises(CadstnError, match="loss is nan at step 3 of the spatial stage"):
            train(small(), tmp_path / "stopped", checkpoint_every=2)
    # What was saved before is still good.
    found = states(train(small(), tmp_path / "stopped", checkpoint_every=2))
    assert equal(found, states(train(small(), tmp_path / "whole")))


def test_learning_rate_far_too_high_is_noticed(tmp_path: Path, train: Any, small: Small) -> None:
    with pytest.raises(CadstnError, match=r"loss is (nan|inf) at step \d+ of the spatial stage"):
        train(small(**{"spatial.learning_rate": 9e8}), tmp_path)
    assert not (tmp_path / "spatial.safetensors").exists()


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"),
    ],
)
def test_batch_that_does_not_fit_is_reported_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, train: Any, small: Small, error: Exception
) -> None:
    def full(*args: Any) -> Tensor:
        raise error

    monkeypatch.setattr(PaperFamily, "loss", full)
    with pytest.raises(CadstnError, match=r"a batch of 4 images does not fit.*spatial\.batch=2"):
        train(small(), tmp_path)


@pytest.mark.parametrize(
    ("values", "stage", "hint"),
    [
        ({"temporal.batch": 12, "clip": 4}, "temporal", "set temporal.batch=4, or train on more"),
        ({"temporal.batch": 4, "clip": 4}, "temporal", "it is one sample already"),
        ({"spatial.batch": 1}, "spatial", "it is one sample already"),
    ],
)
def test_what_may_fit_is_whole_clips(
    small: Small, values: dict[str, Any], stage: str, hint: str
) -> None:
    with pytest.raises(CadstnError, match=hint), memory_errors(small(**values), stage):
        raise MemoryError


def test_other_errors_are_not_hidden(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, train: Any, small: Small
) -> None:
    def broken(*args: Any) -> Tensor:
        raise RuntimeError("a bug")

    monkeypatch.setattr(PaperFamily, "loss", broken)
    with pytest.raises(RuntimeError, match="a bug"):
        train(small(), tmp_path)


# -- what is left behind ---------------------------------------------------------------------------


def test_loaded_model_predicts_as_the_trained_one(tmp_path: Path, train: Any, small: Small) -> None:
    from cadstn.train import predict

    trained = train(small(), tmp_path)
    loaded, recipe = load_model(tmp_path)
    assert recipe == small()
    assert not loaded.training
    assert loaded.spatial.auxiliary is None
    assert isinstance(loaded, Cadstn)
    crops = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    nowhere = torch.zeros(2, 3, 3)
    batch = Batch(crops, torch.zeros(2, 3, 21, 3), nowhere, torch.full((2,), 250.0))
    with torch.no_grad():
        one, two = predict(trained, "fusion", batch), loaded(crops).joints
    assert one.any()
    torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-7)


def test_loading_names_the_stage_that_is_missing_or_foreign(
    tmp_path: Path, train: Any, small: Small
) -> None:
    with pytest.raises(CadstnError, match=r"fusion\.safetensors: no such weights file"):
        load_model(tmp_path)
    train(small(), tmp_path / "a")
    train(small(seed=1), tmp_path / "b")
    (tmp_path / "b/spatial.safetensors").replace(tmp_path / "a/spatial.safetensors")
    with pytest.raises(CadstnError, match=r"spatial\.safetensors: made with seed = 1, not 0"):
        load_model(tmp_path / "a")


def test_log_has_a_line_of_json_a_step(tmp_path: Path, train: Any, small: Small) -> None:
    train(small(), tmp_path, checkpoint_every=2)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [(line["stage"], line["step"]) for line in lines] == ORDER
    measured = [(line["stage"], line["step"]) for line in lines if "error_mm" in line]
    assert measured == [(s, n) for s, n in ORDER if n % 2 == 0 or n == STEPS[s]]
    for line in lines:
        assert set(line) - {"error_mm"} == {"stage", "step", "loss", "lr", "images_per_s"}
        assert line["loss"] > 0
        assert 0 < line.get("error_mm", 1) < 1000
        assert line["images_per_s"] > 0


def test_tensorboard_has_curves_and_sheets(tmp_path: Path, train: Any, small: Small) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train(small(), tmp_path, checkpoint_every=2)
    events = EventAccumulator(str(tmp_path / "tensorboard" / "spatial"))
    events.Reload()
    assert [event.step for event in events.Scalars("error_mm")] == [2, 4, 5]
    assert [event.step for event in events.Images("predictions")] == [2, 4, 5]


def test_progress_carries_the_last_validation(tmp_path: Path, train: Any, small: Small) -> None:
    errors: list[Any] = []
    train(small(), tmp_path, checkpoint_every=2, watch=lambda p: errors.append(p.error_mm))
    assert errors[0] is None
    assert errors[1] == errors[2] > 0  # measured at step 2, reported until step 4


def test_validation_error_is_the_mean_joint_error_of_held_out_frames(
    small: Small, toy_bank: Bank
) -> None:
    """A network that says zero is wrong by the distance of the joints from the cube's centre."""
    from cadstn.train.source import held_out_shots

    recipe = small()
    networks = build(recipe, "cpu")
    with torch.no_grad():
        for network in networks.values():
            for parameter in network.parameters():
                parameter.zero_()
    shots = held_out_shots(toy_bank.shots, recipe.holdout)
    assert len(shots) == 2
    frames = [i for i, shot in enumerate(toy_bank.shots) if shot in shots]
    source = BankSource(toy_bank, recipe, "cpu")
    for stage in STAGES:
        found, first = validation_error_mm(networks, stage, recipe, source, 1000)
        assert first is not None
        whole = [j for b in source.validation(1000, 2) for j in b.joints.flatten(0, 1)]
        expected = torch.stack(whole).norm(dim=-1).mean().item() * 125
        assert found == pytest.approx(expected, rel=1e-5)
        assert len(frames) - 2 <= len(whole) <= len(frames)


@pytest.mark.parametrize("values", [{"holdout": 0.0}, {"clip": 12, "holdout": 0.1}])
def test_trains_where_nothing_can_be_validated(
    tmp_path: Path, train: Any, small: Small, toy_bank: Bank, values: dict[str, Any]
) -> None:
    """No shot is held out, or none of those that are is as long as a clip."""
    recipe = small(network="temporal", **values, **{"temporal.batch": 12, "fusion.batch": 12})
    source = BankSource(toy_bank, recipe, "cpu")
    assert not list(source.validation(100, recipe.clip))
    messages: list[str] = []
    errors: list[Any] = []
    train(
        recipe, tmp_path, source=source, checkpoint_every=2, on_message=messages.append,
        watch=lambda p: errors.append(p.error_mm),
    )  # fmt: skip
    assert errors == [None] * 4
    assert len(messages) == 1
    assert "temporal: not validated" in messages[0]
    lines = (tmp_path / "log.jsonl").read_text()
    assert "NaN" not in lines
    assert "error_mm" not in lines


def test_bf16_gives_nearly_the_same_loss(tmp_path: Path, train: Any, small: Small) -> None:
    losses: dict[str, list[float]] = {"fp32": [], "bf16": []}
    for precision, seen in losses.items():
        recipe = small(network="spatial", precision=precision)
        train(recipe, tmp_path / precision, watch=lambda p, seen=seen: seen.append(p.loss))
    assert losses["fp32"] != losses["bf16"]
    assert losses["bf16"] == pytest.approx(losses["fp32"], rel=0.05)


def test_rendered_hands_train_and_validate(tmp_path: Path) -> None:
    sizes = {"spatial.steps": 2, "temporal.steps": 1, "fusion.steps": 1, "validation_frames": 8}
    recipe = override(tiny("cadstn", "rendered"), sizes)
    source = RenderedSource(recipe, "cpu")
    errors: list[Any] = []
    loop_module.train(recipe, tmp_path, source=source, watch=lambda p: errors.append(p.error_mm))
    assert all(0 < error < 200 for error in errors[1:])
    one, two = source.clips(0, torch.tensor([5, 9]), 2), source.clips(0, torch.tensor([9]), 2)
    torch.testing.assert_close(one.crops[1:], two.crops)
    first, again = (next(source.validation(8, 4)) for _ in range(2))
    assert torch.equal(first.crops, again.crops)
