"""Every convention of joints is a whole hand."""

from __future__ import annotations

import itertools

import pytest

from cadstn.errors import CadstnError
from cadstn.geometry.skeleton import (
    HAND21,
    ICVL16,
    MSRA21,
    NYU14,
    NYU14_OF_36,
    NYU36,
    SKELETONS,
    Skeleton,
    skeleton,
)

ALL = pytest.mark.parametrize("hand", SKELETONS.values(), ids=SKELETONS)
PARTS = ("tip", "mid", "root")
NYU_DIGITS = {"thumb": "TH", "index": "F4", "middle": "F3", "ring": "F2", "pinky": "F1"}


def root(hand: Skeleton) -> int:
    (only,) = {a for a, _ in hand.bones} - {b for _, b in hand.bones}
    return only


def test_counts() -> None:
    assert [len(s) for s in (HAND21, NYU36, NYU14, ICVL16, MSRA21)] == [21, 36, 14, 16, 21]
    assert {name: s.name for name, s in SKELETONS.items()} == {name: name for name in SKELETONS}


@ALL
def test_names_are_unique_and_found(hand: Skeleton) -> None:
    assert len(set(hand.joints)) == len(hand) == len(hand.joints)
    assert [hand.index(joint) for joint in hand.joints] == list(range(len(hand)))


@ALL
def test_bones_form_a_tree_that_reaches_every_joint(hand: Skeleton) -> None:
    assert len(hand.bones) == len(hand) - 1
    children = [b for _, b in hand.bones]
    assert len(set(children)) == len(children)
    reached = {root(hand)}
    for _ in hand.bones:
        reached |= {b for a, b in hand.bones if a in reached}
    assert reached == set(range(len(hand)))


@ALL
def test_fingers(hand: Skeleton) -> None:
    assert set(hand.fingers) == {"thumb", "index", "middle", "ring", "pinky"}
    members = [joint for chain in hand.fingers.values() for joint in chain]
    assert len(set(members)) == len(members)
    assert root(hand) not in members
    for finger, chain in hand.fingers.items():
        start = NYU_DIGITS[finger] if hand is NYU36 else finger
        assert all(hand.joints[k].startswith(f"{start}_") for k in chain)
        assert all(bone in hand.bones for bone in itertools.pairwise(chain))


@ALL
def test_knuckles_begin_the_four_fingers(hand: Skeleton) -> None:
    begin = {"hand21": "{f}_mcp", "msra21": "{f}_mcp", "nyu36": "{d}_KNU1_B", "nyu14": "{f}_mid"}
    name = begin.get(hand.name, "{f}_root")
    fingers = [finger for finger in hand.fingers if finger != "thumb"]
    expected = [name.format(f=finger, d=NYU_DIGITS[finger]) for finger in fingers]
    assert [hand.joints[k] for k in hand.knuckles] == expected
    assert len(expected) == 4


@ALL
def test_tips_end_their_fingers(hand: Skeleton) -> None:
    assert len(hand.tips) == 5
    expected = [f"{finger}_tip" for finger in hand.fingers]
    if hand is NYU36:
        expected = [f"{NYU_DIGITS[finger]}_KNU3_A" for finger in hand.fingers]
    assert [hand.joints[k] for k in hand.tips] == expected
    assert not set(hand.tips) & {a for a, _ in hand.bones}


@pytest.mark.parametrize(
    ("hand", "name"),
    [
        (HAND21, "wrist"),
        (NYU36, "PALM_6"),
        (NYU14, "palm"),
        (ICVL16, "palm"),
        (MSRA21, "wrist"),
    ],
)
def test_roots(hand: Skeleton, name: str) -> None:
    assert hand.joints[root(hand)] == name


def test_known_orders() -> None:
    # MediaPipe: 4, 8, 12, 16, 20 are the tips, thumb first. MSRA starts at the index finger and
    # ends at the thumb; ICVL runs from the thumb; NYU from the pinky's tip to the palm.
    assert HAND21.tips == (4, 8, 12, 16, 20)
    assert HAND21.joints[5] == "index_mcp"
    assert (MSRA21.joints[1], MSRA21.joints[20]) == ("index_mcp", "thumb_tip")
    assert ICVL16.joints[:4] == ("palm", "thumb_root", "thumb_mid", "thumb_tip")
    assert ICVL16.joints[15] == "pinky_tip"
    assert (NYU14.joints[0], NYU14.joints[10], NYU14.joints[13]) == (
        "pinky_tip",
        "thumb_root",
        "palm",
    )


def test_nyu_subset() -> None:
    assert NYU14_OF_36 == (0, 3, 6, 9, 12, 15, 18, 21, 24, 25, 27, 30, 31, 32)
    assert len(NYU14_OF_36) == len(NYU14)
    # What the field calls tip, middle and root of the thumb, by the names of NYU's own file.
    assert [NYU36.joints[NYU14_OF_36[NYU14.index(f"thumb_{part}")]] for part in PARTS] == [
        "TH_KNU3_A",
        "TH_KNU3_B",
        "TH_KNU2_B",
    ]
    assert [NYU36.joints[i] for i in NYU14_OF_36[11:]] == ["PALM_1", "PALM_2", "PALM_3"]


def test_unknown_names() -> None:
    with pytest.raises(CadstnError) as caught:
        skeleton("nyu15")
    assert str(caught.value).startswith("no skeleton 'nyu15'; did you mean 'nyu14'? known: hand21,")
    with pytest.raises(CadstnError, match="icvl16 has no joint 'plam'; did you mean 'palm'"):
        ICVL16.index("plam")
    assert skeleton("msra21") is MSRA21
