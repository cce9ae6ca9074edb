"""Files that mean something else than they are read as: recognised, named, never guessed at."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import ArrayLike, NDArray

from cadstn.errors import CadstnError
from cadstn.evaluate.checks import Format
from cadstn.evaluate.predictions import load_predictions
from cadstn.evaluate.protocol import protocol
from cadstn.evaluate.report import score_files
from cadstn.geometry.skeleton import ICVL16, MSRA21
from cadstn.io.joints import write_joints_uvd

ICVL = protocol("icvl")


def hands(frames: int = 40) -> NDArray[np.float64]:
    """Truth of moving hands: (N, 16, 3) mm, joints some 20 mm apart, off the camera's axis."""
    rng = np.random.default_rng(3)
    shape = rng.normal(0, 35, (16, 3))
    where = np.cumsum(rng.normal(0, 2, (frames, 1, 3)), axis=0)
    return shape + where + (25.0, -30.0, 420.0)


def files(tmp_path: Path, written: NDArray[np.float64]) -> tuple[Path, Path]:
    """A prediction of these numbers as they are, and a file of truth of `hands`."""
    pred, truth = tmp_path / "pred.txt", tmp_path / "truth.txt"
    write_joints_uvd(pred, written)
    write_joints_uvd(truth, ICVL.camera.to_uvd(hands()))
    return pred, truth


def refused(pred: Path, truth: Path, fmt: str = "uvd") -> str:
    with pytest.raises(CadstnError) as caught:
        score_files(pred, truth, "icvl", "xyz" if fmt == "xyz" else "uvd")
    error = caught.value
    assert Path(str(error.where)) == pred
    assert error.hint
    assert "\n" not in str(error)
    return str(error)


def noisy() -> NDArray[np.float64]:
    return hands() + np.random.default_rng(4).normal(0, 4, (40, 16, 3))


def test_right_files_pass(tmp_path: Path) -> None:
    cases: list[tuple[Format, ArrayLike, float, float]] = [
        ("uvd", ICVL.camera.to_uvd(noisy()), 6.4, 0.5),
        ("xyz", noisy(), 6.4, 0.5),
        ("xyz", hands(), 0, 0.01),
    ]
    for fmt, written, error_mm, within_mm in cases:
        pred, truth = files(tmp_path, np.asarray(written))
        scores, _ = score_files(pred, truth, "icvl", fmt)
        assert scores.mean_error_mm == pytest.approx(error_mm, abs=within_mm)


def test_a_bad_network_is_still_scored(tmp_path: Path) -> None:
    # Far off in no way that another reading would explain.
    pred, truth = files(tmp_path, hands() + np.array([120.0, 0, 0]))
    scores, text = score_files(pred, truth, "icvl", "xyz")
    assert scores.mean_error_mm == pytest.approx(120, abs=0.1)
    assert "note: over 100 mm is rarely a network's doing" in text


def test_metres(tmp_path: Path) -> None:
    uvd = np.array(ICVL.camera.to_uvd(noisy()), np.float64) * (1, 1, 1e-3)
    message = refused(*files(tmp_path, uvd))
    assert "its d of 0.4" in message
    assert "suggests metres, not mm" in message
    message = refused(*files(tmp_path, noisy() / 1000), "xyz")
    assert "suggests metres" in message
    assert "write z, x and y in mm" in message
    # Neither a prediction nor a truth in .npz, with or without the other.
    np.savez(tmp_path / "a.npz", joints_xyz_mm=noisy() / 1000)
    np.savez(tmp_path / "b.npz", joints_xyz_mm=hands())
    for one, other in (("a", "b"), ("b", "a"), ("a", "a")):
        with pytest.raises(CadstnError, match=r"a\.npz: its z of 0\.4\d* in the middle suggests m"):
            score_files(tmp_path / f"{one}.npz", tmp_path / f"{other}.npz")


def test_xyz_for_uvd_and_back(tmp_path: Path) -> None:
    message = refused(*files(tmp_path, noisy()))
    assert "of its u v lie outside icvl's image of 320x240: does it hold x y z in mm?" in message
    assert "--format xyz" in message
    uvd = np.asarray(ICVL.camera.to_uvd(noisy()), np.float64)
    message = refused(*files(tmp_path, uvd), "xyz")
    assert "with its columns as u v d; leave out --format xyz" in message
    # x and y that happen to lie inside the image are told by the truth.
    inside = np.abs(noisy()) + np.array([60.0, 60, 0])
    pred = tmp_path / "inside.txt"
    truth = tmp_path / "inside_truth.txt"
    write_joints_uvd(pred, inside)
    write_joints_uvd(truth, ICVL.camera.to_uvd(inside))
    message = refused(pred, truth)
    assert "0.0 mm with its columns as x y z in mm" in message


def test_behind_the_camera_and_turned_axes(tmp_path: Path) -> None:
    message = refused(*files(tmp_path, noisy() * (1, -1, -1)), "xyz")
    assert "lies behind the camera" in message
    far_up = hands() + np.array([0.0, -80, 0])
    write_joints_uvd(tmp_path / "truth.txt", ICVL.camera.to_uvd(far_up))
    write_joints_uvd(tmp_path / "pred.txt", far_up * (1, -1, 1))
    message = refused(tmp_path / "pred.txt", tmp_path / "truth.txt", "xyz")
    assert "with y reversed; give x right, y down, z forward" in message


def test_exchanged_columns(tmp_path: Path) -> None:
    truth_mm = hands() + np.array([60.0, -40, 0])
    swapped = np.asarray(ICVL.camera.to_uvd(truth_mm))[..., [1, 0, 2]]
    write_joints_uvd(tmp_path / "truth.txt", ICVL.camera.to_uvd(truth_mm))
    write_joints_uvd(tmp_path / "pred.txt", swapped)
    message = refused(tmp_path / "pred.txt", tmp_path / "truth.txt")
    assert "with u and v exchanged; exchange the columns" in message


def test_joints_in_another_order(tmp_path: Path) -> None:
    order = [0, *range(13, 16), *range(4, 13), *range(1, 4)]  # thumb and pinky exchanged
    message = refused(
        *files(tmp_path, np.asarray(ICVL.camera.to_uvd(noisy()[:, order]), np.float64))
    )
    assert "its joint 1 lies where the truth has pinky_root, not thumb_root" in message
    assert "put its joints in this order: palm, thumb_root" in message


def test_named_joints_in_another_order(tmp_path: Path) -> None:
    names = np.array(ICVL16.joints)
    names[[1, 2]] = names[[2, 1]]
    path = tmp_path / "named.npz"
    np.savez(path, joints_xyz_mm=noisy(), skeleton="icvl16", joint_names=names)
    with pytest.raises(CadstnError, match=r"named\.npz: names its joint 1 'thumb_mid' where icvl"):
        load_predictions(path, ICVL)
    np.savez(path, joints_xyz_mm=noisy(), skeleton="icvl16", joint_names=names[:15])
    with pytest.raises(CadstnError, match="names its joint 1"):
        load_predictions(path)
    np.savez(path, joints_xyz_mm=noisy(), skeleton="icvl16", joint_names=ICVL16.joints)
    assert load_predictions(path, ICVL).shape == (40, 16, 3)


def test_two_conventions_with_as_many_joints(tmp_path: Path) -> None:
    joints = np.random.default_rng(0).normal(300, 50, (5, 21, 3))
    np.savez(tmp_path / "a.npz", joints_xyz_mm=joints, skeleton="hand21")
    np.savez(tmp_path / "b.npz", joints_xyz_mm=joints, skeleton=MSRA21.name)
    with pytest.raises(CadstnError, match=r"a\.npz: holds joints of hand21 where .* holds msra21"):
        score_files(tmp_path / "a.npz", tmp_path / "b.npz")


def test_a_matlab_file(tmp_path: Path) -> None:
    path = tmp_path / "joint_data.mat"
    path.write_bytes(b"MATLAB 5.0 MAT-file")
    with pytest.raises(CadstnError, match=r"joint_data\.mat: a MATLAB file, which is not read as"):
        load_predictions(path, ICVL)


@pytest.mark.parametrize("joint", [0, 9])
def test_joints_relative_to_a_root(tmp_path: Path, joint: int) -> None:
    truth = hands()
    relative = noisy() - noisy()[:, joint, None]
    np.savez(tmp_path / "rel.npz", joints_xyz_mm=relative)
    np.savez(tmp_path / "abs.npz", joints_xyz_mm=truth)
    for one, other in (("rel", "abs"), ("abs", "rel"), ("rel", "rel")):
        with pytest.raises(
            CadstnError, match=r"rel\.npz: .*relative to one of them\?; add the root"
        ):
            score_files(tmp_path / f"{one}.npz", tmp_path / f"{other}.npz")
    # With depth kept and x and y relative, the truth shows it.
    x_y = noisy()
    x_y[..., :2] -= x_y[:, joint, None, :2]
    far = truth + np.array([150.0, 0, 0])
    np.savez(tmp_path / "rel.npz", joints_xyz_mm=x_y)
    np.savez(tmp_path / "abs.npz", joints_xyz_mm=far)
    with pytest.raises(CadstnError, match=r"with joints relative to joint"):
        score_files(tmp_path / "rel.npz", tmp_path / "abs.npz")


@pytest.mark.parametrize(("scale", "words"), [(0.5, "half"), (0.25, "a quarter")])
def test_pixels_of_a_smaller_image(tmp_path: Path, scale: float, words: str) -> None:
    uvd = np.asarray(ICVL.camera.to_uvd(noisy()), np.float64) * (scale, scale, 1)
    message = refused(*files(tmp_path, uvd))
    assert (
        f"with u and v of an image {words} as large; multiply u and v by {1 / scale:g}" in message
    )


def test_rows_of_zeros(tmp_path: Path) -> None:
    written = np.asarray(ICVL.camera.to_uvd(noisy()), np.float64)
    written[[7, 9]] = 0
    message = refused(*files(tmp_path, written))
    assert "frame 7 (counted from 0) is all zeros, and 1 more are; write nan" in message
    joints = noisy()
    joints[3] = 0
    np.savez(tmp_path / "a.npz", joints_xyz_mm=joints)
    np.savez(tmp_path / "b.npz", joints_xyz_mm=hands())
    with pytest.raises(CadstnError, match=r"a\.npz: frame 3 .* all zeros, and 0 more"):
        score_files(tmp_path / "a.npz", tmp_path / "b.npz")


def test_lost_frames_that_are_marked_by_numbers(tmp_path: Path) -> None:
    written = np.asarray(ICVL.camera.to_uvd(noisy()), np.float64)
    written[[7, 9]] = -1
    message = refused(*files(tmp_path, written))
    assert "frame 7 (counted from 0) is all -1, and 1 more are; write nan" in message
    joints = noisy()
    joints[5:25, :, 2] = -1  # half of all: the others show which way is forward
    message = refused(*files(tmp_path, joints), "xyz")
    assert "frame 5 (counted from 0) lies behind the camera with all its joints, and 19" in message
    joints[:] = -1
    assert "frame 0 (counted from 0) is all -1, and 39 more are" in refused(
        *files(tmp_path, joints), "xyz"
    )
