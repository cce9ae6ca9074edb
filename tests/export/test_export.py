from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray

from cadstn.errors import CadstnError
from cadstn.export import export_onnx, round_to_half
from cadstn.export.paper import FusedStep
from cadstn.io.hashes import BLANK_STAMP, STAMP_KEY, check_stamp
from cadstn.models import Cadstn, NetConfig
from cadstn.tracking.runtime import carried_detector, shipped_weights

SIZES = NetConfig(joints=3, size=32, slices=4, channels=(8, 16, 32), width=256, hidden=192)
METADATA = {"licence": "MIT", "joints": '["wrist", "thumb", "index"]', "note": "Größe"}
Feed = dict[str, NDArray[np.float32]]


def made(seed: int = 0, *, auxiliary: bool = True) -> Cadstn:
    torch.manual_seed(seed)
    model = Cadstn(SIZES, auxiliary=auxiliary)
    with torch.no_grad():  # a trained network's outputs and memory, not a fresh one's zeros
        model.spatial.output.weight.mul_(100)
        model.temporal.lstm.weight_x.mul_(8)
        model.temporal.lstm.weight_h.mul_(8)
    return model.eval()


def crops_like(*shape: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(4)
    crops = torch.rand(*shape, SIZES.size, SIZES.size, generator=generator) * 2 - 1
    return crops.masked_fill(torch.rand(crops.shape, generator=generator) < 0.4, 1.0)


def opened(path: Path) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # spinning threads of two runtimes slow each other down
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("export") / "full.onnx"
    export_onnx(made(), path, METADATA)
    return path


@pytest.fixture(scope="module")
def half_of_training(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Cadstn]:
    """A half file, and the model in training that it was made of."""
    path, model = tmp_path_factory.mktemp("export") / "half.onnx", made()
    model.train()
    model.spatial.eval()
    export_onnx(model, path, METADATA, half=True)
    return path, model


@pytest.fixture(scope="module")
def half(half_of_training: tuple[Path, Cadstn]) -> Path:
    return half_of_training[0]


@pytest.fixture(scope="module")
def int8(full: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("export") / "int8.onnx"
    with traced_as(full):
        export_onnx(made(), path, METADATA, int8=True)
    return path


@contextmanager
def traced_as(path: Path) -> Iterator[None]:
    """Take the graph of an export of the same weights: tracing takes seconds."""
    graph = onnx.load(path)
    del graph.metadata_props[:]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cadstn.export.onnx_file._trace", lambda *_: graph)
        yield


def stream(session: Any, model: Cadstn, frames: int, batch: int) -> float:
    """Run both over one stream, each with its own memory; the largest difference of any output."""
    clips = crops_like(frames, batch)
    state = model.initial_state(batch)
    h, c = state.h.numpy(), state.c.numpy()
    worst = 0.0
    for crops in clips:
        with torch.no_grad():
            out = model.step(crops, state)
        state = out.state
        joints, w1, h, c = session.run(None, {"crops": crops.numpy(), "h": h, "c": c})
        for ours, theirs in ((out.joints, joints), (out.w1, w1), (state.h, h), (state.c, c)):
            worst = max(worst, float(abs(ours.numpy() - theirs).max()))
    assert state.h.abs().max() > 0.05  # a memory that carries nothing would hide a mistake
    return worst


@pytest.mark.parametrize("batch", [1, 2])
def test_runtime_equals_pytorch_over_a_stream(full: Path, batch: int) -> None:
    assert stream(opened(full), made(), frames=32, batch=batch) < 1e-5


def test_half_file_equals_the_rounded_model(half: Path) -> None:
    exact = made()
    rounded = made()
    round_to_half(rounded)
    session = opened(half)
    assert stream(session, rounded, frames=32, batch=1) < 1e-5
    assert 1e-5 < stream(session, exact, frames=32, batch=1) < 1e-2


def test_int8_is_near_and_its_slices_and_convolutions_are_exact(int8: Path) -> None:
    """The known trap: a background of 1 that becomes 0.996 counts as surface, 17 mm and more."""
    assert stream(opened(int8), made(), frames=32, batch=1) < 0.05
    graph = onnx.load(int8).graph
    kinds = {node.op_type for node in graph.node}
    assert "MatMulInteger" in kinds
    assert "Gemm" not in kinds
    assert "ConvInteger" not in kinds
    quantised = {o for n in graph.node if n.op_type == "DynamicQuantizeLinear" for o in n.input}
    assert not quantised & {"crops"}
    assert dict(opened(int8).get_modelmeta().custom_metadata_map)["precision"] == "int8"


def test_int8_file_is_a_quarter(full: Path, int8: Path) -> None:
    assert int8.stat().st_size / full.stat().st_size < 0.4


def test_half_and_int8_exclude_each_other(tmp_path: Path) -> None:
    with pytest.raises(CadstnError, match="exclude each other"):
        export_onnx(made(), tmp_path / "a.onnx", {}, half=True, int8=True)


def test_half_file_is_half_the_size(full: Path, half: Path) -> None:
    assert half.stat().st_size / full.stat().st_size == pytest.approx(0.5, abs=0.03)


def test_a_batch_equals_its_singles(full: Path) -> None:
    session = opened(full)
    random = np.random.default_rng(0)
    h, c = random.normal(0, 0.3, (2, 3, SIZES.hidden)).astype(np.float32)
    feed: Feed = {"crops": crops_like(3).numpy(), "h": h, "c": c}
    together = session.run(None, feed)
    for one in range(3):
        alone = session.run(None, {name: part[one : one + 1] for name, part in feed.items()})
        for part, single in zip(together, alone, strict=True):
            np.testing.assert_allclose(part[one : one + 1], single, atol=2e-6)


def test_names_and_shapes(full: Path) -> None:
    session = opened(full)
    size, hidden, joints = SIZES.size, SIZES.hidden, SIZES.joints
    assert {i.name: tuple(i.shape) for i in session.get_inputs()} == {
        "crops": ("batch", size, size),
        "h": ("batch", hidden),
        "c": ("batch", hidden),
    }
    assert {o.name: tuple(o.shape) for o in session.get_outputs()} == {
        "joints": ("batch", joints, 3),
        "w1": ("batch", joints, 3),
        "h_next": ("batch", hidden),
        "c_next": ("batch", hidden),
    }


def test_w1_is_a_share_even_of_an_empty_crop(full: Path) -> None:
    zeros = np.zeros((1, SIZES.hidden), np.float32)
    empty = np.ones((1, SIZES.size, SIZES.size), np.float32)
    outputs = opened(full).run(None, {"crops": empty, "h": zeros, "c": zeros})
    assert all(np.isfinite(part).all() for part in outputs)
    assert ((outputs[1] > 0) & (outputs[1] < 1)).all()


def test_metadata_round_trips(full: Path) -> None:
    kept = dict(opened(full).get_modelmeta().custom_metadata_map)
    assert NetConfig.from_dict(json.loads(kept.pop("config"))) == SIZES
    assert kept.pop("precision") == "float32"
    assert len(kept.pop(STAMP_KEY)) == len(BLANK_STAMP)
    assert check_stamp(full, hint="")
    assert kept == METADATA


@pytest.mark.parametrize("kind", ["full", "half"])
def test_the_file_is_valid_and_tells_nothing_of_the_machine(
    kind: str, request: pytest.FixtureRequest
) -> None:
    path: Path = request.getfixturevalue(kind)
    onnx.checker.check_model(onnx.load(path), full_check=True)
    assert os.listdir(path.parent) == [path.name]  # no weights in a second file
    data = path.read_bytes()
    assert b"auxiliary" not in data
    assert b".py" not in data
    assert b"site-packages" not in data


def test_the_model_is_left_as_it_was(half_of_training: tuple[Path, Cadstn]) -> None:
    exported, model = half_of_training[1], made()
    model.train()
    model.spatial.eval()
    flags = [module.training for module in model.modules()]
    state = model.state_dict()
    assert [module.training for module in exported.modules()] == flags
    assert all(torch.equal(value, state[name]) for name, value in exported.state_dict().items())


def test_rounding_twice_is_rounding_once() -> None:
    model = made()
    round_to_half(model)
    once = {name: value.clone() for name, value in model.state_dict().items()}
    round_to_half(model)
    assert all(torch.equal(value, once[name]) for name, value in model.state_dict().items())


# -- failures ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "metadata", [{"config": "{}"}, {"precision": "int8"}, {"epoch": 3}, {4: "x"}]
)
def test_bad_metadata_is_refused_before_any_work(tmp_path: Path, metadata: Any) -> None:
    with pytest.raises(CadstnError, match="metadata"):
        export_onnx(made(), tmp_path / "a.onnx", metadata)
    assert not list(tmp_path.iterdir())


def test_a_weight_beyond_half_is_refused(tmp_path: Path) -> None:
    model = made()
    with torch.no_grad():
        model.fusion.head.output.weight[0, 0] = 1e6
    with pytest.raises(CadstnError, match=r"fusion\.head\.output\.weight.*half=False"):
        export_onnx(model, tmp_path / "a.onnx", {}, half=True)
    assert not list(tmp_path.iterdir())
    with pytest.raises(CadstnError, match="float16"):
        round_to_half(model)


def test_a_failed_write_leaves_the_old_file_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full_disk(*_: object) -> None:
        raise OSError("no space")

    path = tmp_path / "a.onnx"
    path.write_bytes(b"old")
    monkeypatch.setattr(
        "cadstn.export.onnx_file._trace", lambda step, form, model: onnx.ModelProto()
    )
    monkeypatch.setattr("cadstn.io.whole.os.replace", full_disk)
    with pytest.raises(CadstnError, match="no space"):
        export_onnx(made(), path, {})
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_can_carry_the_detector_of_another(tmp_path: Path, full: Path) -> None:
    with shipped_weights() as shipped:
        carried = carried_detector(shipped)
    path = tmp_path / "hand.onnx"
    with traced_as(full):
        export_onnx(made(), path, METADATA, detector=carried)
    assert carried_detector(path) == carried
    with pytest.raises(CadstnError, match="carries no detector"):
        carried_detector(full)
    with pytest.raises(CadstnError, match="no such weights file"):
        carried_detector(tmp_path / "none.onnx")


def test_the_free_gates_step_is_the_models() -> None:
    torch.manual_seed(0)
    model = Cadstn(replace(SIZES, fusion="free")).eval()
    crops, state = crops_like(2), model.initial_state(2)
    with torch.no_grad():
        model.spatial.output.weight.mul_(100)
        model.fusion.head.output.bias.normal_()  # two weights that do not add up to one
        out = model.step(crops, state)
        joints, w1, h, c = FusedStep(model)(crops, *state)
    assert (out.w1 + out.w2 - 1).abs().max() > 0.5
    assert (out.spatial - out.temporal).abs().max() > 0.01
    for ours, theirs in ((joints, out.joints), (w1, out.w1), (h, out.state.h), (c, out.state.c)):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)
