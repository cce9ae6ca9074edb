"""The detector's training, and that of all that ships: `train detector` and `train shipped`."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import redirect_stderr, redirect_stdout
from hashlib import sha256
from pathlib import Path
from typing import Any

import click

from cadstn._version import __version__
from cadstn.cli.shared import echo, fit_decision_to, frames_bar
from cadstn.cli.sources import rendering, with_mesh_or_without
from cadstn.errors import Stopped
from cadstn.io.hashes import file_sha256
from cadstn.io.whole import alone_in

#: What `shipped` sets of its two recipes. `compact` knows hands well enough to mine for `follow` by
#: then; most of the steps are for the frames that a tracker meets.
_COMPACT = ("spatial.steps=16000",)
_FOLLOW = ("prepared=500000", "spatial.steps=60000", "spatial.learning_rate=0.0015")
#: Once more, on other frames, which the first `follow` finds hard.
_AGAIN = ("prepared=300000", "spatial.steps=40000", "spatial.learning_rate=0.001", "seed=31")
_CALIBRATED_BY = 6  # clips of each scene of the choosing set


def train_detector(out: Path, fields: dict[str, Any], only_print: bool) -> None:
    """Train the detector of whole frames; the same command goes on."""
    from dataclasses import asdict

    from cadstn.tracking.runtime import processors
    from cadstn.train.detector import Line, detector_recipe
    from cadstn.train.detector import train_detector as run
    from cadstn.train.guards import stoppable

    chosen = detector_recipe(fields)
    if only_print:
        echo(json.dumps(asdict(chosen), indent=1))
        return
    done = 0

    def rendered(count: int) -> None:
        nonlocal done
        done += count
        rendering(min(done, chosen.frames), chosen.frames)

    step = 0

    def report(line: Line) -> None:
        nonlocal step
        step = line.step
        echo(str(line), err=True)

    with alone_in(out), stoppable() as stop:
        path = run(
            chosen, out, workers=processors(), on_frames=rendered, on_line=report,
            stop=stop.is_set,
        )  # fmt: skip
    if path is None:
        raise Stopped("detector", step)
    echo(f"trained a detector in {out}")


def train_shipped(out: Path, train: click.Command) -> None:
    """Make all that ships from nothing, each step where it was left.

    Detector and ``compact``, side by side, then ``follow`` twice, each with candidates mined by the
    networks before it; one file, whose error scales hold two joints of three of the choosing set,
    and whose decision on a new hand is fitted to it. What is made of a part is made anew where the
    part was trained anew. Some seven hours of a two-core Xeon with AMX (docs/guides/train.md).
    """
    from cadstn.synth.compiling import check_compiles
    from cadstn.train.begun import begun_run
    from cadstn.train.recipes import recipe

    context = click.get_current_context()
    # Said now, not hours later.
    check_compiles()
    with_mesh_or_without(recipe("follow"), begun_run(out / "follow"), out / "follow", given=False)
    detector = str(out / "detector")
    _beside(
        out / "detector",
        lambda: context.invoke(train, name="compact", out=out / "compact", settings=_COMPACT),
    )
    from cadstn.cli.exporting import export
    from cadstn.tracking import load_network

    def exported(
        run: Path, path: Path, error_scale: float = 1.0, decision: Path | None = None
    ) -> Path:
        context.invoke(
            export, run=run, out=path, half=True, detector=detector, error_scale=error_scale,
            decision=decision,
        )  # fmt: skip
        return path

    # Kept by what they are made of: a part that is trained anew has others made.
    run = out / "compact"
    for part, settings in (("follow", _FOLLOW), ("follow-again", _AGAIN)):
        miner = out / f"miner-{_key(run, out)}.onnx"
        if not miner.exists():
            exported(run, miner)
        context.invoke(
            train, name="follow", out=out / part, start=str(run), miner=str(miner),
            settings=settings,
        )  # fmt: skip
        run = out / part
    # Another version renders other scenes.
    choosing = out / f"choosing-{__version__}"
    factor = _error_scale(exported(run, out / "follow.onnx"), choosing)
    decision = out / f"decision-{__version__}-{_key(run, out)}.json"
    if not decision.exists():
        scaled = exported(run, out / "scaled.onnx", factor)
        fit_decision_to(load_network(scaled), decision)
    exported(run, out / "hand21.onnx", factor, decision)


def _key(run: Path, out: Path) -> str:
    """Name the trained weights of a run and of the detector beside it; others have another name."""
    from cadstn.train.detector import WEIGHTS
    from cadstn.train.recipes import STAGES

    files = *(run / f"{stage}.safetensors" for stage in STAGES), out / "detector" / WEIGHTS
    return sha256("".join(map(file_sha256, files)).encode()).hexdigest()[:12]


def _beside(out: Path, other: Callable[[], object]) -> None:
    """Train the detector and something else, on half of the threads each where there are two.

    Two cores do more with a training each than with one after the other: steps are so short that
    threads spend much of them on waiting for one another (LOG.md).
    """
    import torch

    from cadstn.io.workers import worker_pool
    from cadstn.train.detector import WEIGHTS

    threads = torch.get_num_threads()
    if threads == 1 or (out / WEIGHTS).is_file():
        train_detector(out, {}, False)
        other()
        return
    half = threads // 2
    log = out.with_suffix(".log")
    echo(f"the detector trains beside what follows; its progress: {log}", err=True)
    torch.set_num_threads(threads - half)
    try:
        with worker_pool(1, where=log) as pool:
            trained = pool.submit(_into, log, out, half)
            trained.add_done_callback(_report_error)
            other()
            trained.result()
    finally:
        torch.set_num_threads(threads)


def _report_error(job: Future[None]) -> None:
    """Print at once what ended the detector's training: what trains beside it may take hours."""
    if not job.cancelled() and (error := job.exception()) is not None:
        echo(f"the detector's training has ended: {error}", err=True)


def _into(log: Path, out: Path, threads: int) -> None:
    """Train the detector, all lines of it, and of how it failed, written to a file."""
    import torch

    torch.set_num_threads(threads)
    log.parent.mkdir(parents=True, exist_ok=True)
    lines = log.open("a", buffering=1, encoding="utf-8")
    with lines, redirect_stdout(lines), redirect_stderr(lines):
        try:
            train_detector(out, {}, False)
        except Exception as error:
            echo(f"{type(error).__name__}: {error}", err=True)
            raise


def _error_scale(weights: Path, keep: Path) -> float:
    """Factor of the error scales with which two joints of three of the choosing set lie within."""
    from cadstn.bench.accuracy.sealed import SceneSet, bench_sealed

    some = SceneSet("choosing-1", _CALIBRATED_BY)
    report = bench_sealed(some, weights, keep=keep, bar=frames_bar)
    factor = report["all"]["scale_factor"]
    return 1.0 if factor is None else float(factor)
