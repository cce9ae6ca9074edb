"""The finder on rendered scenes whose truth is known, on scenes without a hand, on real frames."""

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from cadstn.geometry.camera import KNOWN_CAMERAS, Camera
from cadstn.io import open_recording
from cadstn.tracking.locate import find_hand, still_there
from cadstn.tracking.skin import agreement

SHARED = Path(
    os.environ.get("CADSTN_SHARED", Path(__file__).resolve().parents[2].parent / "shared")
)
CAMERA = Camera(285.0, 285.0, 160.0, 120.0, 320, 240)
real = pytest.mark.skipif(not (SHARED / "real").is_dir(), reason="no ../shared/real beside it")


def ball(depth: NDArray[np.float32], center: tuple[float, float, float], radius: float) -> None:
    """Draw a ball into a depth image, in place."""
    v, u = np.mgrid[: depth.shape[0], : depth.shape[1]]
    ray = np.stack([(u - CAMERA.cx) / CAMERA.fx, (v - CAMERA.cy) / CAMERA.fy, np.ones(u.shape)], -1)
    c = np.array(center)
    a, b = (ray**2).sum(-1), ray @ c
    root = b * b - a * (c @ c - radius**2)
    z = (b - np.sqrt(np.maximum(root, 0))) / a
    hit = (root > 0) & ((depth == 0) | (z < depth))
    depth[hit] = z[hit]


def blank() -> NDArray[np.float32]:
    return np.zeros((240, 320), np.float32)


def arm(depth: NDArray[np.float32], palm: tuple[float, float, float], elbow: np.ndarray) -> None:
    """Draw an arm of balls that ends in a palm of 45 mm radius."""
    start = np.array(palm)
    for s in np.linspace(0.15, 1, 40):
        x, y, z = start + s * (elbow - start)
        ball(depth, (x, y, z), 28)
    ball(depth, palm, 45)


def test_nothing_is_found_in_nothing() -> None:
    assert find_hand(blank(), CAMERA) is None


def test_a_wall_and_a_chest_are_not_hands() -> None:
    wall = np.full((240, 320), 900, np.float32)
    assert find_hand(wall, CAMERA) is None
    chest = blank()
    for y in range(-60, 300, 15):
        ball(chest, (0, y, 900), 170)
    assert find_hand(chest, CAMERA) is None


def test_specks_and_far_things_are_not_hands() -> None:
    specks = blank()
    specks[::9, ::11] = 400
    assert find_hand(specks, CAMERA) is None
    far = blank()
    ball(far, (0, 0, 1700), 60)
    assert find_hand(far, CAMERA) is None


def test_specks_of_a_noisy_sensor_do_not_hide_the_hand() -> None:
    """A time-of-flight camera's far background: every second pixel reads anything, often near."""
    clear = blank()
    arm(clear, (20.0, -30.0, 550.0), np.array([90.0, 220.0, 700.0]))
    noise = np.random.default_rng(4)
    noisy = np.where(
        (clear == 0) & (noise.random(clear.shape) < 0.5),
        noise.uniform(15, 1400, clear.shape),
        clear,
    ).astype(np.float32)
    for depth in (clear, noisy):
        found = find_hand(depth, CAMERA)
        assert found is not None
        assert np.linalg.norm(found.center_xyz_mm - [20, -30, 550]) < 70


@pytest.mark.parametrize("side", [(0, 300, 60), (250, 200, 100), (-300, 0, 80), (0, -260, 0)])
def test_the_end_of_an_arm_is_found_and_not_the_arm(side: tuple[float, float, float]) -> None:
    palm = (-20.0, 10.0, 520.0)
    depth = blank()
    arm(depth, palm, np.array(palm) + np.array(side))
    found = find_hand(depth, CAMERA)
    assert found is not None
    assert np.linalg.norm(found.center_xyz_mm - palm) < 80


def test_the_hand_held_out_is_meant_and_not_the_body() -> None:
    palm = (-40.0, 0.0, 550.0)
    depth = blank()
    for y in range(0, 300, 15):
        ball(depth, (80, y, 950), 160)
    ball(depth, (80, -230, 930), 95)
    arm(depth, palm, np.array([60.0, 150.0, 820.0]))
    found = find_hand(depth, CAMERA)
    assert found is not None
    assert np.linalg.norm(found.center_xyz_mm - palm) < 80


def test_a_hand_that_is_followed_is_kept_before_a_nearer_one() -> None:
    depth = blank()
    near, far = (-110.0, -20.0, 480.0), (110.0, -20.0, 560.0)
    arm(depth, near, np.array(near) + np.array([0, 280, 60]))
    arm(depth, far, np.array(far) + np.array([0, 280, 60]))
    free = find_hand(depth, CAMERA)
    kept = find_hand(depth, CAMERA, keep_xyz_mm=np.array(far))
    assert free is not None
    assert kept is not None
    assert np.linalg.norm(free.center_xyz_mm - near) < 80
    assert np.linalg.norm(kept.center_xyz_mm - far) < 80


def test_rendered_hands_are_found() -> None:
    """Poses, bodies, rooms, sensors at random: 70 % of 44 when measured; 36 of them here."""
    pytest.importorskip("torch")
    from cadstn.synth.frames import Sequence

    near = []
    for index in range(36):
        moving = Sequence((11, 5), index, CAMERA, 1, distance_mm=(350.0, 900.0))
        joints = moving.joints_xyz_mm[0]
        uv = CAMERA.to_uvd(joints)[:, :2]
        if not ((uv > 0) & (uv < [320, 240])).all():
            continue
        (units,) = moving.render(range(1))
        found = find_hand(CAMERA.depth_mm(units), CAMERA)
        away = np.inf if found is None else np.linalg.norm(found.center_xyz_mm - joints.mean(0))
        near.append(float(away) < 90)
    assert len(near) > 20
    assert np.mean(near) > 0.5


def test_still_there_is_what_the_finder_says_near_a_place() -> None:
    depth = blank()
    palm = (-20.0, 10.0, 520.0)
    arm(depth, palm, np.array(palm) + np.array([0, 300, 60]))
    assert still_there(depth, CAMERA, np.array(palm))
    assert still_there(depth, CAMERA, np.add(palm, (40.0, -20.0, 20.0)))
    for down in range(0, 181, 30):  # along the arm
        place = np.array([-20.0, 10.0 + down, 520.0 + down / 5])
        kept = find_hand(depth, CAMERA, keep_xyz_mm=place)
        near = kept is not None and bool(np.linalg.norm(kept.center_xyz_mm - place) < 80)
        assert still_there(depth, CAMERA, place) == near, down
    assert not still_there(depth, CAMERA, np.array([250.0, 0.0, 520.0]))
    assert not still_there(blank(), CAMERA, np.array(palm))
    assert not still_there(depth, CAMERA, np.array([9000.0, 0.0, 520.0]))  # out of the frame


def test_a_hand_beside_another_is_found_and_its_arm_is_not() -> None:
    depth = blank()
    one, other = (-110.0, -20.0, 480.0), (110.0, -20.0, 560.0)
    arm(depth, one, np.array(one) + np.array([0, 280, 60]))
    alone = depth.copy()
    arm(depth, other, np.array(other) + np.array([0, 280, 60]))
    found = find_hand(depth, CAMERA, apart_from_mm=[np.array(one)])
    assert found is not None
    assert np.linalg.norm(found.center_xyz_mm - other) < 80
    assert find_hand(alone, CAMERA, apart_from_mm=[np.array(one)]) is None


def test_agreement_counts_joints_with_skin_before_them() -> None:
    depth = blank()
    depth[:, :160] = 500
    xy = [CAMERA.to_xyz_mm([u, 100.0, z]) for u, z in ((50, 510), (60, 530), (70, 560), (250, 510))]
    assert agreement(np.array(xy), depth, CAMERA) == 0.5
    beside = CAMERA.to_xyz_mm([163.0, 100.0, 510.0])  # 5 mm to the side of the skin
    assert agreement(beside[None], depth, CAMERA) == 1.0
    outside = CAMERA.to_xyz_mm([-20.0, 100.0, 500.0])
    assert agreement(outside[None], depth, CAMERA) == 0.0


@real
def test_real_nyu_frame() -> None:
    camera = KNOWN_CAMERAS["nyu"]
    (frame,) = open_recording(SHARED / "real/nyu", camera)
    labels = camera.to_xyz_mm(np.loadtxt(SHARED / "real/nyu/joints_uvd_36.txt"))
    found = find_hand(frame.depth, frame.camera)
    assert found is not None
    assert np.linalg.norm(found.center_xyz_mm - labels.mean(0)) < 60


@real
def test_real_kinect_frames() -> None:
    """The person stands beyond 900 mm; the hand is held out at 500 to 750 mm."""
    frames = list(open_recording(SHARED / "real/kinect2", "kinect2"))[::8]
    places = [find_hand(f.depth, f.camera) for f in frames]
    assert all(p is not None and 500 < p.center_xyz_mm[2] < 780 for p in places)


@real
def test_real_sr305_frames() -> None:
    """The hand is the nearest large thing; pixels under the place must be its surface."""
    for frame in open_recording(SHARED / "real/sr305", "sr305"):
        found = find_hand(frame.depth, frame.camera)
        assert found is not None, frame.name
        valid = cv2.medianBlur(frame.depth, 5)
        nearest = np.percentile(valid[valid > 0], 2)
        assert found.center_xyz_mm[2] < nearest + 150, frame.name
