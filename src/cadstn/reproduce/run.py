"""One command from data sets on disk to the report; what is done already is not done again."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cadstn._version import __version__
from cadstn.data import Dataset, find_dataset, open_dataset
from cadstn.errors import CadstnError
from cadstn.evaluate.ablation import seeds_table
from cadstn.evaluate.page import Block, Heading, Text, write_page
from cadstn.evaluate.report import Center
from cadstn.reproduce.evaluated import CENTERS, ENDLESS, Evaluated, Fold, evaluate, rules_of
from cadstn.reproduce.files import read_predictions, write_predictions, write_truth
from cadstn.reproduce.overview import (
    data_table,
    measure_speed,
    speed_table,
    summary_table,
)
from cadstn.reproduce.predict import Predictions, predict, prediction_key
from cadstn.reproduce.predictor import Predictor, load_predictor
from cadstn.reproduce.sections import published_entries, published_files, set_blocks
from cadstn.reproduce.training import FREE, TRAINED, Trained, check_clips, train_missing

if TYPE_CHECKING:
    from cadstn.train import Progress

#: Called with what is being done, how much of it is done and how much there is in all.
Watcher = Callable[[str, int, int], None]


def reproduce(
    paths: Sequence[Path],
    out: Path,
    *,
    kind: str = "paper",
    settings: Mapping[str, Any] | None = None,
    device: str = "cpu",
    published: Path | None = None,
    seeds: int = 1,
    free_gate: bool = False,
    watch: Watcher = lambda what, done, total: None,
) -> list[Path]:
    """Train what is missing, predict, score, and write report.html and report.md.

    Args:
        paths: folders of NYU, ICVL or MSRA15.
        out: gets the report, ``runs/`` and ``predictions/``.
        kind: of the recipes: ``paper``, ``released``, ``small`` or ``tiny``.
        settings: recipe fields to override.
        device: ``cpu`` or ``cuda``.
        published: a folder with one folder a set (``nyu``, ``icvl``) of others' prediction files.
        seeds: trainings of each network; they begin at the recipe's seed and count up. The first
            keeps its place in ``runs/`` whatever this number is.
        free_gate: train and score the free gate beside equation 6's.
        watch: called with what is done, how much of it and how much there is.

    Returns:
        The files of the report.

    Raises:
        CadstnError: if a folder holds no whole data set, two hold the same one, or as training,
            predicting and scoring do; if the seed is no whole number, or ``published`` holds
            files for none of the sets.
    """
    fields = dict(settings or {})
    first = fields.pop("seed", 0)
    if not isinstance(first, int) or isinstance(first, bool):
        raise CadstnError(f"seed '{first}' is no whole number", hint="write --set seed=1")
    sets = _open_sets(paths, published, kind, fields)
    found: list[list[Evaluated]] = []
    for path, (name, pairs) in zip(paths, sets.items(), strict=True):
        runs = []
        # The note that `cadstn synth` leaves in the folder of a set.
        rendered = (find_dataset(path).root / "synth.json").is_file()
        for seed in range(first, first + seeds):
            folds = []
            for train_split, test_split in pairs:
                place = Path(name) if len(pairs) == 1 else Path(name) / test_split
                if seed > first:
                    place = Path(f"{name}-seed-{seed}", *place.parts[1:])
                train, test = open_dataset(path, train_split), open_dataset(path, test_split)
                chosen = {**fields, "seed": seed}
                trained = _train(
                    train, out / "runs" / place, kind, chosen, device, free_gate, watch
                )
                done = _predict(
                    trained, test, out / "predictions" / place, device, free_gate, watch
                )
                folds.append(Fold(train, test, trained, done))
            runs.append(evaluate(folds, rendered=rendered))
        found.append(runs)
    firsts = [runs[0] for runs in found]
    title = f"CADSTN on {' and '.join(one.rules.title for one in firsts)}"
    blocks: list[Block] = [
        Heading(title, 1), _made(kind, settings or {}, seeds, free_gate), Heading("Summary"),
        summary_table(firsts), Heading("Data"), data_table(firsts),
    ]  # fmt: skip
    for name, runs in zip(sets, found, strict=True):
        blocks += set_blocks(runs[0], published / name if published else None)
        if seeds > 1:
            blocks += [
                Heading(f"{runs[0].rules.title}: seeds", 3),
                seeds_table([r.networks["truth"] for r in runs]),
            ]
    blocks.append(Heading("Size and run time"))
    for one in firsts:
        speeds = measure_speed(one.folds[0].trained, device)
        blocks.append(speed_table(one.rules.title, speeds, device))
    return write_page(out, "report", blocks, title)


def _open_sets(
    paths: Sequence[Path], published: Path | None, kind: str, settings: Mapping[str, Any]
) -> dict[str, tuple[tuple[str, str], ...]]:
    """The sets by name with their pairs of splits; all that can be refused is refused here.

    Training takes hours: published files that are missing or of other frames, shots that are too
    short and settings that are none must not be found after it.
    """
    sets: dict[str, tuple[tuple[str, str], ...]] = {}
    for path in paths:
        there = find_dataset(path)
        name, pairs = there.name, there.folds()
        if name in sets:
            raise CadstnError(f"a second {name}", where=path, hint="give each set once")
        if not pairs:
            raise CadstnError(
                f"holds no training and test split of {name}",
                where=path,
                hint="unpack the whole set; 'cadstn data check' lists what is there",
            )
        sets[name] = pairs
        for train, _ in pairs:
            check_clips(open_dataset(path, train), kind, settings)
        if published and published_files(published / name):
            tests = [open_dataset(path, test) for _, test in pairs]
            rules = rules_of(tests)
            scored = list(tests[0].scored)
            truth = np.concatenate([test.joints_xyz_mm[:, scored] for test in tests])
            published_entries(published / name, rules, truth)
    if published and not any(published_files(published / name) for name in sets):
        raise CadstnError(
            f"holds no files for {' or '.join(sets)}",
            where=published,
            hint=f"give the folder that holds {next(iter(sets))}/",
        )
    return sets


def _train(
    dataset: Dataset, folder: Path, kind: str, settings: Mapping[str, Any], device: str,
    free_gate: bool, watch: Watcher,
) -> Trained:  # fmt: skip
    what = f"{dataset.name} {dataset.split}"
    cut = 0

    def crops(count: int) -> None:
        nonlocal cut
        cut += count
        watch(f"{what}: crops", cut, len(dataset))

    def step(progress: Progress, done: int, total: int) -> None:
        watch(f"{what}: training {progress.stage}", done, total)

    return train_missing(
        dataset, folder, kind, settings, device=device, free_gate=free_gate, watch=step,
        on_crops=crops,
    )  # fmt: skip


def _predict(
    trained: Trained, dataset: Dataset, folder: Path, device: str, free_gate: bool, watch: Watcher
) -> dict[Center, dict[str, Predictions]]:
    """Predict with every network and centre, or read what an earlier call predicted."""
    done: dict[Center, dict[str, Predictions]] = {}
    loaded = {name: load_predictor(trained.folder, name, device) for name in TRAINED}
    if free_gate:
        loaded[FREE] = load_predictor(trained.folder / FREE, "cadstn", device)
    wanted: dict[str, tuple[Predictor, int]] = {
        name: (predictor, predictor.clip) for name, predictor in loaded.items()
    }
    wanted[ENDLESS] = (loaded["cadstn"], 0)
    for center in CENTERS:
        kept = {
            name: old
            for name, (predictor, window) in wanted.items()
            if (old := _kept(folder / f"{center}-{name}.npz")) is not None
            and old.key == prediction_key(predictor, window, dataset, center)
        }
        if len(kept) < len(wanted):
            count = 0

            def frames(more: int, center: Center = center) -> None:
                nonlocal count
                count += more
                watch(f"{dataset.name} {dataset.split}: centre {center}", count, len(dataset))

            kept = predict(wanted, dataset, center, on_frames=frames)
            for name, predictions in kept.items():
                _write(folder / f"{center}-{name}", predictions, dataset)
        _write_parts(folder, kept["cadstn"], dataset)
        done[center] = kept
    write_truth(folder / "groundtruth.npz", dataset)
    return done


def _write(stem: Path, predictions: Predictions, dataset: Dataset) -> None:
    for ending in (".npz",) if dataset.several_cameras else (".txt", ".npz"):
        write_predictions(stem.with_name(f"{stem.name}{ending}"), predictions, dataset)


def _write_parts(folder: Path, whole: Predictions, dataset: Dataset) -> None:
    """Write the two networks that CADSTN mixes as files of their own, for 'cadstn score'."""
    for part, joints in whole.parts_xyz_mm.items():
        stem = folder / f"{whole.center}-{part}"
        key = f"{whole.key} {part}"
        old = _kept(stem.with_name(f"{stem.name}.npz"))
        if old is None or old.key != key:
            alone = replace(
                whole, network=part, joints_xyz_mm=joints, key=key, parts_xyz_mm={}, w1=None
            )
            _write(stem, alone, dataset)


def _kept(path: Path) -> Predictions | None:
    """What an earlier call wrote; nothing where it is missing or damaged: it is made again."""
    try:
        return read_predictions(path)
    except CadstnError:
        return None


def _made(kind: str, settings: Mapping[str, Any], seeds: int, free_gate: bool) -> Text:
    fields = "".join(f" --set {name}={value}" for name, value in settings.items())
    fields += f" --seeds {seeds}" if seeds > 1 else ""
    fields += " --free-gate" if free_gate else ""
    return Text(
        f"Made by cadstn {__version__}: cadstn reproduce --data DATA --out REPORT --recipe "
        f"{kind}{fields}, on "
        f"{platform.machine()} with {os.cpu_count()} CPU cores. Errors and accuracies below "
        "are those of the files in predictions/ beside this page: 'cadstn score' takes each with "
        "the groundtruth.npz beside it. A number that is quoted from the paper or the authors' log "
        "is marked so."
    )
