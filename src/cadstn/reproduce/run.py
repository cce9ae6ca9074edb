"""One command from data sets on disk to the report; what is done already is not done again."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cadstn._version import __version__
from cadstn.data import Dataset, find_dataset, open_dataset
from cadstn.errors import CadstnError
from cadstn.evaluate.page import Block, Heading, Text, write_page
from cadstn.evaluate.report import Centre
from cadstn.reproduce.evaluated import CENTRES, ENDLESS, Evaluated, Fold, evaluate
from cadstn.reproduce.files import read_predictions, write_predictions
from cadstn.reproduce.predict import Predictions, predict, prediction_key
from cadstn.reproduce.predictor import Predictor, load_predictor
from cadstn.reproduce.sections import data_table, set_blocks
from cadstn.reproduce.training import TRAINED, Trained, train_missing

if TYPE_CHECKING:
    from cadstn.train import Progress

#: Told what is being done, how much of it is done and how much there is in all.
Watcher = Callable[[str, int, int], None]


def reproduce(
    paths: Sequence[Path],
    out: Path,
    *,
    kind: str = "paper",
    settings: Mapping[str, Any] | None = None,
    device: str = "cpu",
    published: Path | None = None,
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
        watch: told of progress.

    Returns:
        The files of the report.

    Raises:
        CadstnError: if a folder holds no whole data set, two hold the same one, or as training,
            predicting and scoring do.
    """
    sets = []
    for path in paths:
        name, pairs = _splits(path)
        if name in sets:
            raise CadstnError(f"a second {name}", where=path, mend="give each set once")
        sets.append(name)
        if not pairs:
            raise CadstnError(
                f"holds no training and test split of {name}",
                where=path,
                mend="unpack the whole set; 'cadstn data check' tells what is there",
            )
    found: list[Evaluated] = []
    for path in paths:
        name, pairs = _splits(path)
        folds = []
        for train_split, test_split in pairs:
            place = Path(name) if len(pairs) == 1 else Path(name) / test_split
            train, test = open_dataset(path, train_split), open_dataset(path, test_split)
            trained = _train(train, out / "runs" / place, kind, settings or {}, device, watch)
            done = _predict(trained, test, out / "predictions" / place, device, watch)
            folds.append(Fold(train, test, trained, done))
        # The note that `cadstn synth` leaves in the folder of a set.
        rendered = (find_dataset(path).root / "synth.json").is_file()
        found.append(evaluate(folds, rendered=rendered))
    title = f"CADSTN on {' and '.join(one.rules.title for one in found)}"
    blocks: list[Block] = [Heading(title, 1), _made(kind, settings or {}), data_table(found)]
    for name, one in zip(sets, found, strict=True):
        theirs = published / name if published else None
        blocks += set_blocks(one, theirs)
    return write_page(out, "report", blocks, title)


def _splits(path: Path) -> tuple[str, tuple[tuple[str, str], ...]]:
    there = find_dataset(path)
    return there.name, there.folds()


def _train(
    dataset: Dataset, folder: Path, kind: str, settings: Mapping[str, Any], device: str,
    watch: Watcher,
) -> Trained:  # fmt: skip
    what = f"{dataset.name} {dataset.split}"
    cut = 0

    def crops(count: int) -> None:
        nonlocal cut
        cut += count
        watch(f"{what}: crops", cut, len(dataset))

    def step(progress: Progress, done: int, total: int) -> None:
        watch(f"{what}: training {progress.stage}", done, total)

    return train_missing(dataset, folder, kind, settings, device=device, watch=step, on_crops=crops)


def _predict(
    trained: Trained, dataset: Dataset, folder: Path, device: str, watch: Watcher
) -> dict[Centre, dict[str, Predictions]]:
    """Predict with every network and centre, or read what an earlier call predicted."""
    done: dict[Centre, dict[str, Predictions]] = {}
    loaded = {name: load_predictor(trained.folder, name, device) for name in TRAINED}
    wanted: dict[str, tuple[Predictor, int]] = {
        name: (predictor, predictor.clip) for name, predictor in loaded.items()
    }
    wanted[ENDLESS] = (loaded["cadstn"], 0)
    for centre in CENTRES:
        kept = {
            name: old
            for name, (predictor, window) in wanted.items()
            if (old := _kept(folder / f"{centre}-{name}.npz")) is not None
            and old.key == prediction_key(predictor, window, dataset, centre)
        }
        if len(kept) < len(wanted):
            count = 0

            def frames(more: int, centre: Centre = centre) -> None:
                nonlocal count
                count += more
                watch(f"{dataset.name} {dataset.split}: centre {centre}", count, len(dataset))

            kept = predict(wanted, dataset, centre, on_frames=frames)
            for name, predictions in kept.items():
                for ending in (".txt", ".npz"):
                    write_predictions(folder / f"{centre}-{name}{ending}", predictions, dataset)
        done[centre] = kept
    return done


def _kept(path: Path) -> Predictions | None:
    """What an earlier call wrote; nothing where it is missing or damaged: it is made again."""
    try:
        return read_predictions(path)
    except CadstnError:
        return None


def _made(kind: str, settings: Mapping[str, Any]) -> Text:
    fields = "".join(f" --set {name}={value}" for name, value in settings.items())
    return Text(
        f"Made by cadstn {__version__}: cadstn reproduce --recipe {kind}{fields}, on "
        f"{platform.machine()} with {os.cpu_count()} CPU cores. Every number below comes from "
        "files in predictions/ beside this page, which 'cadstn score' takes; a number that is "
        "quoted from the paper is marked so."
    )
