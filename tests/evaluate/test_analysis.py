"""Speed, visibility, fixed weights and filters, each against numbers worked by hand."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from cadstn.evaluate.analysis import (
    FIXED_WEIGHTS,
    HIDDEN_MM,
    best_fixed_weight,
    error_by_speed,
    error_by_visibility,
    exponential_average,
    fixed_weight_errors_mm,
    hidden_joints,
    share_outside,
    speeds_mm,
)
from cadstn.evaluate.metrics import acceleration_error, mean_error_mm
from cadstn.evaluate.predictions import load_predictions
from cadstn.evaluate.protocol import protocol
from cadstn.geometry.camera import Camera


def line(*x: float) -> np.ndarray:
    joints = np.zeros((len(x), 2, 3))
    joints[:, :, 0] = np.array(x)[:, None]
    return joints


def test_speed_stops_at_cuts() -> None:
    speed = speeds_mm(line(0, 3, 103, 104.5), (2, 99))
    assert np.isnan(speed[[0, 2]]).all()
    assert speed[[1, 3]].tolist() == [3, 1.5]


def test_error_by_speed_by_hand() -> None:
    errors = np.array([[9.0, 9], [1, 3], [5, 5], [np.nan, np.nan], [30, 40]])
    bins = error_by_speed(errors, np.array([np.nan, 0.5, 3.0, 3.0, 25.0]))
    assert [b.count for b in bins] == [2, 0, 2, 0, 0, 2]
    assert bins[0].mean_error_mm == 2
    assert bins[2].mean_error_mm == 5
    assert bins[-1].mean_error_mm == 35
    assert math.isnan(bins[1].mean_error_mm)
    assert bins[-1].name == "over 20 mm/frame"


def test_hidden_joints_by_hand() -> None:
    camera = Camera(100, 100, 5, 5)
    depth = np.full((11, 11), 500, np.float32)
    depth[:, 8:] = 0
    depth[5, 5] = 100  # one flying pixel hides nothing
    joints = camera.to_xyz_mm(
        np.array([
            [5, 5, 500 + HIDDEN_MM - 1],
            [5, 5, 500 + HIDDEN_MM + 1],
            [9.6, 5, 510],
            [40, 5, 500],
            [5, -400, 500],
        ])
    )  # fmt: skip
    assert hidden_joints(joints, depth, camera).tolist() == [0, 1, 2, 2, 2]
    # Behind the camera nothing is known, and nothing breaks.
    assert hidden_joints(np.array([[0.0, 0, -5], [0, 0, 0]]), depth, camera).tolist() == [2, 2]


def test_error_by_visibility_by_hand() -> None:
    errors = np.array([[1.0, 2, 3], [5, np.nan, 7]])
    bins = error_by_visibility(errors, np.array([[0, 1, 2], [0, 1, 1]], np.int8))
    assert [(b.count, b.mean_error_mm) for b in bins] == [(2, 3.0), (2, 4.5), (1, 3.0)]


def test_exponential_average_starts_afresh() -> None:
    pred = line(0, 10, 10, 20)
    assert exponential_average(pred, 0.5)[:, 0, 0].tolist() == [0, 5, 7.5, 13.75]
    assert exponential_average(pred, 0.5, (2,))[:, 0, 0].tolist() == [0, 5, 10, 15]
    assert exponential_average(pred, 1.0).tolist() == pred.tolist()
    pred[1] = np.nan
    smooth = exponential_average(pred, 0.5)[:, 0, 0]
    assert np.isnan(smooth[1])
    assert smooth[2:].tolist() == [10, 15]


def test_fixed_weights_by_hand() -> None:
    truth = line(0, 0)
    errors = fixed_weight_errors_mm(line(4, 4), line(-1, -1), truth)
    assert errors == pytest.approx([abs(5 * w - 1) for w in FIXED_WEIGHTS])
    assert best_fixed_weight(line(4, 4), line(-1, -1), truth) == pytest.approx(0.2)


def test_the_authors_fusion_against_its_bars(published: Path) -> None:
    rules = protocol("icvl")
    folder = published / "icvl-authors"
    truth = load_predictions(published / "icvl" / "groundtruth.txt", rules)
    spatial = load_predictions(folder / "icvl_3D_and_depth.txt", rules, "xyz")
    temporal = load_predictions(folder / "icvl_lstm.txt", rules, "xyz")
    swept = fixed_weight_errors_mm(temporal, spatial, truth)
    assert swept[2] == pytest.approx(8.10, abs=0.005)
    smooth = exponential_average(spatial, 0.9, rules.cuts)
    assert mean_error_mm(smooth, truth) == pytest.approx(8.22, abs=0.005)
    assert acceleration_error(smooth, truth, rules.cuts) == pytest.approx(7.68, abs=0.005)


def test_share_outside_leaves_lost_frames_out() -> None:
    one, other, fused = line(0, 0, 0, 0), line(2, 2, 2, 2), line(1, 3, 1, 9)
    fused[3] = np.nan
    # One coordinate of three of each joint moves; frame 1 lies 1 mm outside.
    assert share_outside(fused, one, other) == pytest.approx((1 / 9, 1.0))
    one[1] = np.nan
    assert share_outside(fused, one, other)[0] == 0
    assert all(math.isnan(value) for value in share_outside(np.full_like(one, np.nan), one, other))
