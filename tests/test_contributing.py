"""Cameras, a data set, a metric and a network are added as CONTRIBUTING.md shows it."""

import importlib
import re
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import cadstn
from cadstn.data import find_dataset, open_dataset
from cadstn.data.opening import READERS
from cadstn.evaluate import METRICS, score
from cadstn.evaluate.metrics import Metric
from cadstn.geometry.presets import PRESETS, Preset
from cadstn.tracking.cameras import CAMERAS, open_source

ROOT = Path(__file__).resolve().parents[1]
NAMES = {"Camera": cadstn.Camera, "Metric": Metric, "Preset": Preset, "np": np}


def shown(title: str) -> str:
    """The Python of a section."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    section = text.split(f"## {title}\n", 1)[1].split("\n## ", 1)[0]
    code = re.findall(r"^```python\n(.*?)^```", section, flags=re.DOTALL | re.MULTILINE)
    assert len(code) == 1, title
    return str(code[0])


def entry(title: str) -> tuple[str, Any]:
    """The one entry of a dictionary that a section shows."""
    ((name, value),) = eval("{" + shown(title) + "}", dict(NAMES)).items()
    return name, value


def test_a_camera(monkeypatch: pytest.MonkeyPatch) -> None:
    name, preset = entry("Add a camera")
    assert name not in PRESETS
    # The dictionary of cameras is made of the presets when it is imported.
    monkeypatch.setitem(PRESETS, name, preset)
    monkeypatch.setitem(cadstn.KNOWN_CAMERAS, name, preset.camera)
    assert set(cadstn.KNOWN_CAMERAS) == set(PRESETS)
    camera = cadstn.parse_camera(name)
    assert (camera.width, camera.height, camera.fx) == (640, 480, 614.7)


def test_a_live_camera(monkeypatch: pytest.MonkeyPatch) -> None:
    demo = cadstn.open_recording("demo")

    class Device:
        intrinsics = (285.0, 285.0, 160.0, 120.0)

        def __iter__(self) -> Iterator[Any]:
            return ((frame.depth, frame.time_s) for frame in demo)

    library = ModuleType("my_library")
    library.open_first = Device  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "my_library", library)
    made: dict[str, Any] = {}
    exec(shown("Add a live camera"), made)
    module = ModuleType("cadstn.tracking.cameras.mine")
    module.Mine = made["Mine"]  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(CAMERAS, "mine", ("mine", "Mine"))
    with open_source("mine") as source:
        assert source.live
        frame = next(iter(source))
    assert cadstn.Tracker().update(frame.depth_mm, frame.camera, frame.time_s).found


def test_a_data_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made: dict[str, Any] = {}
    exec(shown("Add a data set"), made)
    monkeypatch.setitem(READERS, made["READER"].name, made["READER"])
    folder = tmp_path / "mine/test"
    folder.mkdir(parents=True)
    demo = cadstn.open_recording("demo")
    assert demo.truth_xyz_mm is not None
    np.savetxt(folder / "joints.csv", demo.truth_xyz_mm[:5].reshape(5, -1), delimiter=",")
    for name in demo.names[:5]:
        (folder / name).symlink_to(Path(demo.path) / name)
    found = find_dataset(tmp_path / "mine")
    assert (found.name, found.splits) == ("mine", ("test",))
    test = open_dataset(tmp_path / "mine", "test")
    assert len(test.names) == 5
    np.testing.assert_allclose(test[2].joints_xyz_mm, demo.truth_xyz_mm[2], atol=1e-3)
    np.testing.assert_array_equal(test[2].depth_mm, list(demo)[2].depth)


def test_a_metric(monkeypatch: pytest.MonkeyPatch) -> None:
    name, metric = entry("Add a metric")
    assert name not in METRICS
    monkeypatch.setitem(METRICS, name, metric)
    truth = np.zeros((4, 21, 3))
    truth[..., 2] = 500.0
    near = truth.copy()
    near[0, :, 0] += 30.0
    assert score(near, truth).more[name] == pytest.approx(75.0)
    near[1] = np.nan  # a lost frame counts against it
    assert score(near, truth).more[name] == pytest.approx(50.0)


def test_a_network_stands_in_four_registries() -> None:
    pytest.importorskip("torch")
    registries = (
        ("cadstn.models.config", "CONFIGS"), ("cadstn.train.networks", "FAMILIES"),
        ("cadstn.train.recipes.parts", "TRAITS"), ("cadstn.export.forms", "FORMS"),
    )  # fmt: skip
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    keys = []
    for module, name in registries:
        assert f"`{name}` in `{module.removeprefix('cadstn.').replace('.', '/')}.py`" in text
        keys.append(set(getattr(importlib.import_module(module), name)))
    assert keys[0]
    assert all(some == keys[0] for some in keys)


def test_a_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    torch, onnx = pytest.importorskip("torch"), pytest.importorskip("onnx")
    from cadstn.export import export_onnx
    from cadstn.export.forms import FORMS, CompactForm
    from cadstn.models.config import CONFIGS, CompactConfig
    from cadstn.train.compact import CompactFamily
    from cadstn.train.networks import FAMILIES, assemble, build, stage_step
    from cadstn.train.recipes import override, recipe
    from cadstn.train.recipes.parts import TRAITS
    from cadstn.train.source import Batch

    made: dict[str, Any] = {
        "CompactConfig": CompactConfig, "CompactFamily": CompactFamily, "CompactForm": CompactForm,
        "CONFIGS": CONFIGS, "FAMILIES": FAMILIES, "FORMS": FORMS, "TRAITS": TRAITS,
    }  # fmt: skip
    for name in ("CONFIGS", "FAMILIES", "FORMS", "TRAITS"):
        monkeypatch.setitem(made[name], "mine", None)  # taken out again after the test
    exec(shown("Add a network"), made)
    small = {"net.size": 32, "net.slices": 2, "net.channels": [4, 8], "net.blocks": [1, 1]}
    small |= {"net.width": 8, "net.hidden": 8, "step_mode": "eager", "precision": "fp32"}
    chosen = override(recipe("compact"), {"net.trunk": "mine", **small})
    networks = build(chosen, "cpu")
    joints = 0.1 * torch.ones(2, 3, 21, 3)
    centers_mm = torch.tensor([0.0, 0.0, 500.0]).expand(2, 3, 3)
    batch = Batch(torch.zeros(2, 3, 32, 32), joints, centers_mm, torch.full((2,), 250.0))
    loss = stage_step(networks, "spatial", chosen)(batch, {})
    loss.backward()  # type: ignore[no-untyped-call]
    assert 0.0 < float(loss.detach()) < 2.0
    grads = [weight.grad for weight in networks["spatial"].parameters()]
    assert any(grad is not None and grad.abs().sum() > 0 for grad in grads)

    def trace(step: Any, form: Any, model: Any) -> Any:  # takes seconds: tests/export
        assert len(step(*form.example(model, batch=2))) == len(form.outputs)
        return onnx.ModelProto()

    monkeypatch.setattr("cadstn.export.onnx_file._trace", trace)
    export_onnx(assemble(networks, chosen), tmp_path / "mine.onnx", {})
    assert b'"trunk": "mine"' in (tmp_path / "mine.onnx").read_bytes()


def test_names_have_one_spelling() -> None:
    names = set()
    for path in (ROOT / "src").rglob("*.py"):
        with path.open(encoding="utf-8") as file:
            tokens = tokenize.generate_tokens(file.readline)
            names |= {token.string for token in tokens if token.type == tokenize.NAME}
    assert "center" in names
    british = {name for name in names if re.search("centre|colour|grey", name, re.IGNORECASE)}
    assert british == set()
