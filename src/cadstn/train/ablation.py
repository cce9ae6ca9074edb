"""Tables IV and V on any bank: five networks, fixed weights, and the two bars a fusion must clear.

Choices between weights are made on held-out training shots, never on the test frames.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cadstn._version import __version__
from cadstn.data.bank import Bank
from cadstn.errors import CadstnError
from cadstn.evaluate import acceleration_error, mean_error_mm
from cadstn.evaluate.analysis import FIXED_WEIGHTS, exponential_average
from cadstn.io.whole import write_json, write_npz
from cadstn.train.family import Networks
from cadstn.train.loop import train
from cadstn.train.networks import predict
from cadstn.train.recipes import Recipe
from cadstn.train.source import BankSource, Batch, held_out_shots, shot_bounds
from cadstn.train.watching import Progress

WEIGHTS = FIXED_WEIGHTS
"""Of the temporal prediction in table V; and of the new frame in the exponential average."""

_PARTS = ("baseline", "sliced", "cadstn")  # the last trains spatial, temporal and fusion
_AT_ONCE = 8

Joints = NDArray[np.float64]


def ablate(
    recipe: Recipe,
    train_bank: Bank,
    test_bank: Bank,
    out: Path,
    *,
    device: str = "cpu",
    watch: Callable[[Progress], None] = lambda progress: None,
    on_message: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Train the five networks with one recipe and score them on a test bank; goes on if stopped.

    Args:
        recipe: sizes, steps, seed; its network is replaced.
        train_bank: to learn from; ``recipe.holdout`` of its shots choose the weights.
        test_bank: frames that are scored; of other hands and motions.
        out: folder of the run: weights, ``predictions.npz`` (joints in mm, camera frame, by
            network, with the truth, the fusion's weights w1 and the starts of shots) and
            ``ablation.json``.
        device: where to train.
        watch: called after every step.
        on_message: called with each message for the user.

    Returns:
        What ``ablation.json`` holds.

    Raises:
        CadstnError: if the banks' crops differ in rule, or no shot is held out.
    """
    if train_bank.about["rule"] != test_bank.about["rule"]:
        raise CadstnError(
            "its crops were cut by another rule than those trained on", where=test_bank.path
        )
    if recipe.holdout <= 0:
        raise CadstnError("no shot is held out to choose weights on", hint="set holdout=0.02")
    networks: Networks = {}
    for part in _PARTS:
        chosen = replace(recipe, network=part)
        source = BankSource(train_bank, chosen, device)
        networks |= train(
            chosen, out, source=source, device=device, watch=watch, on_message=on_message
        )
    held_out = np.isin(train_bank.shots, held_out_shots(train_bank.shots, recipe.holdout))
    choosing = _predictions(networks, train_bank, np.flatnonzero(held_out), recipe, device)
    testing = _predictions(networks, test_bank, np.arange(len(test_bank)), recipe, device)
    _save(out / "predictions.npz", testing)
    result = {
        "version": __version__,
        "recipe": json.loads(recipe.to_json()),
        "train": {"frames": len(train_bank), "data": train_bank.about["data"]},
        "test": {"frames": len(test_bank), "data": test_bank.about["data"]},
        "held_out_frames": int(held_out.sum()),
        "center": "as the bank's crops: " + json.loads(test_bank.about["rule"])["center"],
        "windows": f"of {recipe.clip} frames, the state reset at each",
        **tables(testing, choosing),
    }
    path = out / "ablation.json"
    write_json(path, result, indent=1)
    return result


def tables(testing: dict[str, Any], choosing: dict[str, Any]) -> dict[str, Any]:
    """Score predictions as tables IV and V do, with the two bars.

    Args:
        testing: by name: ``truth``, ``baseline``, ``sliced``, ``spatial``, ``temporal`` and
            ``cadstn``, each (N, K, 3) mm in the camera frame, and ``starts``, (S,) first frames of
            shots.
        choosing: the same of held-out training frames: weights are chosen by them.

    Returns:
        ``networks`` (table IV), ``fixed`` (table V, by weight), ``best_fixed`` and ``average``,
        each with ``error_mm`` and ``acceleration_error_mm_frame2``.
    """
    fixed = {weight: _mix(testing, weight) for weight in WEIGHTS}
    best = min(WEIGHTS, key=lambda w: mean_error_mm(_mix(choosing, w), choosing["truth"]))
    newest = min(
        WEIGHTS,
        key=lambda w: mean_error_mm(
            exponential_average(choosing["spatial"], w, _cuts(choosing)), choosing["truth"]
        ),
    )
    averages = {
        weight: exponential_average(testing["spatial"], weight, _cuts(testing))
        for weight in (newest, 0.7)
    }
    names = ("sliced", "baseline", "temporal", "spatial", "cadstn")
    return {
        "networks": {name: _scores(testing[name], testing) for name in names},
        "fixed": {str(weight): _scores(joints, testing) for weight, joints in fixed.items()},
        "best_fixed": {"weight": best, **_scores(fixed[best], testing)},
        "average": {"weight": newest, **_scores(averages[newest], testing)},
        "average_0.7": {"weight": 0.7, **_scores(averages[0.7], testing)},
        "truth_moves_mm_frame2": acceleration_error(
            np.zeros_like(testing["truth"]), testing["truth"], _cuts(testing)
        ),
    }


def format_tables(results: list[dict[str, Any]]) -> str:
    """Tables IV and V as text: the mean over seeds and, of several, their standard deviation.

    Args:
        results: what `ablate` returned, one a seed.
    """
    rows: dict[str, list[dict[str, float]]] = {}
    for result in results:
        named = {
            **result["networks"],
            **{f"fixed {weight}": row for weight, row in result["fixed"].items()},
            "best fixed weight": result["best_fixed"],
            "spatial, averaged": result["average"],
            "spatial, averaged 0.7": result["average_0.7"],
        }
        for name, row in named.items():
            rows.setdefault(name, []).append(row)
    first = results[0]
    lines = [
        f"{first['train']['frames']} training frames, {first['test']['frames']} test frames, "
        f"{len(results)} seed{'s' if len(results) > 1 else ''}; "
        f"centre {first['center']}; windows {first['windows']}",
        f"{'network':<24}{'error mm':>16}{'acceleration error mm/frame^2':>34}",
    ]
    for name, found in rows.items():
        cells = []
        for field in ("error_mm", "acceleration_error_mm_frame2"):
            values = np.array([row[field] for row in found])
            spread = f" +- {values.std(ddof=1):.2f}" if len(values) > 1 else ""
            cells.append(f"{values.mean():.2f}{spread}")
        chosen = sorted({row["weight"] for row in found if "weight" in row})
        note = f"   weight {', '.join(map(str, chosen))}" if chosen else ""
        lines.append(f"{name:<24}{cells[0]:>16}{cells[1]:>34}{note}")
    return "\n".join(lines)


def _mix(joints: dict[str, Any], weight: float) -> Joints:
    mixed: Joints = weight * joints["temporal"] + (1 - weight) * joints["spatial"]
    return mixed


def _scores(pred_mm: Joints, of: dict[str, Any]) -> dict[str, float]:
    return {
        "error_mm": round(mean_error_mm(pred_mm, of["truth"]), 4),
        "acceleration_error_mm_frame2": round(
            acceleration_error(pred_mm, of["truth"], _cuts(of)), 4
        ),
    }


def _cuts(of: dict[str, Any]) -> list[int]:
    return [int(start) for start in of["starts"] if start > 0]


@torch.no_grad()
def _predictions(
    networks: Networks, bank: Bank, frames: NDArray[np.int64], recipe: Recipe, device: str
) -> dict[str, Any]:
    """Predict frames of a bank in windows of T that end at cuts; joints in mm, camera frame."""
    for network in networks.values():
        network.eval()
    shots = bank.shots[frames]
    first, last = shot_bounds(shots)
    pieces: dict[str, list[Tensor]] = {}
    for a, b in zip(first, last, strict=True):
        whole = (b - a) // recipe.clip * recipe.clip
        windows = [torch.from_numpy(frames[a : a + whole]).view(-1, recipe.clip)] if whole else []
        if whole < b - a:  # what is left of a shot is a shorter window
            windows.append(torch.from_numpy(frames[a + whole : b])[None])
        for window in windows:
            for part in torch.split(window, _AT_ONCE):
                batch = _frames(bank, part, device)
                for name, joints in _all(networks, batch).items():
                    pieces.setdefault(name, []).append(joints.flatten(0, 1).cpu())
    found = {name: torch.cat(parts).double().numpy() for name, parts in pieces.items()}
    return {**found, "starts": first}


def _all(networks: Networks, batch: Batch) -> dict[str, Tensor]:
    """Joints of every network in mm, and the fusion's weights."""
    half = (batch.cube_mm / 2).view(-1, 1, 1, 1)
    centers = batch.centers_mm[..., None, :]
    found = {
        "truth": batch.joints,
        **{name: predict(networks, name, batch) for name in ("baseline", "sliced")},
        **{name: predict(networks, name, batch) for name in ("spatial", "temporal")},
    }
    weights = networks["fusion"].weights(batch.crops.flatten(0, 1))  # type: ignore[operator]
    found["cadstn"] = weights.mix(found["temporal"], found["spatial"])
    w1 = weights.w1.view_as(batch.joints)
    return {**{name: j * half + centers for name, j in found.items()}, "w1": w1}


def _frames(bank: Bank, index: Tensor, device: str) -> Batch:
    """Frames (B, T) of a bank, just as they are."""
    place = index.numpy()
    return Batch(
        torch.from_numpy(bank.crops[place].astype(np.float32) * np.float32(2 / 0xFFFF) - 1).to(
            device
        ),
        torch.from_numpy(bank.joints[place]).to(device),
        torch.from_numpy(bank.centers_mm[place]).to(device),
        torch.from_numpy(bank.cube_mm[place[:, 0]]).to(device),
    )


def _save(path: Path, arrays: dict[str, Any]) -> None:
    small = {n: a.astype(np.float32) if a.dtype == np.float64 else a for n, a in arrays.items()}
    write_npz(path, **small)
