"""Commands that measure: speed by bench track, train and synth, weights by bench model."""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import click

from cadstn.cli.shared import need_train, weights_at


@click.group()
def bench() -> None:
    """Measure machines and weights; progress goes to stderr, figures to stdout."""


@bench.command("track")
@click.option("--width", default=640, show_default=True, help="Of the frames, in pixels.")
@click.option("--paper/--no-paper", default=True, help="The paper's sizes too (needs PyTorch).")
@click.option("--peers/--no-peers", default=True, help="The field's other networks (PyTorch too).")
@click.option("--threads", type=click.IntRange(1), help="1 measures processor time, not the clock.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def track(width: int, paper: bool, peers: bool, threads: int | None, as_json: bool) -> None:
    r"""Time tracking, from the depth frame to millimetres, stage by stage, batch 1.

    Beside it networks alone, turn by turn: ours, and those of the field at their published sizes
    (A2J, AWR, V2V-PoseNet, DeepPrior++; random weights).

    \b
    cadstn bench track
    cadstn bench track --no-paper --no-peers --threads 1
    """
    from cadstn.bench.track import bench_track, report_lines

    if peers:
        need_train("timing the field's other networks")
    report = bench_track(width=width, paper=paper, peers=peers, threads=threads)
    click.echo(json.dumps(report, indent=2) if as_json else "\n".join(report_lines(report)))


@bench.command("train")
@click.argument("name", metavar="RECIPE", default="compact")
@click.option("--data", default="synthetic", show_default=True, help="As for 'cadstn train'.")
@click.option("--split", default="train", show_default=True, help="As for 'cadstn train'.")
@click.option("--device", default="cpu", show_default=True, help="cpu or cuda.")
@click.option("--set", "settings", multiple=True, metavar="FIELD=VALUE", help="Override a field.")
@click.option("--rounds", default=5, show_default=True, type=click.IntRange(1), help="Steps timed.")
@click.option("--plain/--no-plain", default=True, help="Measure a plain eager loop beside it.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def train(
    name: str,
    data: str,
    split: str,
    device: str,
    settings: tuple[str, ...],
    rounds: int,
    plain: bool,
    as_json: bool,
) -> None:
    r"""Time the training of a recipe: samples a second, where they go, the whole schedule.

    Beside it, turn by turn, a plain loop: eager fp32 with PyTorch's defaults, the same networks.

    \b
    cadstn bench train compact
    cadstn bench train cadstn.nyu.paper --data data/nyu --device cuda
    """
    need_train("cadstn bench train")
    import torch

    from cadstn.bench.train import bench_train, format_speeds
    from cadstn.cli.training import open_source, setting

    fields = dict(setting(text) for text in settings)
    recipe, source = open_source(name, data, split, fields, device)

    def told(speed: object) -> None:
        click.echo(f"measured {getattr(speed, 'stage', '')}", err=True)

    speeds = bench_train(recipe, source, rounds=rounds, device=device, plain=plain, told=told)
    if as_json:
        click.echo(json.dumps([speed.to_dict() for speed in speeds], indent=2))
        return
    place = torch.cuda.get_device_name() if device.startswith("cuda") else platform.processor()
    click.echo(f"{recipe.name} on {place or platform.machine()}, {torch.get_num_threads()} threads")
    click.echo(format_speeds(speeds))


@bench.command("synth")
@click.option(
    "--batch", "batches", multiple=True, type=click.IntRange(1), default=(64, 256),
    show_default=True, help="Images at once; may be given several times.",
)  # fmt: skip
@click.option("--device", default="cpu", show_default=True, help="cpu or cuda.")
@click.option("--workers", default=2, show_default=True, type=click.IntRange(1), help="Threads.")
@click.option("--rounds", default=5, show_default=True, type=click.IntRange(1), help="Timed.")
@click.option("--compiled/--eager", default=True, help="With torch.compile, as a training has it.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def synth(
    batches: tuple[int, ...], device: str, workers: int, rounds: int, compiled: bool, as_json: bool
) -> None:
    """Time the rendering of crops and frames, and the oracle it is checked by."""
    need_train("cadstn bench synth")
    from cadstn.bench.synth import bench_synth, report_lines

    report = bench_synth(
        batches, device=device, compiled=compiled, workers=workers, rounds=rounds,
        told=lambda line: click.echo(line, err=True),
    )  # fmt: skip
    click.echo(json.dumps(report, indent=2) if as_json else "\n".join(report_lines(report)))


@bench.command("model")
@click.option("--weights", type=click.Path(path_type=Path), help="A network of your own (.onnx).")
@click.option("--recordings", default=125, show_default=True, type=click.IntRange(0),
              help="Rendered ones with a hand.")  # fmt: skip
@click.option("--frames", default=64, show_default=True, type=click.IntRange(3),
              help="Of each recording.")  # fmt: skip
@click.option("--empty", default=32, show_default=True, type=click.IntRange(0),
              help="Rendered recordings without a hand.")  # fmt: skip
@click.option("--seed", default=0, show_default=True, help="What is rendered is a function of it.")
@click.option("--keep", type=click.Path(path_type=Path, file_okay=False),
              help="Folder for what is rendered: other weights need no rendering.")  # fmt: skip
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1),
              help="Processes that render.")  # fmt: skip
@click.option("--threads", type=click.IntRange(1), help="Of the network.")
@click.option("--real", type=click.Path(path_type=Path, exists=True, file_okay=False),
              help="Folder of real recordings, each named as its camera.")  # fmt: skip
@click.option("--beside", metavar="FILE|shipped",
              help="Other weights on the same recordings, compared frame by frame.")  # fmt: skip
@click.option("--json", "as_json", type=click.Path(path_type=Path, dir_okay=False),
              help="File for all figures.")  # fmt: skip
def model(
    weights: Path | None,
    recordings: int,
    frames: int,
    empty: int,
    seed: int,
    keep: Path | None,
    workers: int,
    threads: int | None,
    real: Path | None,
    beside: str | None,
    as_json: Path | None,
) -> None:
    r"""Measure how good weights are, beside what the model in the package must reach.

    Tracks rendered recordings of hands, motions, scenes and sensors that no training sees, the
    centre found; recordings without a hand; and real ones without labels. What is rendered needs
    PyTorch, unless --keep holds it.

    \b
    cadstn bench model --keep data/model-test --json model.json
    cadstn bench model --weights hand.onnx --keep data/model-test
    cadstn bench model --weights hand.onnx --beside shipped --keep data/choosing --seed 101
    cadstn bench model --recordings 0 --empty 0 --real ../shared/real
    """
    from cadstn.bench.shipped import bench_model, write_report
    from cadstn.bench.shipped_report import report_lines

    with nullcontext() if beside is None else weights_at(beside) as other:
        report = bench_model(
            weights, recordings=recordings, frames=frames, empty=empty, seed=seed, keep=keep,
            workers=workers, threads=threads, real=real, beside=other, bar=_bar,
        )  # fmt: skip
    click.echo("\n".join(report_lines(report)))
    if as_json:
        write_report(as_json, report)
        click.echo(f"wrote {as_json}", err=True)


@contextmanager
def _bar(name: str, length: int) -> Iterator[Callable[[], None]]:
    with click.progressbar(length=length, label=name, file=sys.stderr) as bar:
        yield lambda: bar.update(1)
