"""The canonical view: transforms are undone exactly, and training transforms alike."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from cadstn.geometry.crop import Crop, crop_cube
from cadstn.geometry.skeleton import KNUCKLES, WRIST
from cadstn.io import Frame
from cadstn.tracking.canonical import (
    _RIGHT_LOGIT,
    IDENTITY,
    HandView,
    ViewTransform,
    canonical_image,
    center_shift,
    given_view,
    joints_to_mm,
    transformed_memory,
    updated_view,
)
from cadstn.tracking.given import predict_given
from cadstn.tracking.hand import Track
from cadstn.tracking.network import Step, StreamState, Wants
from cadstn.tracking.tracker import Tracker

from .conftest import held

CUBE = 250.0
VIEWS = [
    ViewTransform(0.4),
    ViewTransform(-2.5, True),
    ViewTransform(math.pi),
    ViewTransform(0.0, True),
]


def hand(degrees: float = 0.0, left: bool = False, lean: float = 0.0) -> NDArray[np.float64]:
    """21 joints in mm around the origin; the knuckles so far clockwise of above the wrist."""
    joints = np.random.default_rng(2).normal(0, 10, (21, 3))
    joints[WRIST] = 0, 45 * math.cos(lean), 45 * math.sin(lean)
    up = np.array([0, -40 * math.cos(lean), -40 * math.sin(lean)])
    joints[KNUCKLES] = up + np.outer([30, 10, -10, -30], [1, 0, 0])
    joints[:, 0] *= -1 if left else 1
    angle = math.radians(degrees)
    rotation = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    joints[:, :2] = joints[:, :2] @ rotation.T
    return joints


def crop_at(center: tuple[float, float, float], image: NDArray[np.float32] | None = None) -> Crop:
    nothing = np.empty(0, np.intp)
    image = np.ones((128, 128), np.float32) if image is None else image
    return Crop(image, np.array(center), CUBE, nothing, nothing)


@pytest.mark.parametrize("view", VIEWS)
def test_training_and_tracking_transform_alike(view: ViewTransform, frames: list[Frame]) -> None:
    """Image and joints of a crop far off the axis, and back again."""
    torch = pytest.importorskip("torch")
    from cadstn.train.augment import recenter
    from cadstn.train.source import Batch
    from cadstn.train.uvd import to_uvd

    frame = frames[10]
    assert frame.truth_xyz_mm is not None
    crop = crop_cube(frame.depth, frame.camera, frame.truth_xyz_mm.mean(0) + 15.0, CUBE)
    predicted = crop.to_normalised(frame.truth_xyz_mm)
    batch = Batch(
        torch.from_numpy(crop.image)[None, None],
        torch.from_numpy(predicted.astype(np.float32))[None, None],
        torch.from_numpy(crop.center_xyz_mm.astype(np.float32))[None, None],
        torch.tensor([CUBE]),
    )
    matrix = torch.from_numpy(view.matrix.astype(np.float32))[None]
    transformed = recenter(batch, torch.zeros(1, 3), torch.ones(1), matrix)
    mine, theirs = canonical_image(crop.image, view), transformed.crops[0, 0].numpy()
    assert np.mean(np.abs(mine - theirs) < 0.01) > 0.985
    assert np.mean(np.abs(crop.image - theirs) < 0.01) < 0.9  # the test can fail
    uvd = to_uvd(transformed.joints, transformed.centers_mm, transformed.cube_mm)[0, 0].numpy()
    back = joints_to_mm(uvd, crop, view, uvd=True)
    np.testing.assert_allclose(back, frame.truth_xyz_mm, atol=0.01)


def test_a_view_that_is_not_turned_is_the_crop() -> None:
    crop = crop_at((30.0, 20.0, 600.0), np.random.default_rng(0).random((128, 128), np.float32))
    assert canonical_image(crop.image, IDENTITY) is crop.image
    predicted = hand() / (CUBE / 2)
    xyz = joints_to_mm(predicted, crop, IDENTITY, uvd=False)
    np.testing.assert_array_equal(xyz, crop.to_mm(predicted))
    np.testing.assert_array_equal(
        joints_to_mm(predicted, crop, IDENTITY, uvd=True), crop.uvd_to_mm(predicted)
    )


@pytest.mark.parametrize("left", [False, True])
@pytest.mark.parametrize("degrees", [0.0, 40.0, 179.0, -95.0])
def test_the_next_view_is_upright_as_in_training(degrees: float, left: bool) -> None:
    torch = pytest.importorskip("torch")
    from cadstn.train.augment import upright_transform
    from cadstn.train.source import Batch

    center = np.array([120.0, -60.0, 500.0])
    joints = hand(degrees, left)
    predicted = np.array([0.99 if left else 0.01], np.float32)
    after = updated_view(HandView(), predicted, joints + center, upright=True)
    assert after.transform.mirror == left
    batch = Batch(
        torch.ones(1, 1, 128, 128),
        torch.from_numpy((joints / (CUBE / 2)).astype(np.float32))[None, None],
        torch.from_numpy(center.astype(np.float32))[None, None],
        torch.tensor([CUBE]),
        torch.tensor([float(left)]),
    )
    matrix, _ = upright_transform(batch)
    # A view that is nearly upright already stays.
    if degrees or left:
        np.testing.assert_allclose(after.transform.matrix, matrix[0].numpy(), atol=0.02)
    else:
        assert after.transform == IDENTITY


def test_a_view_stays_until_the_hand_has_turned_away() -> None:
    center = np.array([0.0, 0.0, 500.0])
    right = np.array([0.01], np.float32)
    before = HandView(ViewTransform(math.radians(-40.0)), -3.0, 5)
    kept = updated_view(before, right, hand(43.0) + center, upright=True)
    assert kept.transform == before.transform
    transformed = updated_view(before, right, hand(55.0) + center, upright=True)
    assert transformed.transform.angle == pytest.approx(math.radians(-55.0), abs=0.02)
    # Of a hand that points nearly at the camera the way it points is hardly seen.
    kept = updated_view(before, right, hand(55.0, lean=1.3) + center, upright=True)
    assert kept.transform == before.transform
    plain = updated_view(before, right, hand(55.0) + center, upright=False)
    assert plain.transform == IDENTITY


def test_which_hand_it_is_is_predicted_through_the_mirror() -> None:
    from cadstn.train.augment import MISTAKEN

    assert pytest.approx(math.log((1 - MISTAKEN) / MISTAKEN)) == _RIGHT_LOGIT
    joints = hand(0.0, True) + np.array([0.0, 0.0, 500.0])
    even = np.array([0.5], np.float32)
    # The first look tells nothing, the second sees a left hand in the mirror: a right one.
    first = updated_view(HandView(ViewTransform(0.0, True)), even, joints, upright=True)
    assert first.left_logit == pytest.approx(0)
    second = updated_view(
        first._replace(transform=ViewTransform(0.0, True)), even, joints, upright=True
    )
    assert second.left_logit == pytest.approx(-_RIGHT_LOGIT)
    assert not second.transform.mirror
    # One frame does not overturn what twenty said.
    long = HandView(ViewTransform(0.0, True), 4.0, 20)
    assert updated_view(long, np.array([0.9], np.float32), joints, upright=True).left_logit > 2


@pytest.mark.parametrize("view", VIEWS)
def test_memory_follows_the_view(view: ViewTransform) -> None:
    joints = np.random.default_rng(1).normal(0, 0.3, (21, 3))
    predicted = np.append(joints.ravel(), 1).astype(np.float32)[None]
    zeros = np.zeros((1, 4), np.float32)
    memory = StreamState(zeros, zeros, predicted)
    other = ViewTransform(1.0)
    there = transformed_memory(memory, other, view)
    again = there.before[0, :-1].reshape(-1, 3)
    # Straight, then transformed: a point of one view is found in the other.
    straight = np.c_[joints[:, :2] @ other.matrix, joints[:, 2]]
    np.testing.assert_allclose(again[:, :2], straight[:, :2] @ view.matrix.T, atol=1e-6)
    np.testing.assert_allclose(again[:, 2], joints[:, 2], atol=1e-7)
    assert there.before[0, -1] == 1
    back = transformed_memory(there, view, other)
    np.testing.assert_allclose(back.before, predicted, atol=1e-6)


@pytest.mark.parametrize("view", VIEWS)
def test_training_and_tracking_count_shifts_alike(view: ViewTransform) -> None:
    torch = pytest.importorskip("torch")
    from cadstn.train.compact import shifts_seen
    from cadstn.train.source import Batch

    before, now = (np.array([130.0, -60.0, 500.0]), np.array([140.0, -52.0, 520.0]))
    centers_mm = torch.from_numpy(np.stack([before, now]).astype(np.float32))[None]
    matrix = torch.from_numpy(view.matrix.astype(np.float32))[None]
    nothing = torch.zeros(1, 2, 1, 3)
    batch = Batch(nothing, nothing, centers_mm, torch.tensor([CUBE]), transform=matrix)
    theirs = shifts_seen(batch)[0].numpy()
    crop = crop_at((now[0], now[1], now[2]))
    np.testing.assert_allclose(center_shift(before, crop, view), theirs[1], atol=1e-6)
    assert not center_shift(None, crop, view).any()
    assert not theirs[0].any()
    # Seen, it has moved less to the right than in space: it has gone away, too.
    assert center_shift(before, crop, IDENTITY)[0] < (now - before)[0] / (CUBE / 2)


class _Oracle:
    """Knows where joints are in the crop; predicts them in the view it reads, with no error."""

    wants = Wants(128, CUBE, 4, compact=True, uvd=True, upright=True, center="knuckles")

    def __init__(self, joints: NDArray[np.float64], left: bool) -> None:
        self.joints, self.left = joints, left
        self.views: list[tuple[float, bool]] = []

    def initial_state(self, batch: int = 1) -> StreamState:
        zeros = np.zeros((batch, 4), np.float32)
        return StreamState(zeros, zeros, np.zeros((batch, 64), np.float32))

    def center_of(self, joints_mm: NDArray[np.floating]) -> NDArray[np.float64]:
        return np.asarray(joints_mm[KNUCKLES].mean(0), np.float64)

    def step(
        self,
        crops: NDArray[np.float32],
        state: StreamState,
        shift: NDArray[np.float32] | None = None,
    ) -> Step:
        # Three bright pixels show the view: the middle, one above, and one to the right.
        middle = np.array([64.75, 64.75])
        rows, columns = np.nonzero(crops[0] == -1)
        above = np.array([columns.mean(), rows.mean()]) - middle
        rows, columns = np.nonzero(crops[0] == -0.5)
        right = np.array([columns.mean(), rows.mean()]) - middle
        matrix = np.column_stack([right, -above]) / 40.0
        mirror = bool(np.linalg.det(matrix) < 0)
        angle = math.degrees(math.atan2(above[0], -above[1]))
        self.views.append((angle, mirror))
        # Seen from 600 mm before the cube.
        seen = self.joints[:, :2] * 600 / (600 + self.joints[:, 2:])
        joints = np.c_[seen @ matrix.T, self.joints[:, 2]] / (CUBE / 2)
        handedness = np.float32(0.99 if self.left != mirror else 0.01)
        # The farther a hand is from pointing up, the less sure is a network of it.
        x, y = (self.joints[KNUCKLES].mean(0) - self.joints[WRIST])[:2] @ matrix.T
        off = abs(math.atan2(x, -y)) + float(self.left != mirror)
        error_scale = np.full((1, 21), 0.01 + off, np.float32)
        joints = joints[None].astype(np.float32)
        one = np.array([1.0], np.float32)
        return Step(joints, joints * 0, state, joints, error_scale, one, np.array([handedness]))


@pytest.mark.parametrize("left", [False, True])
@pytest.mark.parametrize("degrees", [5.0, 90.0, -160.0])
def test_the_first_of_given_crops_is_read_upright(degrees: float, left: bool) -> None:
    image = np.ones((128, 128), np.float32)
    image[23:27, 63:67] = -1
    image[63:67, 103:107] = -0.5
    crop = crop_at((0.0, 0.0, 600.0), image)
    joints = hand(degrees, left)
    network = _Oracle(joints, left)
    track = Track(network.initial_state())
    for _ in range(2):
        seen, track = predict_given(network, track, crop)
        assert np.abs(seen.joints_mm - joints - crop.center_xyz_mm).max() < 6  # a pixel and a bit
    angle, mirror = network.views[-1]
    assert mirror == left
    pointing = math.remainder(angle + (-degrees if left else degrees), 360)
    assert abs(pointing) < 12
    assert (track.view.left_logit > 0) == left
    # All views of the first frame, then one prediction a frame.
    before = len(network.views)
    predict_given(network, track, crop)
    assert len(network.views) == before + 1


@pytest.mark.parametrize("left", [False, True])
@pytest.mark.parametrize("degrees", [0.0, 70.0, -150.0])
def test_a_detected_hand_begins_upright(degrees: float, left: bool) -> None:
    """The transform of a detection rotates what points so to point up."""
    view = given_view(math.radians(degrees), left=left)
    pointing = np.array([math.sin(math.radians(degrees)), -math.cos(math.radians(degrees))])
    np.testing.assert_allclose(view.transform.matrix @ pointing, [0, -1], atol=1e-6)
    assert view.transform.mirror == left
    assert (view.left_logit > 0) == left


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("quarters", [0, 1, 2])
def test_a_hand_is_followed_as_well_whichever_way_it_points(
    quarters: int, mirror: bool, frames: list[Frame]
) -> None:
    """The demo's frames, rotated and mirrored; their truth with them."""
    tracker, errors, sides = Tracker(), [], []
    for frame in frames[4:40]:
        depth, camera, truth = held(frame, quarters, mirror)
        seen_hand = tracker.update(depth, camera)
        errors.append(np.linalg.norm(seen_hand.joints_mm - truth, axis=1).mean())
        sides.append(seen_hand.side)
    assert np.mean(errors) < 15
    wanted = max({"left", "right"}, key=sides.count)
    assert sides.count(wanted) > 30
    whole = Tracker().update(frames[20].depth, frames[20].camera).side
    assert (wanted == whole) != mirror
