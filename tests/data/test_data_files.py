"""Damaged and strange files: one line with the file, what is wrong and what to do."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import scipy.io

from cadstn.data import icvl, msra, nyu, open_dataset
from cadstn.data.bank import Bank, CropRule, write_bank
from cadstn.errors import CadstnError
from cadstn.geometry.camera import KNOWN_CAMERAS
from cadstn.geometry.crop import crop_cube
from cadstn.geometry.skeleton import NYU14_OF_36
from cadstn.io import arrays

Make = Callable[..., tuple[Path, Any, Any]]


def line_of(call: Callable[[], object]) -> str:
    """The one line that a call fails with."""
    with pytest.raises(CadstnError) as caught:
        call()
    assert caught.value.where is not None
    assert caught.value.hint
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_mat_files_that_are_none(tmp_path: Path) -> None:
    file = tmp_path / "joint_data.mat"

    def read() -> object:
        return nyu.read_labels(file, "joint_uvd")

    assert "joint_data.mat: no such file" in line_of(read)
    file.write_bytes(b"")
    assert "not a MATLAB v5 file, it begins with b''" in line_of(read)
    file.write_bytes(b"<html>the page of a link that died</html>" * 9)
    assert "not a MATLAB v5 file, it begins with b'<html>" in line_of(read)
    file.write_bytes(b"MATLAB 7.3 MAT-file, Platform: PCWIN64".ljust(512))
    assert "MATLAB 7.3 file where the set has v5; save it in MATLAB with -v7" in line_of(read)
    file.write_bytes(b"\x89HDF\r\n\x1a\n".ljust(512))
    assert "MATLAB 7.3" in line_of(read)
    good = np.zeros((3, 2, 36, 3))
    scipy.io.savemat(file, {"joint_xyz": good})
    assert "lacks joint_uvd" in line_of(read)
    scipy.io.savemat(file, {"joint_uvd": good[0]})
    assert "joint_uvd is 2x36x3, expected 3xNx36x3" in line_of(read)
    scipy.io.savemat(file, {"joint_uvd": good, "joint_names": np.array(["a", "b"], object)})
    assert "joint_names begin a, b and are not NYU's 36" in line_of(read)
    good[0, 1, 5, 2] = np.nan
    scipy.io.savemat(file, {"joint_uvd": good})
    assert "joint_uvd of frame 2 is not finite" in line_of(read)
    scipy.io.savemat(file, {"joint_uvd": np.zeros((3, 50, 36, 3))}, do_compression=True)
    file.write_bytes(file.read_bytes()[:-40])
    assert "damaged MATLAB file" in line_of(read)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r\r\n"])
def test_line_ends_do_not_matter(tmp_path: Path, end: str) -> None:
    file = tmp_path / "labels.txt"
    row = " ".join(["1.5"] * 48)
    file.write_bytes(f"a/image_0.png {row} {end}a\\image_1.png  {row}{end}{end}".encode())
    names, uvd = icvl.read_labels(file)
    assert names == ["a/image_0.png", "a/image_1.png"]
    assert uvd.shape == (2, 16, 3)


def test_label_files_are_larger_than_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HANDS 2017's are half a gigabyte."""
    file = tmp_path / "labels.txt"
    file.write_text("a.png" + " 1.5" * 48)
    monkeypatch.setattr(arrays.read_regular, "__defaults__", (100,))
    assert icvl.read_labels(file)[0] == ["a.png"]
    monkeypatch.setenv("CADSTN_MAX_BYTES", "100")
    assert "CADSTN_MAX_BYTES=1000000000" in line_of(lambda: icvl.read_labels(file))


def test_icvls_own_label_files(shared: Path) -> None:
    folder = shared / "published/icvl"
    both = [icvl.read_labels(folder / f"labels/test_seq_{i}.txt") for i in (1, 2)]
    assert [len(names) for names, _ in both] == [702, 894]
    assert both[1][0][0] == "test_seq_2/image_0000.png"
    truth = np.loadtxt(folder / "groundtruth.txt").reshape(-1, 16, 3)
    np.testing.assert_allclose(np.concatenate([uvd for _, uvd in both]), truth, atol=0.001)


def test_icvls_wrong_lines_are_named(tmp_path: Path) -> None:
    file = tmp_path / "labels.txt"

    def read(text: str) -> Callable[[], object]:
        file.write_text(text)
        return lambda: icvl.read_labels(file)

    row = " ".join(["1.5"] * 48)
    assert "labels.txt: empty" in line_of(read("\n \n"))
    assert "line 2 holds 47 numbers, expected 48" in line_of(read(f"a.png {row}\nb.png {row[4:]}"))
    assert "line 2 holds 45" in line_of(read(f"a.png {row}\nb.png {row[12:]}\nc.png {row}"))
    assert "line 1: 'x' is not a number" in line_of(read(f"a.png x{row[3:]}"))
    assert "line 1: 'nan' is not finite" in line_of(read(f"a.png nan{row[3:]}"))
    assert "line 2 is empty" in line_of(read(f"a.png {row}\n\nb.png {row}"))
    assert "line 1 begins with '1.5', not with a .png" in line_of(read(row))


def test_msras_wrong_lines_are_named(tmp_path: Path) -> None:
    file = tmp_path / "joint.txt"

    def read(text: str) -> Callable[[], object]:
        file.write_text(text)
        return lambda: msra.read_labels(file)

    row = " ".join(["1.5", "2", "-500"] * 21)
    assert "line 1 counts 3 frames where 2 follow" in line_of(read(f"3\n{row}\n{row}\n"))
    assert "is '1.5 2" in line_of(read(f"{row}\n{row}\n"))
    assert "line 3 holds 62 numbers, expected 63" in line_of(read(f"2\n{row}\n{row[4:]}\n"))
    up = row.replace("-", "")
    assert "line 3: a joint's z is not negative" in line_of(read(f"2\n{row}\n{up}\n"))
    assert "no such file" in line_of(lambda: msra.read_labels(tmp_path / "none.txt"))


def test_damaged_frames_are_named(make_nyu: Make, make_msra: Make) -> None:
    root, _, _ = make_nyu("test")
    dataset = open_dataset(root, "test")
    file = root / "test" / nyu.frame_name(2)
    whole = file.read_bytes()
    file.write_bytes(whole[:-20])
    assert "depth_1_0000003.png: PNG cut off" in line_of(lambda: dataset[2].depth_mm)
    file.write_bytes(cv2.imencode(".png", np.ones((480, 640), np.uint16))[1].tobytes())
    assert "where NYU's packing is 8-bit RGB" in line_of(lambda: dataset[2].depth_mm)
    file.unlink()
    assert "no such file" in line_of(lambda: dataset[2].depth_mm)

    root, _, _ = make_msra()
    msra_all = open_dataset(root, "all")
    file = root / "P0/1/000001_depth.bin"
    whole = file.read_bytes()
    for data, message in (
        (whole[:20], "cut off after 20 bytes"),
        (whole[:-4], "bytes, its box needs"),
        (whole + b"1234", "bytes, its box needs"),
        (np.array([320, 240, 9, 9, 321, 20], "<i4").tobytes(), "is not in 320x240"),
        (np.array([640, 480, 0, 0, 0, 0], "<i4").tobytes(), "640x480"),
        (np.array([320, 240, 5, 5, 5, 5], "<i4").tobytes(), "nothing measured"),
    ):
        file.write_bytes(data)
        line = line_of(lambda: msra_all[1].depth_mm)
        assert message in line
        assert "000001_depth.bin" in line


def test_the_real_nyu_frame(shared: Path, tmp_path: Path) -> None:
    """Its 36 labels fall on the hand, 0 to 40 mm behind the skin."""
    source = shared / "real/nyu"
    folder = tmp_path / "test"
    folder.mkdir()
    frame = (source / "depth_1_0000001.png").read_bytes()
    uvd = np.loadtxt(source / "joints_uvd_36.txt").reshape(1, 1, 36, 3).repeat(3, 0)
    (folder / nyu.frame_name(0)).write_bytes(frame)
    nyu.write_labels(folder, uvd, np.asarray(nyu.CAMERA.to_xyz_mm(uvd)))
    sample = open_dataset(tmp_path, "test")[0]

    columns, rows, _ = sample.joints_uvd.round().T.astype(int)
    behind = sample.joints_uvd[:, 2] - sample.depth_mm[rows, columns]
    on_hand = np.abs(behind) < 100
    # Four stand on the outline, where the pixel is the wall's or nothing's.
    assert on_hand.sum() >= 32
    assert (behind[on_hand] >= 0).all()
    assert (behind[on_hand] <= 40).all()
    scored = sample.joints_xyz_mm[list(NYU14_OF_36)]
    crop = crop_cube(sample.depth_mm, sample.camera, scored.mean(0), 300.0)
    assert (np.abs(crop.to_normalised(sample.joints_xyz_mm)) < 1).all()
    assert 0.1 < (crop.image < 1).mean() < 0.6


def test_known_camera_of_each_set() -> None:
    assert nyu.CAMERA is KNOWN_CAMERAS["nyu"]
    assert (icvl.CAMERA.fx, msra.CAMERA.fx) == (241.42, 241.42)


def test_a_bank_is_made_where_nothing_is_reserved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on macOS, which has no ``posix_fallocate``."""
    monkeypatch.delattr(os, "posix_fallocate", raising=False)
    monkeypatch.setattr("cadstn.data.bank._BLOCK", 1000)
    about = {"data": "d", "rule": CropRule("hand21", 200.0, size=8).to_json(), "set": "nyu"}

    def fill(bank: Bank) -> None:
        assert not bank.crops.any()
        bank.crops[:] = 7

    bank = write_bank(tmp_path / "a.bank", (20, 8, 21), about, fill)
    assert (bank.crops == 7).all()
    assert bank.shots.shape == (20,)
