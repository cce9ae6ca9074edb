from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cadstn.errors import CadstnError
from cadstn.recipes import override, tiny
from cadstn.train.state import (
    check_recipe,
    load_checkpoint,
    read_tensors,
    save_checkpoint,
    write_tensors,
)

RECIPE = tiny().to_json()


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

    def full(tensors: dict[str, Tensor], file: Path, **rest: Any) -> None:
        file.write_bytes(b"half of it")
        raise OSError("no space left on device")

    monkeypatch.setattr("cadstn.train.state.save_file", full)
    with pytest.raises(OSError, match="no space"):
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
def test_damaged_file_is_told_in_one_line(tmp_path: Path, how: str) -> None:
    path = tmp_path / "some.safetensors"
    write_tensors(path, {"a": torch.zeros(4)}, {})
    damage(path, how)
    with pytest.raises(CadstnError, match=r"some\.safetensors: not a safetensors file") as caught:
        read_tensors(path)
    assert "\n" not in str(caught.value)
    assert "delete it" in str(caught.value)


def test_missing_file_says_so(tmp_path: Path) -> None:
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


def steps(model: nn.Linear, optimizer: torch.optim.Optimizer, count: int) -> None:
    for _ in range(count):
        optimizer.zero_grad()
        torch.autograd.backward(model(torch.ones(1, 4)).square().sum())
        optimizer.step()


def made(seed: int) -> tuple[nn.Linear, torch.optim.Optimizer]:
    torch.manual_seed(seed)
    model = nn.Linear(4, 3)
    return model, torch.optim.Adam(model.parameters(), lr=0.05, weight_decay=0.01)


def test_checkpoint_restores_weights_moments_and_step(tmp_path: Path) -> None:
    path = tmp_path / "check.safetensors"
    model, optimizer = made(0)
    steps(model, optimizer, 3)
    save_checkpoint(path, model, optimizer, 3, RECIPE)
    steps(model, optimizer, 4)
    other, its_optimizer = made(1)
    assert load_checkpoint(path, other, its_optimizer, RECIPE) == 3
    steps(other, its_optimizer, 4)
    assert torch.equal(other.weight, model.weight)
    assert torch.equal(other.bias, model.bias)


def test_checkpoint_before_the_first_step(tmp_path: Path) -> None:
    path = tmp_path / "check.safetensors"
    model, optimizer = made(0)
    save_checkpoint(path, model, optimizer, 0, RECIPE)
    other, its_optimizer = made(1)
    assert load_checkpoint(path, other, its_optimizer, RECIPE) == 0
    assert torch.equal(other.weight, model.weight)


def test_another_recipe_is_refused_by_the_field_that_differs(tmp_path: Path) -> None:
    path = tmp_path / "check.safetensors"
    about = {"recipe": RECIPE}
    check_recipe(path, about, RECIPE)
    other = override(tiny(), {"learning_rate": 0.5}).to_json()
    with pytest.raises(CadstnError, match=r"learning_rate = 0\.001, not 0\.5.*--out"):
        check_recipe(path, about, other)
    with pytest.raises(CadstnError, match=r"check\.safetensors"):
        check_recipe(path, {}, RECIPE)
