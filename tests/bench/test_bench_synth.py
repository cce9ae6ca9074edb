from __future__ import annotations

import json

import pytest
import torch
from click.testing import CliRunner

from cadstn.bench import synth
from cadstn.bench.synth import bench_synth, report_lines
from cadstn.cli import cli
from cadstn.synth.raster import cast


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synth, "SIZE", 32)


def test_every_way_is_measured_and_the_oracle_agrees() -> None:
    threads = torch.get_num_threads()
    report = bench_synth((4,), compiled=False, workers=2, rounds=1)
    assert torch.get_num_threads() == threads
    rates = report["rates"]
    ways = [(rate["what"], rate["workers"]) for rate in rates]
    assert ways == [
        ("crops", 1), ("crops", 2), ("crops with noise", 1), ("crops with noise", 2),
        ("cast", 1), ("frames", 1), ("oracle, crops", 1),
    ]  # fmt: skip
    assert all(rate["per_s"] > 0 for rate in rates)
    assert rates[-1]["per_s"] < rates[4]["per_s"] / 10  # that is what the fast path is for
    table = report_lines(report)
    assert torch.__version__ in table[0]
    assert len(table) == 4 + len(rates)


def test_a_renderer_that_is_wrong_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synth, "cast", lambda *args, **given: cast(*args, **given) + 0.02)
    with pytest.raises(AssertionError):
        synth._oracle("cpu", False)


def test_bench_from_the_command_line() -> None:
    arguments = ["bench", "synth", "--eager", "--batch", "2", "--rounds", "1", "--workers", "1"]
    result = CliRunner().invoke(cli, [*arguments, "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["machine"]["torch"] == torch.__version__
