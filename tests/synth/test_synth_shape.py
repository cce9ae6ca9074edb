"""Hands drawn at random against the measures that they come from."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from cadstn.geometry.hand_shape import BONES_MM, DIGITS, MCP_MM
from cadstn.geometry.skeleton import HAND21
from cadstn.synth.draws import Draws
from cadstn.synth.hand import ANGLES, forward
from cadstn.synth.shape import EDGE_MM, Shape, average_shape, hand_length_mm, sample_shape

COUNT = 10_000
# Standard deviations of the bones in the radiographs (Buryanov & Kotiuk 2010), in mm.
BONE_SPREAD_MM = (
    (3.94, 3.13, 1.60),
    (4.94, 2.51, 2.26),
    (3.81, 3.00, 1.85),
    (3.87, 3.29, 2.22),
    (2.77, 2.54, 2.45),
)


@pytest.fixture(scope="module")
def many() -> Shape:
    return sample_shape(Draws((5,), torch.arange(COUNT)))


def groups(shape: Shape) -> tuple[Tensor, Tensor, Tensor]:
    """Which hands are men's, women's and children's: the first number of each stream says so."""
    group = Draws((5,), torch.arange(COUNT)).choice((2, 2, 1))
    return group == 0, group == 1, group == 2


def hand_breadth_mm(shape: Shape) -> Tensor:
    """Breadth (B,) across the metacarpal heads."""
    joints = (MCP_MM[0][0] - MCP_MM[3][0]) * shape.palm[:, 0]
    return shape.size * (joints + sum(EDGE_MM) * shape.palm[:, 2])


def straight(shape: Shape) -> tuple[Tensor, Tensor]:
    joints, cones = forward(torch.zeros(len(shape.size), len(ANGLES)), shape)
    reach = (cones.b[..., 1] + cones.rb)[:, :-4].amax(-1)
    return joints, reach


def test_the_average_hand_is_between_an_average_mans_and_womans() -> None:
    shape = average_shape()
    assert hand_length_mm(shape).item() == pytest.approx((193.8 + 180.5) / 2, abs=0.5)
    assert hand_breadth_mm(shape).item() == pytest.approx((90.4 + 79.4) / 2, abs=0.5)


def test_lengths_and_breadths_are_those_of_the_rendered_hand(many: Shape) -> None:
    some = Shape(*(field[:200] for field in many))._replace(left=torch.zeros(200))
    joints, reach = straight(some)
    # The palm's frame begins at the wrist; the middle finger is all but straight ahead.
    torch.testing.assert_close(reach, hand_length_mm(some), rtol=0, atol=0.6)
    _, cones = forward(torch.zeros(200, len(ANGLES)), some)
    head = [i for i in range(cones.ra.shape[1]) if is_metacarpal(i)]
    right = (cones.b[..., 0] + cones.rb)[:, head].amax(-1)
    left = (cones.b[..., 0] - cones.rb)[:, head].amin(-1)
    torch.testing.assert_close(right - left, hand_breadth_mm(some), rtol=0, atol=0.6)
    assert joints.isfinite().all()


def is_metacarpal(cone: int) -> bool:
    from cadstn.synth.surface import TABLE

    return cone < len(TABLE) and any(
        name.endswith("_mcp") and weight == 1 for name, weight in TABLE[cone].b.weights.items()
    ) and any(name.endswith("_cmc") for name in TABLE[cone].a.weights)  # fmt: skip


@pytest.mark.parametrize(
    ("sex", "length", "breadth"), [(0, (193.8, 9.8), (90.4, 4.2)), (1, (180.5, 9.7), (79.4, 3.8))]
)
def test_adults_are_as_long_and_broad_as_surveyed(
    many: Shape, sex: int, length: tuple[float, float], breadth: tuple[float, float]
) -> None:
    who = groups(many)[sex]
    for measured, (mean, spread) in (
        (hand_length_mm(many)[who], length),
        (hand_breadth_mm(many)[who], breadth),
    ):
        assert measured.mean().item() == pytest.approx(mean, rel=0.005)
        assert measured.std().item() == pytest.approx(spread, rel=0.05)
    both = torch.stack([hand_length_mm(many)[who], hand_breadth_mm(many)[who]])
    assert torch.corrcoef(both)[0, 1].item() == pytest.approx(0.5, abs=0.05)


def test_two_men_and_two_women_come_to_one_child(many: Shape) -> None:
    shares = [who.float().mean().item() for who in groups(many)]
    np.testing.assert_allclose(shares, (0.4, 0.4, 0.2), atol=0.02)
    child = groups(many)[2]
    length = hand_length_mm(many)[child]
    assert 124.9 < length.min().item() < 127
    assert 168 < length.max().item() < 170.1


def test_bones_of_adults_are_as_long_as_in_radiographs(many: Shape) -> None:
    men, women, _ = groups(many)
    joints, _ = straight(many)
    for row, digit in enumerate(DIGITS):
        bones = joints[:, list(HAND21.fingers[digit])].diff(dim=1).norm(dim=-1)
        found = bones[men | women]
        np.testing.assert_allclose(found.mean(0).numpy(), BONES_MM[row], rtol=0.01)
        # They vary no less than two thirds and no more than one and a third of what was measured.
        ratio = found.std(0).numpy() / np.array(BONE_SPREAD_MM[row])
        assert (ratio > 0.66).all(), (digit, ratio)
        assert (ratio < 1.33).all(), (digit, ratio)


def test_middle_finger_is_the_longest_of_nearly_all_hands(many: Shape) -> None:
    joints, _ = straight(many)
    along = joints[:, [HAND21.index(f"{d}_tip") for d in ("index", "middle", "ring", "pinky")], 1]
    assert (along.argmax(1) == 1).float().mean() > 0.9
    assert (along.argmin(1) == 3).float().mean() > 0.99


def test_fingers_vary_in_girth_beyond_what_length_gives(many: Shape) -> None:
    girth = many.girth * many.size[:, None]
    index = girth[:, DIGITS.index("index")] * 9.5 * 2  # at the middle joint, mm
    men, women, child = groups(many)
    assert 18.5 < index[men].mean().item() < 21
    assert 16 < index[women].mean().item() < 18.5
    # Children of three to ten years have index fingers 15 mm thick (Hohendorff et al. 2010); these
    # are some six to thirteen.
    assert 13 < index[child].mean().item() < 16
    length = many.bones[:, 1].mean(-1)
    assert abs(torch.corrcoef(torch.stack([many.girth[:, 1], length]))[0, 1].item()) < 0.15
    between = many.girth[:, 1] / many.girth[:, 4]
    assert 0.02 < between.std().item() < 0.06


def test_left_hands_and_sleeves(many: Shape) -> None:
    assert many.left.mean().item() == pytest.approx(0.5, abs=0.02)
    assert set(many.left.tolist()) == {0.0, 1.0}
    start, loose = many.sleeve_mm.unbind(-1)
    assert (loose > 0).float().mean().item() == pytest.approx(0.3, abs=0.02)
    assert loose[loose > 0].min() >= 2
    assert start.min() >= 0


def test_a_hand_does_not_depend_on_its_batch(many: Shape) -> None:
    alone = sample_shape(Draws((5,), torch.tensor([4321])))
    for one, all_of_them in zip(alone, many, strict=True):
        torch.testing.assert_close(one[0], all_of_them[4321], rtol=0, atol=0)


def test_no_monsters(many: Shape) -> None:
    for field in (many.bones, many.palm, many.girth, many.arm):
        assert field.min() > 0.6
        assert field.max() < 1.5
