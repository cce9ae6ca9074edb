"""Fitting what takes a place for a hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

pytest.importorskip("torch")

from cadstn.bench.decision import _regression, fit_decision
from cadstn.cli import cli
from cadstn.errors import CadstnError
from cadstn.tracking import load_network
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
