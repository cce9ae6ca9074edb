"""Fitting what takes a place for a hand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

pytest.importorskip("torch")

from cadstn.bench.alarms import Still, still_scenes
from cadstn.bench.decision import Places, _regression, fit_decision
from cadstn.cli import cli
from cadstn.errors import CadstnError
from cadstn.tracking import Network, load_network
from cadstn.tracking.decision import DEFAULT, Evidence


def test_a_regression_finds_the_weights_that_made_the_labels() -> None:
    rng, true = np.random.default_rng(0), np.array([1.5, 0.5, -2.0, 4.0])
    evidence = np.column_stack([rng.normal(0, 2, (20_000, 2)), rng.normal(2.3, 0.5, 20_000),
                                np.ones(20_000)])  # fmt: skip
    hand = rng.random(20_000) < 1 / (1 + np.exp(-evidence @ true))
    assert np.allclose(_regression(evidence, hand), true, atol=0.25)


def test_a_fitted_decision_knows_hands_from_what_is_none() -> None:
    done: list[int] = []
    decision = fit_decision(load_network(threads=1), (12, 48, 48), done.append)
    assert sum(done) == 108
    assert decision.log_odds(Evidence(0.97, 0.999, 7.0)) > 0
    assert decision.log_odds(Evidence(0.3, 0.05, 28.0)) < 0
    assert (decision.score, decision.presence) > (0, 0)
    assert decision.error_scale < 0
    assert decision != DEFAULT


def test_without_hands_nothing_is_fitted() -> None:
    with pytest.raises(CadstnError, match="no decision can be fitted"):
        fit_decision(load_network(threads=1), (0, 4, 0))


@pytest.mark.parametrize("lacks", [{"compact": False}, {"upright": False, "answers": False}])
def test_a_network_without_presence_is_refused(lacks: dict[str, Any]) -> None:
    network = load_network(threads=1)
    with pytest.raises(CadstnError, match="does not predict presence"):
        fit_decision(replace(network, wants=replace(network.wants, **lacks)))


@pytest.mark.parametrize("more", [["--choosing"], ["--scenes", "10"], ["--real", "."]])
def test_fitting_counts_nothing(more: list[str], tmp_path: Path) -> None:
    options = ["bench", "alarms", *more, "--fit-decision", str(tmp_path / "d.json")]
    result = CliRunner().invoke(cli, options)
    assert isinstance(result.exception, CadstnError)
    assert "counts nothing" in str(result.exception)


@pytest.mark.parametrize(("sign", "more"), [(1.0, 1997.0), (-1.0, 0.0)])
def test_the_threshold_is_chosen_on_scenes_of_its_own(
    network: Network, monkeypatch: pytest.MonkeyPatch, sign: float, more: float
) -> None:
    """Of 2,000 scenes whose surest place has log-odds 0 to 1,999, two may announce a hand."""
    asked: list[tuple[int, int, float, bool]] = []

    def scenes(count: int, *, hands: float, choosing: bool, first: int) -> Iterator[Still]:
        asked.append((first, count, hands, choosing))
        return iter(())

    def places(network: Network, rendered: object, on_scene: object) -> tuple[Places, int]:
        first, count, hands, _ = asked[-1]
        evidence = np.zeros((count - first, 4))
        evidence[:, 0] = sign * np.arange(count - first) / DEFAULT.score
        hand = np.full(count - first, hands > 0)
        return Places(evidence, hand, np.arange(count - first)), count - first

    for name, instead in (
        ("still_scenes", scenes), ("_places", places), ("_regression", lambda *_: np.array(DEFAULT))
    ):  # fmt: skip
        monkeypatch.setattr(f"cadstn.bench.decision.{name}", instead)
    found = fit_decision(network, (5, 7, 2000))
    assert asked == [(0, 5, 1.0, True), (0, 7, 0.0, True), (7, 2007, 0.0, True)]
    assert found == pytest.approx((*DEFAULT[:3], DEFAULT.bias - more))


@pytest.mark.parametrize(("choosing", "seed"), [(False, (12, 31)), (True, (6, 31))])
def test_scenes_of_the_test_are_not_those_that_are_chosen_by(
    monkeypatch: pytest.MonkeyPatch, choosing: bool, seed: tuple[int, int]
) -> None:
    asked: list[object] = []

    def ask(seed: tuple[int, int], index: Any, hands: float) -> None:
        asked.extend((seed, index.tolist(), hands))
        raise InterruptedError

    monkeypatch.setattr("cadstn.bench.alarms.sample_whole", ask)
    with pytest.raises(InterruptedError):
        next(still_scenes(20, hands=0.5, choosing=choosing, first=18))
    assert asked == [seed, [18, 19], 0.5]
