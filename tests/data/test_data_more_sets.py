"""HANDS 2017, DexYCB and plain recordings: written and read back; a set is added in one line."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from cadstn.cli import cli
from cadstn.data import dexycb, find_dataset, hands2017, open_dataset, opening, recordings
from cadstn.data.bank import CropRule, build_bank
from cadstn.data.check import check_dataset
from cadstn.data.dataset import Dataset
from cadstn.data.opening import READERS
from cadstn.data.registry import Reader
from cadstn.errors import CadstnError
from cadstn.geometry.arrays import as_depth_mm
from cadstn.geometry.camera import Camera
from cadstn.geometry.skeleton import HAND21, ICVL16, Skeleton
from cadstn.io import open_recording, write_recording
from cadstn.io.files import write_png
from cadstn.tracking import tracker

from .conftest import (
    Joints,
    some_depth,
    some_joints,
    write_dexycb_camera,
    write_dexycb_label,
    write_hands2017,
)

SMALL = Camera(100.0, 101.0, 40.0, 30.0, 80, 60)


def xyz_of(camera: Camera, frames: int, seed: int = 0) -> Joints:
    uvd = some_joints(camera, frames, 21, seed)
    return np.asarray(camera.to_xyz_mm(uvd), np.float64)


def test_hands2017_is_read_back(tmp_path: Path) -> None:
    depth = some_depth(hands2017.CAMERA, 3)
    xyz = xyz_of(hands2017.CAMERA, 3)
    write_hands2017(tmp_path, depth, xyz)
    dataset = open_dataset(tmp_path, "train")
    assert (dataset.name, dataset.names[0]) == ("hands2017", "image_D00000001.png")
    c = hands2017.CAMERA
    assert (c.fx, c.fy, c.cx, c.cy) == (475.065948, 475.065857, 315.944855, 245.287079)
    np.testing.assert_allclose(dataset.joints_xyz_mm, xyz, atol=1e-4)
    np.testing.assert_array_equal(dataset[2].depth_mm, depth[2])
    # In the file: wrist, five roots, then three joints of each finger.
    line = (tmp_path / hands2017.LABELS).read_text().split("\n")[0].split("\t")
    in_file = np.array(line[1:], float).reshape(21, 3)
    order = "wrist thumb_cmc index_mcp middle_mcp ring_mcp pinky_mcp thumb_mcp thumb_ip thumb_tip"
    for place, joint in enumerate([*order.split(), "index_pip", "index_dip", "index_tip"]):
        assert in_file[place] == pytest.approx(xyz[0, HAND21.index(joint)], abs=1e-4)
    assert in_file[20] == pytest.approx(xyz[0, HAND21.index("pinky_tip")], abs=1e-4)
    result = CliRunner().invoke(cli, ["data", "check", str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert "nothing missing, nothing damaged" in result.stdout


def make_dexycb(root: Path) -> Joints:
    """Two sequences, two cameras; in the first of both, frame 1 shows no hand."""
    cameras = {"836212060125": Camera(617.0, 618.0, 312.5, 241.0, 640, 480),
               "839512060362": Camera(610.0, 611.0, 318.0, 238.0, 640, 480)}  # fmt: skip
    depth = np.full((480, 640), 500, np.uint16)
    written = []
    for serial, camera in cameras.items():
        write_dexycb_camera(root, serial, camera)
    for number in range(2):
        for serial, camera in cameras.items():
            folder = root / f"20200709-subject-01/20200709_{number:06d}/{serial}"
            for index, xyz in enumerate(xyz_of(camera, 3 if number == 0 else 1)):
                gone = (number, serial, index) == (0, "836212060125", 1)
                write_png(folder / dexycb.frame_name(index), depth, camera)
                write_dexycb_label(folder, index, None if gone else xyz)
                written += [] if gone else [xyz]
    return np.stack(written)


@pytest.mark.parametrize("setup", ["", "s1-", "s2-", "s3-"])
def test_dexycbs_splits_are_every_recording_once(setup: str) -> None:
    parts = [
        {(who, camera, sequence) for who in subjects for camera in cameras for sequence in numbers}
        for subjects, cameras, numbers in
        (dexycb.SPLITS[f"{setup}{part}"] for part in ("train", "val", "test"))
    ]  # fmt: skip
    assert len(set().union(*parts)) == sum(map(len, parts)) == 10 * 8 * 100


def test_dexycbs_splits_are_its_toolkits() -> None:
    """What is held out; the other recordings are trained on, as the test above shows."""
    people, views, whole = set(range(10)), set(range(8)), set(range(100))
    fifth = {number for number in whole if number % 5 == 4}

    def grasped(*things: int) -> set[int]:
        return {number for number in whole if number // 5 in things}

    expected = {
        "val": ({0, 1}, views, fifth), "test": (people - {0, 1}, views, fifth),
        "s1-val": ({6}, views, whole), "s1-test": ({7, 8}, views, whole),
        "s2-val": (people, {6}, whole), "s2-test": (people, {7}, whole),
        "s3-val": (people, views, grasped(3, 19)), "s3-test": (people, views, grasped(7, 11, 15)),
    }  # fmt: skip
    for split, parts in expected.items():
        assert tuple(map(set, dexycb.SPLITS[split])) == parts, split


def test_dexycb_is_read_back_with_each_frames_camera(tmp_path: Path) -> None:
    xyz = make_dexycb(tmp_path)
    dataset = open_dataset(tmp_path, "all")
    assert find_dataset(tmp_path).whole() == ("all",)
    np.testing.assert_allclose(dataset.joints_xyz_mm, xyz, atol=1e-3)
    assert dataset.several_cameras
    assert [sample.camera.fx for sample in map(dataset.__getitem__, range(7))] == [
        617, 617, 610, 610, 610, 617, 610,
    ]  # fmt: skip
    sample = dataset[6]
    np.testing.assert_allclose(sample.camera.to_uvd(sample.joints_xyz_mm), sample.joints_uvd)
    assert dataset.left_out == (
        ("20200709-subject-01/20200709_000000/836212060125/aligned_depth_to_color_000001.png",
         "no hand in view"),
    )  # fmt: skip
    # The frame that was left out ends a shot.
    assert dataset.shots().tolist() == [0, 1, 2, 5, 6]
    result = CliRunner().invoke(cli, ["data", "check", str(tmp_path)])
    assert result.exit_code == 0, result.output


def test_dexycbs_splits_need_all_sequences(tmp_path: Path) -> None:
    serial = "836212060125"
    write_dexycb_camera(tmp_path, serial, Camera(617.0, 618.0, 312.5, 241.0, 640, 480))
    (label,) = xyz_of(SMALL, 1)
    for subject in ("20200709-subject-01", "20200709-subject-03"):
        for number in range(100):
            folder = tmp_path / subject / f"20200709_{number:06d}" / serial
            write_dexycb_label(folder, 0, label)
    found = find_dataset(tmp_path)
    assert set(found.splits) >= {"train", "val", "test", "s1-train", "s2-train", "s3-test", "all"}
    assert "s1-val" not in found.splits  # its subjects are not there
    assert found.folds() == (("train", "test"),)
    assert found.whole() == ("train", "val", "test")  # each frame once: 'all' holds them again
    val, test = open_dataset(tmp_path, "val"), open_dataset(tmp_path, "test")
    assert set(val.subjects) == {"20200709-subject-01"}
    assert set(test.subjects) == {"20200709-subject-03"}
    assert len(test) == 20
    assert test.sequences[0] == "20200709-subject-03/20200709_000004/836212060125"


def test_damaged_dexycb(tmp_path: Path) -> None:
    make_dexycb(tmp_path)
    file = next(tmp_path.rglob("labels_000000.npz"))
    np.savez(file, joint_3d=np.zeros((1, 20, 3), np.float32))
    with pytest.raises(CadstnError, match=r"labels_000000\.npz: lacks joint_3d \(1, 21, 3\)"):
        open_dataset(tmp_path, "all")
    camera = tmp_path / "calibration/intrinsics/836212060125_640x480.yml"
    camera.write_text("color:\n  fx: 1.0\n  ppx: 2\ndepth:\n  fy: 1.0\n  ppy: 3\n")
    with pytest.raises(CadstnError, match=r"836212060125_.*: names no colour camera \('fy'\)"):
        open_dataset(tmp_path, "all")


def record(path: Path, camera: Camera, frames: int = 4, skeleton: Skeleton = HAND21,
           lost: tuple[int, ...] = ()) -> Joints:  # fmt: skip
    uvd = some_joints(camera, frames, len(skeleton))
    truth = np.asarray(camera.to_xyz_mm(uvd), np.float64)
    truth[list(lost)] = np.nan
    depth = some_depth(camera, frames)
    write_recording(path, depth, camera, truth_xyz_mm=truth, skeleton=skeleton)
    return truth


def open_set(path: Path, truth: Joints) -> Dataset:
    depth = some_depth(SMALL, len(truth))
    write_recording(path, depth, SMALL, truth_xyz_mm=truth, skeleton=HAND21)
    return open_dataset(path, "all")


def test_recordings_are_a_set(tmp_path: Path) -> None:
    wide = Camera(120.0, 120.0, 50.0, 30.0, 100, 60)
    first = record(tmp_path / "train/a", SMALL, lost=(1,))
    record(tmp_path / "train/b", wide)
    record(tmp_path / "test/c", SMALL)
    found = find_dataset(tmp_path)
    assert (found.name, found.folds()) == ("recordings", (("train", "test"),))
    train, test = open_dataset(tmp_path, "train"), open_dataset(tmp_path, "test")
    assert train.left_out == (("train/a/000001.png", "no hand in its truth"),)
    np.testing.assert_allclose(train.joints_xyz_mm[:3], first[[0, 2, 3]], atol=1e-3)
    assert train.several_cameras
    assert not test.several_cameras
    assert train[5].depth_mm.shape == (60, 100)
    assert train.shots().tolist() == [0, 1, 3]
    assert HAND21.joints[train.center_joint] == "middle_mcp"
    one = open_dataset(tmp_path / "test/c", "all")
    assert (len(one), one.names[0]) == (4, "000000.png")
    many = find_dataset(tmp_path / "train")
    assert many.splits == ("all", "a", "b")
    assert len(open_dataset(tmp_path / "train", "b")) == 4


def test_a_gap_that_the_tracker_begins_anew_after_begins_a_shot(tmp_path: Path) -> None:
    assert recordings._LONGEST_GAP_S == tracker._LONGEST_GAP_S
    for fps, starts in ((30.0, [0]), (2.0, [0]), (1.0, [0, 1, 2, 3])):
        record(tmp_path / f"{fps}", replace(SMALL, fps=fps))
        assert open_dataset(tmp_path / f"{fps}", "all").shots().tolist() == starts


def test_a_frame_has_the_camera_of_its_straightened_depth(tmp_path: Path) -> None:
    lens = replace(SMALL, distortion=(-0.4, 0.2, 0.0, 0.0, 0.0))
    record(tmp_path / "a", lens)
    dataset = open_dataset(tmp_path / "a", "all")
    sample, frame = dataset[0], next(iter(open_recording(tmp_path / "a")))
    assert dataset.camera == lens
    assert sample.camera == frame.camera == SMALL
    np.testing.assert_array_equal(sample.depth_mm, frame.depth)
    assert (lens.straightened(sample.depth_mm) != sample.depth_mm).any()
    # Whatever takes a frame and its camera leaves the depth as it is.
    np.testing.assert_array_equal(as_depth_mm(sample.depth_mm, sample.camera), frame.depth)


def test_frames_are_opened_by_their_names_on_disk(tmp_path: Path) -> None:
    record(tmp_path / "a", SMALL)
    os.rename(tmp_path / "a/000000.png", tmp_path / "a/frame  0.png")
    os.rename(tmp_path / "a/000001.png", os.fsencode(tmp_path / "a") + b"/frame 1\xff.png")
    dataset = open_dataset(tmp_path, "a")
    assert {dataset[index].depth_mm.shape for index in range(4)} == {(60, 80)}
    before = dataset.fingerprint()
    with (tmp_path / "a/frame  0.png").open("ab") as file:
        file.write(b"more")
    assert dataset.fingerprint() != before


def test_a_frame_that_is_a_link_out_of_its_recording_is_refused(tmp_path: Path) -> None:
    record(tmp_path / "own", SMALL)
    frame = tmp_path / "own/000000.png"
    frame.rename(tmp_path / "elsewhere.png")
    frame.symlink_to(tmp_path / "elsewhere.png")
    with pytest.raises(CadstnError, match=r"000000\.png: a link that leads out"):
        open_dataset(tmp_path / "own", "all")


def test_labels_relative_to_a_joint_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CADSTN_CACHE", str(tmp_path / "cache"))
    truth = xyz_of(SMALL, 4)
    dataset = open_set(tmp_path / "a", truth - truth[:, 9:10])
    for center in ("mass_once", "mass", "joint"):
        with pytest.raises(CadstnError, match=r"^000000\.png: cannot cut a cube .*in front of"):
            build_bank(dataset, CropRule("hand21", 200.0, center=center))
    for joint in (0, 9):
        dataset = open_set(tmp_path / f"relative-to-{joint}", truth - truth[:, joint, None])
        assert "depth is 0 at a joint: relative to it" in check_dataset(dataset).mismatch


def test_npz_recordings_are_no_set_and_the_hint_says_how(tmp_path: Path) -> None:
    record(tmp_path / "a.npz", SMALL)
    for path in (tmp_path, tmp_path / "a.npz"):
        with pytest.raises(CadstnError, match=r"an \.npz recording with truth is no set"):
            find_dataset(path)


def test_recordings_of_two_skeletons_are_refused(tmp_path: Path) -> None:
    record(tmp_path / "a", SMALL)
    record(tmp_path / "b", SMALL, skeleton=ICVL16)
    with pytest.raises(CadstnError, match=r"b/truth\.npz: has joints of icvl16 where the first"):
        open_dataset(tmp_path, "all")


def test_a_set_is_added_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What CONTRIBUTING shows: a module with a reader, known by a name."""
    record(tmp_path / "x", SMALL)
    (tmp_path / "mine.txt").write_text("")

    def open_mine(root: Path, split: str) -> Dataset:
        base = READERS["recordings"].open(root, "all")
        return Dataset(**{**vars(base), "name": "mine", "split": split})

    def find(root: Path) -> tuple[str, ...]:
        return ("train",) if (root / "mine.txt").is_file() else ()

    mine = Reader("mine", "mine.txt", find, open_mine)
    monkeypatch.setattr(opening, "READERS", {"mine": mine, **READERS})
    assert open_dataset(tmp_path, "train").name == "mine"
    result = CliRunner().invoke(cli, ["data", "check", str(tmp_path)])
    assert "mine train: recordings with truth.npz" in result.stdout
