"""Training of the compact networks: who learns what, what the loss counts, banks prepared once."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from cadstn.data.bank import Bank, open_bank
from cadstn.errors import CadstnError
from cadstn.export import export_onnx
from cadstn.export.forms import FORMS
from cadstn.geometry.camera import Camera
from cadstn.geometry.crop import CENTER_PX
from cadstn.models import Compact
from cadstn.models.detector import Detector
from cadstn.reproduce.predictor import _Eager
from cadstn.tracking.runtime import carried_detector, load_network, shipped_weights
from cadstn.train import (
    BankSource,
    Batch,
    PreparedSource,
    Progress,
    load_model,
    predict,
    read_start,
    train,
)
from cadstn.train.augment import augment
from cadstn.train.family import Networks
from cadstn.train.loop import ready, validation_error_mm
from cadstn.train.networks import build, family_of
from cadstn.train.recipes import STAGES, Recipe
from cadstn.train.source import Source
from cadstn.train.start import initializers
from cadstn.train.state import checkpoints
from cadstn.train.uvd import from_uvd, shifts, to_pixels

Small = Callable[..., Recipe]
SIZES: dict[str, Any] = {
    "net.trunk": "residual", "net.channels": [4, 6, 8], "net.blocks": [1, 1, 1], "clip": 3,
    "temporal.batch": 6, "fusion.batch": 6,
}  # fmt: skip

ABOUT = {"skeleton": "hand21", "cube_mm": "250"}
TRACE = "cadstn.export.onnx_file._trace"


def batch_of(recipe: Recipe, bank: Bank) -> Batch:
    return BankSource(bank, recipe, "cpu").clips(0, torch.arange(6), 3)


class Exports(NamedTuple):
    """Two trainings and their exports.

    Attributes:
        paths: of the exports.
        trained: networks of the second training, as `train` returned them.
        model: the same, read from its folder.
    """

    paths: list[Path]
    trained: Networks
    model: Compact


@pytest.fixture(scope="module")
def exports(toy_bank: Bank, small: Small, tmp_path_factory: pytest.TempPathFactory) -> Exports:
    """The first learned for a few steps; the second, for more, is the one that is traced."""
    folder = tmp_path_factory.mktemp("exports")
    models, paths = [], [folder / f"{seed}.onnx" for seed in (0, 1)]
    for seed, more in enumerate(({}, {f"{stage}.steps": 30 for stage in STAGES})):
        recipe = small(**SIZES, **more, seed=seed)
        source = BankSource(toy_bank, recipe, "cpu")
        trained = train(recipe, folder / str(seed), source=source)
        model, _ = load_model(folder / str(seed))
        assert isinstance(model, Compact)
        models.append(model)
    export_onnx(models[1], paths[1], ABOUT)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TRACE, traced_as(paths[1]))
        export_onnx(models[0], paths[0], ABOUT)
    return Exports(paths, trained, models[1])


def traced_as(path: Path) -> Callable[..., onnx.ModelProto]:
    """Trace networks of the same sizes as an export in no time: its graph, with their weights."""

    def trace(step: torch.nn.Module, *_: object) -> onnx.ModelProto:
        proto = onnx.load(path)
        del proto.metadata_props[:]
        weights = {name: value.detach().numpy() for name, value in step.named_parameters()}
        for name, item in initializers(proto.graph):
            if name in weights:
                item.CopyFrom(onnx.numpy_helper.from_array(weights.pop(name), name))
        assert not weights
        return proto

    return trace


@pytest.mark.parametrize("stage", STAGES)
def test_only_the_stage_s_network_learns(toy_bank: Bank, small: Small, stage: str) -> None:
    recipe = small(**SIZES)
    networks = build(recipe, "cpu")
    for name, network in networks.items():
        network.train(name == stage)
    before = {n: {k: v.clone() for k, v in net.state_dict().items()} for n, net in networks.items()}
    family_of(recipe).loss(networks, stage, batch_of(recipe, toy_bank), recipe, {}).backward()  # type: ignore[no-untyped-call]
    for name, network in networks.items():
        grads = [p.grad is not None for p in network.parameters()]
        assert all(grads) if name == stage else not any(grads)
        if name != stage:  # not even the means of its normalisation move
            assert all(torch.equal(before[name][k], v) for k, v in network.state_dict().items())


def test_a_clip_without_a_hand_teaches_only_that(toy_bank: Bank, small: Small) -> None:
    recipe = small(**SIZES)
    networks = build(recipe, "cpu")
    networks["spatial"].eval()

    def spatial_loss(batch: Batch) -> float:
        return float(family_of(recipe).loss(networks, "spatial", batch, recipe, {}).detach())

    batch = batch_of(recipe, toy_bank)
    none = batch._replace(presence=torch.zeros(len(batch.crops)))
    assert none.handedness is not None
    moved = none._replace(joints=none.joints + 1, handedness=1 - none.handedness)
    assert spatial_loss(none) == spatial_loss(moved) > 0
    there = batch._replace(presence=torch.ones(len(batch.crops)))
    far = there._replace(joints=there.joints + 1)
    assert spatial_loss(far) > spatial_loss(there) + 1


def test_presence_and_side_are_taught_as_they_are(toy_bank: Bank, small: Small) -> None:
    recipe = small(**SIZES)
    networks = build(recipe, "cpu")
    answers: Any = networks["spatial"].eval().says
    with torch.no_grad():  # sure of a hand, and of its being a right one
        answers.weight[-2:] = 0
        answers.bias[-2:] = torch.tensor([3.0, -3.0])
    batch, none, every = batch_of(recipe, toy_bank), torch.zeros(6), torch.ones(6)

    def loss(presence: torch.Tensor, left: torch.Tensor) -> float:
        labelled = batch._replace(presence=presence, handedness=left)
        return float(family_of(recipe).loss(networks, "spatial", labelled, recipe, {}).detach())

    # The cross entropy of log-odds 3 is 3 more where they are wrong, and weighs 0.1.
    assert loss(every, every) - loss(every, none) == pytest.approx(0.1 * 3, abs=1e-4)
    # Without a hand nothing else counts.
    assert loss(none, none) == pytest.approx(0.05 * np.log1p(np.exp(3)), abs=1e-4)


@pytest.mark.parametrize("stage", STAGES)
def test_frames_that_do_not_count_as_right_cost(toy_bank: Bank, small: Small, stage: str) -> None:
    recipe = small(**SIZES)
    networks = build(recipe, "cpu")
    batch = batch_of(recipe, toy_bank)
    plain, more = (
        float(
            family_of(recipe)
            .loss(networks, stage, batch, replace(recipe, worst_joint=weight), {})
            .detach()
        )
        for weight in (0.0, 0.5)
    )
    truth = batch.joints * (batch.cube_mm / 2).view(-1, 1, 1, 1)
    predicted = predict(networks, stage, batch) * (batch.cube_mm / 2).view(-1, 1, 1, 1)
    wrong = ((predicted - truth).norm(dim=-1).amax(-1) > 30).float().mean()
    assert wrong == 1  # an untrained network's
    assert 0.4 < more - plain <= 0.5


def test_a_mirror_makes_left_hands_right(toy_bank: Bank, small: Small) -> None:
    recipe = small(**{**SIZES, "augment.mirror": True})
    plain = BankSource(toy_bank, small(**SIZES), "cpu").clips(0, torch.arange(40), 1)
    seen = augment(plain, recipe, (0, 0), torch.arange(40), None)
    assert plain.handedness is not None
    assert seen.handedness is not None
    flipped = seen.handedness != plain.handedness
    assert 8 < int(flipped.sum()) < 32
    torch.testing.assert_close(seen.crops[~flipped], plain.crops[~flipped], atol=1e-6, rtol=0)
    # Around where the centre is seen, 1.25 pixels from the middle: each column comes from the one
    # 2 or 3 beside its mirror's.
    mirrored = plain.crops[flipped].flip(-1)
    near = [(seen.crops[flipped][..., n:] - mirrored[..., : 16 - n]).abs() < 1e-6 for n in (2, 3)]
    assert (near[0][..., 1:] | near[1]).all()
    pixels = [to_pixels(b.joints, b.centers_mm, b.cube_mm, 16)[..., 0] for b in (plain, seen)]
    sign = torch.where(flipped, -1.0, 1.0)[:, None, None]
    aside = [seen_at - CENTER_PX for seen_at in pixels]
    torch.testing.assert_close(aside[1], aside[0] * sign, atol=1e-4, rtol=0)


def test_trained_saved_and_exported(toy_bank: Bank, small: Small, exports: Exports) -> None:
    recipe, loaded = small(**SIZES, seed=1), exports.model
    batch = batch_of(recipe, toy_bank)
    moved = shifts(batch.centers_mm, batch.cube_mm)
    with torch.no_grad():
        out = loaded(batch.crops, moved)
        expected = predict(exports.trained, "fusion", batch)
    there = from_uvd(out.joints, batch.centers_mm, batch.cube_mm)
    torch.testing.assert_close(expected, there)
    # Where they are seen is not where they are.
    assert float((there - out.joints).abs().max()) > 0.001
    network = load_network(exports.paths[1], threads=1)
    assert network.wants.compact
    state = network.initial_state(6)
    for t in range(3):
        step = network.step(batch.crops[:, t].numpy(), state, moved[:, t].numpy())
        state = step.state
        for ours, theirs in (
            (step.joints, out.joints), (step.spatial, out.spatial),
            (step.error_scale, out.error_scale),
            (step.presence, out.presence.sigmoid()), (step.handedness, out.handedness.sigmoid()),
        ):  # fmt: skip
            assert ours is not None
            torch.testing.assert_close(torch.from_numpy(ours), theirs[:, t], atol=1e-5, rtol=1e-4)


def test_presence_and_side_of_a_data_set_are_not_given(small: Small, exports: Exports) -> None:
    recipe = small(**SIZES)
    eager = _Eager(exports.trained, replace(recipe, data="nyu", center="mass"), "cpu")
    crops = np.zeros((1, recipe.net.size, recipe.net.size), np.float32)
    taught = _Eager(exports.trained, recipe, "cpu")
    with torch.inference_mode():
        step, other = (each.step(crops, each.initial_state()) for each in (eager, taught))
    assert (step.presence, step.handedness) == (None, None)
    assert step.error_scale is not None
    assert other.presence is not None
    assert other.handedness is not None


def test_prepared_frames_are_made_once(small: Small, tmp_path: Path) -> None:
    recipe = small(**{**SIZES, "prepared": 16, "hands": 0.6})
    reported: list[tuple[int, int]] = []
    source: Source = PreparedSource(
        recipe, tmp_path, "cpu", on_frames=lambda done, total: reported.append((done, total))
    )
    one = source.clips(0, torch.arange(16), 1)
    assert reported[-1] == (16, 16)
    assert one.presence is not None
    assert 0 < float(one.presence.mean()) < 1
    bank = open_bank(tmp_path / "rendered-1.bank")
    again = PreparedSource(recipe, tmp_path, "cpu").clips(0, torch.arange(16), 1)
    assert torch.equal(one.crops, again.crops)
    source.clips(1, torch.arange(2), 2)
    assert len(open_bank(tmp_path / "rendered-2.bank")) == 4
    assert len(bank) == 16
    changed = small(**{**SIZES, "prepared": 32})
    with pytest.raises(CadstnError, match="a bank of other clips"):
        PreparedSource(changed, tmp_path, "cpu").clips(0, torch.arange(2), 1)


@pytest.mark.parametrize("half", [False, True])
def test_training_goes_on_from_an_exported_file(
    toy_bank: Bank, small: Small, exports: Exports, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, half: bool,
) -> None:  # fmt: skip
    """Weights with the normalisation inside say the same once it is outside again."""
    path, model = exports.paths[1], exports.model
    if half:
        monkeypatch.setattr(TRACE, traced_as(path))
        path = tmp_path / "half.onnx"
        export_onnx(model, path, ABOUT, half=True)
    none = small(**SIZES, **{f"{stage}.steps": 0 for stage in STAGES})
    start = read_start(path)
    source = BankSource(toy_bank, none, "cpu")
    went_on = train(none, tmp_path / "two", source=source, start=start)
    batch = batch_of(none, toy_bank)
    for stage in STAGES:
        expected = predict({s: getattr(model, s) for s in STAGES}, stage, batch)
        again = predict(went_on, stage, batch)
        torch.testing.assert_close(again, expected, rtol=0, atol=0.02 if half else 1e-3)
    # And with batches' own statistics, about as training sees it.
    spatial = went_on["spatial"].train()
    expected = predict({"spatial": model.spatial}, "spatial", batch)
    again = predict({"spatial": spatial}, "spatial", batch)
    scratch = predict(build(none, "cpu"), "spatial", batch)
    assert (again - expected).abs().mean() < 0.3 * (scratch - expected).abs().mean()


def test_training_goes_on_from_a_run(toy_bank: Bank, small: Small, tmp_path: Path) -> None:
    recipe = small(**SIZES, network="spatial", **{"spatial.steps": 3})
    source = BankSource(toy_bank, recipe, "cpu")
    first = train(recipe, tmp_path / "one", source=source)["spatial"].state_dict()
    start = read_start(tmp_path / "one")
    none = small(**SIZES, network="spatial", **{"spatial.steps": 0})
    second = train(none, tmp_path / "two", source=source, start=start)["spatial"].state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    with pytest.raises(CadstnError, match=r"made with start one .*, not None"):
        train(none, tmp_path / "two", source=source)
    other = small(**{**SIZES, "net.channels": [4, 6, 10]}, network="spatial")
    with pytest.raises(CadstnError, match=r"is of another network \(spatial\."):
        train(other, tmp_path / "three", source=source, start=start)


@pytest.mark.parametrize("damaged", [True, False])
def test_neither_a_whole_nor_a_damaged_checkpoint_costs_the_start(
    toy_bank: Bank, small: Small, tmp_path: Path, damaged: bool
) -> None:
    recipe = small(**SIZES, network="spatial", **{"spatial.steps": 3})
    source = BankSource(toy_bank, recipe, "cpu")
    train(recipe, tmp_path / "one", source=source)
    start = read_start(tmp_path / "one")
    more = small(**SIZES, network="spatial", seed=7)

    def cut(progress: Progress) -> None:
        if progress.step == 3:
            raise InterruptedError

    def run(out: Path, **rest: Any) -> nn.Module:
        return train(more, out, source=BankSource(toy_bank, more, "cpu"), start=start, **rest)[
            "spatial"
        ]

    whole = run(tmp_path / "whole")
    with pytest.raises(InterruptedError):
        run(tmp_path / "cut", checkpoint_every=2, watch=cut)
    (checkpoint,) = checkpoints(tmp_path / "cut", "spatial")
    if damaged:
        checkpoint.write_bytes(checkpoint.read_bytes()[:-50])
    again = run(tmp_path / "cut").state_dict()
    assert all(torch.equal(again[name], value) for name, value in whole.state_dict().items())


def test_stages_that_the_start_lacks_are_named(
    toy_bank: Bank, small: Small, tmp_path: Path
) -> None:
    nothing = {f"{stage}.steps": 0 for stage in STAGES}
    recipe = small(**SIZES, network="spatial", **nothing)
    source = BankSource(toy_bank, recipe, "cpu")
    train(recipe, tmp_path / "one", source=source)
    start, messages = read_start(tmp_path / "one"), list[str]()
    whole = small(**SIZES, **nothing)
    for _ in range(2):  # the second time all is done
        train(whole, tmp_path / "two", source=source, start=start, on_message=messages.append)
    lacking = [f"{s}: begins afresh, since {start.name} has no such stage" for s in STAGES[1:]]
    assert messages == lacking
    paper = small(network="baseline", **{"baseline.steps": 0})
    with pytest.raises(CadstnError, match=r"^one .*: has no baseline network .*; it has spatial$"):
        train(paper, tmp_path / "three", source=source, start=start)
    assert not (tmp_path / "three").exists()


def test_what_training_cannot_go_on_from_is_named(tmp_path: Path) -> None:
    with pytest.raises(CadstnError, match="no such weights"):
        read_start(tmp_path / "none.onnx")
    with pytest.raises(CadstnError, match="holds no trained stage"):
        read_start(tmp_path)
    (tmp_path / "x.onnx").write_bytes(b"no network")
    with pytest.raises(CadstnError, match=r"not an ONNX file|holds no compact networks"):
        read_start(tmp_path / "x.onnx")


def test_exports_are_blended(
    exports: Exports, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths, model = exports.paths, exports.model
    monkeypatch.setattr(TRACE, traced_as(paths[1]))
    tensors = [read_start(path).tensors for path in paths]
    export_onnx(model, tmp_path / "both.onnx", {}, blend=(tensors[0], 0.25))
    both = read_start(tmp_path / "both.onnx").tensors
    for stage in STAGES:
        for name, value in both[stage].items():
            mean = 0.25 * tensors[0][stage][name] + 0.75 * tensors[1][stage][name]
            torch.testing.assert_close(value, mean, rtol=0, atol=1e-6)
    assert not torch.equal(both["spatial"]["votes.weight"], tensors[1]["spatial"]["votes.weight"])
    other = {stage: dict(part) for stage, part in tensors[0].items()}
    other["spatial"]["votes.weight"] = torch.zeros(1, 1, 1, 1)
    with pytest.raises(CadstnError, match=r"cannot be blended in \(spatial.votes.weight\)"):
        export_onnx(model, tmp_path / "none.onnx", {}, blend=(other, 0.25))
    assert not (tmp_path / "none.onnx").exists()


def test_a_file_carries_its_detector(
    exports: Exports, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths, model = exports.paths, exports.model
    with shipped_weights() as shipped:
        graph = onnx.load_from_string(carried_detector(shipped))
    for item in graph.graph.initializer:
        value = onnx.numpy_helper.to_array(item)
        if value.dtype == np.float16:
            item.CopyFrom(onnx.numpy_helper.from_array(value * np.float16(0.9), item.name))
    weights = Detector().state_dict()
    monkeypatch.setattr(TRACE, traced_as(paths[1]))
    with monkeypatch.context() as patch:  # its own trace: tests/train/test_train_detector.py
        files = {id(weights): graph.SerializeToString()}
        patch.setattr("cadstn.export.onnx_file.detector_file", lambda given: files[id(given)])
        export_onnx(model, tmp_path / "two.onnx", ABOUT, detector=weights)
    two, one = (load_network(path, threads=1) for path in (tmp_path / "two.onnx", paths[1]))
    assert two.own_detector
    assert not one.own_detector
    assert one.detector is not None  # the package's
    depth = np.full((120, 160), 700.0, np.float32)
    camera = Camera(120, 120, 80, 60, 160, 120)
    assert two.detector is not None
    scores = [hand.score for hand in two.detector.detect(depth, camera, least=0.0)]
    assert scores != [hand.score for hand in one.detector.detect(depth, camera, least=0.0)]
    assert "detector" not in two.about  # it is large, and has been read
    with pytest.raises(CadstnError, match="not a detector's weights"):
        export_onnx(model, tmp_path / "none.onnx", {}, detector={})


def test_the_error_scale_is_calibrated(
    exports: Exports, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, steps = exports.model, []

    def trace(step: torch.nn.Module, *_: object) -> onnx.ModelProto:
        steps.append(step)
        return onnx.ModelProto()

    monkeypatch.setattr(TRACE, trace)
    for error_scale in (1.0, 1.5):
        export_onnx(model, tmp_path / "wide.onnx", ABOUT, error_scale=error_scale)
    form = FORMS["residual"]
    assert form.outputs[-3:] == ("spread", "present", "left")  # the names of files of 0.1.0
    crops, *rest = form.example(model, batch=2)
    crops = torch.rand(crops.shape, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        predicted, wider = (
            dict(zip(form.outputs, step(crops, *rest), strict=True)) for step in steps
        )
    for name, value in predicted.items():
        torch.testing.assert_close(wider[name], value * (1.5 if name == "spread" else 1))
    assert predicted["spread"].min() > 0
    with pytest.raises(CadstnError, match="error_scale is 0"):
        export_onnx(model, tmp_path / "none.onnx", {}, error_scale=0.0)
    old: dict[str, Any] = {"spread": 0.0}
    with (
        pytest.warns(DeprecationWarning, match="spread= is now error_scale="),
        pytest.raises(CadstnError, match="error_scale is 0"),
    ):
        export_onnx(model, tmp_path / "none.onnx", {}, **old)


def test_single_frames_are_mined_and_clips_are_not(small: Small, tmp_path: Path) -> None:
    mined: list[int] = []

    class Mine:
        name = "0123"

        def __call__(self, bank: Bank) -> None:
            mined.append(len(bank))

    recipe = small(**{**SIZES, "prepared": 12})
    source = PreparedSource(recipe, tmp_path, "cpu", mine=Mine())
    source.clips(0, torch.arange(2), 1)
    source.clips(1, torch.arange(1), 3)
    assert mined == [12]
    about = [json.loads(open_bank(tmp_path / f"rendered-{n}.bank").about["data"]) for n in (1, 3)]
    assert [made.get("mined") for made in about] == ["0123", None]


def test_validation_changes_nothing_and_normalises_by_what_was_learned(
    toy_bank: Bank, small: Small
) -> None:
    recipe = small(**SIZES)
    networks, source = build(recipe, "cpu"), BankSource(toy_bank, recipe, "cpu")
    ready(networks, "spatial")
    before = {name: value.clone() for name, value in networks["spatial"].state_dict().items()}
    error_mm, _ = validation_error_mm(networks, "spatial", recipe, source, 100)
    assert error_mm is not None
    assert not any(network.training for network in networks.values())
    for name, value in networks["spatial"].state_dict().items():
        assert torch.equal(value, before[name]), name
