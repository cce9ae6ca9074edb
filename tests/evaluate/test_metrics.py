"""Every formula against numbers worked by hand, plain loops, and what must not change it."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from cadstn.errors import CadstnError
from cadstn.evaluate.intervals import bootstrap
from cadstn.evaluate.metrics import (
    Scores,
    acceleration_error,
    accuracy,
    area_under_curve,
    jitter,
    joint_errors_mm,
    mean_error_mm,
    per_joint_error_mm,
    score,
)
from cadstn.io.joints import lost_frames

Array = NDArray[np.float64]

# Two frames of two joints: errors 3, 4 in the first and 5 (3-4-5), 13 (5-12-13) in the second.
TRUTH: Array = np.zeros((2, 2, 3))
PRED: Array = np.array([[[3.0, 0, 0], [0, 4.0, 0]], [[3.0, 0, 4.0], [0, 5.0, 12.0]]])


def motion(n: int = 12, k: int = 3, seed: int = 0) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    truth = rng.normal(0, 50, (n, k, 3))
    return truth + rng.normal(0, 10, (n, k, 3)), truth


def losing(joints: Array, *frames: int) -> Array:
    joints = joints.copy()
    joints[list(frames)] = np.nan
    return joints


def test_errors_by_hand() -> None:
    assert joint_errors_mm(PRED, TRUTH).tolist() == [[3, 4], [5, 13]]
    assert per_joint_error_mm(PRED, TRUTH).tolist() == [4, 8.5]
    assert mean_error_mm(PRED, TRUTH) == 6.25


def test_accuracy_by_hand() -> None:
    # The worst joints are 4 and 13 mm; eq. 9 counts an error equal to the threshold.
    thresholds = [3.9, 4.0, 12.9, 13.0, 99.0]
    assert accuracy(PRED, TRUTH, thresholds).tolist() == [0, 0.5, 0.5, 1, 1]
    assert accuracy(PRED, TRUTH, 4).tolist() == [0.5]


def test_acceleration_by_hand() -> None:
    # x = 0, 1, 4 has a = 0 - 2 + 4 = 2; the truth is at rest, or has a = 3 along y.
    pred = np.array([[[0.0, 0, 0]], [[1.0, 0, 0]], [[4.0, 0, 0]]])
    assert jitter(pred) == 2
    assert acceleration_error(pred, np.zeros((3, 1, 3))) == 2
    truth = np.array([[[0.0, 0, 0]], [[0, 0, 0]], [[0, 3.0, 0]]])
    assert acceleration_error(pred, truth) == pytest.approx(math.sqrt(13))


def test_errors_against_plain_loops() -> None:
    pred, truth = motion()
    per_joint = [sum(math.dist(pred[n, k], truth[n, k]) for n in range(12)) / 12 for k in range(3)]
    within = sum(max(math.dist(pred[n, k], truth[n, k]) for k in range(3)) <= 20 for n in range(12))
    assert per_joint_error_mm(pred, truth) == pytest.approx(per_joint)
    assert mean_error_mm(pred, truth) == pytest.approx(sum(per_joint) / 3)
    assert accuracy(pred, truth, [20.0])[0] == within / 12


@pytest.mark.parametrize("cuts", [(), (1,), (11,), (5, 6), (0, 4, 9), (3, 400)])
@pytest.mark.parametrize("lost", [(), (7,), (0, 11)])
def test_acceleration_against_plain_loops(cuts: tuple[int, ...], lost: tuple[int, ...]) -> None:
    pred, truth = motion()
    pred = losing(pred, *lost)
    of_error, of_pred = [], []
    for t in range(1, 11):
        if t in cuts or t + 1 in cuts or {t - 1, t, t + 1} & set(lost):
            continue
        for k in range(3):
            a_pred = pred[t - 1, k] - 2 * pred[t, k] + pred[t + 1, k]
            a_true = truth[t - 1, k] - 2 * truth[t, k] + truth[t + 1, k]
            of_error.append(math.dist(a_pred, a_true))
            of_pred.append(math.hypot(*a_pred))
    assert acceleration_error(pred, truth, cuts) == pytest.approx(sum(of_error) / len(of_error))
    assert jitter(pred, cuts) == pytest.approx(sum(of_pred) / len(of_pred))


def test_acceleration_never_crosses_a_cut() -> None:
    # Two shots at rest 100 mm apart; the prediction jumps 90: across the cut it would seem to err.
    truth = np.zeros((8, 1, 3))
    pred = np.zeros((8, 1, 3))
    truth[4:, :, 0] = 100
    pred[4:, :, 0] = 90
    assert acceleration_error(pred, truth, (4,)) == 0
    assert jitter(pred, (4,)) == 0
    # Without the cut two of the six triples see a jump: 10 and 10 over 6.
    assert acceleration_error(pred, truth) == pytest.approx(20 / 6)
    # One frame too early or too late and the jump is seen by one of the four triples left.
    assert acceleration_error(pred, truth, (3,)) == pytest.approx(10 / 4)
    assert acceleration_error(pred, truth, (5,)) == pytest.approx(10 / 4)


def test_no_three_frames_in_a_row_is_nan() -> None:
    pred, truth = motion(4)
    assert math.isnan(acceleration_error(pred[:2], truth[:2]))
    assert math.isnan(acceleration_error(pred[:1], truth[:1]))
    assert math.isnan(acceleration_error(pred, truth, (2,)))
    assert math.isnan(jitter(losing(pred, 1, 2)))


def test_lost_frames_leave_means_and_fail_accuracy() -> None:
    pred, truth = motion()
    holed = losing(pred, 2, 3)
    kept = [0, 1, *range(4, 12)]
    result = score(holed, truth)
    assert (result.frames, result.of, result.lost) == (12, 12, 2)
    assert result.mean_error_mm == pytest.approx(mean_error_mm(pred[kept], truth[kept]))
    assert result.median_error_mm == pytest.approx(
        float(np.median(joint_errors_mm(pred[kept], truth[kept])))
    )
    limits = [20.0, 1e9, math.inf]
    expected = accuracy(pred[kept], truth[kept], limits) * 10 / 12
    assert accuracy(holed, truth, limits) == pytest.approx(expected)
    assert np.flatnonzero(lost_frames(holed)).tolist() == [2, 3]
    assert np.isnan(joint_errors_mm(holed, truth)).all(axis=1).tolist() == [
        n in (2, 3) for n in range(12)
    ]


def test_all_frames_lost() -> None:
    pred, truth = motion()
    result = score(losing(pred, *range(12)), truth)
    assert result.lost == 12
    assert math.isnan(result.mean_error_mm)
    assert result.accuracy == {20: 0.0, 30: 0.0, 40: 0.0}
    fields = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert fields["mean_error_mm"] is None
    assert fields["per_joint_error_mm"] == [None] * 3


def test_score_agrees_with_each_function() -> None:
    pred, truth = motion()
    result = score(pred, truth, (0, 5, 99), of=20)
    assert result == Scores(
        frames=12,
        of=20,
        lost=0,
        mean_error_mm=mean_error_mm(pred, truth),
        median_error_mm=float(np.median(joint_errors_mm(pred, truth))),
        per_joint_error_mm=tuple(per_joint_error_mm(pred, truth).tolist()),
        accuracy=dict(zip((20, 30, 40), accuracy(pred, truth, [20, 30, 40]).tolist(), strict=True)),
        acceleration_error_mm_frame2=acceleration_error(pred, truth, (5,)),
        jitter_mm_frame2=jitter(pred, (5,)),
        truth_jitter_mm_frame2=jitter(truth, (5,)),
        cuts=(5,),
        more={"auc_50": area_under_curve(joint_errors_mm(pred, truth))},
    )
    fields = result.to_dict()
    assert json.loads(json.dumps(fields)) == fields
    assert fields["accuracy"].keys() == {"20", "30", "40"}


def test_truth_against_itself_is_perfect() -> None:
    _, truth = motion()
    result = score(truth, truth)
    assert (result.mean_error_mm, result.acceleration_error_mm_frame2) == (0, 0)
    assert set(result.accuracy.values()) == {1}
    assert result.jitter_mm_frame2 == result.truth_jitter_mm_frame2 > 0


def test_float32_and_lists_are_taken() -> None:
    pred, truth = motion()
    assert mean_error_mm(pred.astype(np.float32), truth) == pytest.approx(
        mean_error_mm(pred, truth)
    )
    assert mean_error_mm(pred.tolist(), truth.tolist()) == mean_error_mm(pred, truth)


def test_inputs_stay_as_they_were() -> None:
    pred, truth = motion()
    before = pred.copy(), truth.copy()
    score(pred, truth, (4,))
    assert np.array_equal(pred, before[0])
    assert np.array_equal(truth, before[1])


@given(seed=st.integers(0, 999), shift=st.tuples(*[st.floats(-500, 500)] * 3))
def test_moving_both_changes_nothing(seed: int, shift: tuple[float, float, float]) -> None:
    pred, truth = motion(seed=seed)
    moved = pred + np.array(shift), truth + np.array(shift)
    assert mean_error_mm(*moved) == pytest.approx(mean_error_mm(pred, truth))
    assert acceleration_error(*moved) == pytest.approx(acceleration_error(pred, truth))
    assert jitter(moved[0]) == pytest.approx(jitter(pred))


@given(seed=st.integers(0, 999), scale=st.floats(0.1, 100))
def test_scaling_both_scales_the_result(seed: int, scale: float) -> None:
    pred, truth = motion(seed=seed)
    args = pred * scale, truth * scale
    assert mean_error_mm(*args) == pytest.approx(scale * mean_error_mm(pred, truth))
    assert acceleration_error(*args) == pytest.approx(scale * acceleration_error(pred, truth))


@given(seed=st.integers(0, 999), offset=st.floats(-200, 200))
def test_a_constant_offset_costs_error_but_no_acceleration(seed: int, offset: float) -> None:
    _, truth = motion(seed=seed)
    pred = truth + np.array([offset, 0, 0])
    assert mean_error_mm(pred, truth) == pytest.approx(abs(offset), abs=1e-9)
    assert acceleration_error(pred, truth) == pytest.approx(0, abs=1e-9)


@given(seed=st.integers(0, 999), limits=st.lists(st.floats(0, 80), min_size=2, max_size=9))
def test_accuracy_rises_with_the_threshold(seed: int, limits: list[float]) -> None:
    pred, truth = motion(seed=seed)
    within = accuracy(pred, truth, sorted(limits))
    assert (np.diff(within) >= 0).all()
    assert ((within >= 0) & (within <= 1)).all()


@pytest.mark.parametrize(
    ("pred", "truth", "what"),
    [
        (np.zeros((2, 2, 3)), np.zeros((2, 4, 3)), "prediction has 2 joints where the truth has 4"),
        (np.zeros((2, 2, 3)), np.zeros((5, 2, 3)), "prediction has 2 frames where the truth has 5"),
        (np.zeros((2, 6)), TRUTH, "prediction of shape (2, 6)"),
        (PRED, np.zeros((2, 2, 2)), "truth of shape (2, 2, 2)"),
        (np.zeros((0, 2, 3)), np.zeros((0, 2, 3)), "prediction of shape (0, 2, 3)"),
        (PRED, losing(TRUTH, 1), "truth of frame 1 is not finite"),
        (PRED, TRUTH + np.inf, "truth of frame 0 is not finite"),
        (PRED + np.inf, TRUTH, "prediction of frame 0: 6 of 6 numbers are not finite"),
    ],
)
def test_what_is_refused(pred: Array, truth: Array, what: str) -> None:
    for function in (joint_errors_mm, per_joint_error_mm, mean_error_mm, acceleration_error, score):
        with pytest.raises(CadstnError) as caught:
            function(pred, truth)
        assert caught.value.what == what
        assert caught.value.hint
        assert "\n" not in str(caught.value)


def test_a_frame_lost_in_part_is_refused() -> None:
    pred = PRED.copy()
    pred[1, 0] = np.nan
    with pytest.raises(CadstnError, match=r"frame 1: 3 of 6 .* NaN in all joints of a lost"):
        score(pred, TRUTH)
    with pytest.raises(CadstnError, match="frame 1: 3 of 6"):
        jitter(pred)


@pytest.mark.parametrize("cuts", [(-1,), (3, 2), (2, 2), (6.0, 12.0), np.array([1.5])])
def test_bad_cuts_are_refused(cuts: Any) -> None:
    for refuses in (lambda: score(PRED, TRUTH, cuts), lambda: bootstrap(np.ones(20), cuts)):
        with pytest.raises(CadstnError, match=r"cuts are .*; give increasing 0-based indices"):
            refuses()


def test_metres_are_refused_as_the_command_refuses_them() -> None:
    truth = hand_joints()
    for where in (truth, truth - truth[:, :1]):  # in the camera's frame, and relative to a root
        for function in (score, joint_errors_mm, mean_error_mm, acceleration_error):
            with pytest.raises(
                CadstnError, match=r"within 0\.\d+ of one another: metres\?; give mm"
            ):
                function(where / 1000, where / 1000)
        assert mean_error_mm(where, where) == 0


def hand_joints() -> Array:
    return np.random.default_rng(0).normal((0, 0, 500), 40, (9, 14, 3))


@pytest.mark.parametrize("thresholds", [np.nan, [20.0, np.nan], ["near"]])
def test_thresholds_that_are_none(thresholds: Any) -> None:
    with pytest.raises(CadstnError, match=r"^thresholds .*; give numbers in mm$"):
        accuracy(PRED, TRUTH, thresholds)


def test_joints_that_are_no_numbers() -> None:
    for joints in ("here", [[1, 2], [3]], [[["a", "b", "c"]]]):
        with pytest.raises(CadstnError, match=r"^prediction holds no numbers \(.*\); give numbers"):
            joint_errors_mm(joints, TRUTH)


def test_a_lost_frame_has_no_area() -> None:
    # 0 and 25 mm of 50 are 1 and 0.5; of the lost frame's joints none is within anything.
    assert area_under_curve(np.array([[0.0, 25.0], [np.nan, np.nan]])) == 0.375
    truth = hand_joints()
    assert score(losing(truth, 0, 1, 2), truth).more["auc_50"] == pytest.approx(6 / 9)
