"""Commands that train: train, bank, ablate."""

from __future__ import annotations

import json
import os
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cadstn.cli.shared import begun, need_train
from cadstn.errors import CadstnError

if TYPE_CHECKING:
    from cadstn.train import Progress, Source
    from cadstn.train.recipes import Recipe


@click.command()
@click.argument("name", metavar="RECIPE", default="compact")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of the run.")
@click.option(
    "--data", default="synthetic", show_default=True,
    help="Folder of NYU, ICVL or MSRA15, a .bank file, or synthetic: rendered as needed.",
)  # fmt: skip
@click.option("--split", default="train", show_default=True, help="MSRA15: train-P0 ... train-P8.")
@click.option("--device", default="cpu", show_default=True, help="cpu or cuda.")
@click.option(
    "--from", "start", metavar="WEIGHTS",
    help="Go on from trained weights: the folder of a run, an exported compact .onnx, or shipped.",
)  # fmt: skip
@click.option("--set", "settings", multiple=True, metavar="FIELD=VALUE", help="Override a field.")
@click.option("--print", "only_print", is_flag=True, help="Print the whole recipe and stop.")
def train(
    name: str,
    out: Path,
    data: str,
    split: str,
    device: str,
    start: str | None,
    settings: tuple[str, ...],
    only_print: bool,
) -> None:
    r"""Train networks (needs cadstn[train]).

    RECIPE is up to three words, NETWORK.SET.KIND: cadstn, spatial, temporal, baseline or sliced;
    rendered, nyu, icvl or msra (left out: that of --data); paper, released, small, compact and
    follow (those of the shipped weights) or tiny (left out: paper). 'cadstn' trains the three
    stages of Algorithm 1. The same command goes on where it stopped, and skips what is done.

    \b
    cadstn train compact --out runs/compact
    cadstn train follow --out runs/follow --from shipped --set seed=1
    cadstn train cadstn --data data/nyu --out runs/nyu --device cuda
    cadstn train temporal.icvl.released --data data/icvl --out runs/released
    cadstn train tiny --out runs/tiny --set spatial.steps=200 --set net.width=64
    torchrun --nproc-per-node 8 -m cadstn.cli train cadstn --data data/nyu --out runs/nyu \
        --device cuda
    """
    need_train("cadstn train")
    from cadstn.train import train as run
    from cadstn.train.ranks import join, leave

    going_on = None if start is None else begun(start)
    ranks, place = join(device)
    fields = dict(setting(text) for text in settings)
    chosen, source = open_source(name, data, split, fields, place, ranks.first, out)
    if only_print:
        click.echo(json.dumps(json.loads(chosen.to_json()), indent=1))
        return
    total = sum(chosen.plan(stage).steps for stage in chosen.stages)
    with click.progressbar(
        length=total, file=sys.stderr, item_show_func=_told, hidden=not ranks.first
    ) as bar:
        done = 0

        def watch(progress: Progress) -> None:
            nonlocal done
            before = chosen.stages[: chosen.stages.index(progress.stage)]
            now = sum(chosen.plan(stage).steps for stage in before) + progress.step
            bar.update(now - done, progress)
            done = now

        try:
            run(chosen, out, source=source, device=device, start=going_on, watch=watch, tell=_tell)
        finally:
            leave()
    if not ranks.first:
        return
    click.echo(f"trained {', '.join(chosen.stages)} in {out}")
    if chosen.network == "cadstn":
        click.echo(f"next: cadstn export {out} --out {out / 'hand.onnx'}")


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--clips", default=6_250, show_default=True, type=click.IntRange(1), help="Shots.")
@click.option("--frames", default=16, show_default=True, type=click.IntRange(1), help="Of a shot.")
@click.option("--seed", default=0, show_default=True, help="Other seeds, other hands and motions.")
@click.option("--kind", default="small", show_default=True, help="Recipe whose crops it holds.")
@click.option("--device", default="cpu", show_default=True, help="cpu or cuda.")
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

    \b
    cadstn bank train.bank --clips 6250 --frames 16 --seed 1
    cadstn bank test.bank --clips 125 --frames 64 --seed 2
    cadstn train temporal --data train.bank --out runs/temporal
    """
    need_train("cadstn bank")
    from cadstn.train.recipes import override, recipe
    from cadstn.train.stream_bank import stream_bank

    chosen = override(recipe(kind), dict(setting(text) for text in settings))
    with click.progressbar(length=clips * frames, label="rendering", file=sys.stderr) as bar:
        made = stream_bank(
            path, chosen.crop_rule(), seed=seed, clips=clips, frames=frames, device=device,
            compiled=chosen.compiled, workers=os.cpu_count() or 1, on_frames=bar.update,
        )  # fmt: skip
    click.echo(f"{path}: {len(made)} frames, {path.stat().st_size / 1e9:.2f} GB")


@click.command()
@click.option("--train", "train_path", type=click.Path(path_type=Path), required=True, help="Bank.")
@click.option("--test", "test_path", type=click.Path(path_type=Path), required=True, help="Bank.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of the runs.")
@click.option("--kind", default="small", show_default=True, help="Recipe to train all five with.")
@click.option("--seeds", default=1, show_default=True, type=click.IntRange(1), help="How many.")
@click.option("--device", default="cpu", show_default=True, help="cpu or cuda.")
@click.option("--set", "settings", multiple=True, metavar="FIELD=VALUE", help="Override a field.")
def ablate(
    train_path: Path,
    test_path: Path,
    out: Path,
    kind: str,
    seeds: int,
    device: str,
    settings: tuple[str, ...],
) -> None:
    r"""Train five networks on one bank and score them on another: tables IV and V.

    With fixed weights 0.1 to 0.9, the best of them and an exponential average, both chosen on
    held-out training shots. The same command goes on where it stopped.

    \b
    cadstn ablate --train train.bank --test test.bank --out runs/ablation --seeds 3
    """
    need_train("cadstn ablate")
    from cadstn.data.bank import open_bank
    from cadstn.train.ablation import ablate as run
    from cadstn.train.ablation import format_tables
    from cadstn.train.recipes import override, recipe

    banks = open_bank(train_path), open_bank(test_path)
    fields = dict(setting(text) for text in settings)
    results = []
    for seed in range(seeds):
        chosen = override(recipe(kind, banks[0].about["set"]), {**fields, "seed": seed})
        banks[0].check_rule(chosen.crop_rule())
        total = sum(chosen.plan(stage).steps for stage in ("baseline", "sliced", *chosen.stages))
        label = f"seed {seed}"
        with click.progressbar(
            length=total, label=label, file=sys.stderr, item_show_func=_told
        ) as bar:
            watch = partial(_advance, bar)
            folder = out / f"seed-{seed}"
            results.append(run(chosen, *banks, folder, device=device, watch=watch, tell=_tell))
    click.echo(format_tables(results))


def open_source(
    name: str,
    data: str,
    split: str,
    settings: dict[str, Any],
    device: str,
    speak: bool = True,
    folder: Path | None = None,
) -> tuple[Recipe, Source]:
    """Find the recipe and the samples that a command line asks for.

    Args:
        name: of the recipe.
        data: ``synthetic``, a bank's file or a data set's folder.
        split: of a data set.
        settings: fields to override.
        device: where samples go.
        speak: show the making of a bank.
        folder: where frames that a recipe wants prepared are kept; None renders every one anew.

    Raises:
        CadstnError: for an unknown recipe or field, or data that is not what it claims.
    """
    from cadstn.train import BankSource, PreparedSource, RenderedSource
    from cadstn.train.recipes import override, recipe

    if data == "synthetic":
        chosen = override(recipe(name), settings)
        if not chosen.prepared or folder is None:
            return chosen, RenderedSource(chosen, device)
        workers = os.cpu_count() or 1
        told = _rendering if speak else lambda done, total: None
        return chosen, PreparedSource(chosen, folder, device, workers=workers, on_frames=told)
    from cadstn.data.bank import build_bank, open_bank

    path = Path(data)
    if path.is_file():
        bank = open_bank(path)
        chosen = override(recipe(name, bank.about["set"]), settings)
        bank.check_rule(chosen.crop_rule())
        return chosen, BankSource(bank, chosen, device)
    from cadstn.data import open_dataset

    dataset = open_dataset(path, split)
    chosen = override(recipe(name, dataset.name), settings)
    with click.progressbar(
        length=len(dataset), label="crops", file=sys.stderr, hidden=not speak
    ) as bar:
        bank = build_bank(dataset, chosen.crop_rule(), on_frames=bar.update)
    return chosen, BankSource(bank, chosen, device)


def setting(text: str) -> tuple[str, Any]:
    """Read FIELD=VALUE, the value as JSON or else as plain text."""
    name, equals, value = text.partition("=")
    if not equals:
        raise CadstnError(f"--set {text}", mend="write --set FIELD=VALUE")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value
    except (ValueError, RecursionError) as error:  # thousands of digits, of brackets
        raise CadstnError(f"--set {name} ({error})", mend="write --set FIELD=VALUE") from None


def _advance(bar: Any, progress: Progress) -> None:
    bar.update(1, progress)


def _tell(line: str) -> None:
    click.echo(line, err=True)


def _rendering(done: int, total: int) -> None:
    end = "\n" if done == total else ""
    click.echo(f"\rrendering {done} of {total} frames{end}", nl=False, err=True)


def _told(progress: Progress | None) -> str | None:
    """What the bar says beside the time that is left."""
    if progress is None:
        return None
    return (
        f"{progress.stage} {progress.step}/{progress.steps}  loss {progress.loss:.3f}  "
        f"{progress.error_mm:.1f} mm  {progress.images_per_s:.0f} images/s"
    )
