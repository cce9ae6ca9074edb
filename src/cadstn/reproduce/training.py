"""Train what a report needs and is not there yet, and what is chosen on validation."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cadstn.data.dataset import Dataset
from cadstn.errors import CadstnError
from cadstn.evaluate.analysis import best_fixed_weight
from cadstn.io.whole import whole_file

if TYPE_CHECKING:
    from cadstn.train import Progress, Source
    from cadstn.train.recipes import Recipe

#: What is trained, in this order; the last one is three stages.
TRAINED = ("baseline", "sliced", "cadstn")
#: Folder, below a run's own, of the same spatial and temporal networks under the free gate.
FREE = "free"
_VALIDATION_FRAMES = 2048


@dataclass(frozen=True)
class Trained:
    """A run that holds all five networks.

    Attributes:
        folder: of the weights.
        recipe: of the whole.
        fixed_weight: of the temporal prediction, best on held-out training shots; None where
            nothing was held out.
    """

    folder: Path
    recipe: Recipe
    fixed_weight: float | None


def check_clips(dataset: Dataset, kind: str, settings: Mapping[str, Any]) -> None:
    """Raise CadstnError, before anything is trained, if a split has no clip to train on.

    Args:
        dataset: the training split.
        kind: as of `train_missing`.
        settings: likewise.
    """
    from cadstn.train.recipes import override, recipe
    from cadstn.train.source import held_out_shots

    chosen = override(recipe(f"cadstn.{dataset.name}.{kind}"), dict(settings))
    shots = np.cumsum(dataset.starts) - 1
    kept = shots[~np.isin(shots, held_out_shots(shots, chosen.holdout))]
    longest = len(kept) if chosen.across_shots else int(np.bincount(kept).max(initial=0))
    if longest < chosen.clip:
        raise CadstnError(
            f"no shot of {chosen.clip} frames to train on; the longest of {dataset.name} "
            f"{dataset.split} that is not held out has {longest}",
            where=dataset.folder,
            hint="leave this set out, or set clip lower",
        )


def train_missing(
    dataset: Dataset,
    folder: Path,
    kind: str,
    settings: Mapping[str, Any],
    *,
    device: str = "cpu",
    free_gate: bool = False,
    watch: Callable[[Progress, int, int], None] = lambda progress, done, total: None,
    on_crops: Callable[[int], None] = lambda count: None,
) -> Trained:
    """Train the five networks of table IV on one split, or go on where that stopped.

    Args:
        dataset: the training split.
        folder: where the run is kept; stages that are finished there are not trained again.
        kind: of the recipe: ``paper``, ``released``, ``small`` or ``tiny``.
        settings: recipe fields to override.
        device: ``cpu`` or ``cuda``.
        free_gate: train the free gate as well (`cadstn.models.Fusion`), into `FREE`; it begins
            from scratch, since its layers are wider than those of the other networks.
        watch: called after every step, with the steps done and to do in all.
        on_crops: called with how many more crops are cut.

    Raises:
        CadstnError: as `cadstn.train.train`; if the folder holds another recipe's work.
    """
    from cadstn.data.bank import build_bank
    from cadstn.train import BankSource, train
    from cadstn.train.recipes import override, recipe

    recipes = {
        name: override(recipe(f"{name}.{dataset.name}.{kind}"), dict(settings)) for name in TRAINED
    }
    whole = recipes["cadstn"]
    if free_gate:
        recipes[FREE] = override(whole, {"net.fusion": "free", "fusion_start": "scratch"})
    bank = build_bank(dataset, whole.crop_rule(), on_frames=on_crops)
    source = BankSource(bank, whole, device)
    plans = {
        name: {stage: chosen.plan(stage).steps for stage in chosen.stages}
        for name, chosen in recipes.items()
    }
    if free_gate:  # its experts are trained already
        plans[FREE] = {"fusion": plans[FREE]["fusion"]}
    total = sum(sum(steps.values()) for steps in plans.values())
    before = 0
    for name, chosen in recipes.items():
        steps = plans[name]

        def report(progress: Progress, start: int = before, steps: dict[str, int] = steps) -> None:
            earlier = [steps[s] for s in list(steps)[: list(steps).index(progress.stage)]]
            watch(progress, start + sum(earlier) + progress.step, total)

        place = folder / FREE if name == FREE else folder
        if name == FREE:
            _share_experts(folder, place)
        train(chosen, place, source=source, device=device, watch=report)
        before += sum(steps.values())
    return Trained(folder, whole, _fixed_weight(folder, source, whole, device))


def _share_experts(folder: Path, place: Path) -> None:
    """Give the free gate the spatial and temporal networks that equation 6's gate had."""
    place.mkdir(exist_ok=True)
    for name in ("spatial.safetensors", "temporal.safetensors"):
        if not (place / name).exists():
            with whole_file(place / name) as temporary:
                shutil.copyfile(folder / name, temporary)


def _fixed_weight(folder: Path, source: Source, recipe: Recipe, device: str) -> float | None:
    """Choose table V's weight on held-out training shots, not on the test."""
    import torch

    from cadstn.train import load_networks
    from cadstn.train.networks import predict

    networks, _ = load_networks(folder, "fusion")
    networks = {name: network.to(device) for name, network in networks.items()}
    parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    with torch.inference_mode():
        for batch in source.validation(_VALIDATION_FRAMES, recipe.clip):
            half_mm = (batch.cube_mm / 2).view(-1, 1, 1, 1)
            three = (
                predict(networks, "temporal", batch),
                predict(networks, "spatial", batch),
                batch.joints,
            )
            temporal, spatial, truth = (
                (joints * half_mm).flatten(0, 1).cpu().double().numpy() for joints in three
            )
            parts.append((temporal, spatial, truth))
    if not parts:
        return None
    temporal, spatial, truth = (np.concatenate(part) for part in zip(*parts, strict=True))
    return best_fixed_weight(temporal, spatial, truth)
