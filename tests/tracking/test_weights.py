"""Weights by name and version: listed, checked by hash, loaded by name."""

from __future__ import annotations

import json
import os
import re
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import cadstn
from cadstn.cli import cli
from cadstn.errors import CadstnError
from cadstn.tracking import load_network
from cadstn.tracking.weights import Weights, find_weights, known_weights, verify_file


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Weights:
    """Weights of a folder of the user's, copied from the package's."""
    shipped = known_weights()[0]
    shutil.copy(shipped.path, tmp_path / "mine.onnx")
    entry = asdict(shipped) | {"version": "7.0", "file": "mine.onnx"}
    del entry["folder"]
    (tmp_path / "index.json").write_text(json.dumps([entry]))
    monkeypatch.setenv("CADSTN_WEIGHTS", str(tmp_path))
    return find_weights("hand21@7.0")


def test_the_index_of_the_package_names_the_file_that_ships() -> None:
    (shipped,) = known_weights()
    shipped.check()  # new weights get a new version and hash in src/cadstn/weights/index.json
    assert (Path(__file__).resolve().parents[2] / shipped.card).is_file()
    assert load_network(shipped.key).skeleton.name == "hand21"


def test_weights_of_ones_own_folder_are_loaded_by_name(own: Weights) -> None:
    assert [weights.key for weights in known_weights()][1:] == ["hand21@7.0"]
    assert find_weights("hand21") == known_weights()[0]
    tracker = cadstn.Tracker("hand21@7.0")
    assert tracker.network.about == load_network().about
    own.path.write_bytes(own.path.read_bytes()[:-1] + b"x")
    with pytest.raises(CadstnError, match=r"mine.onnx: is not hand21@7.0: its SHA-256 is"):
        load_network("hand21@7.0")
    own.path.unlink()
    with pytest.raises(CadstnError, match=r"mine\.onnx"):
        load_network("hand21@7.0")


def test_unknown_names_are_one_line() -> None:
    key = known_weights()[0].key
    with pytest.raises(CadstnError, match=rf"no weights 'hand21@9'; known: {re.escape(key)}"):
        load_network("hand21@9")
    with pytest.raises(CadstnError, match="hand21: no such weights file"):
        load_network("hand21")  # a name without a version may be a path with a slip


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("{", "is not a JSON list"),
        ('[{"name": "a"}]', "has an entry of other fields"),
        (None, "names '../a'"),
    ],
)
def test_broken_indices_are_one_line(
    own: Weights, tmp_path: Path, text: str | None, line: str
) -> None:
    index = tmp_path / "index.json"
    index.write_text(text or index.read_text().replace("mine.onnx", "../a"))
    with pytest.raises(CadstnError, match=re.escape(f"index.json: {line}")):
        known_weights()


def test_verify_tells_known_own_and_damaged_files(tmp_path: Path) -> None:
    shipped = known_weights()[0]
    assert verify_file(shipped.path) == f"{shipped.key}, SHA-256 {shipped.sha256}"
    data = bytearray(shipped.path.read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "a.onnx").write_bytes(data)
    with pytest.raises(CadstnError, match=r"a\.onnx: damaged"):
        verify_file(tmp_path / "a.onnx")
    (tmp_path / "b.onnx").write_bytes(b"other")
    with pytest.raises(CadstnError, match=r"b\.onnx: in no index"):
        verify_file(tmp_path / "b.onnx")
    with pytest.raises(CadstnError, match=r"c\.onnx: no such file; 'cadstn weights list'"):
        verify_file(tmp_path / "c.onnx")
    if os.path.exists("/dev/zero"):
        with pytest.raises(CadstnError, match="/dev/zero: a folder, pipe or device"):
            verify_file(Path("/dev/zero"))


def test_commands_list_show_and_verify() -> None:
    shipped = known_weights()[0]

    def run(*words: object) -> str:
        done = CliRunner().invoke(cli, ["weights", *map(str, words)])
        assert done.exit_code == 0, done.output
        return done.output

    assert shipped.key in run("list")
    shown = run("show", "hand21")
    assert shipped.sha256 in shown
    assert "128 pixels of 250 mm" in shown
    assert "MIT" in shown
    assert shipped.key in run("verify", shipped.path)


def test_a_provider_that_does_not_start_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """onnxruntime names CUDA where its libraries are missing, and then leaves it out."""
    import onnxruntime

    names, cpu = ["CUDAExecutionProvider", "CPUExecutionProvider"], ["CPUExecutionProvider"]
    start = onnxruntime.InferenceSession
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: names)
    monkeypatch.setattr(
        onnxruntime,
        "InferenceSession",
        lambda *given, **more: start(*given, **more | {"providers": cpu}),
    )
    with pytest.raises(CadstnError, match="onnxruntime cannot start CUDAExecutionProvider"):
        load_network(provider="cuda", threads=1)
    assert load_network(threads=1).provider == "cpu"


def test_threads_are_as_many_as_were_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    import onnxruntime

    start, options = onnxruntime.InferenceSession, list[Any]()

    def started(*given: Any, **more: Any) -> Any:
        options.append(more["sess_options"])
        return start(*given, **more)

    monkeypatch.setattr(onnxruntime, "InferenceSession", started)
    cadstn.Tracker(threads=3)
    assert len(options) >= 2  # the network's and its detector's
    assert {one.intra_op_num_threads for one in options} == {3}
    options.clear()
    monkeypatch.setattr("cadstn.tracking.runtime.processors", lambda: 64)
    load_network()
    assert {one.intra_op_num_threads for one in options} == {4}
    spinning = {one.get_session_config_entry("session.force_spinning_stop") for one in options}
    assert spinning == {"1"}
