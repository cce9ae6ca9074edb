"""The data sets' protocols say what the field scores."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from cadstn.errors import CadstnError
from cadstn.evaluate.predictions import load_predictions
from cadstn.evaluate.protocol import PROTOCOLS, is_published_test, protocol


def test_the_two_sets() -> None:
    nyu, icvl = protocol("nyu"), protocol("icvl")
    assert (nyu.camera.fx, nyu.camera.fy) == (588.03, 587.07)
    assert (icvl.camera.fx, icvl.camera.fy) == (241.42, 241.42)
    assert (len(nyu.skeleton), nyu.test_frames, len(nyu.cuts) + 1) == (14, 8252, 18)
    assert (len(icvl.skeleton), icvl.test_frames, icvl.cuts) == (16, 702 + 894, (702,))


@pytest.mark.parametrize("name", PROTOCOLS)
def test_cuts_increase_within_the_test(name: str) -> None:
    rules = protocol(name)
    assert rules.name == name
    end = (rules.test_frames,) if rules.test_frames else ()
    assert all(a < b for a, b in itertools.pairwise((0, *rules.cuts, *end)))


def test_unknown_set() -> None:
    with pytest.raises(CadstnError) as caught:
        protocol("nyuu")
    assert (
        "no test set 'nyuu'; did you mean 'nyu'? known: dexycb, hands2017, icvl, msra, ny"
        in str(caught.value)
    )


def test_nyu_cuts_are_where_the_truth_jumps(published: Path) -> None:
    truth = load_predictions(published / "nyu" / "groundtruth.txt", protocol("nyu"))
    step_mm = np.linalg.norm(np.diff(truth, axis=0), axis=-1).mean(axis=1)
    assert tuple(np.flatnonzero(step_mm > 40) + 1) == protocol("nyu").cuts


def test_icvl_cut_is_where_the_second_recording_begins(published: Path) -> None:
    text = (published / "icvl" / "labels" / "test_seq_1.txt").read_text(encoding="utf-8")
    frames = [line for line in text.split("\n") if line.strip()]  # it has blank lines between
    assert (len(frames),) == protocol("icvl").cuts


@pytest.mark.parametrize("name", ["nyu", "icvl"])
def test_frames_alone_are_no_published_test(name: str) -> None:
    rules = protocol(name)
    truth = np.full((rules.test_frames, len(rules.skeleton), 3), 500.0)
    assert not is_published_test(rules, truth)  # as many frames, rendered
    for cut in rules.cuts:
        truth[cut:, :, 0] += 45.0
    assert is_published_test(rules, truth)
    assert not is_published_test(rules, truth[1:])
    assert not is_published_test(protocol("msra"), truth)
    assert protocol(rules) is rules


@pytest.mark.parametrize("name", ["nyu", "icvl"])
def test_the_published_tests_are_known(name: str, published: Path) -> None:
    rules = protocol(name)
    truth = load_predictions(published / name / "groundtruth.txt", name)
    assert is_published_test(rules, truth)
