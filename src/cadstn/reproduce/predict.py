"""Predict the frames of a data set: crops around the truth's centre or the found one, to joints.

The temporal network sees windows of T = 16 frames without overlap, its state fresh at each, as the
released definitions test it; or, ``window=0``, goes on through a whole shot, as a tracker does.
Neither ever crosses a cut.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cadstn._version import __version__
from cadstn.data.bank import RENDERED_CENTERS, CropRule, crop_sample, mass_center
from cadstn.data.dataset import Dataset, Sample
from cadstn.errors import CadstnError
from cadstn.evaluate.analysis import hidden_joints
from cadstn.evaluate.report import Center
from cadstn.geometry.convention import convert
from cadstn.geometry.crop import Crop, cut_cube
from cadstn.geometry.skeleton import HAND21, NYU14_OF_36, Skeleton
from cadstn.io.files import error_context
from cadstn.reproduce.predictor import FilePredictor, Outputs, Predictor, shipped_key
from cadstn.tracking import Tracker

FloatArray = NDArray[np.float64]
_CHUNK = 16  # frames that go through the networks together when there are no windows


@dataclass(frozen=True, eq=False)
class Predictions:
    """Joints of one network for all frames of a split.

    Attributes:
        network: see `Predictor`.
        skeleton: of the joints.
        joints_xyz_mm: (N, K, 3) camera frame, NaN in frames without a hand.
        center: which crop centre was used.
        window: frames after which the temporal network forgets; 0 for never within a shot.
        cuts: frames that begin a new shot.
        key: names data, weights, centre and window: another one means other predictions.
        centers_mm: (N, 3) of the crops.
        hidden: (N, K) as of `cadstn.evaluate.analysis.hidden_joints`.
        parts_xyz_mm: the two predictions that fusion mixed, ``spatial`` and ``temporal``.
        w1: (N, J) weight of the temporal prediction, mean over coordinates, of the J joints that
            ``w1_skeleton`` names; None without fusion.
        w1_skeleton: the network's own joints.
    """

    network: str
    skeleton: Skeleton
    joints_xyz_mm: FloatArray
    center: Center
    window: int
    cuts: tuple[int, ...]
    key: str
    centers_mm: FloatArray
    hidden: NDArray[np.int8]
    parts_xyz_mm: dict[str, FloatArray] = field(default_factory=dict)
    w1: FloatArray | None = None
    w1_skeleton: str = ""


def predict(
    predictors: dict[str, tuple[Predictor, int]],
    dataset: Dataset,
    center: Center,
    *,
    on_frames: Callable[[int], None] = lambda count: None,
) -> dict[str, Predictions]:
    """Predict a split with several networks that share their crops.

    Args:
        predictors: name -> the network and its window, 0 for none.
        dataset: the split.
        center: where crops are put.
        on_frames: called with how many more frames are done.

    Returns:
        The predictions by the same names, as the joints that the set scores.

    Raises:
        CadstnError: if a frame cannot be read, the networks' crops differ, or their joints cannot
            be made into those of the set.
    """
    rules = {predictor.rule.to_json(): predictor.rule for predictor, _ in predictors.values()}
    if len(rules) > 1:
        raise CadstnError(
            "networks with different crops in one pass", hint="predict with one after the other"
        )
    for predictor, _ in predictors.values():
        _check_joints(predictor.skeleton, dataset)
    rule = next(iter(rules.values()))
    tracked = {}
    if center == "found":
        tracked = {
            name: _tracked(predictor, window, dataset, on_frames)
            for name, (predictor, window) in predictors.items()
            if isinstance(predictor, FilePredictor)
        }
        predictors = {name: one for name, one in predictors.items() if name not in tracked}
        if not predictors:
            return tracked
    count, scored = len(dataset), list(dataset.scored)
    truth = dataset.joints_xyz_mm[:, scored]
    finder = Tracker() if center == "found" else None
    centers = np.full((count, 3), np.nan)
    hidden = np.empty((count, len(scored)), np.int8)
    raw: dict[str, dict[str, FloatArray]] = {name: {} for name in predictors}
    states: dict[str, Any] = {}
    for shot, first, last in _spans(dataset, {window for _, window in predictors.values()}):
        if finder is not None and first == shot:
            finder.reset()
        crops: list[Crop | None] = []
        for i in range(first, last):
            sample = dataset[i]
            crops.append(_crop(sample, rule, dataset, finder))
            hidden[i] = hidden_joints(truth[i], sample.depth_mm, sample.camera)
            cut = crops[-1]
            if cut is not None:
                centers[i] = cut.center_xyz_mm
        images = np.stack([_image(cut, rule.size) for cut in crops])
        places = np.stack([_place(cut) for cut in crops])
        for name, (predictor, window) in predictors.items():
            fresh = first == shot or (window > 0 and (first - shot) % window == 0)
            state = None if fresh else states.get(name)
            out, states[name] = predictor.run(images, places, state)
            _store(raw[name], out, crops, first, count)
        on_frames(last - first)
    cuts = tuple(int(start) for start in dataset.shots()[1:])
    return tracked | {
        name: Predictions(
            network=predictor.network,
            skeleton=dataset.scored_skeleton,
            joints_xyz_mm=_as_scored(raw[name]["joints"], predictor.skeleton, dataset),
            center=center,
            window=window,
            cuts=cuts,
            key=prediction_key(predictor, window, dataset, center),
            centers_mm=centers,
            hidden=hidden,
            parts_xyz_mm={
                part: _as_scored(raw[name][part], predictor.skeleton, dataset)
                for part in ("spatial", "temporal")
                if part in raw[name]
            },
            w1=raw[name]["w1"].mean(-1) if "w1" in raw[name] else None,
            w1_skeleton=predictor.skeleton.name,
        )
        for name, (predictor, window) in predictors.items()
    }


def prediction_key(predictor: Predictor, window: int, dataset: Dataset, center: Center) -> str:
    """Name everything that predictions depend on."""
    key = f"{predictor.key[:16]} {dataset.fingerprint()[:16]} {center} {window}"
    # Where a hand is found is the tracker's doing: of this version, with the weights that ship.
    return f"{key} {__version__} {shipped_key()[:16]}" if center == "found" else key


def _spans(dataset: Dataset, windows: set[int]) -> Iterator[tuple[int, int, int]]:
    """Stretches (their shot's first frame, first, last) that no window and no shot ends within."""
    lengths = sorted({window for window in windows if window}) or [_CHUNK]
    step = int(np.gcd.reduce(lengths))
    shots = [*dataset.shots().tolist(), len(dataset)]
    for start, stop in itertools.pairwise(shots):
        for first in range(start, stop, step):
            yield start, first, min(first + step, stop)


def _crop(
    sample: Sample,
    rule: CropRule,
    dataset: Dataset,
    finder: Tracker | None,
) -> Crop | None:
    """Cut one frame around its truth, or where a tracker finds its hand; None without one."""
    cube_mm = rule.cube_of(sample.subject)
    if finder is None:
        if rule.center in RENDERED_CENTERS:  # where a tracker would put its cube
            followed = rule.center == "followed"
            around = dataset.skeleton.knuckles if followed else dataset.scored
            middle = sample.joints_xyz_mm[list(around)].mean(0)
            with error_context(sample.name):
                return cut_cube(sample.depth_mm, sample.camera, middle, cube_mm, rule.size)
        return crop_sample(sample, rule, dataset.center_joint)
    hand = finder.update(sample.depth_mm, sample.camera)
    if not hand.found:
        return None
    joints = hand.joints_mm[list(HAND21.knuckles)] if rule.center == "followed" else hand.joints_mm
    center: ArrayLike = joints.mean(0, np.float64)
    if rule.mass_rounds:
        center = mass_center(sample.depth_mm, sample.camera, center, cube_mm, rule.mass_rounds)
    return cut_cube(sample.depth_mm, sample.camera, center, cube_mm, rule.size)


def _tracked(
    predictor: FilePredictor, window: int, dataset: Dataset, on_frames: Callable[[int], None]
) -> Predictions:
    """Joints as `cadstn track` finds them: the tracker itself, begun anew at every shot.

    A set's frames have no times. Of recordings a shot begins wherever times would begin it anew.
    """
    network = predictor.loaded
    tracker = Tracker(network, window=window or None)
    count, scored = len(dataset), list(dataset.scored)
    joints = np.full((count, len(network.skeleton), 3), np.nan)
    weights = np.full(joints.shape[:2], np.nan)
    centers = np.full((count, 3), np.nan)
    hidden = np.empty((count, len(scored)), np.int8)
    starts = set(dataset.shots().tolist())
    for i in range(count):
        if i in starts:
            tracker.reset()
        sample = dataset[i]
        hand = tracker.update(sample.depth_mm, sample.camera)
        joints[i], weights[i] = hand.joints_mm, hand.temporal_weight
        centers[i] = hand.center_mm
        hidden[i] = hidden_joints(dataset.joints_xyz_mm[i, scored], sample.depth_mm, sample.camera)
        on_frames(1)
    return Predictions(
        network=predictor.network,
        skeleton=dataset.scored_skeleton,
        joints_xyz_mm=_as_scored(joints, network.skeleton, dataset),
        center="found",
        window=window,
        cuts=tuple(int(start) for start in dataset.shots()[1:]),
        key=prediction_key(predictor, window, dataset, "found"),
        centers_mm=centers,
        hidden=hidden,
        w1=weights,
        w1_skeleton=network.skeleton.name,
    )


def _image(crop: Crop | None, size: int) -> NDArray[np.float32]:
    # Where no hand was found the temporal network is shown an empty crop, as time goes on.
    return np.ones((size, size), np.float32) if crop is None else crop.image


def _place(crop: Crop | None) -> NDArray[np.float32]:
    """Where a crop is, in half cubes; NaN without one."""
    if crop is None:
        return np.full(3, np.nan, np.float32)
    return (crop.center_xyz_mm / (crop.cube_mm / 2)).astype(np.float32)


def _store(
    into: dict[str, FloatArray], out: Outputs, crops: list[Crop | None], first: int, count: int
) -> None:
    """Put a stretch of outputs in its place, joints in mm."""
    for name, values in zip(Outputs._fields, out, strict=True):
        if values is None:
            continue
        array = into.setdefault(name, np.full((count, *values.shape[1:]), np.nan))
        for i, crop in enumerate(crops):
            if crop is not None:
                array[first + i] = values[i] if name == "w1" else crop.to_mm(values[i])


def _check_joints(ours: Skeleton, dataset: Dataset) -> None:
    wanted = dataset.scored_skeleton
    if ours.name not in (wanted.name, HAND21.name) and (ours.name, wanted.name) != _NYU:
        raise CadstnError(
            f"a network of {ours.name} joints cannot be scored on {dataset.name} ({wanted.name})",
            hint=f"train with --set skeleton={wanted.name}, or use one of hand21 joints",
        )


_NYU = ("nyu36", "nyu14")


def _as_scored(joints: FloatArray, ours: Skeleton, dataset: Dataset) -> FloatArray:
    """Make a network's joints into those that the set scores."""
    wanted = dataset.scored_skeleton.name
    if ours.name == wanted:
        return joints
    if (ours.name, wanted) == _NYU:
        return joints[:, list(NYU14_OF_36)]
    return np.asarray(convert(joints, wanted), np.float64)
