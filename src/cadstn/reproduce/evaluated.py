"""All predictions for one data set, scored: what its part of the report is made from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cadstn.data.dataset import Dataset
from cadstn.evaluate import PROTOCOLS, Protocol
from cadstn.evaluate.compare import Comparison, Entry, make_entry
from cadstn.evaluate.protocol import is_published_test
from cadstn.evaluate.published import FREE_NAME
from cadstn.evaluate.report import Center
from cadstn.geometry.skeleton import Skeleton, skeleton
from cadstn.reproduce.predict import Predictions
from cadstn.reproduce.training import FREE, Trained

FloatArray = NDArray[np.float64]
CENTERS: tuple[Center, ...] = ("truth", "found")

#: What tables call the networks; their order is table IV's.
NAMES = {
    "sliced": "Sliced 3D Input", "baseline": "Baseline", "temporal": "Temporal",
    "spatial": "Spatial", "cadstn": "CADSTN",
}  # fmt: skip
ENDLESS = "endless"


@dataclass(frozen=True)
class Fold:
    """One training and test split, and what was predicted; ICVL and NYU have one, MSRA15 nine.

    Attributes:
        train, test: the splits.
        trained: the run.
        predictions: by centre, then by ``baseline``, ``sliced``, ``cadstn``, ``endless``
            and, where it was trained, ``free``.
    """

    train: Dataset
    test: Dataset
    trained: Trained
    predictions: dict[Center, dict[str, Predictions]]


@dataclass(frozen=True, eq=False)
class Evaluated:
    """One data set's results.

    Attributes:
        folds: what they come from.
        rules: camera, joints and cuts of all test frames in a row.
        rendered: whether a set of `cadstn synth` stands in for the real one.
        networks: the five, by centre.
        endless: CADSTN whose temporal state goes on through a shot, by centre.
        hidden: (N, K) as of `cadstn.evaluate.analysis.hidden_joints`.
        w1: (N, J) weight of the temporal prediction with the true centre; None without.
        w1_skeleton: names its joints.
        fixed_weight: best on validation; of nine folds the mean.
    """

    folds: tuple[Fold, ...]
    rules: Protocol
    rendered: bool
    networks: dict[Center, Comparison]
    endless: dict[Center, Entry]
    hidden: NDArray[np.int8]
    w1: FloatArray | None
    w1_skeleton: Skeleton
    fixed_weight: float | None


def evaluate(folds: Sequence[Fold], *, rendered: bool = False) -> Evaluated:
    """Score all networks over the test frames of all folds in a row."""
    rules = rules_of([fold.test for fold in folds], rendered=rendered)
    scored = list(folds[0].test.scored)
    truth = np.concatenate([fold.test.joints_xyz_mm[:, scored] for fold in folds])
    networks, endless = {}, {}
    free = FREE in folds[0].predictions["truth"]
    names = NAMES | ({FREE: FREE_NAME} if free else {})
    for center in CENTERS:
        joints = _joints_by_name(folds, center)
        last = make_entry("CADSTN, endless", joints.pop(ENDLESS), truth, rules, center)
        endless[center] = last
        networks[center] = Comparison(
            rules,
            truth,
            tuple(make_entry(names[name], joints[name], truth, rules, center) for name in names),
        )
    whole = [fold.predictions["truth"]["cadstn"] for fold in folds]
    weights = [part.w1 for part in whole if part.w1 is not None]
    chosen = [w for fold in folds if (w := fold.trained.fixed_weight) is not None]
    return Evaluated(
        folds=tuple(folds),
        rules=rules,
        rendered=rendered,
        networks=networks,
        endless=endless,
        hidden=np.concatenate([part.hidden for part in whole]),
        w1=np.concatenate(weights) if len(weights) == len(whole) else None,
        w1_skeleton=skeleton(whole[0].w1_skeleton),
        fixed_weight=float(np.mean(chosen)) if chosen else None,
    )


def rules_of(tests: Sequence[Dataset], *, rendered: bool = False) -> Protocol:
    """The protocol of test splits put in a row: the set's own if they are its published test."""
    first = tests[0]
    count = sum(len(test) for test in tests)
    known = PROTOCOLS.get(first.name)
    cuts: list[int] = []
    start = 0
    for test in tests:
        cuts += [start + int(shot) for shot in test.shots() if start + shot > 0]
        start += len(test)
    own = Protocol(
        name=f"rendered-{first.name}" if rendered else first.name,
        camera=first.camera,
        skeleton=first.scored_skeleton,
        joint_subset=_subset(first),
        test_frames=count,
        cuts=tuple(cuts),
        cut_rule=first.cut_rule,
        several_cameras=any(test.several_cameras for test in tests),
    )
    truth = np.concatenate([test.joints_xyz_mm[:, list(test.scored)] for test in tests])
    published = not rendered and is_published_test(own, truth)
    return replace(known, cuts=own.cuts) if known and published else own


def _subset(dataset: Dataset) -> str:
    if len(dataset.scored) == len(dataset.skeleton):
        return f"all {len(dataset.scored)} labels"
    return f"labels {', '.join(map(str, dataset.scored))} of {len(dataset.skeleton)}"


def _joints_by_name(folds: Sequence[Fold], center: Center) -> dict[str, FloatArray]:
    """Joints (N, K, 3) of the five networks and of the endless one, folds in a row."""
    found: dict[str, list[FloatArray]] = {name: [] for name in (*NAMES, ENDLESS, FREE)}
    for fold in folds:
        parts = fold.predictions[center]
        for name, predictions in parts.items():
            found[name].append(predictions.joints_xyz_mm)
        for part, joints in parts["cadstn"].parts_xyz_mm.items():
            found[part].append(joints)
    return {name: np.concatenate(joints) for name, joints in found.items() if joints}
