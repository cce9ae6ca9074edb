"""A camera, a data set and a metric are added as CONTRIBUTING.md shows it."""

import importlib
import re
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cadstn
from cadstn.data import Dataset, find_dataset, open_dataset
from cadstn.data.registry import READERS, Reader
from cadstn.evaluate import METRICS, score
from cadstn.evaluate.metrics import Metric
from cadstn.geometry.presets import PRESETS, Preset

ROOT = Path(__file__).resolve().parents[1]
NAMES = {
    "Camera": cadstn.Camera, "Dataset": Dataset, "HAND21": cadstn.HAND21, "Metric": Metric,
    "Path": Path, "Preset": Preset, "Reader": Reader, "np": np,
}  # fmt: skip


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
    assert (camera.width, camera.height, camera.fx) == (640, 480, 612.0)


def test_a_data_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made: dict[str, Any] = dict(NAMES)
    exec(shown("Add a data set"), made)
    monkeypatch.setitem(READERS, made["READER"].name, made["READER"])
    folder = tmp_path / "mine/test"
    folder.mkdir(parents=True)
    demo = cadstn.open_recording(str(resources.files("cadstn") / "demo"))
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
    pytest.importorskip("cadstn.train.family", reason="families are not split yet")
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
