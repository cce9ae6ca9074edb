"""Labels of the data sets from the 21 joints."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from cadstn.errors import CadstnError
from cadstn.geometry.convention import _tensor, convert, label_weights
from cadstn.geometry.skeleton import HAND21, ICVL16, MSRA21, NYU14, NYU14_OF_36, NYU36, SKELETONS
from cadstn.synth.draws import Draws
from cadstn.synth.hand import ANGLES, LIMITS_DEG, Cones, forward
from cadstn.synth.shape import average_shape, sample_shape

from ..conftest import SHARED

ALL = pytest.mark.parametrize("name", SKELETONS)


def hands(count: int = 100) -> tuple[NDArray[np.float64], Cones]:
    """Hands of all shapes in all poses, by their joints and their surface."""
    draws = Draws((11,), torch.arange(count))
    limits = torch.deg2rad(torch.tensor(LIMITS_DEG))
    angles = limits[:, 0] + draws.uniform(len(ANGLES)) * (limits[:, 1] - limits[:, 0])
    joints, cones = forward(angles.double(), sample_shape(draws))
    return joints.double().numpy(), cones


def rotation(seed: int) -> NDArray[np.float64]:
    matrix, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    return np.asarray(matrix * np.sign(np.linalg.det(matrix)))


@ALL
def test_labels_are_weighted_means(name: str) -> None:
    weights = label_weights(name)
    assert weights.shape == (len(SKELETONS[name]), 21)
    np.testing.assert_allclose(weights.sum(1), 1, atol=1e-12)


@ALL
def test_labels_turn_move_and_mirror_with_the_hand(name: str) -> None:
    joints, _ = hands(20)
    turn, move = rotation(3), np.array([30.0, -50.0, 600.0])
    for matrix in (turn, np.diag([-1.0, 1.0, 1.0])):
        moved = convert(joints @ matrix.T + move, name)
        np.testing.assert_allclose(moved, convert(joints, name) @ matrix.T + move, atol=1e-9)


@ALL
def test_tensors_and_arrays_agree_and_keep_their_kind(name: str) -> None:
    joints, _ = hands(6)
    clips = joints.reshape(2, 3, 21, 3).astype(np.float32)
    labels = convert(clips, name)
    assert labels.dtype == np.float32
    assert labels.shape == (2, 3, len(SKELETONS[name]), 3)
    tensor = convert(torch.from_numpy(clips), name)
    assert tensor.dtype == torch.float32
    np.testing.assert_allclose(tensor.numpy(), labels, atol=1e-4)


def test_hand21_stays_and_msra_is_the_same_joints_in_its_own_order() -> None:
    joints, _ = hands(3)
    np.testing.assert_array_equal(convert(joints, "hand21"), joints)
    msra = convert(joints, "msra21")
    for finger, chain in MSRA21.fingers.items():
        np.testing.assert_array_equal(msra[:, list(chain)], joints[:, list(HAND21.fingers[finger])])
    np.testing.assert_array_equal(msra[:, 0], joints[:, 0])


def test_nyu14_is_what_the_field_takes_of_nyu36() -> None:
    joints, _ = hands(5)
    np.testing.assert_array_equal(
        convert(joints, "nyu14"), convert(joints, "nyu36")[:, list(NYU14_OF_36)]
    )
    labels = convert(joints, "nyu14")
    for finger, root in (("index", "index_pip"), ("pinky", "pinky_pip"), ("thumb", "thumb_ip")):
        found = labels[:, NYU14.index(f"{finger}_mid")]
        np.testing.assert_array_equal(found, joints[:, HAND21.index(root)])


def test_wrist_labels_lie_on_their_own_sides() -> None:
    joints, _ = forward(torch.zeros(1, len(ANGLES)), average_shape())
    ulnar, radial, _ = convert(joints, "nyu14")[0, 11:]
    assert radial[0] - ulnar[0] > 20  # x points to the thumb
    middle = convert(joints, "nyu36")[0, NYU36.index("PALM_6")]
    torch.testing.assert_close((ulnar + radial) / 2, middle)


def test_icvl_labels_are_as_far_apart_as_measured() -> None:
    """Medians over ICVL's 1,596 test frames in mm; its one hand is about an average one."""
    measured = {
        "thumb": (30.7, 25.4),
        "index": (28.7, 18.5),
        "middle": (33.6, 21.5),
        "ring": (30.5, 20.7),
        "pinky": (23.3, 18.5),
    }
    angles = torch.zeros(1, len(ANGLES))
    joints, _ = forward(angles, average_shape())
    labels = convert(joints, "icvl16")[0]
    for finger, distances in measured.items():
        found = labels[list(ICVL16.fingers[finger])].diff(dim=0).norm(dim=-1)
        np.testing.assert_allclose(found.numpy(), distances, atol=3.5)


@ALL
def test_every_label_lies_inside_the_flesh(name: str) -> None:
    joints, cones = hands()
    labels = torch.from_numpy(convert(joints, name)).float()
    depth = depth_in_flesh(labels, cones)
    # Only the middle of a bent arm's palm may show where no cone is drawn: nowhere, at present.
    assert depth.min() > 0


def depth_in_flesh(points: torch.Tensor, cones: Cones) -> torch.Tensor:
    """How far (B, K) points lie inside the deepest ball of any cone."""
    share = torch.linspace(0, 1, 41)
    a, b = cones.a.float(), cones.b.float()
    center = a[:, :, None] + share[:, None] * (b - a)[:, :, None]
    radius = cones.ra.float()[..., None] + share * (cones.rb - cones.ra).float()[..., None]
    away = torch.cdist(points, center.flatten(1, 2))
    return (radius.flatten(1)[:, None] - away).amax(-1)


def test_real_nyu_labels_keep_the_rules() -> None:
    """On a real frame the rules between labels hold to some 10 mm of a hand 215 mm long."""
    path = SHARED / "real" / "nyu" / "joints_uvd_36.txt"
    if not path.exists():
        pytest.skip(f"no real frames at {path}")
    uvd = np.loadtxt(path)
    offset = np.stack([(uvd[:, 0] - 320) / 588.03, (uvd[:, 1] - 240) / 587.07], 1) * uvd[:, 2:]
    label = dict(zip(NYU36.joints, np.concatenate([offset, uvd[:, 2:]], 1), strict=True))
    joints = np.zeros((21, 3))
    for ours, theirs in {
        "wrist": "PALM_6", "index_mcp": "F4_KNU1_B", "middle_mcp": "F3_KNU1_B",
        "ring_mcp": "F2_KNU1_B", "pinky_mcp": "F1_KNU1_B",
    }.items():  # fmt: skip
        joints[HAND21.index(ours)] = label[theirs]
    made = convert(joints, "nyu36")
    for name in ("PALM_1", "PALM_2", "PALM_3", "PALM_4", "PALM_5"):
        assert np.linalg.norm(made[NYU36.index(name)] - label[name]) < 10, name


def test_nyus_tips_lie_a_little_before_the_tips() -> None:
    joints, _ = hands(20)
    labels = convert(joints, "nyu36")
    digits = {"F1": "pinky", "F2": "ring", "F3": "middle", "F4": "index", "TH": "thumb"}
    for theirs, ours in digits.items():
        third, tip = (joints[:, HAND21.fingers[ours][k]] for k in (2, 3))
        short = np.linalg.norm(tip - labels[:, NYU36.index(f"{theirs}_KNU3_A")], axis=1)
        share = short / np.linalg.norm(tip - third, axis=1)
        assert ((share > 0.05) & (share < 0.25)).all(), theirs


@pytest.mark.parametrize("kind", [np.int32, np.uint16])
def test_whole_numbers_are_converted_as_floats(kind: type) -> None:
    joints = np.arange(63).reshape(21, 3) * 10
    expected = convert(joints.astype(np.float64), "icvl16")
    np.testing.assert_array_equal(convert(joints.astype(kind), "icvl16"), expected)
    np.testing.assert_allclose(convert(torch.tensor(joints), "icvl16"), expected)


def test_weights_first_used_for_inference_serve_training_too() -> None:
    _tensor.cache_clear()
    with torch.inference_mode():
        convert(torch.zeros(21, 3), "icvl16")
    joints = torch.zeros(21, 3, requires_grad=True)
    convert(joints, "icvl16").sum().backward()  # type: ignore[no-untyped-call]
    assert joints.grad is not None


def test_unknown_conventions_are_refused() -> None:
    with pytest.raises(CadstnError, match="no skeleton 'nyu63'; did you mean 'nyu36'"):
        convert(np.zeros((21, 3)), "nyu63")


def test_arrays_need_no_torch() -> None:
    code = (
        "import sys, numpy as np; from cadstn.geometry.convention import convert;"
        "convert(np.zeros((21, 3)), 'nyu36'); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_palms_lie_between_wrist_and_knuckles() -> None:
    joints = np.zeros((21, 3))
    for name, place in {
        "index_mcp": (26, 90, 0), "middle_mcp": (3, 96, 0), "ring_mcp": (-15, 90, 0),
        "pinky_mcp": (-34, 78, 0),
    }.items():  # fmt: skip
        joints[HAND21.index(name)] = place
    # A third of wrist, middle and ring knuckle; of NYU 3/4 of the way to the middle knuckle.
    np.testing.assert_allclose(convert(joints, "icvl16")[ICVL16.index("palm")], [-4, 62, 0])
    np.testing.assert_allclose(convert(joints, "nyu14")[13], [2.25, 72, 0])
