"""What takes a detected place for a hand, and the file that it travels in."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cadstn.errors import CadstnError
from cadstn.geometry.camera import Camera
from cadstn.io import open_recording
from cadstn.tracking import Network, State, load_network, observe
from cadstn.tracking.decision import DEFAULT, Decision, Evidence, read_decision, write_decision
from cadstn.tracking.hand import Frame
from cadstn.tracking.network import WANTS_KEY, Wants

SURE, UNSURE = Evidence(0.97, 0.999, 7.0), Evidence(0.3, 0.2, 28.0)


def test_surer_evidence_has_larger_log_odds() -> None:
    assert DEFAULT.log_odds(UNSURE) < 0 < DEFAULT.log_odds(SURE)
    for more in (SURE._replace(score=0.99), SURE._replace(presence=0.9999),
                 SURE._replace(error_scale_mm=5.0)):  # fmt: skip
        assert DEFAULT.log_odds(more) > DEFAULT.log_odds(SURE)
    assert str(UNSURE) == "score 0.30, presence 0.20, error scale 28 mm"


def test_a_decision_travels_as_json(tmp_path: Path) -> None:
    path = tmp_path / "decision.json"
    write_decision(Decision(1.5, 0.25, -2.0, 3.0), path)
    assert read_decision(path) == (1.5, 0.25, -2.0, 3.0)
    path.write_text(path.read_text(encoding="utf-8"), encoding="utf-8-sig")
    assert read_decision(path) == (1.5, 0.25, -2.0, 3.0)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"score": 1}',
        "null",
        "[" * 100_000,
        json.dumps({**DEFAULT._asdict(), "bias": 10**400}),
    ],
)
def test_what_is_no_decision_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "decision.json"
    path.write_text(text)
    with pytest.raises(CadstnError, match="no decision on new hands"):
        read_decision(path)


def test_a_missing_decision_is_named(tmp_path: Path) -> None:
    for path, why in ((tmp_path / "no.json", "no such file"), (tmp_path, "a folder")):
        with pytest.raises(CadstnError, match=why):
            read_decision(path)


@pytest.mark.parametrize("bias", [float("nan"), float("inf"), "4", None, True])
def test_weights_that_are_no_numbers_are_refused(bias: object, tmp_path: Path) -> None:
    path = tmp_path / "decision.json"
    path.write_text(json.dumps({**DEFAULT._asdict(), "bias": bias}))
    with pytest.raises(CadstnError, match="decision's bias is"):
        read_decision(path)


def test_a_network_file_holds_its_decision() -> None:
    wants = Wants(128, 250.0, 256, decision=Decision(1.0, 2.0, -3.0, 4.0))
    assert Wants.of_file({WANTS_KEY: wants.to_json()}, set()) == wants
    older = json.loads(wants.to_json())
    del older["decision"]
    assert Wants.of_file({WANTS_KEY: json.dumps(older)}, set()).decision == DEFAULT
    del older["answers"]
    assert Wants.of_file({WANTS_KEY: json.dumps(older)}, set()).answers
    with pytest.raises(ValueError, match="upright is True, and answers False"):
        replace(wants, upright=True, answers=False).check({"size": 128, "hidden": 256})
    for wrong in ([1, 2, 3], [1, 2, 3, "4"], 5, None, [1, 2, 3, float("nan")]):
        text = json.dumps({**older, "decision": wrong})
        with pytest.raises((TypeError, ValueError)):
            Wants.of_file({WANTS_KEY: text}, set()).check({"size": 128, "hidden": 256})


def test_the_tracker_decides_by_the_networks_own() -> None:
    network = load_network()
    frame = next(iter(open_recording("demo")))

    def first(of: Network) -> State:
        return observe(of, State.fresh(of), Frame(frame.depth, frame.camera))[1]

    assert first(network).hands[0].found
    strict = replace(network.wants, decision=DEFAULT._replace(bias=-100.0))
    state = first(replace(network, wants=strict))
    assert not state.hands[0].found
    evidence = state.refused[0].evidence
    assert evidence is not None
    assert DEFAULT.log_odds(evidence) > 0
    assert state.refused[0].reason == str(evidence)


def test_a_further_hand_needs_more_and_one_that_returns_less(network: Network) -> None:
    frame = next(iter(open_recording("demo")))
    near = np.where(frame.depth < 1000, frame.depth, 0)
    pair = np.ascontiguousarray(np.hstack([near, near[:, ::-1]]))
    wide = Camera(frame.camera.fx, frame.camera.fy, 319.5, frame.camera.cy, 640, 240)

    def by(bias: float, state: State, depth: np.ndarray) -> State:
        """Where all places speak alike for a hand."""
        wants = replace(network.wants, decision=Decision(0.0, 0.0, 0.0, bias))
        return observe(replace(network, wants=wants), state, Frame(depth, wide))[1]

    def found(state: State) -> list[bool]:
        return [hand.found for hand in state.hands]

    fresh = State.fresh(network, 2)
    assert found(by(-0.1, fresh, pair)) == [False, False]
    assert found(by(0.4, fresh, pair)) == [True, False]
    both = by(0.6, fresh, pair)
    assert found(both) == [True, True]
    gone = by(0.6, both, np.zeros_like(pair))
    assert found(gone) == [False, False]
    assert found(by(-1.9, gone, pair)) == [True, True]
    assert found(by(-2.1, gone, pair)) == [False, False]
