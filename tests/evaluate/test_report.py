"""Scoring a file against a file: the text says what the numbers depend on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray

from cadstn.cli import cli
from cadstn.errors import CadstnError
from cadstn.evaluate.metrics import Scores, score
from cadstn.evaluate.protocol import protocol
from cadstn.evaluate.report import format_scores, score_files
from cadstn.geometry.skeleton import HAND21, ICVL16
from cadstn.io.joints import write_joints_uvd

Array = NDArray[np.float64]


def hand(frames: int, joints: int = 16) -> Array:
    rng = np.random.default_rng(0)
    return rng.normal((0, 0, 400), 30, (frames, joints, 3))


def text_of(folder: Path, name: str, xyz_mm: Array) -> Path:
    write_joints_uvd(folder / name, protocol("icvl").camera.to_uvd(xyz_mm))
    return folder / name


def npz_of(folder: Path, name: str, xyz_mm: Array) -> Path:
    np.savez(folder / name, joints_xyz_mm=xyz_mm.astype(np.float32))
    return folder / name


def test_text_against_text(tmp_path: Path) -> None:
    truth = hand(9)
    pred = truth + np.array([3.0, 4.0, 0.0])
    scores, text = score_files(
        text_of(tmp_path, "pred.txt", pred), text_of(tmp_path, "truth.txt", truth), "icvl"
    )
    assert scores.mean_error_mm == pytest.approx(5, abs=1e-2)
    assert scores.frames == scores.of == 9
    for line in (
        "set                 icvl",
        "camera              fx 241.42, fy 241.42, cx 160, cy 120 px",
        "joints              16: all 16 labels",
        "frames              9 compared of 9, 0 lost",
        "shots               1 shot, not cut",
        "crop centre         not named by the file",
        "all within 20 mm       100.0 % of frames",
    ):
        assert line in text.split("\n")
    assert all(f"\n  {joint} " in text for joint in ICVL16.joints)
    assert "note: the truth has 9 frames where icvl's test has 1596" in text
    assert max(map(len, text.split("\n"))) <= 100
    json.dumps(scores.to_dict(), allow_nan=False)


def test_cuts_of_the_set_are_used_and_reported(tmp_path: Path) -> None:
    truth = np.zeros((704, 16, 3)) + np.array([0, 0, 400])
    pred = truth.copy()
    pred[702:, :, 0] += 50
    files = npz_of(tmp_path, "pred.npz", pred), npz_of(tmp_path, "truth.npz", truth)
    with_cut, text = score_files(*files, "icvl")
    assert with_cut.acceleration_error_mm_frame2 == 0
    assert with_cut.cuts == (702,)
    assert "2 shots, cut where the second test recording begins" in text
    without, text = score_files(*files)
    assert without.acceleration_error_mm_frame2 == pytest.approx(100 / 702)
    assert "1 shot, not cut" in text


def test_text_truth_has_the_shots_of_the_predictions(tmp_path: Path) -> None:
    truth = hand(12) + np.array([60.0, 0, 0])
    pred = truth + 3.0
    pred[6:, :, 0] += 20  # it jumps where a shot begins
    true = text_of(tmp_path, "truth.txt", truth)
    np.savez(tmp_path / "pred.npz", joints_xyz_mm=pred, cuts=[6])
    np.savez(tmp_path / "truth.npz", joints_xyz_mm=truth, cuts=[6])
    scores, text = score_files(tmp_path / "pred.npz", true, "icvl")
    assert "2 shots, cut where the file of predictions has a shot begin" in text
    assert "icvl's test has 1596" not in text
    known, text = score_files(tmp_path / "pred.npz", tmp_path / "truth.npz", protocol("icvl"))
    assert "2 shots, cut where the file of truth has a shot begin" in text
    assert scores.acceleration_error_mm_frame2 == pytest.approx(
        known.acceleration_error_mm_frame2, abs=1e-2
    )
    _, text = score_files(tmp_path / "pred.npz", tmp_path / "truth.npz")
    assert "2 shots, cut where the truth has a shot begin" in text
    # A shorter prediction is of the first frames, shots and all; of other frames nothing is known.
    np.savez(tmp_path / "short.npz", joints_xyz_mm=pred[:9], cuts=[6])
    assert score_files(tmp_path / "short.npz", true, "icvl")[0].cuts == (6,)
    np.savez(tmp_path / "other.npz", joints_xyz_mm=pred, cuts=[6], frame_index=np.arange(20))
    for name in ("other.npz", "plain.npz"):
        npz_of(tmp_path, "plain.npz", pred)
        assert "1 shot, not cut" in score_files(tmp_path / name, true, "icvl")[1]


def test_shots_of_either_file_are_shots(tmp_path: Path) -> None:
    truth = np.zeros((12, 16, 3)) + hand(1)
    truth[4:] += (200.0, 0, 0)
    truth[8:] -= (100.0, 0, 0)
    pred, true = tmp_path / "pred.npz", tmp_path / "truth.npz"
    np.savez(pred, joints_xyz_mm=truth, cuts=[4], skeleton="icvl16")
    np.savez(true, joints_xyz_mm=truth, cuts=[8], skeleton="icvl16")
    for name in (None, "icvl"):
        scores, text = score_files(pred, true, name)
        assert scores.cuts == (4, 8)
        assert scores.truth_jitter_mm_frame2 == 0
        assert "3 shots, cut where a file has a shot begin" in text
    # Of a part, its own rows count.
    np.savez(pred, joints_xyz_mm=truth[2:10], cuts=[2], frame_index=range(2, 10), frame_count=12)
    assert score_files(pred, true)[0].cuts == (2, 6)


def test_frames_without_a_hand_are_left_out(tmp_path: Path) -> None:
    truth = np.zeros((12, 16, 3)) + hand(1)
    truth[6:] += (200.0, 0, 0)
    pred, true = tmp_path / "pred.npz", tmp_path / "truth.npz"
    np.savez(pred, joints_xyz_mm=truth + np.array([0, 0, 2.0]), centre="found")
    truth[[0, 5]] = np.nan
    np.savez(true, joints_xyz_mm=truth, skeleton="icvl16")
    for name in (None, "icvl"):
        scores, text = score_files(pred, true, name)
        assert (scores.frames, scores.of, scores.lost, scores.cuts) == (10, 10, 0, (4,))
        assert scores.mean_error_mm == pytest.approx(2)
        assert scores.truth_jitter_mm_frame2 == 0
        assert "2 shots, cut where a file has a shot begin or a hand comes back" in text
        assert "note: left out: 2 frames without a hand in the truth" in text
        assert "only" not in text
    joints = np.nan_to_num(truth[2:8], nan=400.0)
    np.savez(pred, joints_xyz_mm=joints, frame_index=np.arange(2, 8), frame_count=12)
    scores, text = score_files(pred, true)
    assert (scores.frames, scores.of, scores.cuts) == (5, 10, (3,))
    assert "note: left out: 1 frame without a hand in the truth" in text
    # Files that have changed places, a truth of no hand at all, and frames of none of its hands.
    np.savez(pred, joints_xyz_mm=truth, centre="found")
    with pytest.raises(CadstnError, match=r"pred\.npz: frame 0 .* changed places"):
        score_files(true, pred)
    with pytest.raises(CadstnError, match=r"none\.npz: frame 0 "):
        score_files(pred, npz_of(tmp_path, "none.npz", np.full((12, 16, 3), np.nan)))
    with pytest.raises(CadstnError, match=r"truth\.npz: frame 0 "):
        score_files(npz_of(tmp_path, "one.npz", hand(1)), true)
    with pytest.raises(CadstnError, match="holds 13 frames where"):
        score_files(npz_of(tmp_path, "long.npz", hand(13)), true)


def test_a_shorter_prediction_is_scored_on_the_first_frames(tmp_path: Path) -> None:
    truth = hand(9)
    pred = truth[:6] + np.array([0, 0, 2.0])
    truth_file = npz_of(tmp_path, "truth.npz", truth)
    scores, text = score_files(npz_of(tmp_path, "pred.npz", pred), truth_file)
    assert (scores.frames, scores.of) == (6, 9)
    assert scores.mean_error_mm == pytest.approx(2, abs=1e-4)
    assert "6 compared of 9" in text
    assert "note: only the first 6 of 9 frames were compared" in text


def test_lost_frames_are_reported(tmp_path: Path) -> None:
    truth = hand(9)
    pred = truth.copy()
    pred[4] = np.nan
    truth_file = text_of(tmp_path, "truth.txt", truth)
    for path in (text_of(tmp_path, "pred.txt", pred), npz_of(tmp_path, "pred.npz", pred)):
        scores, text = score_files(path, truth_file, "icvl")
        assert scores.lost == 1
        assert scores.accuracy[40] == pytest.approx(8 / 9)
        assert "9 compared of 9, 1 lost" in text
        assert "leave out 1 lost frames; accuracy counts them as wrong" in text


def test_nothing_found_at_all(tmp_path: Path) -> None:
    lost = npz_of(tmp_path, "pred.npz", np.full((4, 16, 3), np.nan))
    _, text = score_files(lost, npz_of(tmp_path, "truth.npz", hand(4)))
    assert "mean error                 - (nothing to measure)" in text
    assert "nan" not in text.replace("nan)", "")


def test_own_recordings_have_numbered_or_given_joints(tmp_path: Path) -> None:
    files = npz_of(tmp_path, "a.npz", hand(5, 21)), npz_of(tmp_path, "b.npz", hand(5, 21))
    assert "\n  joint 20 " in score_files(*files)[1]
    named = score_files(*files, skeleton=HAND21, center="found")[1]
    assert "\n  pinky_tip " in named
    assert "crop centre         found" in named
    with pytest.raises(CadstnError, match="scores of 21 joints where icvl16 has 16; give"):
        score_files(*files, skeleton=ICVL16)


def test_format_needs_no_files() -> None:
    truth = hand(5)
    text = format_scores(score(truth, truth), protocol("icvl"), center="truth")
    assert "mean error             0.000 mm" in text
    assert "crop centre         truth" in text


def test_mistakes_name_the_file(tmp_path: Path) -> None:
    five, six = npz_of(tmp_path, "five.npz", hand(5)), npz_of(tmp_path, "six.npz", hand(6))
    with pytest.raises(CadstnError, match=r"six\.npz: holds 6 frames where .*five\.npz holds 5; "):
        score_files(six, five)
    other = npz_of(tmp_path, "other.npz", hand(5, 14))
    with pytest.raises(CadstnError, match=r"other\.npz: holds 14 joints where .* holds 16; "):
        score_files(other, five)
    holed = hand(5)
    holed[3] = np.nan
    lost = text_of(tmp_path, "lost.txt", holed)
    with pytest.raises(CadstnError, match=r"lost\.txt: frame 3 .*counted from 0.* truth; leave"):
        score_files(five, lost, "icvl", fmt="uvd")
    with pytest.raises(CadstnError, match="no test set 'nyc'; did you mean 'nyu'"):
        score_files(five, five, "nyc")
    with pytest.raises(CadstnError, match=r"none\.npz: no such file"):
        score_files(tmp_path / "none.npz", five)


def test_the_crop_centre_goes_by_its_old_name_for_one_more_release() -> None:
    truth = hand(5)
    old: dict[str, Any] = {"centre": "truth"}
    with pytest.warns(DeprecationWarning, match="centre= is now center="):
        text = format_scores(score(truth, truth), protocol("icvl"), **old)
    assert "crop centre         truth" in text


def test_a_part_of_a_recording_is_scored_on_its_own_frames(tmp_path: Path) -> None:
    truth = hand(20)
    truth[10:] += np.array([200.0, 0, 0])  # a second shot
    index = np.arange(3, 18, 2)
    pred = truth[index] + np.array([0, 0, 2.0])
    np.savez(tmp_path / "part.npz", joints_xyz_mm=pred, frame_index=index, frame_count=20)
    np.savez(tmp_path / "truth.npz", joints_xyz_mm=truth, cuts=[10])
    scores, text = score_files(tmp_path / "part.npz", tmp_path / "truth.npz")
    assert scores.mean_error_mm == pytest.approx(2)
    assert (scores.frames, scores.of, scores.cuts) == (8, 20, (4,))  # frame 11 begins the shot
    assert "note: only 8 of 20 frames were compared, 3 to 17 counted from 0" in text
    # A file of truth may itself be a part; its rows are found by their indices.
    np.savez(tmp_path / "true_part.npz", joints_xyz_mm=truth[2:], frame_index=np.arange(2, 20))
    scores, _ = score_files(tmp_path / "part.npz", tmp_path / "true_part.npz")
    assert scores.mean_error_mm == pytest.approx(2)
    # Frames that were left out break a shot; one step throughout does not.
    holed = [0, 1, 5, 6]
    np.savez(tmp_path / "holed.npz", joints_xyz_mm=truth[holed], frame_index=holed, frame_count=20)
    assert score_files(tmp_path / "holed.npz", tmp_path / "truth.npz")[0].cuts == (2,)
    first = tmp_path / "first.npz"
    np.savez(first, joints_xyz_mm=truth[:6], frame_index=np.arange(6))
    assert "only the first 6 of 20 frames" in score_files(first, tmp_path / "truth.npz")[1]


def test_a_truth_without_indices_is_the_whole_or_the_same_frames(tmp_path: Path) -> None:
    truth = hand(20)
    index = np.arange(3, 9)
    part, mine, none = (tmp_path / f"{name}.npz" for name in ("part", "mine", "none"))
    np.savez(part, joints_xyz_mm=truth[index] + 1.0, frame_index=index, frame_count=20)
    for rows in (index, np.arange(20)):
        scores, text = score_files(part, npz_of(tmp_path, "truth.npz", truth[rows]))
        assert scores.mean_error_mm == pytest.approx(3**0.5, abs=1e-4)
        assert ("note: only 6 of 20" in text) == (len(rows) == 20)
    # Neither the whole nor these: the rows from 3 on, or those of something longer.
    words = (
        r"part\.npz: holds frames 3 to 8 .* of a recording of 20, where .*truth\.npz holds {} "
        "frames without a frame_index; give the truth of the whole recording, or of these"
    )
    for other in (truth[3:], np.concatenate([truth, truth])):
        with pytest.raises(CadstnError, match=words.format(len(other))):
            score_files(part, npz_of(tmp_path, "truth.npz", other))
    # Without its length the whole is not known from a part; first frames need none.
    np.savez(none, joints_xyz_mm=truth[index], frame_index=index)
    with pytest.raises(CadstnError, match=r"of unknown length, .*; track again or add its frame_c"):
        score_files(none, npz_of(tmp_path, "truth.npz", truth))
    # Frames left out of all arrays, or of the joints alone, and of the truth likewise.
    keep = np.arange(20) % 4 != 1
    for numbers in (np.flatnonzero(keep), np.arange(20)):
        np.savez(mine, joints_xyz_mm=truth[keep] + 1.0, frame_index=numbers, frame_count=20)
        scores, _ = score_files(mine, npz_of(tmp_path, "truth.npz", truth[keep]))
        assert (scores.frames, scores.of) == (15, 15)
        assert scores.mean_error_mm == pytest.approx(3**0.5, abs=1e-4)
    # A truth with more indices than joints is no different.
    np.savez(tmp_path / "cut.npz", joints_xyz_mm=truth[index], frame_index=np.arange(20))
    assert score_files(part, tmp_path / "cut.npz")[0].mean_error_mm == pytest.approx(3**0.5)
    np.savez(part, joints_xyz_mm=truth[:4], frame_index=np.arange(4))
    with pytest.raises(CadstnError, match=r"cut\.npz: holds 6 frames and the indices of 20"):
        score_files(part, tmp_path / "cut.npz")


@pytest.mark.parametrize("count", [4, 0, -1, [9, 9], 9.0])
def test_a_frame_count_that_is_none(tmp_path: Path, count: Any) -> None:
    joints, index = hand(3), np.arange(2, 5)
    np.savez(tmp_path / "a.npz", joints_xyz_mm=joints, frame_index=index, frame_count=count)
    with pytest.raises(CadstnError, match=r"a\.npz: its frame_count is no number of frames"):
        score_files(tmp_path / "a.npz", npz_of(tmp_path, "truth.npz", hand(9)))


@pytest.mark.parametrize(
    ("index", "words"),
    [
        (
            [0, 1, 9],
            "holds frames 0 to 9 .*truth.npz holds 9 frames without a frame_index; track again",
        ),
        ([0, 1], "holds 3 frames and the indices of 2; give one index a frame"),
        ([0, 2, 2], "is no increasing indices from 0"),
        ([-1, 0, 1], "is no increasing indices from 0"),
        ([0.0, 1.0, 2.0], r"frame_index \(float64\) is no increasing indices from 0"),
    ],
)
def test_indices_that_are_none(tmp_path: Path, index: list[float], words: str) -> None:
    truth = hand(9)
    np.savez(tmp_path / "part.npz", joints_xyz_mm=truth[:3], frame_index=np.array(index))
    npz_of(tmp_path, "truth.npz", truth)
    with pytest.raises(CadstnError, match=rf"part\.npz: .*{words}"):
        score_files(tmp_path / "part.npz", tmp_path / "truth.npz")


def test_a_truth_in_xyz(tmp_path: Path) -> None:
    truth = hand(5)
    pred = text_of(tmp_path, "pred.txt", truth)
    write_joints_uvd(tmp_path / "mm.txt", np.abs(truth) + np.array([60.0, 60, 0]))
    near = text_of(tmp_path, "near.txt", np.abs(truth) + np.array([60.0, 60, 0]))
    scores, _ = score_files(near, tmp_path / "mm.txt", "icvl", truth_fmt="xyz")
    assert scores.mean_error_mm < 1e-2
    # What happens to lie inside the image is told by the prediction.
    with pytest.raises(CadstnError, match=r"mm\.txt: .*as x y z .*; read .*--truth-format xyz"):
        score_files(near, tmp_path / "mm.txt", "icvl")
    with pytest.raises(CadstnError, match=r"pred\.txt: .*as u v d; read .*--truth-format uvd"):
        score_files(pred, pred, "icvl", truth_fmt="xyz")
    args = ["score", str(near), str(tmp_path / "mm.txt"), "--set", "icvl", "--truth-format", "xyz"]
    assert CliRunner().invoke(cli, args, catch_exceptions=False).exit_code == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--camera", "nyu", "--set", "icvl"], "--camera changes nothing"),
        (["--format", "xyz"], "a.npz: --format changes nothing"),
        (["--truth-format", "uvd"], "a.npz: --truth-format changes nothing"),
    ],
)
def test_options_that_npz_files_have_no_use_for(
    tmp_path: Path, options: list[str], words: str
) -> None:
    file = str(npz_of(tmp_path, "a.npz", hand(5)))
    refused = CliRunner().invoke(cli, ["score", file, file, *options])
    assert isinstance(refused.exception, CadstnError)
    assert words in str(refused.exception)


def test_every_row_shows_its_own_number() -> None:
    scores = Scores(
        9, 10, 1, 1.0, 2.0, tuple(10.0 + k for k in range(16)), {20: 0.1, 30: 0.2, 40: 0.3},
        4.0, 5.0, 6.0, (), {"auc_50": 0.7},
    )  # fmt: skip
    lines = format_scores(scores, protocol("icvl")).split("\n")
    rows = dict(line.strip().split("  ", 1) for line in lines if "  " in line.strip())
    assert {name: value.strip() for name, value in rows.items() if name in (
        "mean error", "median error", "all within 20 mm", "all within 30 mm", "all within 40 mm",
        "area to 50 mm", "acceleration error", "jitter", "palm", "thumb_root", "pinky_tip",
    )} == {
        "mean error": "1.000 mm", "median error": "2.000 mm",
        "all within 20 mm": "10.0 % of frames", "all within 30 mm": "20.0 % of frames",
        "all within 40 mm": "30.0 % of frames", "area to 50 mm": "0.700",
        "acceleration error": "4.000 mm/frame^2", "jitter": "5.000 mm/frame^2 (truth 6.000)",
        "palm": "10.000 mm", "thumb_root": "11.000 mm", "pinky_tip": "25.000 mm",
    }  # fmt: skip
