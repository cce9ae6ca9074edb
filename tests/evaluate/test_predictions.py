"""Files of joints: what is read is what was written, and each mistake is named where it stands."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from cadstn.errors import CadstnError
from cadstn.evaluate.predictions import (
    load_predictions,
    read_joints_npz,
    read_joints_text,
    read_npz_notes,
)
from cadstn.evaluate.protocol import protocol
from cadstn.io.joints import write_joints_uvd

Array = NDArray[np.float64]


def text_file(folder: Path, text: str) -> Path:
    path = folder / "joints.txt"
    path.write_text(text, encoding="utf-8")
    return path


def refusal(path: Path, joints: int = 2) -> CadstnError:
    with pytest.raises(CadstnError) as caught:
        read_joints_text(path, joints)
    error = caught.value
    assert str(error).startswith(f"{path}: ")
    assert error.hint
    assert "\n" not in str(error)
    return error


def test_read_by_hand(tmp_path: Path) -> None:
    path = text_file(tmp_path, "1 2 3 4 5 6\n7.5 -8 9e1 10 11 12\n")
    expected = [[[1, 2, 3], [4, 5, 6]], [[7.5, -8, 90], [10, 11, 12]]]
    assert read_joints_text(path, 2).tolist() == expected
    assert read_joints_text(str(path), 2).shape == (2, 2, 3)


@pytest.mark.parametrize(
    "text",
    [
        "1 2 3 4 5 6",  # no newline at the end
        "1 2 3 4 5 6 \r\n",  # Windows, and a blank before it: two of the published files
        "1 2 3 4 5 6\r\r\n",  # ICVL's own label files
        "  1\t2 3   4 5 6\n\n\n",  # tabs, and blank lines at the end
        "\ufeff1 2 3 4 5 6\n",  # a byte order mark
    ],
)
def test_harmless_differences(tmp_path: Path, text: str) -> None:
    path = tmp_path / "joints.txt"
    path.write_bytes(text.encode())
    assert read_joints_text(path, 2).tolist() == [[[1, 2, 3], [4, 5, 6]]]


def test_lost_frames_keep_their_place(tmp_path: Path) -> None:
    path = text_file(tmp_path, "1 2 3 4 5 6\nnan nan nan nan nan nan\n7 8 9 1 2 3\n")
    joints = read_joints_text(path, 2)
    assert joints.shape == (3, 2, 3)
    assert np.isnan(joints).all(axis=(1, 2)).tolist() == [False, True, False]


@pytest.mark.parametrize(
    ("text", "what", "hint"),
    [
        ("", "empty", "2 x (u v d)"),
        (" \n\n", "empty", "2 x (u v d)"),
        ("1 2 3 4 5 6\n1 2 3 4 5\n", "line 2 holds 5 numbers, expected 6", "which data set"),
        ("1 2 3 4 5 6 7\n", "line 1 holds 7 numbers, expected 6", "2 x (u v d)"),
        ("1 2 3 4 5 6\n\n1 2 3 4 5 6\n", "line 2 holds 0 numbers, expected 6", "one frame a line"),
        ("\n1 2 3 4 5 6\n", "line 1 holds 0 numbers, expected 6", "one frame a line"),
        ("1 2 3 4 5 6\n1 2 x3 4 5 6\n", "line 2: 'x3' is not a number", "between blanks"),
        ("a/b.png 1 2 3 4 5 6\n", "line 1: 'a/b.png' is not a number", "without file names"),
        ("# u v d\n1 2 3 4 5 6\n", "line 1: '#' is not a number", "headers"),
        ("1 2 3 4 5 6 # note\n", "line 1: '#' is not a number", "headers"),
        ("1,2,3,4,5,6\n", "line 1: '1,2,3,4,5,6' is not a number", "commas"),
        ("1 2 3 4 5 1_0\n", "line 1: '1_0' is not a number", "between blanks"),
        ("1 2 3 4 5 inf\n", "line 1: 'inf' is not finite", "nan throughout"),
        ("1 2 3 4 5 1e999\n", "line 1: '1e999' is not finite", "nan throughout"),
        ("1 2 3 nan nan nan\n", "line 1: 'nan' is not finite", "nan throughout"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, what: str, hint: str) -> None:
    error = refusal(text_file(tmp_path, text))
    assert error.what == what
    assert hint in error.hint


def test_missing_file_and_folder(tmp_path: Path) -> None:
    assert refusal(tmp_path / "no.txt").what == "no such file"
    assert refusal(tmp_path).what == "no such file"


def test_a_file_that_is_not_text(tmp_path: Path) -> None:
    path = tmp_path / "depth.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 9)
    assert "is not a number" in refusal(path).what
    assert len(str(refusal(path))) < 400


@given(
    arrays(np.float64, (3, 2, 3), elements=st.floats(-9999, 9999)),
    st.sets(st.integers(0, 2), max_size=3),
)
def test_round_trip(
    tmp_path_factory: pytest.TempPathFactory, joints: Array, lost: set[int]
) -> None:
    path = tmp_path_factory.mktemp("round") / "joints.txt"
    joints = joints.copy()
    joints[list(lost)] = np.nan
    write_joints_uvd(path, joints)
    assert np.allclose(read_joints_text(path, 2), joints, rtol=0, atol=0.5001e-3, equal_nan=True)


def test_written_text_is_the_fields(tmp_path: Path) -> None:
    path = tmp_path / "out.txt"
    path.write_text("old", encoding="utf-8")
    write_joints_uvd(path, np.array([[[1, 2.5, 300.12345]], [[np.nan] * 3]]))
    assert path.read_bytes() == b"1.000 2.500 300.123\nnan nan nan\n"
    assert [p.name for p in tmp_path.iterdir()] == ["out.txt"]


def test_what_the_reader_refuses_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "out.txt"
    for joints in (np.full((1, 2, 3), np.inf), np.array([[[1.0, 2, np.nan]]]), np.zeros((4, 3))):
        with pytest.raises(CadstnError, match="joints of "):
            write_joints_uvd(path, joints)
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").touch()
    with pytest.raises(CadstnError, match=r"file.out\.txt: cannot write \("):
        write_joints_uvd(tmp_path / "file" / "out.txt", np.zeros((1, 2, 3)))
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_folder_in_the_way_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "out.txt").mkdir()
    with pytest.raises(CadstnError, match="a folder where a file is to be written"):
        write_joints_uvd(tmp_path / "out.txt", np.zeros((1, 2, 3)))
    assert [p.name for p in tmp_path.iterdir()] == ["out.txt"]


def test_npz_round_trip(tmp_path: Path) -> None:
    joints = np.arange(24, dtype=np.float32).reshape(4, 2, 3)
    joints[2] = np.nan
    np.savez(tmp_path / "a.npz", joints_xyz_mm=joints, other=np.arange(3))
    read = read_joints_npz(tmp_path / "a.npz")
    assert read.dtype == np.float64
    assert np.array_equal(read, joints, equal_nan=True)
    assert np.array_equal(load_predictions(tmp_path / "a.npz"), joints, equal_nan=True)


def test_npz_mistakes_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"

    def refused() -> str:
        with pytest.raises(CadstnError) as caught:
            read_joints_npz(path)
        assert caught.value.where == path
        assert caught.value.hint
        return caught.value.what

    assert refused() == "no such file"
    for content in (b"", b"not a zip", b"PK\x03\x04 cut off"):
        path.write_bytes(content)
        assert refused().startswith("not a readable .npz file (")
    with path.open("wb") as file:
        np.save(file, np.zeros((1, 2, 3)))
    assert refused() == "not an .npz file but one array"
    np.savez(path, xyz=np.zeros((1, 2, 3)))
    assert refused() == "lacks joints_xyz_mm, holds xyz"
    np.savez(path, joints_xyz_mm=np.zeros((2, 3)))
    assert refused() == "joints_xyz_mm is float64 of shape (2, 3)"
    np.savez(path, joints_xyz_mm=np.full((1, 2, 3), "a"))
    assert refused() == "joints_xyz_mm is <U1 of shape (1, 2, 3)"
    np.savez(path, joints_xyz_mm=np.array([[[{}, 1, 2]]], dtype=object))
    assert refused().startswith("not a readable .npz file (")
    np.savez(path, joints_xyz_mm=np.array([[[1.0, 2, np.inf]]]))
    assert refused() == "joints of frame 0: 1 of 3 numbers are not finite"


def test_uvd_becomes_mm_and_xyz_stays(tmp_path: Path) -> None:
    # 58.803 px right of NYU's centre at 1 m is 100 mm; 58.707 px below it is 100 mm down.
    path = text_file(tmp_path, "378.803 298.707 1000 " * 14)
    nyu = protocol("nyu")
    joints = load_predictions(path, nyu)
    assert joints.shape == (1, 14, 3)
    assert joints[0, 0] == pytest.approx([100, 100, 1000])
    assert load_predictions(path, nyu, "xyz")[0, 0].tolist() == [378.803, 298.707, 1000]


def test_load_mistakes_are_named(tmp_path: Path) -> None:
    path = text_file(tmp_path, "1 2 3\n")
    line = r"joints\.txt: a text file does not name .* --set nyu or in Python 'nyu'"
    with pytest.raises(CadstnError, match=line):
        load_predictions(path)
    with pytest.raises(CadstnError, match="no such file"):
        load_predictions(tmp_path / "no.txt")
    with pytest.raises(CadstnError, match="no format 'uvz'; did you mean 'uvd'"):
        load_predictions(path, protocol("nyu"), "uvz")  # type: ignore[arg-type]
    np.savez(tmp_path / "a.npz", joints_xyz_mm=np.zeros((1, 21, 3)))
    with pytest.raises(CadstnError, match=r"a\.npz: holds 21 joints where icvl has 16; give"):
        load_predictions(tmp_path / "a.npz", protocol("icvl"))


def test_names_of_files_in_any_case_and_arrays_of_one(tmp_path: Path) -> None:
    joints = np.full((2, 21, 3), 400.0)
    joints[:, 1:] += 30.0
    np.savez(tmp_path / "a.npz", joints_xyz_mm=joints)
    (tmp_path / "a.npz").rename(tmp_path / "A.NPZ")
    assert np.array_equal(load_predictions(tmp_path / "A.NPZ"), joints)
    np.save(tmp_path / "b.npy", joints)
    with pytest.raises(CadstnError, match=r"b\.npy: one array, which is not read .*numpy\.savez"):
        load_predictions(tmp_path / "b.npy", "icvl")


def test_text_of_powershell_is_read(tmp_path: Path) -> None:
    text = "378.803 298.707 1000 " * 14 + "\r\n"
    path = tmp_path / "a.txt"
    path.write_bytes(text.encode("utf-16"))
    assert load_predictions(path, "nyu")[0, 0] == pytest.approx([100, 100, 1000])
    with pytest.raises(CadstnError, match="does not name its camera"):
        load_predictions(path)


def test_negative_cuts_name_their_file(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", joints_xyz_mm=np.ones((2, 2, 3)), cuts=[-3, 1])
    with pytest.raises(CadstnError, match=r"a\.npz: its cuts hold -3; give frames' indices"):
        read_npz_notes(tmp_path / "a.npz")


def test_the_largest_test_set_reads_in_a_moment(published: Path) -> None:
    begin = time.perf_counter()
    joints = read_joints_text(published / "nyu" / "groundtruth.txt", 14)
    assert joints.shape == (8252, 14, 3)
    # 0.05 s on two cores of 2024; the bound only catches a return to line-by-line parsing.
    assert time.perf_counter() - begin < 5.0
