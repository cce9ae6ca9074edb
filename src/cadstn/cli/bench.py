"""Commands that measure: speed by bench track, train and synth, weights by bench model."""

from __future__ import annotations

import json
import platform
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path

import click

from cadstn.cli.shared import (
    AS_JSON,
    DEVICE,
    SETTINGS,
    THREADS,
    WEIGHTS,
    device_of,
    echo,
    fit_decision_to,
    frames_bar,
    given_options,
    need_train,
    weights_at,
)
from cadstn.errors import CadstnError


@click.group()
def bench() -> None:
    """Measure machines and weights; progress goes to stderr, figures to stdout."""


@bench.command("track")
@click.option("--width", default=640, show_default=True, type=click.IntRange(16, 7680),
              help="Width of the frames, pixels.")  # fmt: skip
@click.option("--paper/--no-paper", default=True, help="The paper's sizes too (needs PyTorch).")
@click.option("--peers/--no-peers", default=True, help="Published networks (needs PyTorch).")
@click.option("--threads", type=click.IntRange(1), help="1 measures processor time, not the clock.")
@click.option("--busy", is_flag=True, help="Also beside one busy process a core.")
@AS_JSON
def track(
    width: int, paper: bool, peers: bool, threads: int | None, busy: bool, as_json: bool
) -> None:
    r"""Time tracking, from the depth frame to millimetres, stage by stage, batch 1.

    Beside it networks alone, turn by turn: ours, and others at their published sizes (A2J, AWR,
    V2V-PoseNet, DeepPrior++; random weights); and MediaPipe's hands, where it is installed.

    \b
    cadstn bench track --busy
    cadstn bench track --no-paper --no-peers --threads 1
    """
    from cadstn.bench.track import bench_track, report_lines

    if peers:
        need_train("timing other published networks")
    report = bench_track(width=width, paper=paper, peers=peers, threads=threads, busy=busy)
    echo(json.dumps(report, indent=2) if as_json else "\n".join(report_lines(report)))


@bench.command("train")
@click.argument("name", metavar="RECIPE", default="compact")
@click.option("--data", default="synthetic", show_default=True, help="As for 'cadstn train'.")
@click.option("--split", help="As for 'cadstn train'.")
@DEVICE
@SETTINGS
@click.option("--rounds", default=5, show_default=True, type=click.IntRange(1), help="Timed steps.")
@click.option("--plain/--no-plain", default=True, help="Measure a plain eager loop beside it.")
@AS_JSON
def train(
    name: str,
    data: str,
    split: str | None,
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
    from cadstn.cli.sources import open_source, setting

    fields = dict(setting(text) for text in settings)
    device = device_of(device)
    recipe, source = open_source(name, data, split, fields, device)
    speeds = bench_train(
        recipe, source, rounds=rounds, device=device, plain=plain,
        on_stage=lambda speed: echo(f"measured {speed.stage}", err=True),
    )  # fmt: skip
    if as_json:
        echo(json.dumps([asdict(speed) for speed in speeds], indent=2))
        return
    place = torch.cuda.get_device_name() if device.startswith("cuda") else platform.processor()
    echo(f"{recipe.name} on {place or platform.machine()}, {torch.get_num_threads()} threads")
    echo(format_speeds(speeds))


@bench.command("synth")
@click.option(
    "--batch", "batches", multiple=True, type=click.IntRange(1), default=(64, 256),
    show_default=True, help="Images at once; may be given several times.",
)  # fmt: skip
@DEVICE
@click.option("--workers", default=2, show_default=True, type=click.IntRange(1), help="Threads.")
@click.option(
    "--rounds", default=5, show_default=True, type=click.IntRange(1), help="Timed rounds."
)
@click.option("--compiled/--eager", default=True, help="With torch.compile, as a training has it.")
@AS_JSON
def synth(
    batches: tuple[int, ...], device: str, workers: int, rounds: int, compiled: bool, as_json: bool
) -> None:
    """Time the rendering of crops and frames, and the oracle it is checked by."""
    need_train("cadstn bench synth")
    from cadstn.bench.synth import bench_synth, report_lines

    report = bench_synth(
        batches, device=device_of(device), compiled=compiled, workers=workers, rounds=rounds,
        progress=lambda line: echo(line, err=True),
    )  # fmt: skip
    echo(json.dumps(report, indent=2) if as_json else "\n".join(report_lines(report)))


@bench.command("model")
@WEIGHTS
@click.option("--sealed", "test", flag_value="sealed-5",
              help="The sealed test: every frame counts; read once a release.")  # fmt: skip
@click.option("--choosing", "test", flag_value="choosing-1",
              help="The same scenes from other seeds, to choose by.")  # fmt: skip
@click.option("--recordings", type=click.IntRange(0),
              help="Recordings with a hand (125); in a test set, of each scene (10; of a "
              "sensor 4).")  # fmt: skip
@click.option("--frames", type=click.IntRange(3),
              help="Frames of each recording (64; in a test set 30).")  # fmt: skip
@click.option("--empty", default=32, show_default=True, type=click.IntRange(0),
              help="Rendered recordings without a hand.")  # fmt: skip
@click.option("--seed", default=0, show_default=True, help="Seed of the rendered recordings.")
@click.option("--keep", type=click.Path(path_type=Path, file_okay=False),
              help="Folder for what is rendered: other weights need no rendering.")  # fmt: skip
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1),
              help="Processes that render.")  # fmt: skip
@THREADS
@click.option("--real", type=click.Path(path_type=Path, exists=True, file_okay=False),
              help="Folder of real recordings, each named as its camera.")  # fmt: skip
@click.option("--beside", metavar="FILE|shipped",
              help="Other weights on the same recordings, compared frame by frame.")  # fmt: skip
@click.option("--json", "as_json", type=click.Path(path_type=Path, dir_okay=False),
              help="File for all figures.")  # fmt: skip
def model(
    weights: Path | None,
    test: str | None,
    recordings: int | None,
    frames: int | None,
    empty: int,
    seed: int,
    keep: Path | None,
    workers: int,
    threads: int | None,
    real: Path | None,
    beside: str | None,
    as_json: Path | None,
) -> None:
    r"""Measure how accurate weights are, beside what the model in the package must reach.

    Tracks rendered recordings of hands, motions, scenes and sensors that no training reads;
    recordings without a hand; and real ones without labels. With --sealed or --choosing, named
    test sets by scene instead. Rendering needs PyTorch, unless --keep holds the recordings.

    \b
    cadstn bench model --keep data/model-test --json model.json
    cadstn bench model --weights hand.onnx --keep data/model-test
    cadstn bench model --weights hand.onnx --beside shipped --keep data/choosing --seed 101
    cadstn bench model --recordings 0 --empty 0 --real real
    cadstn bench model --choosing --weights hand.onnx --keep data/choosing-1 --workers 2
    """
    from cadstn.bench.accuracy.goals import goals
    from cadstn.bench.accuracy.model import bench_model, write_report
    from cadstn.bench.accuracy.report import report_lines
    from cadstn.bench.accuracy.sealed import (
        CLIPS,
        FRAMES,
        SceneSet,
        bench_sealed,
        sealed_goals,
        sealed_lines,
    )
    from cadstn.io.whole import keep_inputs

    _must_measure(test, recordings, empty, real, beside)
    with nullcontext() if beside is None else weights_at(beside) as other:
        if as_json is not None:
            keep_inputs(as_json, [weights, other])
        if test is not None:
            if useless := given_options("real", "seed", "empty"):
                raise click.UsageError(f"{useless[0]} does not go with --sealed or --choosing")
            clips = SceneSet(test, CLIPS if recordings is None else recordings, frames or FRAMES)
            report = bench_sealed(
                clips,
                weights,
                keep=keep,
                workers=workers,
                threads=threads,
                beside=other,
                bar=frames_bar,
            )
            lines, judged = sealed_lines(report), sealed_goals(report)
        else:
            report = bench_model(
                weights, recordings=125 if recordings is None else recordings,
                frames=frames or 64, empty=empty, seed=seed, keep=keep,
                workers=workers, threads=threads, real=real, beside=other, bar=frames_bar,
            )  # fmt: skip
            lines, judged = report_lines(report), goals(report)
    echo("\n".join(lines))
    if as_json:
        write_report(as_json, report, judged)
        echo(f"wrote {as_json}", err=True)


def _must_measure(
    test: str | None, recordings: int | None, empty: int, real: Path | None, beside: str | None
) -> None:
    """Refuse options of `bench model` that would do nothing without rendered recordings."""
    if test is not None or recordings != 0:
        return
    if beside is not None:
        raise CadstnError(
            "--beside compares on recordings with a hand, and --recordings is 0",
            hint="leave out one of the two",
        )
    if empty:
        return
    if useless := given_options("frames", "seed", "keep", "workers"):
        raise CadstnError(
            f"{useless[0]} means nothing where --recordings and --empty are 0", hint="leave it out"
        )
    if real is None:
        raise CadstnError("nothing is to be measured", hint="give --real FOLDER, or recordings")


@bench.command("alarms")
@WEIGHTS
@click.option(
    "--scenes",
    default=1000,
    show_default=True,
    type=click.IntRange(0),
    help="Rendered scenes with and without a hand, so many each, four frames a scene.",
)
@click.option("--choosing", is_flag=True, help="The scenes that thresholds are chosen on.")
@click.option("--fit-decision", type=click.Path(path_type=Path),
              help="Instead: fit the decision on a new hand, and write it.")  # fmt: skip
@click.option("--real", type=click.Path(path_type=Path, exists=True, file_okay=False),
              help="Folder with no_hand, kinect2 and sr305.")  # fmt: skip
@THREADS
def alarms(
    weights: Path | None,
    scenes: int,
    choosing: bool,
    fit_decision: Path | None,
    real: Path | None,
    threads: int | None,
) -> None:
    r"""Count hands announced where there is none, and hands found where there is one.

    Rooms, furniture and people rendered with and without a hand; with --real, real frames without
    a hand, and real hands cut out of their frames. Needs PyTorch, with --scenes 0 too.

    \b
    cadstn bench alarms --real real
    cadstn bench alarms --scenes 200 --choosing --weights hand.onnx
    cadstn bench alarms --fit-decision decision.json --weights hand.onnx
    """
    need_train("cadstn bench alarms")
    from cadstn.bench.alarms import alarms as measure
    from cadstn.bench.alarms import real_alarms, still_scenes
    from cadstn.io.whole import keep_inputs
    from cadstn.tracking import load_network

    if not scenes and fit_decision is None and (choosing or real is None):
        what = "--choosing chooses among no scenes" if choosing else "nothing is to be counted"
        raise CadstnError(what, hint="give --scenes above 0")
    network = load_network(weights, threads=threads)
    if fit_decision is not None:
        if given_options("real", "choosing", "scenes"):
            raise CadstnError(
                "--fit-decision counts nothing", hint="leave out --real, --choosing and --scenes"
            )
        keep_inputs(fit_decision, [weights])
        fit_decision_to(network, fit_decision)
        return
    if real is not None:
        for name, (announced, frames) in real_alarms(network, real).items():
            echo(f"{name}: announced in {announced} of {frames} frames")
    if scenes:
        for share, what in ((0.0, "without a hand"), (1.0, "with a hand")):
            some = still_scenes(scenes, hands=share, choosing=choosing)
            with frames_bar(what, 4 * scenes) as step:
                counts = measure(network, some, step)
            echo(f"rendered scenes {what}: {counts.line()}")


@bench.command("hands")
@WEIGHTS
@click.option("--clips", default=24, show_default=True, type=click.IntRange(1),
              help="Rendered clips of 75 frames.")  # fmt: skip
@click.option("--choosing", is_flag=True, help="Clips that thresholds are chosen on.")
@THREADS
def hands(weights: Path | None, clips: int, choosing: bool, threads: int | None) -> None:
    r"""Track two hands that cross, leave the picture and come back (rendered; needs PyTorch).

    How often both are found, hands that change places, how soon one that returns is seen, one hand
    followed twice, hands where none is.

    \b
    cadstn bench hands
    cadstn bench hands --clips 8 --choosing --weights hand.onnx
    """
    need_train("cadstn bench hands")
    from cadstn.bench.hands import FRAMES, follow_two, two_hand_clips
    from cadstn.tracking import load_network

    network = load_network(weights, threads=threads)
    with frames_bar("two hands", clips * FRAMES) as step:
        counts = follow_two(network, two_hand_clips(clips, choosing=choosing), step)
    echo("\n".join(counts.lines()))
