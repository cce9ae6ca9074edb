"""Banks, checkpoints, recipes, cameras and scores, broken field by field: one clear line, or used.

None of the files here carries a stamp, as those of 0.1.0: one that does is refused for any changed
bit, see ``tests/io/test_rot.py``, before anything else of it is read.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from cadstn.cli.sources import setting
from cadstn.data.bank import Bank, CropRule, open_bank, write_bank
from cadstn.errors import CadstnError
from cadstn.evaluate import score_files
from cadstn.evaluate.compare import compare_files, parse_source
from cadstn.evaluate.protocol import protocol
from cadstn.geometry.camera import Camera, parse_camera
from cadstn.train.recipes import Recipe, override, tiny


def header_file(header: Any, body: bytes) -> bytes:
    """A safetensors file of a header and what follows it."""
    text = json.dumps(header).encode("utf-8", "replace")
    return len(text).to_bytes(8, "little") + text + body


def split_header(data: bytes) -> tuple[Any, bytes]:
    """The header of a safetensors file without its stamp, and what follows it."""
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    header["__metadata__"].pop("sha256")
    return header, data[8 + length :]


def test_banks(fuzz: Any, tmp_path: Path) -> None:
    rule = CropRule("hand21", 250.0, size=8)
    path = tmp_path / "a.bank"

    def fill(bank: Bank) -> None:
        bank.cube_mm[:] = 250

    write_bank(path, (4, 8, 21), {"data": "d", "rule": rule.to_json(), "set": "nyu"}, fill)
    header, body = split_header(path.read_bytes())
    inner = {
        **header,
        "__metadata__": {**header["__metadata__"], "rule": json.loads(rule.to_json())},
    }

    def use() -> None:
        bank = open_bank(path)
        bank.check_rule(rule)
        assert bank.crops.sum() >= 0
        assert bank.fingerprint

    def check(header: Any) -> None:
        path.write_bytes(header_file(flat(header, "rule"), body))
        fuzz.accepts(use, "a.bank")

    check(inner)
    fuzz.run(fuzz.changed(inner), check)

    def check_bytes(data: bytes) -> None:
        path.write_bytes(data)
        fuzz.accepts(use, "a.bank")

    fuzz.run(fuzz.damages(header_file(header, body)), check_bytes)


def flat(header: Any, key: str) -> Any:
    """A header whose text of a key, JSON within JSON, is text again after its fields changed."""
    about = header.get("__metadata__") if isinstance(header, dict) else None
    if isinstance(about, dict) and key in about and not isinstance(about[key], str):
        return {**header, "__metadata__": {**about, key: json.dumps(about[key])}}
    return header


def test_runs(fuzz: Any, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from cadstn.train.loading import load_networks
    from cadstn.train.networks import family_of
    from cadstn.train.start import read_start
    from cadstn.train.state import write_tensors

    recipe = small_recipe()
    network = family_of(recipe).make("spatial", recipe, auxiliary=False)
    path = tmp_path / "spatial.safetensors"
    write_tensors(path, network.state_dict(), {"recipe": recipe.to_json(), "data": "d"})
    header, body = split_header(path.read_bytes())

    def check(header: Any) -> None:
        path.write_bytes(header_file(flat(header, "recipe"), body))
        fuzz.accepts(lambda: load_networks(tmp_path, "spatial"), "spatial")
        fuzz.accepts(lambda: read_start(tmp_path), "spatial")

    def check_bytes(data: bytes) -> None:
        path.write_bytes(data)
        fuzz.accepts(lambda: load_networks(tmp_path, "spatial"), "spatial")

    inner = {**header, "__metadata__": {"recipe": json.loads(recipe.to_json()), "data": "d"}}
    check(inner)
    fuzz.run(fuzz.changed(inner), check)
    fuzz.run(fuzz.damages(header_file(header, body)), check_bytes)


def test_checkpoints(fuzz: Any, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from cadstn.train.state import resume, save_checkpoint

    def fresh() -> Any:
        model = torch.nn.Linear(3, 2)
        return model, {"adam": torch.optim.Adam(model.parameters())}

    model, made = fresh()
    model(torch.ones(3)).sum().backward()
    made["adam"].step()
    about = {"recipe": small_recipe().to_json(), "data": "d"}
    save_checkpoint(tmp_path, "spatial", model, made, 3, about)
    (path,) = tmp_path.iterdir()
    header, body = split_header(path.read_bytes())

    def go_on() -> int:
        model, made = fresh()
        step = resume(tmp_path, "spatial", model, made, about, lambda line: None)
        assert step >= 0
        model(torch.ones(3)).sum().backward()
        made["adam"].step()
        return step

    def check(header: Any) -> None:
        path.write_bytes(header_file(flat(header, "recipe"), body))
        fuzz.accepts(go_on, "spatial")

    inner = {
        **header,
        "__metadata__": {**about, "step": "3", "recipe": json.loads(about["recipe"])},
    }
    check(inner)
    fuzz.run(fuzz.changed(inner), check)


def small_recipe() -> Recipe:
    sizes = {"net.size": 16, "net.slices": 2, "net.channels": [2, 4, 4], "net.width": 8,
             "net.hidden": 8, "clip": 2}  # fmt: skip
    return override(tiny("spatial", "rendered"), sizes)


def test_recipes(fuzz: Any) -> None:
    whole = json.loads(small_recipe().to_json())

    def check(value: Any) -> None:
        made = fuzz.accepts(lambda: Recipe.from_json(json.dumps(value)))
        if made is not None:
            assert Recipe.from_json(made.to_json()) == made

    fuzz.run(fuzz.changed(whole), check)
    fuzz.run(fuzz.damages(json.dumps(whole).encode()), lambda data: fuzz.accepts(
        lambda: Recipe.from_json(data.decode("utf-8", "replace"))))  # fmt: skip


def test_settings(fuzz: Any) -> None:
    base = small_recipe()
    names = [name for name in json.loads(base.to_json()) if name != "net"]
    names += ["net", "net.size", "net.channels", "net.trunk", "net.blocks", "spatial.steps"]
    names += ["spatial.learning_rate", "temporal.batch", "augment.scale", "augment.turns"]
    names += ["nett.x", ".", "spatial.", ".steps", "net.x.y", "\x1b[31m"]
    texts = ["1e999", "-1e999", "NaN", "Infinity", "9" * 400, "9" * 5000, "[" * 5000, "{" * 5000,
             '{"a":' * 3000, "1e19", "0", "-1", "true", "null", '"x"', "", "x", "[1,2]", "{}",
             '{"steps": 1e999}', '{"x": {}}', "\x1b]0;x\x07"]  # fmt: skip
    case = st.tuples(st.sampled_from(names), st.sampled_from(texts) | st.text(max_size=20))

    def check(pairs: list[tuple[str, str]]) -> None:
        def read() -> Recipe:
            return override(base, dict(setting(f"{name}={value}") for name, value in pairs))

        made = fuzz.accepts(read)
        if made is not None:
            assert Recipe.from_json(made.to_json()) == made

    fuzz.run(st.lists(case, min_size=1, max_size=2), check)


def test_camera_fields(fuzz: Any) -> None:
    whole = json.loads(Camera(30.0, 30.0, 8.0, 6.0).to_json())
    whole |= {"distortion": [0.1, 0.01, 0, 0, 0], "distortion_model": "brown-conrady"}

    def check(value: Any) -> None:
        made = fuzz.accepts(lambda: Camera.from_json(json.dumps(value)), "camera")
        if made is not None:
            usable(made, fuzz)

    check(whole)
    fuzz.run(fuzz.changed(whole), check)


def usable(camera: Camera, fuzz: Any) -> None:
    """A camera that was accepted takes frames and points, and is written and read again."""
    assert Camera.from_json(camera.to_json()) == camera
    points = camera.to_uvd(np.array([[10.0, -10.0, 500.0]]))
    assert np.isfinite(points).all()
    assert np.isfinite(camera.to_xyz_mm(points)).all()
    units = np.full((12, 16), 500, np.uint16)
    depth = fuzz.accepts(lambda: camera.depth_mm(units))
    assert depth is None or np.isfinite(depth).all()


def test_cameras_in_text(fuzz: Any) -> None:
    number = st.sampled_from(
        ["475", "320", "0", "-1", "1e19", "1e999", "nan", "inf", "1e-300", "9" * 400, "", "m", "x",
         "0.125", "1_0", "٣"]  # the last is a digit to Python
    )  # fmt: skip
    words = st.sampled_from(["kinect2", "kinekt", "realsense", "a.json", "\0.json", "x" * 5000,
                             "\x1b[31m", "/dev/zero.json", "", "~"])  # fmt: skip
    text = st.lists(number, min_size=3, max_size=6).map(",".join) | words | st.text(max_size=30)

    def check(text: str) -> None:
        made = fuzz.accepts(lambda: parse_camera(text), "camera", ".json")
        if made is not None:
            usable(made, fuzz)

    fuzz.run(text, check)


def test_scores(fuzz: Any, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    uvd = rng.normal((320, 240, 700), 20, (6, 14, 3))
    rows = "\n".join(" ".join(f"{v:.2f}" for v in row.ravel()) for row in uvd) + "\n"
    truth = tmp_path / "groundtruth.txt"
    truth.write_text(rows)
    path = tmp_path / "pred.txt"

    def check(data: bytes) -> None:
        path.write_bytes(data)
        for fmt in ("uvd", "xyz"):
            read = fuzz.accepts(lambda: score_files(path, truth, "nyu", fmt), "pred.txt")  # noqa: B023
            assert read is None or np.isfinite(read[0].mean_error_mm)
        source = parse_source(str(path))
        fuzz.accepts(lambda: compare_files([source], protocol("nyu"), truth), "pred.txt")

    check(rows.encode())
    fuzz.run(fuzz.damages(rows.encode()), check)


def test_refused_settings_name_the_field() -> None:
    for text in ("spatial.learning_rate=1e999", "clip=" + "9" * 400, "net=" + "[" * 5000):
        with pytest.raises(CadstnError, match=text.split("=")[0]):
            override(small_recipe(), dict([setting(text)]))
