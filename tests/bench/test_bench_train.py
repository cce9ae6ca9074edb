from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from cadstn.bench.train import PARTS, bench_train, format_speeds
from cadstn.cli import cli
from cadstn.train import RenderedSource
from cadstn.train.memory import keep_memory
from cadstn.train.recipes import override, recipe


def test_every_stage_is_timed() -> None:
    chosen = override(recipe("tiny"), {"spatial.batch": 8, "fusion.batch": 8, "temporal.batch": 8})
    speeds = bench_train(chosen, RenderedSource(chosen, "cpu"), rounds=1)
    assert [speed.stage for speed in speeds] == ["spatial", "temporal", "fusion"]
    for speed in speeds:
        assert set(speed.seconds) == set(PARTS)
        assert all(seconds > 0 for seconds in speed.seconds.values())
        assert speed.images_per_s == pytest.approx(8 / sum(speed.seconds.values()), rel=0.01)
        steps = chosen.plan(speed.stage).steps
        assert speed.schedule_s == pytest.approx(8 * steps / speed.images_per_s)
        assert speed.plain_images_per_s
    assert "the whole schedule" in format_speeds(speeds)


def test_bench_from_the_command_line() -> None:
    arguments = ["bench", "train", "baseline.tiny", "--rounds", "1", "--no-plain", "--json"]
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == 0, result.output
    (speed,) = json.loads(result.stdout)
    assert speed["stage"] == "baseline"
    assert speed["plain_images_per_s"] is None


def test_memory_is_kept_and_given_back() -> None:
    assert keep_memory(False)
    assert keep_memory()
