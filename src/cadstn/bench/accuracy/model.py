"""Measure weights on rendered recordings and on real ones: ``cadstn bench model``."""

from __future__ import annotations

import platform
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from cadstn._version import __version__
from cadstn.bench.accuracy.compare import compare_followed
from cadstn.bench.accuracy.follow import (
    Followed,
    GivenPredictor,
    LabelledPlace,
    false_alarms,
    follow,
)
from cadstn.bench.accuracy.goals import Goal
from cadstn.bench.accuracy.measure import measure
from cadstn.bench.accuracy.real import measure_real, real_recordings
from cadstn.bench.accuracy.set import Order, Rendered, rendered
from cadstn.errors import CadstnError
from cadstn.evaluate.metrics import plain
from cadstn.geometry.skeleton import HAND21
from cadstn.io.whole import write_json
from cadstn.tracking import Network, Tracker, load_network

#: Shows the progress of something of a name and a length: a context that gives a step function.
Bar = Callable[[str, int], AbstractContextManager[Callable[[], None]]]


@contextmanager
def silent(name: str, length: int) -> Iterator[Callable[[], None]]:
    """Show no progress."""
    yield lambda: None


def bench_model(
    weights: Path | None = None,
    *,
    recordings: int = 125,
    frames: int = 64,
    empty: int = 32,
    seed: int = 0,
    keep: Path | None = None,
    workers: int = 1,
    threads: int | None = None,
    real: Path | None = None,
    beside: Path | None = None,
    bar: Bar = silent,
) -> dict[str, Any]:
    """Measure weights: everything ``cadstn bench model`` prints, as JSON.

    Args:
        weights: a file of `cadstn export`; None for those that ship.
        recordings: with a hand; 0 for none.
        frames: of each recording.
        empty: recordings without a hand; 0 for none.
        seed: the rendered recordings are a function of it.
        keep: folder that holds them, for other weights; None renders them anew.
        workers: processes that render.
        threads: of the network, see `cadstn.tracking.load_network`.
        real: folder of real recordings, see `cadstn.bench.accuracy.real.real_recordings`.
        beside: weights that track the same rendered recordings, to be compared frame by frame.
        bar: shows progress.

    Raises:
        CadstnError: if the weights do not predict MediaPipe's 21 joints, a folder is not what it
            should be, or PyTorch is missing where something must be rendered.
    """
    network = open_network(weights, threads)
    networks = [network] if beside is None else [network, open_network(beside, threads)]
    tracker = Tracker(network)
    report: dict[str, Any] = {
        **facts(weights, network),
        "seed": seed,
        "frames_per_recording": frames,
        "rendered": None,
        "beside": None,
        "false_alarms": None,
        "real": None,
    }
    if real is not None:
        found = real_recordings(real)
        with bar("real frames", sum(len(recording) for recording in found.values())) as step:
            report["real"] = plain(measure_real(found, tracker, step))
    with tempfile.TemporaryDirectory() as passing:
        folder = Path(passing) if keep is None else keep

        def those(kind: str, count: int) -> Iterator[Rendered]:
            order = Order(seed, frames)
            return rendered(folder, kind, range(count), order, workers=workers, forget=keep is None)

        if recordings:
            with bar("frames with a hand", len(networks) * recordings * frames) as step:
                followers = [follower(one, step) for one in networks]
                # One after the other on each recording: it may be gone after its turn.
                pairs = [[track(one) for track in followers] for one in those("hands", recordings)]
            first, *others = zip(*pairs, strict=True)
            report["rendered"] = measure(first)
            if beside is not None:
                compared = compare_followed(first, others[0])
                report["beside"] = plain({"weights": beside.name, **compared})
        if empty:
            with bar("frames without a hand", empty * frames) as step:
                report["false_alarms"] = false_alarms(those("empty", empty), tracker, step)
    return report


def facts(weights: Path | None, network: Network) -> dict[str, Any]:
    """What is measured, by which version, on which machine."""
    return {
        "weights": "shipped" if weights is None else weights.name,
        "about": network.about,
        "cadstn": __version__,
        "machine": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
    }


def open_network(weights: Path | None, threads: int | None) -> Network:
    """Load weights of the joints that are rendered.

    Raises:
        CadstnError: if they are of others, or cannot be loaded.
    """
    network = load_network(weights, threads=threads)
    if network.skeleton != HAND21:
        raise CadstnError(
            f"weights of skeleton {network.skeleton.name}",
            where=weights,
            hint=f"give weights of {HAND21.name}, the joints that are rendered",
        )
    return network


def follower(network: Network, step: Callable[[], None]) -> Callable[[Rendered], Followed]:
    """A function that tracks rendered recordings, each from a fresh start."""
    tracker, given, again = Tracker(network), GivenPredictor(network), GivenPredictor(network)
    return lambda one: follow(one, tracker, given, again, step)


def follow_labelled(network: Network, one: Rendered, step: Callable[[], None]) -> Followed:
    """Track a recording of two hands as two; see `LabelledPlace`."""
    tracker = LabelledPlace(Tracker(network, hands=2), one)
    return follow(one, tracker, GivenPredictor(network), GivenPredictor(network), step)


def write_report(path: Path, report: dict[str, Any], goals: list[Goal]) -> None:
    """Write all figures and the goals beside them as JSON.

    Raises:
        CadstnError: if the file cannot be written.
    """
    beside = [{**goal._asdict(), "result": goal.result} for goal in goals]
    write_json(path, {**report, "goals": beside}, indent=2)
