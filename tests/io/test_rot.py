"""Single flipped bits of checkpoints, banks and exported networks: every one is refused."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cadstn.data.bank import Bank, CropRule, open_bank, write_bank
from cadstn.errors import CadstnError
from cadstn.io.folder import check_hashes
from cadstn.io.hashes import check_stamp
from cadstn.tracking import load_network
from cadstn.tracking.runtime import shipped_weights

FLIPS = 400


def flipped(path: Path, read: Callable[[Path], object], flips: int = FLIPS) -> int:
    """How many of so many flips, evenly over the file, are refused."""
    good = path.read_bytes()
    refused = 0
    for bit in np.linspace(0, 8 * len(good) - 1, flips).astype(int).tolist():
        bad = bytearray(good)
        bad[bit // 8] ^= 1 << bit % 8
        path.write_bytes(bad)
        try:
            read(path)
        except CadstnError:
            refused += 1
    path.write_bytes(good)
    read(path)
    return refused


def test_a_bank(tmp_path: Path) -> None:
    rule = CropRule("hand21", 250.0, size=8)

    def fill(bank: Bank) -> None:
        bank.crops[:] = np.random.default_rng(1).integers(0, 65535, bank.crops.shape)
        bank.joints[:] = 0.1
        bank.cube_mm[:] = 250

    path = tmp_path / "a.bank"
    write_bank(path, (6, 8, 21), {"data": "d", "rule": rule.to_json()}, fill)
    assert flipped(path, open_bank) == FLIPS


@pytest.mark.parametrize(
    "change",
    [
        lambda h: h["crops"].update(shape=[10**9, 8, 8]),
        lambda h: h["crops"].update(shape=[6, 8]),
        lambda h: h["crops"].update(dtype="F64"),
        lambda h: h["crops"].update(data_offsets=[-8, 760]),
        lambda h: h["joints"].update(data_offsets=["a", None]),
        lambda h: h.pop("shots"),
        lambda h: h["__metadata__"].pop("rule"),
        lambda h: h["__metadata__"].update(rule="[]"),
        lambda h: h["__metadata__"].update(rule='{"skeleton": 1}'),
        lambda h: h["__metadata__"].update(data=[1]),
    ],
)
def test_a_banks_header_is_checked_field_by_field(
    tmp_path: Path, change: Callable[[dict[str, dict[str, object]]], object]
) -> None:
    rule = CropRule("hand21", 250.0, size=8)
    path = tmp_path / "a.bank"
    write_bank(path, (6, 8, 21), {"data": "d", "rule": rule.to_json()}, lambda bank: None)
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    change(header)
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + length :])
    with pytest.raises(CadstnError, match=r"not a whole bank of crops|damaged"):
        open_bank(path)


def test_a_checkpoint(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from cadstn.train.state import read_tensors, write_tensors

    path = tmp_path / "a.safetensors"
    write_tensors(path, {"w": torch.arange(500.0), "b": torch.ones(3)}, {"recipe": "r"})
    assert flipped(path, read_tensors) == FLIPS
    assert read_tensors(path)[1] == {"recipe": "r"}


def test_an_exported_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    onnx = pytest.importorskip("onnx")
    from cadstn.export import export_onnx
    from cadstn.models import Cadstn, NetConfig

    config = NetConfig(joints=2, size=16, channels=(4, 4, 4), width=8, hidden=8)
    path = tmp_path / "a.onnx"
    # Any graph serves: what is stamped is the file.
    graph = onnx.load(Path(__file__).parents[1] / "tracking/pins/older.onnx")
    monkeypatch.setattr("cadstn.export.onnx_file._trace", lambda *_: graph)
    export_onnx(Cadstn(config), path, {})
    assert check_stamp(path, hint="export it again")
    assert flipped(path, lambda p: check_stamp(p, hint="export it again"), 100) == 100


def test_the_weights_in_the_package(tmp_path: Path) -> None:
    path = tmp_path / "hand21.onnx"
    with shipped_weights() as there:
        path.write_bytes(there.read_bytes())
    assert flipped(path, load_network, 100) == 100


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
def test_a_pipe_in_place_of_a_summary_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "joints.npz").write_bytes(b"")
    os.mkfifo(tmp_path / "summary.json")
    check_hashes(tmp_path / "joints.npz")
