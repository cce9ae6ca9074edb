"""Fit a network's decision on new hands, see `cadstn.tracking.decision`.

Scenes of the choosing seed. The weights of the evidence are half way from the default ones to a
logistic regression on scenes with a hand and without: the regression alone knows few hands around
large things, and lost them. The threshold is chosen on other scenes: chosen on those that fitted
the weights, it let through twice as many as meant (LOG.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cadstn.bench.alarms import NEAR_MM, Still, still_scenes
from cadstn.errors import CadstnError
from cadstn.tracking import Network, State, observe
from cadstn.tracking.decision import DEFAULT, Decision
from cadstn.tracking.hand import Frame

WITH, WITHOUT, OTHERS = 704, 1008, 3008
"""Scenes rendered with a hand, without one, and without one for the threshold alone."""

_FRAMES = 3  # frames of a scene in which a hand is to be found
_ALARMS = 1e-3  # share of the scenes without a hand in which one may be announced
_SHARE = 0.5  # of the logistic regression
_RIDGE, _ROUNDS = 1e-3, 50
_NONE = Decision(0.0, 0.0, 0.0, -3.0)  # takes nothing for a hand, and reads all of it


class Places(NamedTuple):
    """Detected places that the network read."""

    evidence: NDArray[np.float64]  # (N, 4) `Evidence.numbers` and 1
    hand: NDArray[np.bool_]  # (N,) whether there is one
    scene: NDArray[np.int64]  # (N,) which scene


def fit_decision(
    network: Network,
    scenes: tuple[int, int, int] = (WITH, WITHOUT, OTHERS),
    on_scene: Callable[[int], None] = lambda count: None,
) -> Decision:
    """Fit the decision to a network.

    Args:
        network: that predicts presence and error scales.
        scenes: to render with a hand, without one, and without one for the threshold.
        on_scene: called with how many scenes are done.

    Raises:
        CadstnError: if it does not predict them, or the detector gives hands alone or none.
    """
    wants = network.wants
    if not (wants.compact and wants.answers) or network.detector is None:
        raise CadstnError(
            "this network does not predict presence",
            hint="train 'compact' or 'follow' on rendered hands",
        )
    there, empty, others = scenes

    def places(first: int, count: int, hands: float) -> Places:
        rendered = still_scenes(first + count, hands=hands, choosing=True, first=first)
        found, done = _places(network, rendered, on_scene)
        on_scene(count - done)  # scenes that do not show their hand are left out
        return found

    one, none = places(0, there, 1.0), places(0, empty, 0.0)
    hand = np.concatenate([one.hand, none.hand])
    if hand.all() or not hand.any():
        raise CadstnError(
            "no decision can be fitted: the detector gives hands alone, or none",
            hint="train the detector for longer, or fit on more scenes",
        )
    fitted = _regression(np.concatenate([one.evidence, none.evidence]), hand)
    weights = _SHARE * fitted + (1 - _SHARE) * np.array(DEFAULT)
    more = places(empty, others, 0.0)
    surest = np.full(others, -np.inf)
    np.maximum.at(surest, more.scene, more.evidence @ weights)
    # Never less than the regression asks for by itself.
    least = float(np.sort(surest)[::-1][round(_ALARMS * others)])
    score, presence, error_scale, bias = weights.tolist()
    return Decision(score, presence, error_scale, bias - max(least, 0.0))


def _places(
    network: Network, scenes: Iterator[Still], on_scene: Callable[[int], None]
) -> tuple[Places, int]:
    """Read the detected places of still scenes as those of a new hand; and how many scenes."""
    network = replace(network, wants=replace(network.wants, decision=_NONE))
    evidence, hand, which, done = [], [], [], 0
    for number, scene in enumerate(scenes):
        state = State.fresh(network)
        for depth in scene.frames[:_FRAMES]:
            _, state = observe(network, state, Frame(depth, scene.camera))
            for one in state.refused:
                if one.evidence is None or one.wait < one.begun_with:  # refused before
                    continue
                away_mm = np.linalg.norm(scene.hands_mm - one.center_mm, axis=1)
                evidence.append((*one.evidence.numbers(), 1.0))
                hand.append(bool((away_mm < NEAR_MM).any()))
                which.append(number)
        done += 1
        on_scene(1)
    found = np.array(evidence, float).reshape(-1, 4)
    return Places(found, np.array(hand, bool), np.array(which, int)), done


def _regression(evidence: NDArray[np.float64], hand: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Weights (4,) of a logistic regression, by Newton's method."""
    weights = np.zeros(4)
    for _ in range(_ROUNDS):
        likely = 1 / (1 + np.exp(-np.clip(evidence @ weights, -50, 50)))
        slope = evidence.T @ (hand - likely) - _RIDGE * weights
        curve = (evidence * (likely * (1 - likely))[:, None]).T @ evidence
        weights = weights + np.linalg.solve(curve + _RIDGE * np.eye(4), slope)
    return weights
