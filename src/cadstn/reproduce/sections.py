"""The part of the report on one data set: every table and figure of the paper, and more."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from cadstn.data.dataset import Dataset
from cadstn.errors import CadstnError
from cadstn.evaluate import plots
from cadstn.evaluate.ablation import authors_blocks, fusion_bars, networks_table
from cadstn.evaluate.analysis import error_by_visibility
from cadstn.evaluate.checks import Format
from cadstn.evaluate.compare import Entry, difference, make_entry
from cadstn.evaluate.page import Block, Heading, Picture, Table, Text
from cadstn.evaluate.predictions import load_predictions
from cadstn.evaluate.protocol import Protocol
from cadstn.evaluate.published import method_name
from cadstn.evaluate.report import Center
from cadstn.evaluate.sections import (
    bins_table,
    curves,
    methods_table,
    motion,
    number_text,
    rules_text,
    short_note,
)
from cadstn.io.joints import FloatArray
from cadstn.reproduce.evaluated import CENTERS, Evaluated
from cadstn.reproduce.pictures import (
    clearest_frame,
    example_frames,
    examples_picture,
    joints_picture,
    slices_picture,
)

#: A prediction of other methods that is farther off than this on average belongs to other frames.
_FOREIGN_MM = 60.0


def set_blocks(found: Evaluated, published: Path | None = None) -> list[Block]:
    """Everything on one data set.

    Args:
        found: its results.
        published: a folder of other methods' prediction files of this set's test.

    Raises:
        CadstnError: if a published file does not fit the test frames.
    """
    truth = found.networks["truth"]
    blocks: list[Block] = [Heading(found.rules.title), rules_text(truth), _training_text(found)]
    if not truth.published:
        what = "rendered by cadstn synth" if found.rendered else "not the set's published test"
        blocks.append(Text(
            f"These {len(truth.truth_xyz_mm)} test frames are {what}: the paper's figures, which "
            "are of the real NYU, cannot be held against them, and are quoted for the order alone."
        ))  # fmt: skip
    entries = published_entries(published, found.rules, truth.truth_xyz_mm)
    ours = truth.get("CADSTN")
    assert ours is not None
    others = replace(truth, entries=(*entries, ours)) if entries else truth
    every = replace(truth, entries=(*entries, *truth.entries))
    blocks.append(methods_table(others, quoted=truth.published))
    blocks += curves(others, "6", "all-", quoted=truth.published) if others is not truth else []
    blocks.append(networks_table(truth))
    blocks += curves(truth, "10" if others is not truth else "6 and 10", quoted=truth.published)
    if others.get("Spatial (authors)") and others.get("Temporal (authors)"):
        blocks.append(networks_table(others, " (authors)"))
        blocks += fusion_bars(others, " (authors)")
    blocks += authors_blocks(every)
    blocks += fusion_bars(truth, chosen=found.fixed_weight)
    blocks += _fusion_weights(found)
    blocks.append(centers_table(found))
    blocks += motion(truth)
    blocks += _visibility(found)
    return [*blocks, *_hands(found)]


def centers_table(found: Evaluated) -> Table:
    """Error with the centre from truth and with the centre found, and with endless memory."""
    names = [entry.name for entry in found.networks["truth"].entries]
    rows = []
    for name in (*names, found.endless["truth"].name):
        by_truth, by_found = (_entry(found, center, name) for center in CENTERS)
        rows.append((
            name,
            f"{by_truth.scores.mean_error_mm:.2f}", str(by_truth.error),
            number_text(by_found.scores.mean_error_mm, 2), str(by_found.error),
            difference(by_found, by_truth, found.rules.cuts).gap,
            f"{100 * by_truth.scores.accuracy[40]:.1f}",
            f"{100 * by_found.scores.accuracy[40]:.1f}",
            f"{by_found.scores.lost}",
        ))  # fmt: skip
    window = found.folds[0].trained.recipe.clip
    return Table(
        f"Crop centre from the truth and found in the image, {found.rules.title}",
        ("network", "truth, mm", "95 %", "found, mm", "95 %", "found - truth, mm",
         "truth ≤ 40 mm, %", "found ≤ 40 mm, %", "no hand found"),
        tuple(rows),
        "Errors leave out frames in which no hand was found; accuracies count them as wrong. "
        f"Temporal state: fresh every {window} frames; 'endless': through a whole shot. "
        + short_note(found.networks["truth"]).replace("centre truth", "centre as in the column"),
    )  # fmt: skip


def _entry(found: Evaluated, center: Center, name: str) -> Entry:
    return found.networks[center].get(name) or found.endless[center]


def _training_text(found: Evaluated) -> Text:
    recipe = found.folds[0].trained.recipe
    plans = ", ".join(
        f"{stage} {recipe.plan(stage).steps:,} steps of {recipe.plan(stage).batch}"
        for stage in ("baseline", "sliced", "spatial", "temporal", "fusion")
    )
    joint = found.folds[0].test.skeleton.joints[found.folds[0].test.center_joint]
    around = {
        "mass_once": "the surface's centre of mass near ",
        "mass": "the surface's centre of mass, taken twice, near ",
        "joint": "",
    }[recipe.crop_rule().center]
    cubes = "".join(f", {mm:g} for subject {who}" for who, mm in recipe.cubes_mm.items())
    return Text(
        f"Networks: recipe {recipe.name}, {recipe.net.size} × {recipe.net.size} crops, channels "
        f"{recipe.net.channels}, width {recipe.net.width}, seed {recipe.seed}; {plans}. Crops: "
        f"cube of {recipe.cube_mm:g} mm{cubes}, around {around}the true {joint} (centre 'truth'),"
        " or the place where the hand was found in the image (centre 'found')."
    )


def published_files(folder: Path | None) -> list[tuple[Path, Format]]:
    """Prediction files in a folder, and the authors' own in FOLDER-authors, which hold x y z."""
    if folder is None:
        return []
    files: list[tuple[Path, Format]] = [(file, "uvd") for file in sorted(folder.glob("*.txt"))]
    theirs = folder.with_name(f"{folder.name}-authors")
    files += [(file, "xyz") for file in sorted(theirs.glob("*.txt"))]
    return [(file, fmt) for file, fmt in files if file.stem != "groundtruth"]


def published_entries(
    folder: Path | None, rules: Protocol, truth_xyz_mm: FloatArray
) -> tuple[Entry, ...]:
    """Score other methods' files on the test frames.

    Raises:
        CadstnError: if a file is of other frames.
    """
    entries = []
    for file, fmt in published_files(folder):
        pred = load_predictions(file, rules, fmt)
        if len(pred) > len(truth_xyz_mm):
            raise CadstnError(
                f"holds {len(pred)} frames where this test has {len(truth_xyz_mm)}",
                where=file,
                hint="leave --published out: these are predictions for other frames",
            )
        entry = make_entry(method_name(file), pred, truth_xyz_mm, rules)
        if entry.scores.mean_error_mm > _FOREIGN_MM:
            raise CadstnError(
                f"is {entry.scores.mean_error_mm:.0f} mm off these frames on average",
                where=file,
                hint="leave --published out: these are predictions for other frames",
            )
        entries.append(entry)
    return tuple(entries)


def _fusion_weights(found: Evaluated) -> list[Block]:
    if found.w1 is None:
        return []
    name = found.rules.name
    mean, spread = float(np.nanmean(found.w1)), float(np.nanstd(found.w1))
    title = f"{found.rules.title}: weight that fusion gives the temporal prediction"
    shut = (found.w1 < 0.05).mean() + (found.w1 > 0.95).mean()
    return [
        Picture(
            f"{name}-fusion-weights.png",
            partial(plots.fusion_weights, found.w1, found.w1_skeleton, title),
            f"{title}, per joint and over the test's frames.",
        ),
        Text(
            f"Mean weight of the temporal prediction {mean:.3f}, standard deviation {spread:.3f}; "
            f"{100 * shut:.1f} % of all weights lie below 0.05 or above 0.95. Crop centre: truth."
        ),
    ]


def _visibility(found: Evaluated) -> list[Block]:
    name = found.rules.name
    title = f"{found.rules.title}: mean error by whether the camera sees the joint"
    table, values = bins_table(
        found.networks["truth"],
        lambda entry: error_by_visibility(entry.errors_mm, found.hidden),
        f"{title}, mm",
        "From the truth's depth against the surface at its pixel.",
    )
    groups = [column.rsplit(" (", 1)[0] for column in table.header[1:]]
    draw = partial(plots.bars, groups, values, title, "", "mean joint error, mm")
    return [table, Picture(f"{name}-by-visibility.png", draw, f"{title}.")]


def _hands(found: Evaluated) -> list[Block]:
    """Figures 2, 7 and 8."""
    name = found.rules.name
    whole = found.networks["truth"].get("CADSTN")
    assert whole is not None
    chosen = example_frames(whole.errors_mm)
    placed = [(*_place(found, frame), whole.pred_xyz_mm[frame], words) for frame, words in chosen]
    clear = clearest_frame(found.networks["truth"].truth_xyz_mm, found.hidden)
    recipe = found.folds[0].trained.recipe
    sliced = partial(slices_picture, *_place(found, clear), recipe.crop_rule(), recipe.net.slices)
    return [
        Picture(
            f"{name}-slices.png",
            sliced,
            f"The sliced 3D input, {found.rules.title} (figure 2): the crop of test frame {clear} "
            f"and its {recipe.net.slices} slices of equal depth, nearest first.",
        ),
        Picture(
            f"{name}-joints.png",
            partial(joints_picture, *_place(found, clear)),
            f"The joints that are scored, {found.rules.title} (figure 7): the true ones of test "
            f"frame {clear}.",
        ),
        Picture(
            f"{name}-examples.png",
            partial(examples_picture, placed, found.rules.skeleton),
            f"CADSTN on {found.rules.title} (figure 8): two of the best, the typical and the worst "
            f"frames by mean error, test frames {', '.join(str(frame) for frame, _ in chosen)}; "
            "centre from truth.",
        ),
    ]


def _place(found: Evaluated, frame: int) -> tuple[Dataset, int]:
    """The split that holds a frame of all folds in a row, and the frame's number in it."""
    *others, last = found.folds
    for fold in others:
        if frame < len(fold.test):
            return fold.test, frame
        frame -= len(fold.test)
    return last.test, frame
