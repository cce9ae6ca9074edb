"""Every layout: what is written is read back, and what half a set lacks is said in one line."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io

from cadstn.data import find_dataset, icvl, jump_starts, msra, nyu, open_dataset
from cadstn.errors import CadstnError
from cadstn.evaluate.protocol import PROTOCOLS
from cadstn.geometry.skeleton import NYU14_OF_36, NYU36

Make = Callable[..., tuple[Path, Any, Any]]


def fails(path: Path, split: str, *message: str) -> None:
    """Opening fails in one line that holds these words, the path and a hint."""
    with pytest.raises(CadstnError) as caught:
        open_dataset(path, split)
    line = str(caught.value)
    assert "\n" not in line
    assert caught.value.hint
    for words in message:
        assert words in line


def test_nyu_is_read_back_bit_for_bit(make_nyu: Make) -> None:
    root, depth, uvd = make_nyu("test")
    dataset = open_dataset(root, "test")
    assert len(dataset) == 6
    np.testing.assert_array_equal(dataset.joints_uvd, uvd)
    for index in range(6):
        sample = dataset[index]
        assert sample.depth_mm.dtype == np.float32
        np.testing.assert_array_equal(sample.depth_mm, depth[index])
    assert dataset.names[0] == "depth_1_0000001.png"
    assert dataset.skeleton.joints[dataset.center_joint] == "PALM_3"
    # The frame of the file has y up; ours has it down, so that it grows with v.
    sample = dataset[0]
    np.testing.assert_allclose(sample.camera.to_uvd(sample.joints_xyz_mm), uvd[0], atol=1e-9)


def test_nyus_second_subject_has_a_cube_of_its_own(
    make_nyu: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (nyu.SECOND_SUBJECT, nyu.TEST_FRAMES) == (2440, 8252)
    root, _, _ = make_nyu("test")
    assert set(open_dataset(root, "test").subjects) == {"unknown"}  # a part: whose is not known
    monkeypatch.setattr(nyu, "TEST_FRAMES", 6)
    monkeypatch.setattr(nyu, "SECOND_SUBJECT", 4)
    assert open_dataset(root, "test").subjects == ("1",) * 4 + ("2",) * 2
    make_nyu("train")
    assert set(open_dataset(root, "train").subjects) == {"1"}


def test_samples_cannot_change_their_set(make_nyu: Make) -> None:
    dataset = open_dataset(make_nyu("test")[0], "test")
    before = dataset.fingerprint()
    for array in (dataset[0].joints_xyz_mm, dataset[0].joints_uvd, dataset.starts):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0
    own = np.zeros((6, 36, 3))
    given = replace(dataset, joints_xyz_mm=own)
    own[0] = 1.0  # whose it was may still write
    assert given.joints_xyz_mm[0, 0, 0] == 1.0
    assert dataset.fingerprint() == before


def test_one_frame_is_taken_at_a_time(make_nyu: Make) -> None:
    dataset = open_dataset(make_nyu("test")[0], "test")
    assert dataset[np.int64(-1)].name == dataset[5].name
    assert sum(1 for _ in iter(dataset)) == 6
    with pytest.raises(IndexError):
        dataset[6]
    for index in (slice(0, 3), [0, 1], "a", 1.0):
        with pytest.raises(CadstnError, match="nyu test is indexed by a"):
            dataset[index]  # type: ignore[index]


def test_nyu_file_is_as_tompsons(make_nyu: Make) -> None:
    root, _, uvd = make_nyu("test")
    mat = scipy.io.loadmat(root / "test" / "joint_data.mat")
    assert mat["joint_names"].shape == (1, 36)
    assert [str(mat["joint_names"][0, i][0]) for i in (0, 6, 24, 35)] == [
        "F1_KNU3_A", "F2_KNU3_A", "TH_KNU3_A", "PALM_6",
    ]  # fmt: skip
    assert mat["joint_uvd"].shape == mat["joint_xyz"].shape == (3, 6, 36, 3)
    x, y, z = mat["joint_xyz"][0, 0, 0]
    u, v, d = uvd[0, 0]
    assert z == d
    assert x == pytest.approx((u - 320) * d / 588.03)
    assert y == pytest.approx((240 - v) * d / 587.07)


@pytest.mark.parametrize("layout", range(4))
@pytest.mark.parametrize("split", ["train", "test"])
def test_icvl_is_read_back(make_icvl: Make, split: str, layout: int) -> None:
    root, depth, uvd = make_icvl(split, layout)
    dataset = open_dataset(root, split)
    assert dataset.layout == icvl.LAYOUTS[split][layout].words
    np.testing.assert_allclose(dataset.joints_uvd, uvd, atol=0.0005)
    for index in range(6):
        np.testing.assert_array_equal(dataset[index].depth_mm, depth[index])
    assert dataset.shots().tolist() == [0, 4]
    assert [dataset[i].starts_shot for i in (0, 1, 4)] == [True, False, True]
    assert (dataset[0].sequence, dataset[5].subject) == ("201401011200", "201402021200")


def test_icvl_writes_what_its_sensor_did(make_icvl: Make) -> None:
    import cv2

    root, _, _ = make_icvl("train")
    file = root / "Training/Depth/201401011200/image_0000.png"
    raw = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
    assert raw is not None
    assert raw.dtype == np.uint16
    assert raw.shape == (240, 320)
    assert raw[6, 8] == 32001


def test_msra_is_read_back_bit_for_bit(make_msra: Make) -> None:
    root, depth, xyz = make_msra()
    dataset = open_dataset(root, "all")
    assert len(dataset) == 12
    np.testing.assert_allclose(dataset.joints_xyz_mm, xyz, atol=0.0005)
    for index in range(12):
        np.testing.assert_array_equal(dataset[index].depth_mm, depth[index])
    assert dataset.shots().tolist() == [0, 3, 6, 9]
    line = (root / "P0" / "1" / "joint.txt").read_text().split("\n")
    assert line[0] == "3"
    x, y, z = map(float, line[1].split()[:3])
    assert z < 0
    assert (x, -y, -z) == pytest.approx(tuple(xyz[0, 0]), abs=0.0005)


def test_msra_leaves_one_subject_out(make_msra: Make) -> None:
    root, _, _ = make_msra(("P0", "P2", "P7"))
    assert set(open_dataset(root, "train-P2").subjects) == {"P0", "P7"}
    assert set(open_dataset(root, "test-P2").subjects) == {"P2"}
    assert set(open_dataset(root, "P7").subjects) == {"P7"}
    assert find_dataset(root).folds() == tuple(
        (f"train-{s}", f"test-{s}") for s in ("P0", "P2", "P7")
    )
    fails(root, "train", "no split 'train'", "train-P0")


def test_known_faulty_frames_are_named(make_msra: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    root, _, _ = make_msra()
    assert sum(map(len, msra.FAULTY.values())) == 22
    monkeypatch.setitem(msra.FAULTY, "P3/TIP", (1, 400))
    dataset = open_dataset(root, "all")
    assert dataset.faulty == ("P3/TIP/000001_depth.bin",)


def test_nyus_known_cuts_are_found(shared: Path) -> None:
    protocol = PROTOCOLS["nyu"]
    truth = np.loadtxt(shared / "published/nyu/groundtruth.txt").reshape(-1, 14, 3)
    starts = np.flatnonzero(jump_starts(protocol.camera.to_xyz_mm(truth)))
    assert tuple(starts[1:]) == protocol.cuts


def test_gaps_and_backward_steps_begin_shots(tmp_path: Path) -> None:
    numbers = [0, 2, 4, 10, 17, 18, 3]
    names = [f"20140101/image_{n:04d}.png" for n in numbers]
    folder = tmp_path / "Training"
    for name in names:
        icvl.write_frame(folder / "Depth", name, np.full((240, 320), 500, np.uint16))
    icvl.write_labels(folder / "labels.txt", names, np.full((7, 16, 3), 100.0))
    # 4 to 10 leaves out five, 10 to 17 six.
    assert open_dataset(tmp_path, "train").shots().tolist() == [0, 4, 6]


def test_turned_frames_can_be_left_aside(make_icvl: Make) -> None:
    root, depth, uvd = make_icvl("train")
    names = ["22-5/201401/image_0000.png", "201401011200/image_0000.png", "-90/image_0000.png"]
    for name in names:
        icvl.write_frame(root / "Training/Depth", name, depth[0])
    icvl.write_labels(root / "Training/labels.txt", names, uvd[:3])
    assert open_dataset(root, "train-unrotated").names == (names[1],)
    dataset = open_dataset(root, "train")
    assert dataset.names == tuple(names)
    assert dataset.subjects == ("201401", "201401011200", "unknown")


def test_unusable_training_labels_are_left_out_and_named(make_icvl: Make) -> None:
    root, _, uvd = make_icvl("train")
    names = list(open_dataset(root, "train").names)
    wrong = uvd.copy()
    wrong[1, 3, 2] = 0
    wrong[4, 15, 0] = 320
    icvl.write_labels(
        root / "Training/labels.txt", [*names, "gone/image_0.png"], np.r_[wrong, uvd[:1]]
    )
    dataset = open_dataset(root, "train")
    assert len(dataset) == 4
    assert [(out.name, out.why) for out in dataset.left_out] == [
        (names[1], "label without depth"),
        (names[4], "joint outside the image"),
        ("gone/image_0.png", "its folder is not there"),
    ]


def test_no_test_frame_is_ever_left_out(make_icvl: Make) -> None:
    root, _, uvd = make_icvl("test")
    names = list(open_dataset(root, "test").names)
    uvd[1, 3, 2] = 0
    icvl.write_labels(root / "Testing/test_seq_1.txt", names[:4], uvd[:4])
    dataset = open_dataset(root, "test")
    assert len(dataset) == 6
    assert dataset.faulty == (names[1],)


@pytest.mark.parametrize("within", ["", "dataset", "nyu_hand_dataset_v2"])
def test_a_set_is_found_where_it_was_unpacked(make_nyu: Make, within: str) -> None:
    root, _, _ = make_nyu("test")
    top = root.parent / "top"
    (top / within).parent.mkdir(parents=True, exist_ok=True)
    shutil.move(root, top / within)
    found = find_dataset(top)
    assert (found.name, found.splits) == ("nyu", ("test",))
    assert len(open_dataset(top, "test")) == 6
    assert find_dataset(found.root / "test").splits == ("test",)
    fails(top, "train", "no split 'train'", "known: test")


def test_the_fingerprint_tells_data_apart(make_nyu: Make) -> None:
    root, _, uvd = make_nyu("test")
    first = open_dataset(root, "test").fingerprint()
    assert open_dataset(root, "test").fingerprint() == first
    file = root / "test" / nyu.frame_name(0)
    data = file.read_bytes()
    file.write_bytes(data + b"x")
    assert open_dataset(root, "test").fingerprint() != first
    file.write_bytes(data)
    assert open_dataset(root, "test").fingerprint() == first
    moved = np.stack([uvd + 1e-6] * 3)
    nyu.write_labels(root / "test", moved, moved)
    assert open_dataset(root, "test").fingerprint() != first


def test_half_unpacked_sets_are_recognised(
    make_nyu: Make, make_icvl: Make, make_msra: Make
) -> None:
    root, _, _ = make_nyu("train")
    (root / "train/joint_data.mat").rename(root / "labels.mat")
    fails(root, "train", "train: has depth_1_0000001.png but not joint_data.mat")
    (root / "labels.mat").rename(root / "train/joint_data.mat")
    for file in (root / "train").glob("*.png"):
        file.unlink()
    fails(root, "train", "train: has the labels of 6 frames but not depth_1_0000001.png")

    root, _, _ = make_icvl("test")
    (root / "Testing/test_seq_2.txt").unlink()
    fails(root, "test", "icvl: has Testing/test_seq_1.txt but not Testing/test_seq_2.txt")
    root, _, _ = make_icvl("train")
    shutil.rmtree(root / "Testing")
    shutil.rmtree(root / "Training/Depth")
    fails(root, "train", "icvl: has Training/labels.txt but not the folder Training/Depth")
    root, _, _ = make_icvl("test", 1)
    shutil.rmtree(root / "Training")
    shutil.rmtree(root / "Testing/Depth/201402021200")
    fails(root, "test", "lacks the folder of 201402021200/image_0000.png and of 1 more")

    root, _, _ = make_msra(("P0",))
    for file in (root / "P0/TIP").glob("*.bin"):
        file.unlink()
    fails(root, "all", "P0/TIP: has the labels of 3 frames but not 000000_depth.bin")
    shutil.rmtree(root / "P0/1")
    (root / "P0/TIP/joint.txt").unlink()
    fails(root, "all", "msra: has P0 but no gesture with a joint.txt")


def test_other_folders_are_no_data_set(tmp_path: Path) -> None:
    fails(tmp_path, "test", f"{tmp_path}: holds no data set that is known", "Training/labels.txt")
    fails(tmp_path / "none", "test", "none: no such folder")
    (tmp_path / "a.zip").write_bytes(b"")
    fails(tmp_path / "a.zip", "test", "a.zip: is a file, not a folder")


def test_every_scored_joint_of_nyu_is_one_of_36() -> None:
    assert len(NYU36.joints) == 36
    assert NYU36.joints[NYU14_OF_36[13]] == "PALM_3"
    assert NYU36.joints[18] == "F4_KNU3_A"
