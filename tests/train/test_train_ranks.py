from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from cadstn.data.bank import Bank
from cadstn.errors import CadstnError
from cadstn.train import BankSource, train
from cadstn.train.detector import DetectorRecipe, train_detector
from cadstn.train.guards import memory_errors
from cadstn.train.ranks import Ranks
from cadstn.train.recipes import STAGES, Recipe, override, recipe
from cadstn.train.state import read_tensors

_RANK = """
import sys
from pathlib import Path
import torch
from cadstn.data.bank import open_bank
from cadstn.train.recipes import STAGES, Recipe
from cadstn.train import BankSource, Stopped, train
from cadstn.train.ranks import leave
torch.set_num_threads(1)
recipe = Recipe.from_json(sys.argv[1])
train(recipe, Path(sys.argv[3]), source=BankSource(open_bank(Path(sys.argv[2])), recipe, "cpu"))
leave()
"""


@pytest.mark.parametrize(("size", "batch"), [(1, 8), (2, 8), (3, 8), (5, 7), (8, 8)])
def test_ranks_share_every_step_out_among_them(size: int, batch: int) -> None:
    for step in (0, 3):
        rows = torch.cat([Ranks(rank, size).rows(step, batch) for rank in range(size)])
        assert rows.tolist() == list(range(step * batch, (step + 1) * batch))


def test_more_ranks_than_clips_are_refused_before_the_first_step() -> None:
    chosen = recipe("cadstn.nyu")
    Ranks(0, 8).check(chosen, STAGES)
    with pytest.raises(CadstnError) as caught:
        Ranks(0, 16).check(chosen, STAGES)
    assert caught.value.what == "16 ranks for a step of 8 clips in stage temporal and fusion"
    fields = dict(re.findall(r"--set (\S+)=(\d+)", caught.value.hint))
    Ranks(0, 16).check(override(chosen, {n: int(v) for n, v in fields.items()}), STAGES)
    Ranks(0, 16).check(chosen, ("spatial",))  # those that are done do not count
    Ranks(0, 16).check(chosen, ())


def test_training_asks_before_it_begins(
    tmp_path: Path, small: Callable[..., Recipe], toy_bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cadstn.train.loop.join", lambda device: (Ranks(0, 3), device))
    chosen = small()
    with pytest.raises(CadstnError, match="3 ranks for a step of 2 clips in stage temporal"):
        train(chosen, tmp_path / "run", source=BankSource(toy_bank, chosen, "cpu"))
    assert not (tmp_path / "run").exists()


def test_the_guide_s_ranks_have_a_clip_each() -> None:
    guide = (Path(__file__).parents[2] / "docs/guides/train.md").read_text()
    (nodes, each), *more = re.findall(r"torchrun --nnodes (\d+) .*--nproc-per-node (\d+)", guide)
    assert not more
    Ranks(0, int(nodes) * int(each)).check(recipe("cadstn.nyu"), STAGES)


def test_what_learns_from_whole_batches_has_one_rank(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(CadstnError, match="one rank trains networks of a residual trunk, not 2"):
        Ranks(1, 2).check(recipe("compact"), STAGES)
    with pytest.raises(CadstnError) as caught, memory_errors(recipe("compact"), "spatial"):
        raise MemoryError
    assert "ranks" not in str(caught.value)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(CadstnError, match="one rank trains the detector, not 2; start it without"):
        train_detector(DetectorRecipe(), tmp_path / "detector")


def test_two_ranks_equal_one(tmp_path: Path, small: Callable[..., Recipe], toy_bank: Bank) -> None:
    """Global batch, order, augmentation and dropout do not depend on how many share the work."""
    recipe = small(
        **{
            "net.dropout": 0.3, "net.dropout_recurrent": 0.5, "augment.turns": "paper",
            "augment.rotate_deg": 10.0, "spatial.batch": 6,
            # Adam's first steps are as long as the rate wherever a gradient is not 0, so rounding
            # of one that nearly is shows at full length; a wrong order moves every weight so far.
            **{f"{stage}.learning_rate": 1e-4 for stage in STAGES},
        }
    )  # fmt: skip
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = os.environ | {
        "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
        "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    arguments = [recipe.to_json(), str(toy_bank.path), str(tmp_path / "two")]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", _RANK, *arguments],
            env=environment | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stderr=subprocess.PIPE, text=True,
        )
        for rank in range(2)
    ]  # fmt: skip
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as the ranks have: sums in the same order whatever the load
    try:
        train(recipe, tmp_path / "one", source=BankSource(toy_bank, recipe, "cpu"))
    finally:
        torch.set_num_threads(threads)
    try:
        for process in processes:
            _, errors = process.communicate(timeout=240)
            assert process.returncode == 0, errors
    finally:
        for process in processes:
            process.kill()
    for stage in recipe.stages:
        one, two = (read_tensors(tmp_path / n / f"{stage}.safetensors")[0] for n in ("one", "two"))
        for name, tensor in one.items():
            torch.testing.assert_close(two[name], tensor, rtol=0, atol=1e-6)
    assert len((tmp_path / "two" / "log.jsonl").read_text().splitlines()) == 13  # one rank's
