"""Predictions of a data set: right places, right windows, either centre, and what is written."""

from __future__ import annotations

import io
import json
import re
import shutil
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from cadstn.cli import cli
from cadstn.data import icvl, open_dataset
from cadstn.data.bank import CropRule
from cadstn.errors import CadstnError
from cadstn.evaluate import joint_errors_mm, load_predictions, protocol, score_files
from cadstn.geometry.skeleton import HAND21, ICVL16, MSRA21, NYU14, Skeleton
from cadstn.io import write_recording
from cadstn.reproduce import load_predictor, predict, read_predictions, write_predictions
from cadstn.reproduce.predict import prediction_key
from cadstn.reproduce.predictor import FilePredictor, Outputs
from cadstn.reproduce.run import _predict
from cadstn.tracking import Hand
from cadstn.tracking.hand import lost_hand
from cadstn.tracking.network import Network, Wants


class Echo:
    """A stand-in for a network: every joint at the cube's centre, and what its state counted."""

    network, key, clip, remembers = "cadstn", "echo", 8, True

    def __init__(self, skeleton: Skeleton = ICVL16, center: str = "joint") -> None:
        self.skeleton = skeleton
        self.rule = CropRule(skeleton.name, 250.0, {}, 32, center)
        self.counts: list[int] = []

    def run(self, crops: Any, places: Any, state: int | None) -> tuple[Outputs, int]:
        shape = (len(crops), len(self.skeleton), 3)
        state = state or 0
        self.counts += range(state + 1, state + len(crops) + 1)
        joints = np.zeros(shape, np.float32)
        w1 = np.full(shape, 0.25, np.float32)
        return Outputs(joints, joints, joints, w1), state + len(crops)


def test_joints_come_back_in_mm_around_the_true_center(small_icvl: Path) -> None:
    dataset = open_dataset(small_icvl, "test")
    seen: list[int] = []
    done = predict({"a": (Echo(), 8)}, dataset, "truth", on_frames=seen.append)["a"]
    assert sum(seen) == len(dataset) == 40
    # The palm is the joint that crops are put at, so it is predicted exactly.
    assert joint_errors_mm(done.joints_xyz_mm, dataset.joints_xyz_mm)[:, 0].max() < 1e-9
    assert done.centers_mm == pytest.approx(dataset.joints_xyz_mm[:, 0])
    assert done.cuts == (20,)
    assert (done.hidden == 0).mean() > 0.9
    assert done.w1 is not None
    assert done.w1.shape == (40, 16)
    assert set(done.parts_xyz_mm) == {"spatial", "temporal"}

    class Aside(Echo):
        def run(self, crops: Any, places: Any, state: int | None) -> tuple[Outputs, int]:
            out, after = super().run(crops, places, state)
            joints = np.zeros_like(out.joints)
            joints[..., 0] = 0.5
            return out._replace(joints=joints, spatial=joints), after

    aside = predict({"a": (Aside(), 8)}, dataset, "truth")["a"]
    palms = np.repeat(dataset.joints_xyz_mm[:, :1], 16, axis=1)
    moved = palms + np.array([62.5, 0, 0])  # half of half a cube of 250 mm
    assert aside.joints_xyz_mm == pytest.approx(moved)
    assert aside.parts_xyz_mm["spatial"] == pytest.approx(moved)
    assert aside.parts_xyz_mm["temporal"] == pytest.approx(palms)
    assert aside.w1 == pytest.approx(np.full((40, 16), 0.25))


def test_windows_forget_and_shots_are_never_crossed(small_icvl: Path) -> None:
    dataset = open_dataset(small_icvl, "test")
    windowed, endless = Echo(), Echo()
    predict({"w": (windowed, 8), "e": (endless, 0)}, dataset, "truth")
    # Shots of 20 frames: windows of 8, 8 and 4.
    assert windowed.counts == [*range(1, 9), *range(1, 9), *range(1, 5)] * 2
    assert endless.counts == [*range(1, 21)] * 2
    odd = Echo()
    predict({"w": (odd, 6), "e": (Echo(), 4)}, dataset, "truth")
    assert odd.counts == [*range(1, 7)] * 3 + [1, 2] + [*range(1, 7)] * 3 + [1, 2]


def test_the_found_center_knows_nothing_of_the_truth(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="rendering needs PyTorch (extra train)")
    from cadstn.synth.datasets import write_dataset

    write_dataset(tmp_path, "icvl", train=22, test=40, seed=3)  # hands: no detector takes sticks
    dataset = open_dataset(tmp_path, "test")
    done = predict({"a": (Echo(center="tracked"), 8)}, dataset, "found")["a"]
    off = np.linalg.norm(done.centers_mm - dataset.joints_xyz_mm.mean(1), axis=-1)
    assert off.max() < 20
    # Moving the labels moves crops around the truth, not those around what was found.
    moved = replace(dataset, joints_xyz_mm=dataset.joints_xyz_mm + np.array([30.0, 0, 0]))
    again = predict({"a": (Echo(center="tracked"), 8)}, moved, "found")["a"]
    assert np.array_equal(again.centers_mm, done.centers_mm, equal_nan=True)
    truth = predict({"a": (Echo(), 8)}, moved, "truth")["a"]
    assert truth.centers_mm == pytest.approx(moved.joints_xyz_mm[:, 0])


def test_frames_without_a_hand_are_lost(small_icvl: Path, tmp_path: Path) -> None:
    dataset = open_dataset(small_icvl, "test")
    object.__setattr__(dataset, "read", lambda path, camera: np.zeros((240, 320), np.float32))
    done = predict({"a": (Echo(), 8)}, dataset, "found")["a"]
    assert np.isnan(done.joints_xyz_mm).all()
    assert (done.hidden == 2).all()
    write_predictions(tmp_path / "lost.txt", done, dataset)
    assert (tmp_path / "lost.txt").read_text().splitlines()[0] == " ".join(["nan"] * 48)


def test_other_joints_are_converted_or_refused(small_icvl: Path) -> None:
    dataset = open_dataset(small_icvl, "test")
    done = predict({"a": (Echo(HAND21, "tracked"), 8)}, dataset, "truth")["a"]
    assert done.joints_xyz_mm.shape == (40, 16, 3)
    assert done.w1 is not None
    assert (done.w1.shape, done.w1_skeleton) == ((40, 21), "hand21")
    # A tracker's cube lies at the mean of the joints, or at a followed hand's knuckles.
    assert done.centers_mm == pytest.approx(dataset.joints_xyz_mm.mean(1))
    done = predict({"a": (Echo(HAND21, "followed"), 8)}, dataset, "truth")["a"]
    roots = [dataset.skeleton.index(f"{f}_root") for f in ("index", "middle", "ring", "pinky")]
    assert done.centers_mm == pytest.approx(dataset.joints_xyz_mm[:, roots].mean(1))
    with pytest.raises(CadstnError, match=r"msra21 joints cannot be scored on icvl \(icvl16"):
        predict({"a": (Echo(MSRA21), 8)}, dataset, "truth")
    with pytest.raises(CadstnError, match="networks with different crops in one pass"):
        predict({"a": (Echo(), 8), "b": (Echo(center="mass"), 8)}, dataset, "truth")


def test_written_and_read_again(small_icvl: Path, tmp_path: Path) -> None:
    dataset = open_dataset(small_icvl, "test")
    done = predict({"a": (Echo(), 8)}, dataset, "truth")["a"]
    write_predictions(tmp_path / "new" / "a.npz", done, dataset)
    write_predictions(tmp_path / "new" / "a.txt", done, dataset)
    back = read_predictions(tmp_path / "new" / "a.npz")
    assert (back.key, back.cuts, back.center, back.window) == (done.key, (20,), "truth", 8)
    assert back.joints_xyz_mm == pytest.approx(done.joints_xyz_mm, abs=1e-3)
    assert back.w1 == pytest.approx(done.w1)
    # Three decimals of a pixel and of a millimetre.
    text = load_predictions(tmp_path / "new" / "a.txt", protocol("icvl"))
    assert text == pytest.approx(done.joints_xyz_mm, abs=3e-3)
    scores, message = score_files(tmp_path / "new" / "a.npz", tmp_path / "new" / "a.npz")
    assert scores.cuts == (20,)
    assert "crop centre         truth" in message
    with pytest.raises(CadstnError, match=r"a\.csv: neither \.txt nor \.npz"):
        write_predictions(tmp_path / "a.csv", done, dataset)
    np.savez(tmp_path / "other.npz", joints_xyz_mm=np.zeros((1, 2, 3)))
    with pytest.raises(CadstnError, match="not written by cadstn predict; delete it"):
        read_predictions(tmp_path / "other.npz")


def test_the_shipped_network_predicts_a_set(small_icvl: Path) -> None:
    dataset = open_dataset(small_icvl, "test")
    predictor = load_predictor(None)
    assert predictor.rule.center == "followed"  # what ships learned from such cubes
    done = predict({"it": (predictor, predictor.clip)}, dataset, "truth")["it"]
    assert np.isfinite(done.joints_xyz_mm).all()
    assert done.joints_xyz_mm.shape == (40, 16, 3)


def test_a_file_is_scored_on_the_crops_of_its_run() -> None:
    wants = Wants(size=128, cube_mm=300.0, hidden=8)

    def loaded(about: dict[str, str], center: str = "all") -> FilePredictor:
        network = Network(None, NYU14, replace(wants, center=center), about)
        return FilePredictor(network, "key")

    cubes = {"2": 249.0}
    text = json.dumps({"center": "mass_once", "cube_mm": 300.0, "cubes_mm": cubes, "clip": 8})
    found = loaded({"recipe": text})
    assert found.rule == CropRule("nyu14", 300.0, cubes, 128, "mass_once")
    assert (found.clip, found.names_crops) == (8, True)
    assert loaded({}).rule == CropRule("nyu14", 300.0, {}, 128, "tracked")
    assert loaded({}, "knuckles").rule.center == "followed"
    assert not loaded({}).names_crops
    for damaged in ("[]", "{", '{"clip": "a"}', '{"cubes_mm": {"2": "a"}}', '{"center": "there"}'):
        with pytest.raises(CadstnError, match="recipe in the network's metadata is damaged"):
            loaded({"recipe": damaged})


def test_found_predictions_are_named_by_the_tracker_that_finds(
    small_icvl: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = open_dataset(small_icvl, "test")

    def keys() -> dict[str, str]:
        return {c: prediction_key(Echo(), 8, dataset, c) for c in ("truth", "found")}

    before = keys()
    for name, value in (("__version__", "9.9"), ("shipped_key", lambda: "other weights")):
        # The package's function has its module's name.
        monkeypatch.setattr(sys.modules["cadstn.reproduce.predict"], name, value)
        after = keys()
        assert after["truth"] == before["truth"]
        assert after["found"] != before["found"]
        before = after


def test_what_cannot_be_loaded(tmp_path: Path) -> None:
    with pytest.raises(CadstnError, match="nowhere: no such run or weights; cadstn train"):
        load_predictor(tmp_path / "nowhere")
    with pytest.raises(CadstnError, match="holds no finished network; train first"):
        load_predictor(tmp_path)
    (tmp_path / "spatial.safetensors").write_bytes(b"")
    with pytest.raises(CadstnError, match="holds no finished 'temporal'; known: spatial"):
        load_predictor(tmp_path, "temporal")
    with pytest.raises(CadstnError, match="an exported network is the whole, not 'spatial'"):
        load_predictor(None, "spatial")


def test_damage_anywhere_in_a_file_is_one_error(small_icvl: Path, tmp_path: Path) -> None:
    dataset = open_dataset(small_icvl, "test")
    done = predict({"a": (Echo(), 8)}, dataset, "truth")["a"]
    path = tmp_path / "a.npz"
    write_predictions(path, done, dataset)
    whole = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        starts = {member.filename: member.header_offset for member in archive.infolist()}
    for name in ("centers_mm.npy", "hidden.npy", "spatial_xyz_mm.npy", "w1.npy", "key.npy"):
        at = starts[name] + 80
        path.write_bytes(
            whole[:at] + bytes(byte ^ 0xFF for byte in whole[at : at + 8]) + whole[at + 8 :]
        )
        with pytest.raises(CadstnError, match=r"a\.npz: not a readable \.npz file"):
            read_predictions(path)
    with np.load(io.BytesIO(whole)) as archive:
        arrays = {name: archive[name] for name in archive.files if name != "hidden"}
    np.savez(path, **arrays)
    with pytest.raises(CadstnError, match="not written by cadstn predict"):
        read_predictions(path)


def refused(*words: object) -> str:
    result = CliRunner().invoke(cli, ["predict", "--center", "truth", *map(str, words)])
    assert isinstance(result.exception, CadstnError), result.output
    return str(result.exception)


def test_options_that_a_network_has_no_use_for(
    small_icvl: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "hand.onnx").touch()
    where = ("--data", small_icvl, "--out", tmp_path / "p.txt")
    for run in ((), (tmp_path / "hand.onnx",)):
        line = refused(*run, *where, "--device", "cpu")
        assert "--device is for the folder of a run" in line
    echo = Echo()
    echo.network, echo.remembers = "baseline", False
    monkeypatch.setattr("cadstn.reproduce.load_predictor", lambda *args: echo)
    assert "--window changes nothing: the baseline network" in refused(*where, "--window", "16")
    assert not (tmp_path / "p.txt").exists()


def test_labels_are_not_written_over(
    small_icvl: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(*args: object) -> None:
        raise AssertionError("a network was loaded")

    monkeypatch.setattr("cadstn.reproduce.load_predictor", none)
    data = tmp_path / "icvl"
    shutil.copytree(small_icvl, data)
    labels = data / "Testing" / "test_seq_1.txt"
    before = labels.read_text()
    frame = next(data.rglob("*.png"))
    (tmp_path / "frame.txt").symlink_to(frame)
    (data / "hard.txt").hardlink_to(data / "Training" / "labels.txt")
    (tmp_path / "link.txt").symlink_to(labels)
    (tmp_path / "set").symlink_to(data)
    for given, file in (
        (data, labels), (data, tmp_path / "link.txt"), (tmp_path / "set", labels),
        (data, data / ".." / "icvl" / "Testing" / "test_seq_1.txt"),
        (data, tmp_path / "set" / "Testing" / "test_seq_1.txt"),
        (data, data / "Training" / "labels.txt"), (data, data / "hard.txt"),
        (data, tmp_path / "frame.txt"),
    ):  # fmt: skip
        for words in (("--out", file), ("--out", tmp_path / "new.txt", "--truth", file)):
            assert "holds no joints of icvl16 by" in refused("--data", given, *words)
    assert labels.read_text() == before


def test_only_its_own_results_are_replaced(
    small_icvl: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "icvl"
    shutil.copytree(small_icvl, data)
    notes, centers = tmp_path / "notes.txt", data / "center_test.txt"
    notes.write_text("to do")
    centers.write_text("1 2 300\n" * 40)
    track, truth = tmp_path / "joints.npz", tmp_path / "truth.npz"
    np.savez(track, joints_xyz_mm=np.ones((2, 16, 3)), found=np.ones(2))
    np.savez(truth, joints_xyz_mm=np.ones((2, 16, 3)), skeleton="icvl16")  # of a recording
    for file in (notes, centers, track, truth):
        before = file.read_bytes()
        for words in (("--out", file), ("--out", tmp_path / "new.txt", "--truth", file)):
            line = refused("--data", data, *words)
            assert "is there and holds no joints of icvl16 by cadstn predict (" in line
            assert line.endswith("it would be overwritten: give another name, or delete it")
        assert file.read_bytes() == before
    (tmp_path / "empty.txt").touch()
    monkeypatch.setattr("cadstn.reproduce.load_predictor", lambda *args: Echo())
    options = ["--data", data, "--center", "truth", "--out", tmp_path / "empty.txt"]
    options += ["--truth", tmp_path / "true.txt"]
    done = CliRunner().invoke(cli, ["predict", *map(str, options)], catch_exceptions=False)
    assert (tmp_path / "empty.txt").stat().st_size > 0
    # Text names no shots, and this set's protocol has others.
    assert "note: text holds no shots, and these frames have 2: to score" in done.stderr


@pytest.mark.parametrize("kind", ["txt", "npz"])
def test_earlier_predictions_in_the_folder_of_a_set_are_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """As of ``--data . --out out/p.npz --truth out/truth.npz``, given twice."""
    depth = [np.full((240, 320), 500, np.uint16)] * 2
    truth = np.random.default_rng(0).normal((0, 0, 500), 30, (2, 21, 3))
    write_recording(tmp_path / "set" / "a", depth, icvl.CAMERA, truth_xyz_mm=truth, skeleton=HAND21)
    echo = Echo(HAND21)
    monkeypatch.setattr("cadstn.reproduce.load_predictor", lambda *args: echo)
    out, written = (tmp_path / "set" / "out" / f"{name}.{kind}" for name in ("p", "truth"))
    words = ["predict", "--data", tmp_path / "set", "--split", "all", "--center", "truth"]
    words += ["--out", out, "--truth", written]
    for _ in range(2):
        done = CliRunner().invoke(cli, list(map(str, words)), catch_exceptions=False)
        assert done.exit_code == 0, done.output
        assert done.output.count("wrote") == 1
    kept = tmp_path / "set" / "a" / "truth.npz"
    message = refused("--data", tmp_path / "set", "--split", "all", "--out", out, "--truth", kept)
    assert "truth.npz: is there and holds no joints of hand21 by cadstn predict" in message


def test_text_of_several_cameras_is_refused_before_the_prediction(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, camera in (("a", icvl.CAMERA), ("b", icvl.CAMERA.scaled(1.5))):
        depth = [np.full((camera.height, camera.width), 500, np.uint16)] * 2
        truth = np.random.default_rng(0).normal((0, 0, 500), 30, (2, 21, 3))
        write_recording(tmp_path / "set" / name, depth, camera, truth_xyz_mm=truth, skeleton=HAND21)
    for words in (("--out", "a.txt"), ("--out", "a.npz", "--truth", "a.txt")):
        message = refused("--data", tmp_path / "set", "--split", "all", *words)
        assert "a.txt: u v d of recordings, whose frames have cameras of their own" in message
    assert "a.csv: neither .txt nor .npz" in refused(
        "--data", tmp_path / "set", "--split", "all", "--out", "a.csv"
    )


def test_the_pages_example_of_an_own_network_runs(
    small_icvl: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    page = (Path(__file__).parents[2] / "docs/guides/score.md").read_text(encoding="utf-8")
    code = next(c for c in re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
                if "crop_sample" in c)  # fmt: skip
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "icvl").symlink_to(small_icvl, target_is_directory=True)
    names: dict[str, Any] = {"my_network": lambda image: np.zeros((16, 3))}
    exec(compile(code, "score.md", "exec"), names)
    assert names["crop"].image.shape == (128, 128)
    assert names["scores"].frames == 40
    assert "crop centre         truth" in capsys.readouterr().out
    done = CliRunner().invoke(cli, ["score", "mine.npz", "truth.npz"], catch_exceptions=False)
    assert "2 shots, cut where the truth has a shot begin" in done.output


def test_predictions_are_named_by_all_that_they_depend_on(
    small_icvl: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    test, train = (open_dataset(small_icvl, split) for split in ("test", "train"))
    one, two = Echo(), Echo()
    one.key, two.key = "one", "two"
    keys = {
        prediction_key(one, 8, test, "truth"), prediction_key(two, 8, test, "truth"),
        prediction_key(one, 0, test, "truth"), prediction_key(one, 8, train, "truth"),
        prediction_key(one, 8, test, "found"),
    }  # fmt: skip
    assert len(keys) == 5
    # Those of other weights are made again.
    monkeypatch.setattr("cadstn.reproduce.run.CENTERS", ("truth",))
    trained: Any = SimpleNamespace(folder=tmp_path)
    for echo in (one, two):
        monkeypatch.setattr("cadstn.reproduce.run.load_predictor", lambda *given, echo=echo: echo)
        _predict(trained, test, tmp_path, "cpu", False, lambda *given: None)
        for name in ("cadstn", "endless", "sliced", "spatial"):
            assert read_predictions(tmp_path / f"truth-{name}.npz").key.startswith(f"{echo.key} ")


@pytest.mark.parametrize(
    ("center", "z", "options"),
    [("tracked", 410.0, {}), ("followed", 411.0, {}), ("file", 400.0, {"window": 8})],
)
def test_a_found_hand_is_forgotten_where_a_shot_begins(
    small_icvl: Path, network: Network, monkeypatch: pytest.MonkeyPatch,
    center: str, z: float, options: dict[str, int],
) -> None:  # fmt: skip
    """Joint k is 400 + k mm away: on average 410, the knuckles 5, 9, 13 and 17 are 411."""
    joints = np.zeros((21, 3), np.float32)
    joints[:, 2] = 400 + np.arange(21)
    hand = replace(
        lost_hand(network), found=True, joints_mm=joints, center_mm=np.array([0, 0, 400.0])
    )
    done: list[object] = []

    class Finder:
        def __init__(self, *given: object, **more: object) -> None:
            done.append(more)

        def reset(self) -> None:
            done.append("reset")

        def update(self, *given: object) -> Hand:
            done.append("frame")
            return hand

    # The package's function has its module's name.
    monkeypatch.setattr(sys.modules["cadstn.reproduce.predict"], "Tracker", Finder)
    predictor: Any = FilePredictor(network, "key") if center == "file" else Echo(center=center)
    found = predict({"a": (predictor, 8)}, open_dataset(small_icvl, "test"), "found")["a"]
    assert done == [options, *(["reset"] + ["frame"] * 20) * 2]
    assert found.centers_mm == pytest.approx(np.tile([0, 0, z], (40, 1)))
