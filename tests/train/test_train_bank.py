from __future__ import annotations

import dataclasses
import errno
import json
import os
import shutil
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from safetensors import safe_open

from cadstn.cli import cli
from cadstn.data.bank import (
    Bank,
    CropRule,
    build_bank,
    mass_center,
    open_bank,
    quantise,
    write_bank,
)
from cadstn.data.dataset import Dataset
from cadstn.errors import CadstnError
from cadstn.geometry.camera import Camera
from cadstn.geometry.crop import crop_cube
from cadstn.geometry.skeleton import ICVL16
from cadstn.synth import SIMULATOR
from cadstn.synth.stream import sample_clips
from cadstn.train.recipes import Recipe, override, recipe, tiny
from cadstn.train.stream_bank import stream_bank

CAMERA = Camera(241.42, 241.42, 160, 120, 320, 240)
RULE = CropRule("icvl16", 200.0, {"small": 150.0}, 32)
RENDERED = tiny("cadstn", "rendered")


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    """Seventy frames of a ball with a thin stick, of two subjects, in three shots."""
    rng = np.random.default_rng(0)
    centers = np.array([0.0, 0.0, 400.0]) + rng.normal(0, 25, (70, 3))
    joints = centers[:, None] + rng.normal(0, 30, (70, 16, 3))
    joints[:, 3] = centers
    folder = tmp_path / "set"
    folder.mkdir()
    names = tuple(f"{i:03d}.png" for i in range(70))
    line_u, line_v = np.meshgrid(np.arange(320), np.arange(240))
    for name, center in zip(names, centers, strict=True):
        u, v, z = CAMERA.to_uvd(center)
        disc = (line_u - u) ** 2 + (line_v - v) ** 2 < 30**2
        depth = np.where(disc, z - 15, 0)
        depth[:, :8] = 1600  # a wall beyond what DeepPrior looks at
        cv2.imwrite(str(folder / name), depth.astype(np.uint16))
    starts = np.zeros(70, bool)
    starts[[0, 30, 45]] = True

    def read(file: Path, camera: Camera) -> Any:
        image = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
        if image is None:
            raise CadstnError("cannot be read", where=file)
        return image.astype(np.float32)

    return Dataset(
        name="icvl", split="train", layout="toy", folder=folder, camera=CAMERA, skeleton=ICVL16,
        scored=tuple(range(16)), scored_skeleton=ICVL16, center_joint=3, names=names,
        joints_uvd=np.asarray(CAMERA.to_uvd(joints)), joints_xyz_mm=joints,
        sequences=("a",) * 45 + ("b",) * 25, subjects=("big",) * 30 + ("small",) * 40,
        starts=starts, cut_rule="toy", read=read,
    )  # fmt: skip


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the banks of data sets go."""
    monkeypatch.setenv("CADSTN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.usefixtures("cache")
def test_bank_holds_the_crops_of_every_frame(dataset: Dataset) -> None:
    done: list[int] = []
    bank = build_bank(dataset, RULE, on_frames=done.append)
    assert sum(done) == len(bank) == 70
    assert list(bank.shots) == [0] * 30 + [1] * 15 + [2] * 25
    assert list(bank.cube_mm) == [200] * 30 + [150] * 40
    for i in (0, 33, 64, 69):
        sample = dataset[i]
        cube = 200 if i < 30 else 150
        center = mass_center(sample.depth_mm, CAMERA, sample.joints_xyz_mm[3], cube, 1)
        crop = crop_cube(sample.depth_mm, CAMERA, center, cube, 32)
        assert np.array_equal(bank.crops[i], quantise(crop.image))
        assert np.abs(bank.crops[i] / 32767.5 - 1 - crop.image).max() < 2e-5
        labels = bank.joints[i] * (cube / 2) + bank.centers_mm[i]
        assert labels == pytest.approx(sample.joints_xyz_mm, abs=1e-2)


def test_a_cache_that_cannot_be_written_names_its_variable(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("CADSTN_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(CadstnError, match=r"cannot write .*variable CADSTN_CACHE names another"):
        build_bank(dataset, RULE)


def test_center_of_mass_is_that_of_the_surface(dataset: Dataset) -> None:
    sample = dataset[5]
    z_surface = float(np.median(sample.depth_mm[(sample.depth_mm > 0) & (sample.depth_mm < 1500)]))
    found = CAMERA.to_uvd(mass_center(sample.depth_mm, CAMERA, sample.joints_xyz_mm[3], 200, 2))
    truth = CAMERA.to_uvd(sample.joints_xyz_mm[3])
    assert found == pytest.approx([truth[0], truth[1], z_surface], abs=0.6)
    empty = np.zeros((240, 320), np.float32)
    assert list(mass_center(empty, CAMERA, [1, 2, 300], 200, 2)) == [1, 2, 300]


@pytest.mark.parametrize("uv", [(-200, 120), (160, -180), (600, 120), (160, 500)])
def test_a_cube_beside_the_image_sees_nothing_of_it(uv: tuple[float, float]) -> None:
    wall = np.full((240, 320), 500.0, np.float32)
    start = CAMERA.to_xyz_mm([*uv, 500.0])
    assert list(mass_center(wall, CAMERA, start, 200, 1)) == list(start)


def test_second_round_is_taken_around_the_first(dataset: Dataset) -> None:
    """`mass_once` and `mass`: a round from where the round before led is the second round."""
    sample, start = dataset[5], dataset[5].joints_xyz_mm[3] + [60.0, 0, 0]
    once, twice = (mass_center(sample.depth_mm, CAMERA, start, 100, n) for n in (1, 2))
    assert np.abs(once - twice).max() > 5
    assert list(mass_center(sample.depth_mm, CAMERA, once, 100, 1)) == list(twice)
    rules = {center: CropRule("icvl16", 100.0, {}, 32, center) for center in ("mass_once", "mass")}
    assert {name: rule.mass_rounds for name, rule in rules.items()} == {"mass_once": 1, "mass": 2}
    assert CropRule("hand21", 100.0, {}, 32, "tracked").mass_rounds == 0


def test_bank_is_made_once_and_another_rule_makes_another(dataset: Dataset, cache: Path) -> None:
    first = build_bank(dataset, RULE)
    made = first.path.stat().st_mtime_ns
    assert build_bank(dataset, RULE).path.stat().st_mtime_ns == made
    other = build_bank(dataset, dataclasses.replace(RULE, center="joint"))
    assert other.path != first.path
    assert other.fingerprint != first.fingerprint
    assert len(list(cache.iterdir())) == 2
    assert not np.array_equal(other.crops, first.crops)


@pytest.mark.usefixtures("cache")
def test_bank_of_another_rule_or_other_data_is_refused(dataset: Dataset) -> None:
    bank, rule = build_bank(dataset, RULE), dataclasses.replace(RULE, cube_mm=250.0)
    with pytest.raises(CadstnError, match=r"a bank of crops with cube_mm = 200.0, not 250"):
        bank.check_rule(rule)
    moved = dataclasses.replace(dataset, joints_xyz_mm=dataset.joints_xyz_mm + 1)
    for data, cut in ((dataset, rule), (moved, RULE)):
        shutil.copy(bank.path, build_bank(data, cut).path)
        with pytest.raises(CadstnError, match=r"\.bank: a bank of other crops; delete it"):
            build_bank(data, cut)
    with pytest.raises(CadstnError, match=r"icvl has no joints of 'nyu14'; set skeleton to icvl16"):
        build_bank(dataset, dataclasses.replace(RULE, skeleton="nyu14"))
    with pytest.raises(CadstnError, match="no centre 'palm'"):
        dataclasses.replace(RULE, center="palm")


def test_frame_that_cannot_be_read_leaves_no_bank(dataset: Dataset, cache: Path) -> None:
    (dataset.folder / "066.png").write_bytes(b"not a picture")
    with pytest.raises(CadstnError, match=r"066\.png: cannot be read"):
        build_bank(dataset, RULE)
    assert list(cache.iterdir()) == []


def test_full_disk_is_reported_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    about = {"data": "d", "rule": RULE.to_json()}
    with pytest.raises(CadstnError, match=r"a\.bank: cannot write a bank of 226 MB \(No space"):
        write_bank(tmp_path / "a.bank", (100_000, 32, 16), about, lambda bank: None)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"text that is no bank at all, whatever", b"\xff" * 64])
def test_file_that_is_no_bank(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.bank"
    path.write_bytes(content)
    with pytest.raises(CadstnError, match=r"a\.bank: not a whole bank of crops"):
        open_bank(path)


def test_bank_cut_short_is_recognised_and_the_whole_is_a_safetensors_file(
    toy_bank: Bank, tmp_path: Path
) -> None:
    with safe_open(toy_bank.path, framework="np") as file:
        assert np.array_equal(file.get_tensor("joints"), toy_bank.joints)
        assert np.array_equal(file.get_tensor("crops"), toy_bank.crops)
    path = tmp_path / "short.bank"
    path.write_bytes(toy_bank.path.read_bytes()[:-40])
    with pytest.raises(CadstnError, match="not a whole bank"):
        open_bank(path)
    with pytest.raises(CadstnError, match="no such bank"):
        open_bank(tmp_path / "none.bank")


def test_bank_of_rendered_clips_is_the_stream(tmp_path: Path) -> None:
    bank = stream_bank(tmp_path / "a.bank", RENDERED, seed=4, clips=3, frames=2)
    clips = sample_clips((4, 5), torch.arange(3), 2, size=32)
    assert np.array_equal(bank.crops, quantise(clips.crops.flatten(0, 1).numpy()))
    assert np.array_equal(bank.joints, clips.joints.flatten(0, 1).numpy())
    assert list(bank.shots) == [0, 0, 1, 1, 2, 2]
    with safe_open(bank.path, "np") as file:  # by the names of banks of 0.1.0
        left, present = (file.get_tensor(name) for name in ("left", "present"))
    for stored, field, truth in (
        (left, bank.handedness, clips.handedness), (present, bank.presence, clips.presence),
    ):  # fmt: skip
        np.testing.assert_array_equal(stored, truth.repeat_interleave(2).numpy())
        np.testing.assert_array_equal(stored, field)
    again = stream_bank(tmp_path / "a.bank", RENDERED, seed=4, clips=3, frames=2)
    assert again.fingerprint == bank.fingerprint
    with pytest.raises(CadstnError, match="a bank of other clips"):
        stream_bank(tmp_path / "a.bank", RENDERED, seed=5, clips=3, frames=2)


def test_bank_is_the_same_file_however_many_processes_render(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cadstn.train.stream_bank._PART", 2)  # a process renders a clip at a time
    for workers in (1, 2):
        reported: list[int] = []
        path = tmp_path / f"{workers}.bank"
        stream_bank(
            path, RENDERED, seed=4, clips=3, frames=2, workers=workers, on_frames=reported.append
        )
        assert sum(reported) == 6
    assert (tmp_path / "1.bank").read_bytes() == (tmp_path / "2.bank").read_bytes()


def test_an_interrupted_bank_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make: dict[str, Any] = {"seed": 4, "clips": 130, "frames": 1}
    whole = stream_bank(tmp_path / "whole.bank", RENDERED, **make)
    rendered: list[int] = []

    def render(seed: tuple[int, ...], index: torch.Tensor, *others: int, **options: Any) -> Any:
        if len(rendered) == 1:
            rendered.append(0)
            raise KeyboardInterrupt
        rendered.append(len(index))
        return sample_clips(seed, index, *others, **options)

    monkeypatch.setattr("cadstn.train.stream_bank._AT_ONCE", 64)
    monkeypatch.setattr("cadstn.train.stream_bank.sample_clips", render)
    with pytest.raises(KeyboardInterrupt):
        stream_bank(tmp_path / "cut.bank", RENDERED, **make)
    assert not (tmp_path / "cut.bank").exists()
    reported: list[int] = []
    bank = stream_bank(tmp_path / "cut.bank", RENDERED, **make, on_frames=reported.append)
    assert rendered == [64, 0, 64, 2]
    assert sum(reported) == 130
    assert bank.path.read_bytes() == whole.path.read_bytes()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["cut.bank", "whole.bank"]


class Interrupt:
    """Mines by pressing Ctrl-C."""

    name = "0123"

    def __call__(self, bank: Bank) -> None:
        raise KeyboardInterrupt


@pytest.mark.parametrize("other", [{"seed": 5}, {"clips": 9}, {"mine": None}])
def test_what_is_left_of_other_frames_is_not_lost_without_a_word(
    tmp_path: Path, other: dict[str, Any]
) -> None:
    make: dict[str, Any] = {"seed": 4, "clips": 8, "frames": 1, "mine": Interrupt()}
    with pytest.raises(KeyboardInterrupt):
        stream_bank(tmp_path / "a.bank", RENDERED, **make)
    (kept,) = tmp_path.iterdir()
    assert kept.name == "a.bank.part"
    before = kept.read_bytes()
    with pytest.raises(
        CadstnError, match=r"a\.bank\.part: left by an interruption, of other crops"
    ):
        stream_bank(tmp_path / "a.bank", RENDERED, **{**make, **other})
    assert kept.read_bytes() == before
    kept.unlink()
    bank = stream_bank(tmp_path / "a.bank", RENDERED, **{**make, **other, "mine": None})
    assert list(tmp_path.iterdir()) == [bank.path]


@pytest.mark.parametrize("left", ["zeros", "part", "head"])
def test_a_bank_that_was_hardly_begun_begins_anew(tmp_path: Path, left: str) -> None:
    """A process killed, or a power failure, before the header was on the disk, or just after."""
    make: dict[str, Any] = {"seed": 4, "clips": 2, "frames": 1}
    with pytest.raises(KeyboardInterrupt):
        stream_bank(tmp_path / "a.bank", RENDERED, **make, mine=Interrupt())
    (kept,) = tmp_path.iterdir()
    whole = kept.read_bytes()
    head = 8 + int.from_bytes(whole[:8], "little")
    kept.write_bytes({"zeros": bytes(len(whole)), "part": whole[:100], "head": whole[:head]}[left])
    with pytest.raises(KeyboardInterrupt):
        stream_bank(tmp_path / "a.bank", RENDERED, **make, mine=Interrupt())
    assert kept.read_bytes() == whole


def test_the_header_is_on_the_disk_before_the_file_has_its_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(file: int, start: int, size: int) -> None:
        assert os.fstat(file).st_size > 0
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "posix_fallocate", killed, raising=False)
    with pytest.raises(KeyboardInterrupt):
        stream_bank(tmp_path / "a.bank", RENDERED, seed=4, clips=2, frames=1)


def test_a_bank_is_made_by_one_process_and_others_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make: dict[str, Any] = {"clips": 3, "frames": 1}
    rendering, go_on = threading.Event(), threading.Event()

    def render(*given: Any, **options: Any) -> Any:
        rendering.set()
        assert go_on.wait(60)
        return sample_clips(*given, **options)

    monkeypatch.setattr("cadstn.train.stream_bank.sample_clips", render)
    path = tmp_path / "a.bank"
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(stream_bank, path, RENDERED, seed=4, **make)
        assert rendering.wait(60)
        with pytest.raises(CadstnError, match="another process is making it"):
            stream_bank(path, RENDERED, seed=4, **make)
        others = [
            pool.submit(stream_bank, path, RENDERED, seed=seed, wait=True, **make)
            for seed in (4, 5)
        ]
        go_on.set()
        assert np.array_equal(first.result().crops, others[0].result().crops)
        with pytest.raises(CadstnError, match=r"a bank of other clips \(rendered 4, not 5"):
            others[1].result()
    assert list(tmp_path.iterdir()) == [path]


def test_a_process_that_is_ended_costs_no_frame_that_others_rendered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cadstn.train.stream_bank._PART", 2)
    monkeypatch.setattr("cadstn.train.stream_bank.one_thread", _end_once)
    monkeypatch.setenv("ENDED", str(tmp_path / "ended"))
    make: dict[str, Any] = {"seed": 4, "clips": 3, "frames": 2, "workers": 2}
    with pytest.raises(CadstnError, match=r"a\.bank: a process that works for this one was ended"):
        stream_bank(tmp_path / "a.bank", RENDERED, **make)
    assert (tmp_path / "a.bank.part").exists()
    bank = stream_bank(tmp_path / "a.bank", RENDERED, **make)
    clips = sample_clips((4, 5), torch.arange(3), 2, size=32)
    assert np.array_equal(bank.crops, quantise(clips.crops.flatten(0, 1).numpy()))


def _end_once() -> None:
    """Begin a worker; the first is ended as one is for want of memory."""
    torch.set_num_threads(1)
    try:
        Path(os.environ["ENDED"]).touch(exist_ok=False)
    except FileExistsError:
        return
    os.kill(os.getpid(), signal.SIGKILL)


def _interrupted(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(a) for a in arguments])


def test_bank_and_train_from_the_command_line(tmp_path: Path) -> None:
    path = tmp_path / "train.bank"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cadstn.train.stream_bank.write_bank", _interrupted)
        made = run("bank", path, "--kind", "tiny", "--clips", 4, "--frames", 11, "--seed", 1)
        assert isinstance(made.exception, CadstnError)
        assert "train.bank.part: interrupted; what is rendered is kept" in str(made.exception)
    made = run("bank", path, "--kind", "tiny", "--clips", 4, "--frames", 11, "--seed", 1)
    assert made.exit_code == 0, made.output
    assert "44 frames" in made.output
    fields = ["--set", "spatial.steps=2", "--set", "holdout=0.3"]
    alone = run(
        "train", "spatial.tiny", "--data", tmp_path / "train.bank", "--out", tmp_path / "one",
        *fields,
    )  # fmt: skip
    assert alone.exit_code == 0, alone.output
    wrong = run(
        "train", "spatial.tiny", "--data", tmp_path / "train.bank", "--out", tmp_path / "two",
        "--set", "cube_mm=200",
    )  # fmt: skip
    assert "a bank of crops with cube_mm = 250.0, not 200" in str(wrong.exception)
    assert not (tmp_path / "two").exists()


def test_a_bank_is_what_its_recipe_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}

    def rendered(path: Path, recipe: Recipe, **rest: Any) -> None:
        asked.update(rest, recipe=recipe)
        raise InterruptedError

    monkeypatch.setattr("cadstn.train.stream_bank.stream_bank", rendered)
    monkeypatch.setattr("cadstn.synth.mesh.mesh_there", lambda: True)
    for kind in ("small", "paper"):
        run("bank", tmp_path / "a.bank", "--kind", kind)
        assert asked["recipe"] == recipe(kind)
    run("bank", tmp_path / "a.bank")
    assert asked["recipe"] == recipe("small")
    fields = {"hands": 0.5, "held": 0.1, "near_mm": 300.0, "net.size": 64, "compiled": False}
    sets = [word for name, value in fields.items() for word in ("--set", f"{name}={value}".lower())]
    run("bank", tmp_path / "a.bank", "--kind", "follow", "--seed", 4, *sets)
    assert asked["recipe"] == override(recipe("follow"), fields)
    assert asked["seed"] == 4  # its own, not the recipe's
    monkeypatch.setattr("cadstn.synth.mesh.mesh_there", lambda: False)
    assert "no hand mesh" in run("bank", tmp_path / "a.bank", "--kind", "follow").output
    assert asked["recipe"].mesh == 0


def test_a_bank_names_what_it_was_rendered_by(tmp_path: Path) -> None:
    """In words that banks on disks hold: another word would have them rendered anew."""
    make: dict[str, Any] = {"seed": 4, "clips": 1, "frames": 1}
    plain = stream_bank(tmp_path / "plain.bank", RENDERED, **make)
    assert json.loads(plain.about["data"]) == {
        "rendered": 4, "clips": 1, "frames": 1, "version": SIMULATOR,
    }  # fmt: skip
    fields = {"center": "followed", "held": 0.5, "near_mm": 300.0}
    chosen = override(tiny("cadstn", "rendered"), fields)
    more = stream_bank(tmp_path / "more.bank", chosen, split=7, **make)
    assert json.loads(more.about["data"]) == {
        "rendered": 4, "clips": 1, "frames": 1, "version": SIMULATOR, "hands": 1.0, "split": 7,
        "held": 0.5, "depth_mm": [300.0, 1200.0],
    }  # fmt: skip
    rules = [json.loads(bank.about["rule"]) for bank in (plain, more)]
    assert [rule["center"] for rule in rules] == ["tracked", "followed"]
    other = dataclasses.replace(recipe("small", "icvl"), compiled=False)
    centered = stream_bank(tmp_path / "icvl.bank", other, **make)
    assert json.loads(centered.about["rule"])["center"] == "tracked"


def test_a_bank_shows_what_it_names(tmp_path: Path) -> None:
    fields = {"center": "followed", "held": 1.0, "near_mm": 300.0}
    chosen = override(tiny("cadstn", "rendered"), fields)
    bank = stream_bank(tmp_path / "a.bank", chosen, seed=4, clips=3, frames=1)
    clips = sample_clips(
        (4, 5), torch.arange(3), 1, size=32, center="followed", held=1.0, depth_mm=(300.0, 1200.0)
    )
    assert np.array_equal(bank.crops, quantise(clips.crops.flatten(0, 1).numpy()))
    assert np.array_equal(bank.joints, clips.joints.flatten(0, 1).numpy())


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ("seed=5", "'cadstn bank' makes no use of --set seed; give --seed"),
        ("net.width=8", "'cadstn bank' makes no use of --set net.width; it takes skeleton, "),
        ("handz=1", "unknown recipe field 'handz'; did you mean 'hands'?"),
    ],
)
def test_a_bank_refuses_what_it_cannot_follow(tmp_path: Path, field: str, message: str) -> None:
    outcome = run("bank", tmp_path / "a.bank", "--kind", "tiny", "--set", field)
    assert str(outcome.exception).startswith(message)
    assert run("bank", tmp_path / "a.bank", "--seed", -1).exit_code == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("shipped", "--set", "seed=3"),
            "'cadstn train shipped' does not take --set; it takes --out",
        ),
        (("shipped", "--print"), "'cadstn train shipped' does not take --print"),
        (("detector", "--from", "shipped"), "'cadstn train detector' does not take --from"),
        (("tiny", "--mine", "no.onnx"), "--mine needs rendered frames that are prepared"),
        (("tiny", "--split", "train"), "--split is of a data set; give its folder as --data"),
        (("tiny", "--data", "no.bank"), "no.bank: no such bank"),
        (("tiny", "--set", "seed=x"), "recipe field 'seed' is 'x'; give a whole number, like 0"),
    ],
)
def test_an_option_that_would_do_nothing_is_an_error(
    tmp_path: Path, words: tuple[str, ...], message: str
) -> None:
    outcome = run("train", *words, "--out", tmp_path / "out")
    assert isinstance(outcome.exception, CadstnError)
    assert str(outcome.exception).startswith(message)
    assert not (tmp_path / "out").exists()


def test_recipe_is_printed_whole(tmp_path: Path) -> None:
    outcome = run("train", "temporal.icvl.released", "--out", tmp_path / "x", "--print")
    assert json.loads(outcome.output)["lstm_inputs_rate"] == 10
    assert not (tmp_path / "x").exists()


def test_training_goes_on_from_the_weights_that_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {}
    chosen = recipe("spatial.tiny")
    monkeypatch.setattr("cadstn.cli.training.begun", lambda start: f"weights of {start}")
    monkeypatch.setattr("cadstn.cli.training.open_source", lambda *given: (chosen, "source"))
    monkeypatch.setattr("cadstn.train.train", lambda recipe, out, **given: asked.update(given))
    for more, start in (([], None), (["--from", "shipped"], "weights of shipped")):
        done = run("train", "spatial.tiny", "--out", tmp_path / "run", *more)
        assert done.exit_code == 0, done.output
        assert (asked["start"], asked["source"]) == (start, "source")
