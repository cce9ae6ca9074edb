"""Commands that train: train, bank."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cadstn.cli.clock import FIRST_ESTIMATE, Clock, progress_line
from cadstn.cli.shared import MANY, begun, echo, given_options, need_train, quoted
from cadstn.cli.shipped import train_detector, train_shipped
from cadstn.cli.sources import (
    open_source,
    recipe_of,
    setting,
    with_mesh_or_without,
)
from cadstn.errors import CadstnError

if TYPE_CHECKING:
    from cadstn.train import Progress

#: What `detector` and `shipped` take; recipes take every option.
_TAKEN = {"detector": ("out", "settings", "only_print"), "shipped": ("out",)}
#: Fields of a recipe that decide what `bank` renders, and how.
_RENDERED_BY = (
    "skeleton", "net.joints", "net.size", "cube_mm", "cubes_mm", "center", "hands", "held", "mesh",
    "near_mm", "far_mm", "compiled",
)  # fmt: skip


@click.command()
@click.argument("name", metavar="RECIPE", default="compact")
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the run.")
@click.option(
    "--data", default="synthetic", show_default=True,
    help="Folder of a data set, a .bank file, or synthetic: rendered as needed.",
)  # fmt: skip
@click.option("--split", help="Of a data set, for instance train-P0; left out: the recipe's.")
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda, gpu or auto.")
@click.option(
    "--from", "start", metavar="WEIGHTS",
    help="Go on from trained weights: the folder of a run, an exported compact .onnx, or shipped.",
)  # fmt: skip
@click.option("--set", "settings", multiple=True, metavar="FIELD=VALUE", help="Override a field.")
@click.option(
    "--mine", "miner", metavar="WEIGHTS",
    help="Mine candidates of whole frames with these: an exported .onnx, or shipped (follow).",
)  # fmt: skip
@click.option("--print", "only_print", is_flag=True, help="Print the whole recipe and stop.")
def train(
    name: str,
    out: Path | None,
    data: str,
    split: str | None,
    device: str,
    start: str | None,
    settings: tuple[str, ...],
    miner: str | None,
    only_print: bool,
) -> None:
    r"""Train networks (needs cadstn[train]).

    On Linux that installs PyTorch with CUDA, some gigabytes. Without a GPU install the CPU build
    first: pip install torch --index-url https://download.pytorch.org/whl/cpu

    RECIPE is up to three words, NETWORK.SET.KIND: cadstn, spatial, temporal, baseline or sliced;
    rendered, nyu, icvl, msra, dexycb, hands2017 or recordings (left out: that of
    --data); paper, released, small, compact and
    follow (those of the shipped weights) or tiny (left out: paper). 'cadstn' trains the three
    stages of Algorithm 1; 'detector' trains the detector of whole frames, and 'shipped' all that
    the package ships. The same command goes on where it stopped, and skips what is done.

    \b
    cadstn train shipped --out runs/shipped
    cadstn train detector --out runs/detector
    cadstn train compact --out runs/compact
    cadstn train follow --out runs/follow --from shipped --set seed=1
    cadstn train cadstn --data data/nyu --out runs/nyu --device cuda
    cadstn train temporal.icvl.released --data data/icvl --out runs/released
    cadstn train tiny --out runs/tiny --set spatial.steps=200 --set net.width=64
    torchrun --nproc-per-node 8 -m cadstn.cli train cadstn --data data/nyu --out runs/nyu \
        --device cuda
    """
    need_train("cadstn train")
    _must_take(name)
    fields = dict(setting(text) for text in settings)
    if out is None and not only_print:
        raise click.UsageError("Missing option '--out'.")
    if name == "detector":
        train_detector(out or Path(), fields, only_print)
        if not only_print:
            echo(
                f"next: cadstn export RUN --out hand.onnx --half --detector {quoted(out or Path())}"
            )
        return
    if out is None or only_print:
        echo(json.dumps(json.loads(recipe_of(name, data, fields).to_json()), indent=1))
        return
    if name == "shipped":
        train_shipped(out, train)
        return
    from cadstn.train import train as run
    from cadstn.train.ranks import join, leave

    going_on = None if start is None else begun(start)
    ranks, place = join(device)
    chosen, source = open_source(name, data, split, fields, place, ranks.first, out, miner)
    clock = Clock(chosen)
    with click.progressbar(
        length=clock.steps,
        file=sys.stderr,
        item_show_func=progress_line,
        hidden=not ranks.first,
        show_eta=False,
    ) as bar:
        done = 0

        def watch(progress: Progress) -> None:
            nonlocal done
            if progress.step == FIRST_ESTIMATE[chosen.step_mode] and ranks.first:
                _say(clock.estimate(progress))
            now = clock.done(progress)
            bar.update(now - done, (progress, clock.left_s(progress)))
            done = now

        try:
            run(
                chosen, out, source=source, device=device, start=going_on, watch=watch,
                on_message=_say,
            )  # fmt: skip
        except KeyboardInterrupt:
            part = next(out.glob("rendered-*.part"), None)
            if part is None:
                raise
            raise _interrupted(part) from None
        finally:
            leave()
    if not ranks.first:
        return
    echo(f"trained {', '.join(chosen.stages)} in {out}")
    if chosen.network == "cadstn" and given_options("out"):  # not within `shipped`
        echo(f"next: cadstn export {quoted(out)} --out {quoted(out / 'hand.onnx')}")


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--clips", default=6_250, show_default=True, type=MANY, help="Shots.")
@click.option("--frames", default=16, show_default=True, type=MANY, help="Of a shot.")
@click.option(
    "--seed", default=0, show_default=True, type=click.IntRange(0),
    help="Other seeds, other hands and motions; the recipe's own is not taken.",
)  # fmt: skip
@click.option(
    "--kind", default="small", show_default=True,
    help="Recipe whose crops it holds, with its shares of hands, held things and meshes.",
)  # fmt: skip
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda, gpu or auto.")
@click.option("--set", "settings", multiple=True, metavar="FIELD=VALUE", help="Override a field.")
def bank(
    path: Path,
    clips: int,
    frames: int,
    seed: int,
    kind: str,
    device: str,
    settings: tuple[str, ...],
) -> None:
    r"""Render clips into one file to train on or to test with (needs cadstn[train]).

    One that was interrupted goes on by the same command. --set takes the fields that decide what
    is rendered: center, cube_mm, skeleton, net.size, hands, held, mesh, near_mm, far_mm and such.

    \b
    cadstn bank train.bank --clips 6250 --frames 16 --seed 1
    cadstn bank test.bank --clips 125 --frames 64 --seed 2
    cadstn train temporal.small --data train.bank --out runs/temporal
    """
    need_train("cadstn bank")
    from cadstn.tracking.runtime import processors
    from cadstn.train.begun import begun_bank
    from cadstn.train.devices import pick_device
    from cadstn.train.recipes import override, recipe
    from cadstn.train.stream_bank import stream_bank

    fields = dict(setting(text) for text in settings)
    chosen = override(recipe(kind), fields)
    for name in fields:
        if name not in _RENDERED_BY:
            raise CadstnError(
                f"'cadstn bank' makes no use of --set {name}",
                hint="give --seed" if name == "seed" else f"it takes {', '.join(_RENDERED_BY)}",
            )
    chosen = with_mesh_or_without(chosen, begun_bank(path), path, "mesh" in fields)
    device = pick_device(device)
    try:
        with click.progressbar(length=clips * frames, label="rendering", file=sys.stderr) as bar:
            made = stream_bank(
                path, chosen, seed=seed, clips=clips, frames=frames, device=device,
                workers=processors(), on_frames=bar.update,
            )  # fmt: skip
    except KeyboardInterrupt:
        raise _interrupted(path.with_name(f"{path.name}.part")) from None
    echo(f"{path}: {len(made)} frames, {path.stat().st_size / 1e9:.2f} GB")


def _interrupted(path: Path) -> CadstnError:
    hint = "what is rendered is kept: the same command goes on; to give up, delete it"
    return CadstnError("interrupted", where=path, hint=hint)


def _must_take(name: str) -> None:
    """Raise an error where options are given that a name has no use for."""
    if name not in _TAKEN:
        return
    options = click.get_current_context().command.params
    others = [o.name for o in options if o.name and o.name not in ("name", *_TAKEN[name])]
    if useless := given_options(*others):
        takes = ", ".join(o.opts[0] for o in options if o.name in _TAKEN[name])
        raise CadstnError(
            f"'cadstn train {name}' does not take {useless[0]}", hint=f"it takes {takes}"
        )


def _say(line: str) -> None:
    echo(line, err=True)
