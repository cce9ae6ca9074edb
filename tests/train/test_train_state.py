from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from cadstn.errors import CadstnError
from cadstn.train.optimizers import Optimizers
from cadstn.train.recipes import Recipe, override, recipe
from cadstn.train.state import (
    check_same,
    checkpoints,
    read_tensors,
    resume,
    save_checkpoint,
    write_tensors,
)

ABOUT = {"recipe": recipe("tiny").to_json(), "data": "d"}


def test_tensors_and_text_come_back(tmp_path: Path) -> None:
    path = tmp_path / "new" / "some.safetensors"
    images = torch.randn(2, 3, 4, 4).contiguous(memory_format=torch.channels_last)
    tensors = {"images": images, "turned": torch.arange(6).view(2, 3).T}
    write_tensors(path, tensors, {"note": "Größe"})
    found, about = read_tensors(path)
    assert about == {"note": "Größe"}
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert torch.equal(found[name], tensor)
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_failed_write_leaves_the_old_file_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "some.safetensors"
    write_tensors(path, {"a": torch.zeros(2)}, {})
    before = path.read_bytes()

    def full(file: Path, data: bytes) -> int:
        with file.open("wb") as half:
            half.write(data[: len(data) // 2])
        raise OSError("no space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(CadstnError, match=r"some\.safetensors: cannot be written .*no space.*room"):
        write_tensors(path, {"a": torch.ones(2)}, {})
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def damage(path: Path, how: str) -> None:
    whole = path.read_bytes()
    path.write_bytes(
        {
            "empty": b"",
            "short": whole[:-5],
            "header": whole[:20],
            "text": b"these are not weights at all",
            "length": b"\xff" * 8 + whole[8:],
        }[how]
    )


@pytest.mark.parametrize("how", ["empty", "short", "header", "text", "length"])
def test_damaged_file_is_reported_in_one_line(tmp_path: Path, how: str) -> None:
    path = tmp_path / "some.safetensors"
    write_tensors(path, {"a": torch.zeros(4)}, {})
    damage(path, how)
    with pytest.raises(CadstnError, match=r"some\.safetensors: (not a safe|damaged)") as caught:
        read_tensors(path)
    assert "\n" not in str(caught.value)
    assert "delete it" in str(caught.value)


def test_missing_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(CadstnError, match="no such weights file"):
        read_tensors(tmp_path / "none.safetensors")


class _Trap:
    """Unpickled, it would leave a mark."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, tuple[Path]]:
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("legacy", [False, True])
def test_pickles_are_refused_and_never_run(tmp_path: Path, legacy: bool) -> None:
    path, mark = tmp_path / "some.safetensors", tmp_path / "mark"
    torch.save({"a": _Trap(mark)}, path, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(CadstnError, match="not a safetensors file"):
        read_tensors(path)
    assert not mark.exists()
    with path.open("rb") as file:
        torch.load(file, weights_only=False)  # the trap itself works
    assert mark.exists()


def steps(model: nn.Linear, optimizers: Optimizers, count: int) -> None:
    for _ in range(count):
        model.zero_grad()
        torch.autograd.backward(model(torch.ones(1, 4)).square().sum())
        for optimizer in optimizers.values():
            optimizer.step()


def made(seed: int) -> tuple[nn.Linear, Optimizers]:
    torch.manual_seed(seed)
    model = nn.Linear(4, 3)
    return model, {"adam": torch.optim.Adam(model.parameters(), lr=0.05, weight_decay=0.01)}


def test_checkpoint_restores_weights_moments_and_step(tmp_path: Path) -> None:
    model, optimizers = made(0)
    steps(model, optimizers, 3)
    save_checkpoint(tmp_path, "spatial", model, optimizers, 3, ABOUT)
    steps(model, optimizers, 4)
    other, its_optimizers = made(1)
    assert resume(tmp_path, "spatial", other, its_optimizers, ABOUT, print) == 3
    steps(other, its_optimizers, 4)
    assert torch.equal(other.weight, model.weight)
    assert torch.equal(other.bias, model.bias)


def test_moments_are_laid_out_like_their_weights(tmp_path: Path) -> None:
    """The fused Adam walks both by memory: another layout would mix them up silently."""

    def convolution(seed: int) -> tuple[nn.Conv2d, Optimizers]:
        torch.manual_seed(seed)
        model = nn.Conv2d(4, 3, 3).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return model, {"adam": torch.optim.Adam(model.parameters(), fused=True)}

    model, optimizers = convolution(0)
    torch.autograd.backward(model(torch.randn(2, 4, 8, 8)).square().sum())
    optimizers["adam"].step()
    save_checkpoint(tmp_path, "spatial", model, optimizers, 1, ABOUT)
    other, its_optimizers = convolution(1)
    resume(tmp_path, "spatial", other, its_optimizers, ABOUT, print)
    moment = its_optimizers["adam"].state[other.weight]["exp_avg"]
    assert moment.stride() == other.weight.stride()
    assert torch.equal(moment, optimizers["adam"].state[model.weight]["exp_avg"])


def test_checkpoint_before_the_first_step_and_none_at_all(tmp_path: Path) -> None:
    model, optimizers = made(0)
    assert resume(tmp_path, "spatial", model, optimizers, ABOUT, print) == 0
    save_checkpoint(tmp_path, "spatial", model, optimizers, 0, ABOUT)
    other, its_optimizers = made(1)
    assert resume(tmp_path, "spatial", other, its_optimizers, ABOUT, print) == 0
    assert torch.equal(other.weight, model.weight)


def test_newest_two_are_kept(tmp_path: Path) -> None:
    model, optimizers = made(0)
    for step in (500, 1000, 99_500, 100_000):
        save_checkpoint(tmp_path, "spatial", model, optimizers, step, ABOUT)
        save_checkpoint(tmp_path, "temporal", model, optimizers, step, ABOUT)
    names = [path.name.split(".")[1] for path in checkpoints(tmp_path, "spatial")]
    assert names == ["00100000", "00099500"]
    assert len(list(tmp_path.iterdir())) == 4


def test_every_checkpoint_damaged_begins_again(tmp_path: Path) -> None:
    model, optimizers = made(0)
    for step in (1, 2):
        save_checkpoint(tmp_path, "spatial", model, optimizers, step, ABOUT)
    for path in checkpoints(tmp_path, "spatial"):
        damage(path, "short")
    reported: list[str] = []
    assert resume(tmp_path, "spatial", model, optimizers, ABOUT, reported.append) == 0
    assert [("00000002" in reported[0]), ("00000001" in reported[1])] == [True, True]


def same(theirs: Recipe, ours: Recipe, stage: str) -> None:
    about = [{"recipe": value.to_json(), "data": "d"} for value in (theirs, ours)]
    check_same(Path("some.safetensors"), about[0], about[1], stage)


@pytest.mark.parametrize(
    ("stage", "field", "value", "matters"),
    [
        ("spatial", "seed", 1, True),
        ("spatial", "net.width", 8, True),
        ("spatial", "spatial.steps", 7, True),
        ("spatial", "temporal.steps", 7, False),
        ("spatial", "temporal_start", "spatial", False),
        ("spatial", "gate", 0.1, False),
        ("spatial", "network", "spatial", False),
        ("spatial", "validation_frames", 7, False),
        ("temporal", "spatial.steps", 7, False),
        ("temporal", "temporal.learning_rate", 0.5, True),
        ("temporal", "gate", 0.1, False),
        ("spatial", "clip", 4, False),
        ("temporal", "clip", 4, True),
        ("fusion", "gate", 0.1, True),
        ("fusion", "spatial.batch", 32, True),
        ("fusion", "baseline.steps", 7, False),
    ],
)
def test_what_decides_a_stage(stage: str, field: str, value: Any, matters: bool) -> None:
    base = recipe("tiny")
    other = override(base, {field: value})
    if not matters:
        same(base, other, stage)
        return
    with pytest.raises(CadstnError, match=rf"some\.safetensors: made with {field} = .*--out"):
        same(base, other, stage)


def test_smoothness_matters_from_the_temporal_stage_on() -> None:
    base = recipe("compact")
    other = override(base, {"smoothness": 0.1})
    same(base, other, "spatial")
    for stage in ("temporal", "fusion"):
        with pytest.raises(CadstnError, match=r"made with smoothness = 0\.3, not 0\.1"):
            same(base, other, stage)


def test_a_start_makes_its_network_matter() -> None:
    base = override(recipe("tiny"), {"temporal_start": "baseline"})
    other = override(base, {"baseline.steps": 7})
    with pytest.raises(CadstnError, match=r"made with baseline\.steps = 40, not 7"):
        same(base, other, "temporal")


def test_weights_without_a_recipe_are_refused() -> None:
    with pytest.raises(CadstnError, match="names no recipe"):
        check_same(Path("x"), {}, ABOUT, "spatial")
