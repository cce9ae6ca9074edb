"""Candidates of whole frames among a bank's: the crops that a network decides on."""

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cadstn.errors import CadstnError
from cadstn.geometry.skeleton import KNUCKLES, WRIST
from cadstn.tracking import Network, load_network
from cadstn.tracking.canonical import canonical_image, given_view
from cadstn.tracking.weights import find_weights
from cadstn.train.mined import Miner, candidates
from cadstn.train.recipes import override, recipe
from cadstn.train.stream_bank import stream_bank


@pytest.fixture(scope="module")
def network() -> Network:
    return load_network(provider="cpu", threads=1)


@pytest.fixture(scope="module")
def weights() -> Path:
    return find_weights("hand21").path


@pytest.fixture(scope="module")
def make() -> dict[str, Any]:
    """What a bank is made of, but for what mines."""
    chosen = override(
        recipe("follow"),
        {"hands": 0.5, "held": 0, "mesh": 0, "near_mm": 250, "far_mm": 1200, "compiled": False},
    )
    return {"recipe": chosen, "seed": 3, "clips": 24, "frames": 1}


def test_candidates_take_the_place_of_frames_with_and_without_a_hand(
    tmp_path: Path, network: Network, weights: Path, make: dict[str, Any]
) -> None:
    plain = stream_bank(tmp_path / "plain.bank", **make)
    mined = stream_bank(tmp_path / "mined.bank", **make, mine=Miner(weights, 3))
    assert plain.presence is not None
    assert mined.presence is not None
    np.testing.assert_array_equal(plain.presence, mined.presence)
    other = (plain.crops != mined.crops).any((1, 2))
    without = plain.presence == 0
    assert other[without].sum() == round(0.8 * without.sum())
    assert other[~without].sum() == round(0.1 * (~without).sum()) > 0
    # A mined hand's joints lie on its surface: behind what the crop shows at their place.
    for row in np.flatnonzero(other & ~without):
        assert np.linalg.norm(mined.joints[row, KNUCKLES].mean(0)) < 60 / (
            network.wants.cube_mm / 2
        )
    # Other weights mine other frames: a bank of them is another bank.
    with pytest.raises(CadstnError, match="a bank of other clips"):
        stream_bank(tmp_path / "plain.bank", **make, mine=Miner(weights, 3))


def test_mining_goes_on_where_it_was_interrupted(
    tmp_path: Path, weights: Path, make: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cadstn.train.mined._AT_ONCE", 4)
    whole, cut = tmp_path / "whole.bank", tmp_path / "cut.bank"
    seen: list[int] = []
    stream_bank(whole, **make, mine=Miner(weights, 3, on_mined=lambda done, _: seen.append(done)))

    def interrupt(done: int, total: int) -> None:
        if total / 2 < done < total:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stream_bank(cut, **make, mine=Miner(weights, 3, on_mined=interrupt))
    again: list[int] = []
    stream_bank(cut, **make, mine=Miner(weights, 3, on_mined=lambda done, _: again.append(done)))
    assert again[0] > 0
    assert again == seen[-len(again) :]  # the last batch before, and what follows
    assert cut.read_bytes() == whole.read_bytes()


def test_processes_that_mine_side_by_side_mine_what_one_does(
    tmp_path: Path, weights: Path, make: dict[str, Any]
) -> None:
    banks = []
    for workers in (1, 2):
        path = tmp_path / f"{workers}.bank"
        stream_bank(path, **make, mine=Miner(weights, 3, workers=workers))
        banks.append(path.read_bytes())
    assert banks[0] == banks[1]


def test_candidates_are_hands_where_hands_are_and_read_as_such(network: Network) -> None:
    found = candidates(network, (9, 9), torch.arange(48), network.wants.cube_mm, network.wants.size)
    assert found.presence.sum() >= 5
    assert (~found.presence).sum() >= 5
    views = []
    for crop, joints_mm, handedness in zip(
        found.crops, found.joints_mm, found.handedness, strict=True
    ):
        seen = joints_mm[:, :2] / joints_mm[:, 2:]
        right, down = seen[KNUCKLES].mean(0) - seen[WRIST]
        view = given_view(math.atan2(right, -down), left=bool(handedness))
        views.append(canonical_image(crop, view.transform))
    out = network.step(np.stack(views), network.initial_state(len(views)))
    assert out.presence is not None
    assert np.median(out.presence[found.presence]) > 0.95
    assert np.median(out.presence[~found.presence]) < 0.5
    # In the canonical view all hands are right ones.
    assert out.handedness is not None
    assert (out.handedness[found.presence] < 0.5).mean() > 0.8


def test_a_detector_that_finds_nothing_ends_in_an_error(
    tmp_path: Path,
    network: Network,
    weights: Path,
    make: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Blind:
        def detect(self, *_: object) -> list[object]:
            return []

    blind = dataclasses.replace(network, detector=Blind())  # type: ignore[arg-type]
    assert len(candidates(blind, (9, 9), torch.arange(4), network.wants.cube_mm, 32).crops) == 0
    monkeypatch.setattr("cadstn.train.mined._MOST_IDLE", 1)
    monkeypatch.setattr("cadstn.train.mined._AT_ONCE", 4)
    monkeypatch.setattr("cadstn.train.mined._network", lambda path: blind)
    with pytest.raises(CadstnError, match="no candidate that is none in 8 rendered frames"):
        stream_bank(tmp_path / "a.bank", **make, mine=Miner(weights, 3))
    assert not list(tmp_path.iterdir())


def test_weights_without_a_detector_cannot_mine(
    network: Network, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = dataclasses.replace(network, detector=None)
    monkeypatch.setattr("cadstn.train.mined._network", lambda path: network)
    with pytest.raises(CadstnError, match="no detector to mine with"):
        Miner(weights, 0)
