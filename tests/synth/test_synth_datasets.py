"""Rendered data sets: read back bit for bit, go on where they stopped, truths on the hands."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from cadstn.cli import cli
from cadstn.data import icvl, msra, nyu, open_dataset
from cadstn.errors import CadstnError
from cadstn.geometry.convention import convert
from cadstn.geometry.skeleton import HAND21, NYU14_OF_36
from cadstn.io.files import read_png
from cadstn.synth import datasets
from cadstn.synth.datasets import camera_pose, write_dataset
from cadstn.synth.frames import Sequence
from cadstn.synth.layouts import LAYOUTS, Layout, Shot, plan
from cadstn.synth.surroundings import EVERYDAY, Surroundings

SEED = 11


def write(path: Path, layout: str, train: int, test: int, all_cameras: bool = False) -> None:
    write_dataset(path, layout, train=train, test=test, seed=SEED, all_cameras=all_cameras)


def rendered(layout: str, shot: Shot) -> Sequence:
    return datasets._sequence(LAYOUTS[layout], shot, SEED)


def contents(path: Path) -> dict[str, bytes]:
    """Every file below a folder; a .mat without the date in its header."""
    return {
        str(file.relative_to(path)): file.read_bytes()[128 if file.suffix == ".mat" else 0 :]
        for file in sorted(path.rglob("*"))
        if file.is_file()
    }


def test_icvl_is_read_back_bit_for_bit(tmp_path: Path) -> None:
    layout = "icvl-old"
    write(tmp_path, layout, 10, 4)
    train, test = open_dataset(tmp_path, "train"), open_dataset(tmp_path, "test")
    assert len(train) + len(train.left_out) == 10
    assert len(set(train.subjects)) >= 9
    assert set(train.subjects).isdisjoint(test.subjects)
    assert test.sequences == ("test_seq_1",) * 2 + ("test_seq_2",) * 2
    assert test.shots().tolist() == [0, 2]
    shots = [shot for shot in plan(layout, 10, 4) if shot.split == "test"]
    for number, shot in enumerate(shots):
        sequence = rendered(layout, shot)
        truth = convert(sequence.joints_xyz_mm.astype(np.float64), "icvl16")
        for t, depth in enumerate(sequence.render()):
            sample = test[2 * number + t]
            np.testing.assert_array_equal(sample.depth_mm, depth)
            np.testing.assert_allclose(
                sample.joints_uvd, icvl.CAMERA.to_uvd(truth[t]), atol=0.00051
            )


def test_msra_is_read_back_bit_for_bit(tmp_path: Path) -> None:
    write(tmp_path, "msra", 9, 0)
    dataset = open_dataset(tmp_path, "all")
    assert dataset.sequences == tuple(f"P{k}/1" for k in range(9))
    for index, shot in enumerate(plan("msra", 9, 0)[:3]):
        sequence, sample = rendered("msra", shot), dataset[index]
        truth = convert(sequence.joints_xyz_mm.astype(np.float64), "msra21")
        np.testing.assert_allclose(sample.joints_xyz_mm, truth[0], atol=0.00051)
        (whole,) = sequence.render()
        kept = sample.depth_mm > 0
        np.testing.assert_array_equal(sample.depth_mm[kept], whole[kept])
        # What was cut away is not in the cube; what was kept is.
        points = msra.CAMERA.to_xyz_mm(
            np.stack([*np.indices(whole.shape)[::-1], whole], -1).astype(np.float64)
        )
        near = (np.abs(points - truth[0, 5]) < 100).all(-1) & (whole > 0)
        np.testing.assert_array_equal(kept, near)


def test_nyu_and_its_three_cameras(tmp_path: Path) -> None:
    write(tmp_path, "nyu", 2, 4, all_cameras=True)
    dataset = open_dataset(tmp_path, "test")
    shot = plan("nyu", 2, 4)[2]
    (depth,) = rendered("nyu", shot).render()
    np.testing.assert_array_equal(dataset[0].depth_mm, depth)
    assert dataset.shots().tolist() == [0, 1, 2, 3]

    folder = tmp_path / "test"
    uvd = nyu.read_labels(folder / nyu.LABELS, "joint_uvd")
    xyz = nyu.read_labels(folder / nyu.LABELS, "joint_xyz") * (1, -1, 1)
    behind = []
    for view in range(3):
        place, turn = camera_pose(view)
        np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)
        np.testing.assert_allclose(xyz[view], (xyz[0] - place) @ turn.T, atol=1e-9)
        for t in range(4):
            image = read_png(folder / nyu.frame_name(t, view + 1), nyu.CAMERA)
            u, v = uvd[view, t, :, :2].round().astype(int).T
            held = (u >= 0) & (u < 640) & (v >= 0) & (v < 480)
            behind.append(uvd[view, t, held, 2] - image[v[held], u[held]])
    # Labels of another camera's would fall on the background, far in front of it; these lie in
    # the hand, or in what hides it.
    for view in range(3):
        distances = np.concatenate(behind[4 * view : 4 * view + 4])
        assert ((distances > -5) & (distances < 150)).mean() > 0.9
        assert 5 < np.median(distances) < 60


def test_nyu_stands_in_for_nyu(tmp_path: Path) -> None:
    """One empty hand held out to the camera, palm forward, and nothing of the room in reach."""
    write(tmp_path, "nyu", 40, 4)
    dataset = open_dataset(tmp_path, "train")
    joints = dataset.joints_xyz_mm
    palm, wrists = joints[:, 32], joints[:, [31, 30]]
    up = palm - wrists.mean(1)
    facing = np.cross(wrists[:, 1] - wrists[:, 0], up)
    facing /= np.linalg.norm(facing, axis=-1, keepdims=True)
    assert (np.abs(facing[:, 2]) > 0.3).mean() > 0.9
    assert len({float(np.sign(z)) for z in facing[np.abs(facing[:, 2]) > 0.3, 2]}) == 1
    assert ((palm[:, 2] > 600) & (palm[:, 2] < 1200)).all()
    for index in (0, 39):
        depth_mm = dataset[index].depth_mm
        seen = depth_mm[depth_mm > 0]
        # Hand, arm and body are near; between them and the wall there is nothing.
        assert (seen > 1500).mean() > 0.5
    centers = np.loadtxt(tmp_path / "center_train.txt")
    expected = joints[:, list(NYU14_OF_36)].mean(1) * (1, -1, 1)
    np.testing.assert_allclose(centers, expected, atol=0.01)


def test_several_processes_write_the_same_set(tmp_path: Path) -> None:
    write(tmp_path / "one", "icvl", 10, 2)
    counted: list[int] = []
    write_dataset(
        tmp_path / "two", "icvl", train=10, test=2, seed=SEED, workers=2, on_frames=counted.append
    )
    assert sum(counted) == 12
    assert contents(tmp_path / "two") == contents(tmp_path / "one")


def test_an_interrupted_set_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "whole", "icvl", 11, 2)
    original: Callable[..., None] = icvl.write_frame
    written: list[str] = []

    def full(folder: Path, name: str, depth: object) -> None:
        if len(written) == 7:
            raise CadstnError("cannot read or write (No space left on device)", where=folder)
        written.append(name)
        original(folder, name, depth)

    monkeypatch.setattr(icvl, "write_frame", full)
    with pytest.raises(CadstnError, match="No space left") as caught:
        write(tmp_path / "set", "icvl", 11, 2)
    assert "\n" not in str(caught.value)
    monkeypatch.undo()
    # Without labels it is no set yet, but what is there stays.
    with pytest.raises(CadstnError):
        open_dataset(tmp_path / "set", "train")
    first = contents(tmp_path / "set")
    assert len(first) == 8
    counted: list[int] = []
    write_dataset(tmp_path / "set", "icvl", train=11, test=2, seed=SEED, on_frames=counted.append)
    assert sum(counted) == 13
    whole = contents(tmp_path / "whole")
    assert contents(tmp_path / "set") == whole
    assert first.items() <= whole.items()


@pytest.mark.parametrize("name", ["synth.json", "image_0000.png"])
def test_a_full_disk_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    original = Path.write_bytes

    def full(self: Path, data: bytes) -> int:
        if name in self.name:  # the temporary file beside it
            raise OSError(errno.ENOSPC, "No space left on device")
        return original(self, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(CadstnError, match=rf"{name}: .*No space left on device.*; check"):
        write(tmp_path, "icvl", 10, 2)
    monkeypatch.undo()
    assert not list(tmp_path.rglob("*.png"))
    assert not list(tmp_path.rglob("*.tmp"))


def test_a_folder_with_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("")
    with pytest.raises(CadstnError, match="is not empty; give a new folder"):
        write(tmp_path, "icvl", 10, 2)
    (tmp_path / "mine.txt").rename(tmp_path / "synth.json")
    with pytest.raises(CadstnError, match="was begun with other settings"):
        write(tmp_path, "icvl", 10, 2)


@pytest.mark.parametrize("layout", ["icvl", "msra"])
def test_a_whole_set_is_left_as_it_is_and_what_it_lost_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layout: str
) -> None:
    counts = {"icvl": (10, 2), "msra": (9, 0)}[layout]
    write(tmp_path, layout, *counts)
    held = contents(tmp_path)
    labels = next(name for name in held if name.endswith(".txt"))
    frames = [name for name in held if name.endswith((".png", ".bin"))]
    (tmp_path / labels).write_text("as another machine rounds")
    with monkeypatch.context() as patch:
        patch.setattr(datasets, "Sequence", None)  # nothing is drawn
        write(tmp_path, layout, *counts)
        patch.setattr(datasets, "SIMULATOR", "9")
        with pytest.raises(CadstnError, match=r'settings \(simulator ".*", not "9"\)'):
            write(tmp_path, layout, *counts)
    (tmp_path / frames[0]).unlink()
    (tmp_path / frames[-1]).write_bytes(held[frames[-1]][:-5])
    write(tmp_path, layout, *counts)
    assert (tmp_path / labels).read_text() == "as another machine rounds"
    (tmp_path / labels).unlink()
    write(tmp_path, layout, *counts)
    assert contents(tmp_path) == held


def test_a_set_of_an_earlier_release_is_not_gone_on_with(tmp_path: Path) -> None:
    about = {"layout": "icvl", "train": 10, "test": 2, "seed": SEED, "all_cameras": False}
    (tmp_path / "synth.json").write_text(json.dumps(about) + "\n")
    with pytest.raises(CadstnError, match=r"settings \(simulator unknown, not "):
        write(tmp_path, "icvl", 10, 2)


@pytest.mark.parametrize(
    ("layout", "train", "test"), [("nyu", 72757, 8252), ("icvl", 5000, 1596), ("msra", 76500, 0)]
)
def test_plans_have_every_frame_once(layout: str, train: int, test: int) -> None:
    shots = plan(layout, train, test)
    assert shots == plan(layout, train, test)
    assert [shot.number for shot in shots] == list(range(len(shots)))
    assert all(0 < shot.frames <= 500 for shot in shots)
    numbers = [
        (shot.split, shot.sequence, shot.first + t) for shot in shots for t in range(shot.frames)
    ]
    assert len(set(numbers)) == len(numbers) == train + test
    of_split = {
        split: {s.subject for s in shots if s.split == split} for split in ("train", "test")
    }
    assert not of_split["train"] & of_split["test"]
    if layout == "msra":
        assert len({shot.sequence for shot in shots}) == 9 * 17
    else:
        assert len(of_split["test"]) == 2


def test_what_makes_no_sense_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CadstnError, match="too few for icvl; give at least 10 and 2"):
        write(tmp_path, "icvl", 3, 1)
    with pytest.raises(CadstnError, match="no layout 'icvk'; did you mean 'icvl'"):
        write(tmp_path, "icvk", 10, 2)
    with pytest.raises(CadstnError, match=r"train is 10.0; give a whole number"):
        write(tmp_path, "icvl", 10.0, 2)  # type: ignore[arg-type]
    with pytest.raises(CadstnError, match="workers is 0; give a whole number, 1 or more"):
        write_dataset(tmp_path, "icvl", train=10, test=2, seed=0, workers=0)
    with pytest.raises(CadstnError, match="too few for msra; give at least 9 in all"):
        write(tmp_path, "msra", 4, 4)
    assert plan("msra", 0, 100) == plan("msra", 100, 0)  # which has one kind
    assert not list(tmp_path.iterdir())
    for words, message in (
        (["--layout", "msra", "--test", "3"], "--test means nothing to --layout msra"),
        (["--train", "3"], "--train means nothing to --layout recording; it takes --frames"),
        (["--layout", "icvl", "--all-cameras"], "--all-cameras means nothing to --layout icvl"),
        (["--layout", "nyu", "--alone"], "--alone means nothing to --layout nyu"),
    ):
        result = CliRunner().invoke(cli, ["synth", str(tmp_path / "new"), *words])
        assert message in str(result.exception)


def test_the_command_writes_and_can_be_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a set"
    words = ["synth", str(path), "--layout", "icvl", "--train", "10", "--test", "2", "--alone"]

    def stop(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(datasets, "write_dataset", stop)
        result = CliRunner().invoke(cli, words)
        assert "a set: interrupted; what is finished is kept" in str(result.exception)
    result = CliRunner().invoke(cli, words)
    assert result.exit_code == 0, result.output
    following = f"\nnext: cadstn data check '{path}'\n"
    assert f"wrote 12 frames to {path}{following}" in result.output
    assert json.loads((path / "synth.json").read_text())["alone"] is True
    assert len(open_dataset(path, "test")) == 2
    again = CliRunner().invoke(cli, words)
    assert again.exit_code == 0
    assert again.output == f"{path} is there already: 12 frames{following}"
    refused = CliRunner().invoke(cli, [*words, "--seed", "1"])
    assert "other settings (seed 0, not 1)" in str(refused.exception)
    assert "rendering" not in refused.output


def test_a_subject_has_one_hand_in_all_its_shots() -> None:
    shots, lengths = plan("nyu", 2, 4), []
    assert [shot.subject for shot in shots] == [0, 0, 1, 1, 2, 2]
    for shot in shots:
        joints = rendered("nyu", shot).joints_xyz_mm[0]
        bones = [np.diff(joints[list(chain)], axis=0) for chain in HAND21.fingers.values()]
        lengths.append(np.linalg.norm(np.concatenate(bones), axis=-1))
    for first in (0, 2, 4):
        np.testing.assert_allclose(lengths[first], lengths[first + 1], atol=0.05)
    for one, two in ((0, 2), (2, 4), (0, 4)):
        assert np.abs(lengths[one] - lengths[two]).max() > 0.5


def test_hands_of_a_set_are_alone_where_that_is_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    around: list[Surroundings] = []

    def draw(layout: Layout, shot: Shot, seed: int) -> Sequence:
        around.append(layout.around)
        raise InterruptedError

    monkeypatch.setattr(datasets, "_sequence", draw)
    for alone in (False, True):
        with pytest.raises(InterruptedError):
            write_dataset(tmp_path / str(alone), "icvl", train=10, test=2, seed=0, alone=alone)
    assert around == [EVERYDAY, EVERYDAY._replace(held=0.0, second=0.0)]
